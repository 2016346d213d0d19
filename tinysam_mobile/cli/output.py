"""How every command speaks: results on stdout, progress and errors on stderr, exit codes by meaning."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from functools import wraps
from typing import Any, ParamSpec

import click

from tinysam_mobile.cli.outcome import EXIT_FAILED, EXIT_NOT_RUN, code_of, print_error
from tinysam_mobile.contract.foreign_text import one_line, printable
from tinysam_mobile.errors import TinySAMError

__all__ = [
    "command_errors",
    "exit_code",
    "print_json",
    "print_table",
    "progress",
    "warn",
]

P = ParamSpec("P")


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
    """Give a function that shows what is going on, on stderr: a spinner, or lines without a terminal."""
    from rich.console import Console
    from rich.text import Text

    console = Console(stderr=True)
    if not console.is_terminal:
        yield lambda text: click.echo(one_line(text), err=True)
        return
    with console.status("starting") as status:
        yield lambda text: status.update(Text(one_line(text)))
