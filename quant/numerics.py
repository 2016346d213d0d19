"""Uniform quantization in numpy: the grids that every translator and the simulation share.

x_q = clip(round(x / scale) + zero_point, q_min, q_max).  Weights are symmetric with one scale per output
channel; activations are affine with one scale per tensor (16 bits: symmetric), which is what the integer
kernels of TFLite, XNNPACK and Core ML take.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from tinysam_mobile.errors import UsageError

__all__ = [
    "ActivationGrid",
    "dequantize",
    "grid_of_range",
    "quantize",
    "quantize_weight",
    "symmetric_grid",
    "weight_scales",
]

SMALLEST_SCALE = 1e-9
"""Of an all-zero tensor, which needs some scale."""


@dataclass(frozen=True, kw_only=True)
class ActivationGrid:
    """Integers of an activation: value = scale·(q − zero_point), q signed of `bits` bits."""

    scale: float
    zero_point: int
    bits: int

    @property
    def q_min(self) -> int:
        """Lowest integer."""
        return int(-(2 ** (self.bits - 1)))

    @property
    def q_max(self) -> int:
        """Highest integer."""
        return int(2 ** (self.bits - 1) - 1)


def grid_of_range(low: float, high: float, *, bits: int = 8) -> ActivationGrid:
    """Return the grid that spans [low, high] and 0; symmetric with 16 bits.  Raises `UsageError` for NaN."""
    if not np.isfinite(low) or not np.isfinite(high):
        raise UsageError(f"a range must be finite, not [{low}, {high}]; calibrate with other photos")
    low, high = min(float(low), 0.0), max(float(high), 0.0)
    if bits == 16:
        scale = max(-low, high, SMALLEST_SCALE) / (2 ** (bits - 1) - 1)
        return ActivationGrid(scale=scale, zero_point=0, bits=bits)
    scale = max((high - low) / (2**bits - 1), SMALLEST_SCALE)
    zero_point = int(
        np.clip(-(2 ** (bits - 1)) - round(low / scale), -(2 ** (bits - 1)), 2 ** (bits - 1) - 1)
    )
    return ActivationGrid(scale=scale, zero_point=zero_point, bits=bits)


def symmetric_grid(grid: ActivationGrid) -> ActivationGrid:
    """Return the grid with zero point 0 that spans the range of `grid`."""
    reach = max(grid.zero_point - grid.q_min, grid.q_max - grid.zero_point)
    return ActivationGrid(scale=grid.scale * reach / grid.q_max, zero_point=0, bits=grid.bits)


def quantize(values: NDArray[np.floating], grid: ActivationGrid) -> NDArray[np.int32]:
    """Return the integers of `values`."""
    steps = np.rint(np.asarray(values, np.float64) / grid.scale) + grid.zero_point
    out: NDArray[np.int32] = np.clip(steps, grid.q_min, grid.q_max).astype(np.int32)
    return out


def dequantize(integers: NDArray[np.integer], grid: ActivationGrid) -> NDArray[np.float32]:
    """Return the values of `integers`."""
    return ((integers - grid.zero_point) * np.float64(grid.scale)).astype(np.float32)


def weight_scales(
    weight: NDArray[np.floating], axis: int | None, *, bits: int = 8, clip: NDArray[np.floating] | float = 1.0
) -> NDArray[np.float32]:
    """Return one scale for each index of `axis` (None: one for all, shape (1,)).

    `clip`: the fraction of the channel's largest |weight| that the grid spans.  Grids are symmetric and leave
    out the lowest integer, as TFLite demands.
    """
    others = tuple(i for i in range(weight.ndim) if axis is None or i != axis % weight.ndim)
    largest = np.abs(weight).max(axis=others, keepdims=False)
    scales = np.maximum(np.atleast_1d(largest) * clip / (2 ** (bits - 1) - 1), SMALLEST_SCALE)
    out: NDArray[np.float32] = scales.astype(np.float32)
    return out


def quantize_weight(
    weight: NDArray[np.floating], scales: NDArray[np.float32], axis: int | None, *, bits: int = 8
) -> NDArray[np.int8]:
    """Return the integers of `weight` under `scales` along `axis`."""
    shape = [1] * weight.ndim
    if axis is not None:
        shape[axis] = -1
    limit = 2 ** (bits - 1) - 1
    steps = np.rint(np.asarray(weight, np.float64) / scales.astype(np.float64).reshape(shape))
    out: NDArray[np.int8] = np.clip(steps, -limit, limit).astype(np.int8)
    return out
