"""Resize of one axis without antialiasing, as PyTorch's `interpolate` with align_corners=False does it.

Each output is a weighted sum of a few neighbouring inputs; beyond the border the last input is repeated.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from tinysam_mobile.contract.rules import Filter

__all__ = ["TAPS", "Taps", "four_taps", "resample", "two_taps"]

CUBIC_A = -0.75
"""The cubic's free parameter in PyTorch and OpenCV; Pillow's is -0.5."""


class Taps(NamedTuple):
    """The inputs `source` i64 (target, t) that each output reads, and their `weight` f64 (target, t)."""

    source: NDArray[np.int64]
    weight: NDArray[np.float64]


def two_taps(size: int, target: int) -> Taps:
    """Bilinear: `size` inputs → `target` outputs."""
    centre = np.maximum((np.arange(target) + 0.5) * (size / target) - 0.5, 0.0)
    low = np.minimum(centre.astype(np.int64), size - 1)
    fraction = np.where(low + 1 < size, centre - low, 0.0)
    high = np.minimum(low + 1, size - 1)
    return Taps(np.stack([low, high], axis=1), np.stack([1.0 - fraction, fraction], axis=1))


def four_taps(size: int, target: int) -> Taps:
    """Bicubic: `size` inputs → `target` outputs."""
    centre = (np.arange(target) + 0.5) * (size / target) - 0.5
    low = np.floor(centre).astype(np.int64)
    fraction = centre - low
    distances = np.abs(fraction[:, None] - np.arange(-1, 3))
    index = np.clip(low[:, None] + np.arange(-1, 3), 0, size - 1)
    return Taps(index, _cubic(distances))


def _cubic(x: NDArray[np.float64]) -> NDArray[np.float64]:
    """Keys' kernel at the distances `x`, 0 to 2."""
    near = ((CUBIC_A + 2) * x - (CUBIC_A + 3)) * x * x + 1
    far = ((CUBIC_A * x - 5 * CUBIC_A) * x + 8 * CUBIC_A) * x - 4 * CUBIC_A
    return np.where(x <= 1, near, far)


TAPS: dict[Filter, Callable[[int, int], Taps]] = {Filter.BILINEAR: two_taps, Filter.BICUBIC: four_taps}
"""Filter → what its outputs read."""


def resample(values: NDArray[np.float32], taps: Taps, *, axis: int) -> NDArray[np.float32]:
    """Resize one axis of f32 `values`."""
    weight = taps.weight.astype(np.float32)
    shape = [1] * values.ndim
    shape[axis] = len(weight)
    total = np.zeros((*values.shape[:axis], len(weight), *values.shape[axis + 1 :]), np.float32)
    for t in range(weight.shape[1]):
        total += np.take(values, taps.source[:, t], axis=axis) * weight[:, t].reshape(shape)
    return total
