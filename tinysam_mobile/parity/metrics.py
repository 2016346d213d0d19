"""Distances between two arrays or masks."""

from __future__ import annotations

from math import inf, nan
from typing import Any

import numpy as np
from numpy.typing import NDArray

__all__ = ["boundary_iou", "cosine", "mask_iou", "max_abs_difference", "sqnr_db"]

BOUNDARY_SHARE = 0.02
"""Width of the boundary band as a share of the photo's diagonal (Boundary IoU, arXiv 2103.16562)."""


def sqnr_db(reference: NDArray[Any], other: NDArray[Any]) -> float:
    """Signal to quantization-noise ratio 10·log₁₀(Σ reference² / Σ (reference − other)²) in dB.

    Infinite if the arrays are equal, NaN if either holds a NaN or infinity or the reference is 0.
    """
    signal = np.square(reference, dtype=np.float64).sum()
    noise = np.square(np.subtract(reference, other, dtype=np.float64)).sum()
    if not np.isfinite(signal) or not np.isfinite(noise):
        return nan
    if noise == 0:
        return inf
    return float(10 * np.log10(signal / noise)) if signal else nan


def max_abs_difference(reference: NDArray[Any], other: NDArray[Any]) -> float:
    """Largest |reference − other|; NaN if either holds a NaN or infinity."""
    difference = np.abs(np.subtract(reference, other, dtype=np.float64))
    largest = float(difference.max(initial=0.0))
    return largest if np.isfinite(largest) else nan


def cosine(reference: NDArray[Any], other: NDArray[Any]) -> float:
    """Cosine of the angle between two arrays; NaN if one is 0 or holds a NaN or infinity."""
    left, right = np.asarray(reference, np.float64).ravel(), np.asarray(other, np.float64).ravel()
    lengths = float(np.sqrt(left @ left) * np.sqrt(right @ right))
    return float(left @ right) / lengths if lengths and np.isfinite(lengths) else nan


def mask_iou(a: NDArray[np.bool_], b: NDArray[np.bool_]) -> float:
    """Intersection over union of two masks of one shape; 1 if both are empty."""
    union = np.logical_or(a, b).sum()
    return float(np.logical_and(a, b).sum() / union) if union else 1.0


def boundary_iou(a: NDArray[np.bool_], b: NDArray[np.bool_]) -> float:
    """IoU of the inner bands along two masks' outlines (arXiv 2103.16562); 1 if both are empty."""
    depth = max(1, round(BOUNDARY_SHARE * float(np.hypot(*a.shape))))
    either = a | b
    if np.array_equal(a, b) or not either.any():
        return 1.0
    # What surrounds both masks is outside of both, as what surrounds the photo is.
    rows, columns = np.flatnonzero(either.any(axis=1)), np.flatnonzero(either.any(axis=0))
    box = slice(rows[0], rows[-1] + 1), slice(columns[0], columns[-1] + 1)
    return mask_iou(_inner_band(a[box], depth), _inner_band(b[box], depth))


def _inner_band(mask: NDArray[np.bool_], depth: int) -> NDArray[np.bool_]:
    """Pixels of the mask less than `depth` + 1 pixels, diagonals included, from one outside it."""
    core = _eroded_rows(_eroded_rows(mask, depth).T, depth).T
    band: NDArray[np.bool_] = mask & ~core
    return band


def _eroded_rows(mask: NDArray[np.bool_], depth: int) -> NDArray[np.bool_]:
    """Pixels whose `depth` neighbours on both sides of the row are set too; outside the photo none is."""
    side = 2 * depth + 1
    counts = np.cumsum(np.pad(mask, ((0, 0), (depth + 1, depth))), axis=1, dtype=np.int32)
    eroded: NDArray[np.bool_] = counts[:, side:] - counts[:, :-side] == side
    return eroded
