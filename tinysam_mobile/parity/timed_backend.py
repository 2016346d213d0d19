"""How long a backend's calls take while it is judged: no benchmark, but every side ran the same calls."""

from __future__ import annotations

import time
from collections.abc import Mapping
from statistics import median
from typing import Any

from numpy.typing import NDArray

from tinysam_mobile.contract.backend import Arrays, Backend
from tinysam_mobile.contract.spec import Contract

__all__ = ["TimedBackend"]


class TimedBackend:
    """A backend that notes how long each call takes, by the clock on the wall."""

    def __init__(self, backend: Backend) -> None:
        self._backend = backend
        self._seconds: dict[str, list[float]] = {}

    @property
    def contract(self) -> Contract:
        """That of the backend."""
        return self._backend.contract

    def run(self, entry_point: str, inputs: Mapping[str, NDArray[Any]]) -> Arrays:
        """See `Backend.run`."""
        begin = time.perf_counter()
        answer = self._backend.run(entry_point, inputs)
        self._seconds.setdefault(entry_point, []).append(time.perf_counter() - begin)
        return answer

    def latency_ms(self) -> dict[str, float]:
        """Median of the calls of each entry point; the first, which also prepares, counts if it is alone."""
        return {name: 1000 * median(taken[1:] or taken) for name, taken in self._seconds.items()}
