"""How every command speaks: results on stdout, progress and errors on stderr, exit codes by meaning."""

from __future__ import annotations

import json
import re
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from functools import wraps
from typing import TYPE_CHECKING, Any, ParamSpec

import click

from tinysam_mobile.cli.outcome import EXIT_FAILED, EXIT_NOT_RUN, code_of, print_error
from tinysam_mobile.contract.foreign_text import one_line, printable
from tinysam_mobile.errors import TinySAMError

if TYPE_CHECKING:
    from rich.console import Console
    from rich.progress import Progress, TaskID

__all__ = [
    "command_errors",
    "exit_code",
    "print_json",
    "print_table",
    "progress",
    "warn",
]

P = ParamSpec("P")

COUNT = re.compile(r"\b(\d+) of (\d+)\b")
"""How messages count, for example "photo 3 of 12"."""


def exit_code(verdicts: Sequence[str]) -> int:
    """0 if all PASSED; 1 if any FAILED; else 3 if any NOT_RUN."""
    if "FAILED" in verdicts:
        return EXIT_FAILED
    return EXIT_NOT_RUN if "NOT_RUN" in verdicts else 0


def command_errors(function: Callable[P, None]) -> Callable[P, None]:
    """Print an error of this package as one line and exit with its code; `outcome` has the other ends."""

    @wraps(function)
    def wrapped(*args: P.args, **kwargs: P.kwargs) -> None:
        try:
            function(*args, **kwargs)
        except TinySAMError as error:
            print_error(str(error))
            sys.exit(code_of(error))

    return wrapped


def print_json(data: Any) -> None:
    """Print one JSON document on stdout; infinities and NaN become null, which JSON can hold."""
    click.echo(json.dumps(_finite(data), indent=2, ensure_ascii=False))


def _finite(data: Any) -> Any:
    if isinstance(data, dict):
        return {key: _finite(value) for key, value in data.items()}
    if isinstance(data, list | tuple):
        return [_finite(value) for value in data]
    if isinstance(data, float) and data - data != 0:
        return None
    return data


def print_table(headers: Sequence[str], rows: Sequence[Sequence[str]], *, right: Sequence[str] = ()) -> None:
    """Print a table on stdout; columns named in `right` are right-aligned."""
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    table = Table(header_style="bold")
    for header in headers:
        table.add_column(header, justify="right" if header in right else "left", overflow="fold")
    for row in rows:
        # As text, since rich would take [words in brackets] for its own markup.
        table.add_row(*(Text(printable(cell)) for cell in row))
    width = None if sys.stdout.isatty() else 160
    console = Console(file=sys.stdout, width=width, highlight=False)
    # Rich would end the process itself, with 1, where nobody reads any more.
    with console.capture() as capture:
        console.print(table)
    click.echo(capture.get(), nl=False)


def warn(text: str | None) -> None:
    """Print a warning on stderr, if there is one."""
    if text:
        click.echo(f"warning: {one_line(text)}", err=True)


@contextmanager
def progress() -> Iterator[Callable[[str], None]]:
    """Give a function that shows what is going on, on stderr: a bar, or lines without a terminal.

    A text that counts, such as "photo 3 of 12", moves the bar, and the time that is left is estimated.
    """
    from rich.console import Console

    console = Console(stderr=True)
    if not console.is_terminal:
        yield lambda text: click.echo(one_line(text), err=True)
        return
    with _bar(console) as bar:
        task = bar.add_task("starting", total=None)
        yield lambda text: _show(bar, task, one_line(text))


def _bar(console: Console) -> Progress:
    from rich import progress as rich

    return rich.Progress(
        rich.SpinnerColumn(),
        # As it is, since rich would take [words in brackets] for its own markup.
        rich.TextColumn("{task.description}", markup=False),
        rich.BarColumn(bar_width=24),
        rich.TimeElapsedColumn(),
        rich.TextColumn("left:"),
        rich.TimeRemainingColumn(),
        console=console,
        transient=True,
    )


def _show(bar: Progress, task: TaskID, text: str) -> None:
    bar.update(task, description=text)
    counted = COUNT.search(text)
    if counted is None:
        return
    done, total = int(counted[1]), int(counted[2])
    (known,) = bar.tasks
    if known.total != total or done < known.completed:
        bar.reset(task, total=total, description=text)
    # What is named is being worked at; the ones before it are done.
    bar.update(task, completed=max(done - 1, 0))
