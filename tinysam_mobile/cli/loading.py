"""A line on the terminal while PyTorch is loaded: it takes seconds, in which nothing else could be said."""

from __future__ import annotations

import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from importlib.abc import MetaPathFinder
from importlib.machinery import ModuleSpec
from types import ModuleType

import click

__all__ = ["MESSAGE", "telling_of_torch"]

MESSAGE = "loading PyTorch, which takes some seconds"


class _Listener(MetaPathFinder):
    """Finds no module, but is asked for each before it is loaded; it speaks once, at torch."""

    def find_spec(
        self,
        fullname: str,
        path: Sequence[str] | None = None,  # noqa: ARG002 (the signature of finders)
        target: ModuleType | None = None,  # noqa: ARG002
    ) -> ModuleSpec | None:
        if fullname == "torch":
            _remove(self)
            click.echo(MESSAGE, err=True)
        return None


@contextmanager
def telling_of_torch() -> Iterator[None]:
    """Within the block, say on a terminal's stderr that torch is being loaded, if and when it is.

    Whatever verb needs it imports it in its own place; this way none has to say so, and those that do not
    need it say nothing.
    """
    listener = _Listener()
    if sys.stderr.isatty() and "torch" not in sys.modules:
        sys.meta_path.insert(0, listener)
    try:
        yield
    finally:
        _remove(listener)


def _remove(listener: MetaPathFinder) -> None:
    if listener in sys.meta_path:
        sys.meta_path.remove(listener)
