"""Ranges of activations over calibration photos: min-max, percentile and least squared error.

An observer keeps the exact extremes and a fixed number of drawn values of each tensor, every photo with the
same weight, so that its memory does not depend on the number of photos.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from tinysam_mobile.errors import UsageError
from tinysam_mobile.quant.numerics import ActivationGrid, dequantize, grid_of_range, quantize

if TYPE_CHECKING:
    from torch import Tensor

__all__ = [
    "DEFAULT_METHOD",
    "METHODS",
    "RANGE_METHODS",
    "SEARCH",
    "RangeObserver",
    "minmax_grid",
    "mse_grid",
]

KEPT_VALUES = 16384
PERCENTILE = 99.99
"""Share of the values, from both ends, that a percentile range spans."""
MSE_CANDIDATES = 40
"""Ranges tried between `MSE_LOWEST` and all of the extremes."""
MSE_LOWEST = 0.2


class RangeObserver:
    """Extremes and a uniform sample of one tensor over all calls of `see`."""

    def __init__(self, *, seed: int = 0) -> None:
        self.low, self.high = float("inf"), float("-inf")
        self.calls = 0
        self.elements = 0
        self._kept: NDArray[np.float32] = np.empty(0, np.float32)
        self._rng = np.random.default_rng(seed)

    def see(self, tensor: Tensor) -> None:
        """Take in a float tensor of any shape."""
        flat = tensor.detach().reshape(-1)
        low, high = flat.aminmax()
        self.low, self.high = min(self.low, float(low)), max(self.high, float(high))
        self.calls += 1
        self.elements += flat.numel()
        drawn = flat.numpy()[self._rng.integers(0, flat.numel(), KEPT_VALUES)]
        if self.calls == 1:
            self._kept = drawn.astype(np.float32)
        else:
            # Each slot holds a value of any call with equal probability.
            replaced = self._rng.random(KEPT_VALUES) < 1 / self.calls
            self._kept = np.where(replaced, drawn, self._kept)

    @property
    def values(self) -> NDArray[np.float32]:
        """The values kept; the extremes are in general not among them."""
        return self._kept


def minmax_grid(observer: RangeObserver, bits: int) -> ActivationGrid:
    """Span everything that was seen."""
    return grid_of_range(observer.low, observer.high, bits=bits)


def percentile_grid(observer: RangeObserver, bits: int) -> ActivationGrid:
    """Span all but the outermost values (`PERCENTILE`)."""
    low, high = np.percentile(observer.values, [100 - PERCENTILE, PERCENTILE])
    return grid_of_range(float(low), float(high), bits=bits)


def mse_grid(observer: RangeObserver, bits: int) -> ActivationGrid:
    """Span the share of the extremes whose grid has the least squared error on the values seen."""
    extremes = np.array([observer.low, observer.high], np.float32)

    def errors(values: NDArray[np.float32], grid: ActivationGrid) -> NDArray[np.float64]:
        squares: NDArray[np.float64] = np.square(
            dequantize(quantize(values, grid), grid).astype(np.float64) - values
        )
        return squares

    def error(grid: ActivationGrid) -> float:
        rare = errors(extremes, grid).sum() / observer.elements
        return float(errors(observer.values, grid).mean() + rare)

    shares = np.linspace(MSE_LOWEST, 1.0, MSE_CANDIDATES)
    grids = [grid_of_range(observer.low * share, observer.high * share, bits=bits) for share in shares]
    return min(grids, key=error)


METHODS: Mapping[str, Callable[[RangeObserver, int], ActivationGrid]] = {
    "minmax": minmax_grid,
    "percentile": percentile_grid,
    "mse": mse_grid,
}
"""Name → the grid of `bits` bits that an observer leads to."""
SEARCH = "search"
"""The other way to choose ranges: `quant.search`, which starts from an observer's."""
RANGE_METHODS = (*METHODS, SEARCH)
"""Ways to choose the ranges of a static recipe that every format can hold."""
DEFAULT_METHOD = "minmax"
"""What loses least at 8 bits: docs/quantization_methods.md."""


def method_named(name: str) -> Callable[[RangeObserver, int], ActivationGrid]:
    """Return the method called `name`; raises `UsageError` with those that exist."""
    if name not in METHODS:
        raise UsageError(f"unknown range method {name!r}; choose one of: {', '.join(METHODS)}")
    return METHODS[name]
