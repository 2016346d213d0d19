"""Times of several things measured in turns, so that a busy machine slows all of them alike."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from time import perf_counter
from typing import Any

__all__ = ["fastest_ms"]


def fastest_ms(sides: Mapping[str, Callable[[], Any]], rounds: int) -> dict[str, float]:
    """Run the sides in turn, `rounds` times after a warm-up each; milliseconds of the fastest run of each."""
    best = dict.fromkeys(sides, float("inf"))
    for number in range(rounds + 1):
        for name, run in sides.items():
            start = perf_counter()
            run()
            if number:
                best[name] = min(best[name], 1e3 * (perf_counter() - start))
    return best
