"""Counting the steps of long work, so that a bar can be drawn and the time that is left be estimated."""

from __future__ import annotations

from collections.abc import Callable

__all__ = ["Steps"]


class Steps:
    """Says "step 3 of 12: what is done", one step more at each call; `total` is how many there will be."""

    def __init__(self, say: Callable[[str], None], total: int) -> None:
        self._say = say
        self._total = total
        self._begun = 0

    def __call__(self, text: str) -> None:
        """Say that the next step begins."""
        self._begun = min(self._begun + 1, self._total)
        self._say(f"step {self._begun} of {self._total}: {text}")
