"""Distances between two arrays or masks."""

from __future__ import annotations

from math import inf, nan
from typing import Any

import numpy as np
from numpy.typing import NDArray

__all__ = ["mask_iou", "sqnr_db"]


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


def mask_iou(a: NDArray[np.bool_], b: NDArray[np.bool_]) -> float:
    """Intersection over union of two masks of one shape; 1 if both are empty."""
    union = np.logical_or(a, b).sum()
    return float(np.logical_and(a, b).sum() / union) if union else 1.0
