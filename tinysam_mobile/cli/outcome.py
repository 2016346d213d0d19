"""How a run of the command line ends, whatever happens: one line on stderr, and an exit code by meaning.

| code | meaning |
|---|---|
| 0 | everything that was asked for passed |
| 1 | something failed: a verdict, never an error |
| 2 | wrong usage or bad input |
| 3 | something was not run |
| 70 | an error of this program; its traceback is in a file that the line names |
| 130, 141 | interrupted; whoever read standard output has closed it |
"""

from __future__ import annotations

import errno
import os
import re
import signal
import sys
import tempfile
import threading
import traceback
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from io import TextIOWrapper
from types import FrameType

import click

from tinysam_mobile.contract.foreign_text import one_line
from tinysam_mobile.errors import RuntimeUnavailableError, TinySAMError, did_you_mean

__all__ = [
    "DEBUG_VARIABLE",
    "EXIT_FAILED",
    "EXIT_INTERNAL",
    "EXIT_NOT_RUN",
    "EXIT_USAGE",
    "code_of",
    "print_error",
    "run_to_an_end",
]

EXIT_FAILED = 1
EXIT_USAGE = 2
EXIT_NOT_RUN = 3
EXIT_INTERNAL = 70
"""EX_SOFTWARE of sysexits.h."""
EXIT_INTERRUPTED = 130
EXIT_CLOSED_PIPE = 141
PLAINER = {
    "is not a valid integer range": "is no whole number",
    "is not a valid integer": "is no whole number",
    "is not a valid float range": "is no number",
}
"""Click's words → ours."""
RESENT_AFTER_S = 0.2
"""Long enough for Python to be back in the work: a signal just before a call that waits does not end it."""
QUOTED = re.compile("'(.*?)'")
DEBUG_VARIABLE = "TINYSAM_DEBUG"
"""Environment variable; with the value 1 tracebacks are shown on stderr too."""


def code_of(error: TinySAMError) -> int:
    """The exit code of an error that this package raises on purpose."""
    return EXIT_NOT_RUN if isinstance(error, RuntimeUnavailableError) else EXIT_USAGE


@contextmanager
def run_to_an_end() -> Iterator[None]:
    """Turn whatever the block raises into one line on stderr and an exit code."""
    for stream in (sys.stdout, sys.stderr):
        # A terminal that has not every character shows a question mark; it is no reason to end.
        if isinstance(stream, TextIOWrapper):
            stream.reconfigure(errors="replace")
    before, hook = None, sys.unraisablehook
    sys.unraisablehook = _send_again
    with suppress(ValueError):  # only the main thread may; elsewhere nobody sends signals
        before = signal.signal(signal.SIGTERM, _end_by_signal)
    try:
        yield
    except click.exceptions.NoArgsIsHelpError as error:
        click.echo(error.format_message(), err=True)
        sys.exit(EXIT_USAGE)
    except click.ClickException as error:
        print_error(f"{_message(error)}{_where(error)}")
        sys.exit(EXIT_USAGE)
    except (click.Abort, KeyboardInterrupt):
        print_error("interrupted")
        sys.exit(EXIT_INTERRUPTED)
    except TinySAMError as error:
        print_error(str(error))
        sys.exit(code_of(error))
    except BrokenPipeError:
        _forget_stdout()
        sys.exit(EXIT_CLOSED_PIPE)
    except SystemExit as end:
        # Click has met the closed pipe first and ends with 1, which here means that something failed.
        met_by_click = type(sys.stdout).__name__.endswith("PacifyFlushWrapper")
        sys.exit(EXIT_CLOSED_PIPE if met_by_click and end.code == 1 else end.code)
    except Exception as error:  # whatever was not foreseen is one line too
        _end_unforeseen(error)
    finally:
        sys.unraisablehook = hook
        if before is not None:
            signal.signal(signal.SIGTERM, before)


def _end_by_signal(number: int, frame: FrameType | None) -> None:  # noqa: ARG001 (the signature of handlers)
    """Leave as by an exception, so that what is half-written is cleared away."""
    raise _TerminatedError(128 + number)


class _TerminatedError(SystemExit):
    """The end that another process asked for."""


def _send_again(unraisable: sys.UnraisableHookArgs) -> None:
    """Send a signal anew whose exception was lost.

    That happens where it meets what Python calls on its own, `__del__` and callbacks of the garbage
    collector: the exception is told on stderr and forgotten, and the work would go on.
    """
    lost = {KeyboardInterrupt: signal.SIGINT, _TerminatedError: signal.SIGTERM}.get(unraisable.exc_type)
    if lost is None:
        sys.__unraisablehook__(unraisable)
        return
    # Later, since here it would be lost again; and to the main thread, which may sleep.
    main = threading.main_thread().ident
    timer = threading.Timer(RESENT_AFTER_S, signal.pthread_kill, (main, lost))
    timer.daemon = True
    timer.start()


def print_error(message: str) -> None:
    """Print one line on stderr, if stderr can still be written."""
    with suppress(OSError):
        click.echo(f"error: {one_line(message)}", err=True)


def _message(error: click.ClickException) -> str:
    """Click's words, plainer where it says that a value is invalid: which option, and what is wrong."""
    if isinstance(error, click.NoSuchOption):
        name, near = error.option_name, error.possibilities or ()
        return f"No such option {name!r}{did_you_mean(name, near)}"
    if not (isinstance(error, click.BadParameter) and type(error) is click.BadParameter and error.param):
        return error.format_message().rstrip(".")
    message = error.message.rstrip(".")
    for words, plain in PLAINER.items():
        message = message.replace(words, plain)
    if isinstance(error.param.type, click.Choice) and (value := QUOTED.match(message)):
        message += did_you_mean(value[1], map(str, error.param.type.choices))
    if isinstance(error.param, click.Option):
        return f"{max(error.param.opts, key=len)}: {message}"
    return message


def _where(error: click.ClickException) -> str:
    context = getattr(error, "ctx", None)
    return f"; see '{context.command_path} --help'" if context else ""


def _end_unforeseen(error: Exception) -> None:
    if isinstance(error, OSError) and error.errno == errno.ENOSPC:
        print_error("the disk is full: free some space and run it again; nothing half-made was kept")
        _forget_stdout()
        sys.exit(EXIT_USAGE)
    if isinstance(error, MemoryError):
        print_error("not enough memory for this: take a smaller model, photo or batch")
        sys.exit(EXIT_USAGE)
    text = "".join(traceback.format_exception(error))
    print_error(
        f"internal error ({type(error).__name__}: {str(error)[:200]}); please report it with "
        f"{_kept(text)}, or set {DEBUG_VARIABLE}=1 to see it here"
    )
    if os.environ.get(DEBUG_VARIABLE) == "1":
        click.echo(text, err=True)
    sys.exit(EXIT_INTERNAL)


def _kept(text: str) -> str:
    """Write a traceback into a new file of the system's folder for such; return what to call it."""
    try:
        with tempfile.NamedTemporaryFile(
            "w",
            prefix="tinysam-mobile-",
            suffix=".traceback.txt",
            delete=False,
            encoding="utf-8",
            errors="replace",
        ) as file:
            file.write(text)
        return file.name
    except OSError:
        return "its traceback (which could not be written)"


def _forget_stdout() -> None:
    """Keep Python from writing the rest of a closed or full standard output as it exits."""
    with suppress(OSError, ValueError):
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
