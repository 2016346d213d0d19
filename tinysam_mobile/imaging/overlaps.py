"""How far masks of two sets overlap, and which of one set is which of the other."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from tinysam_mobile.errors import UsageError
from tinysam_mobile.imaging.masks import RunLengths

__all__ = ["mask_ious", "match_one_to_one"]

Words = NDArray[np.uint64]


def mask_ious(left: Sequence[RunLengths], right: Sequence[RunLengths]) -> NDArray[np.float64]:
    """IoU f64 (M, N) of every mask of `left` with every mask of `right`, 0 where both are empty.

    Raises `UsageError` if the masks are of photos of different sizes.
    """
    sizes = {mask.size for mask in (*left, *right)}
    if len(sizes) > 1:
        raise UsageError(f"masks of different photos cannot overlap: their sizes (H, W) are {sorted(sizes)}")
    ious = np.zeros((len(left), len(right)))
    if not ious.size:
        return ious
    packed = np.stack([_packed(mask) for mask in right])
    areas = np.array([mask.area for mask in right])
    for row, mask in zip(ious, left, strict=True):
        shared = np.bitwise_count(packed & _packed(mask)).sum(axis=1, dtype=np.int64)
        union = areas + mask.area - shared
        np.divide(shared, union, out=row, where=union > 0)
    return ious


def _packed(mask: RunLengths) -> Words:
    """The mask's pixels as bits of 64-bit words."""
    bits = np.packbits(mask.decode().ravel())
    words: Words = np.pad(bits, (0, -len(bits) % 8)).view(np.uint64)
    return words


def match_one_to_one(ious: NDArray[np.float64], *, min_iou: float = 0.0) -> list[tuple[int, int]]:
    """Pairs (row, column) by falling IoU, each row and column once, down to `min_iou` and never at IoU 0.

    Of equal IoUs the pair of the lower row, then of the lower column goes first.
    """
    rows, columns = np.nonzero((ious > 0) & (ious >= min_iou))
    order = np.argsort(-ious[rows, columns], kind="stable")
    free_rows, free_columns = np.ones(ious.shape[0], np.bool_), np.ones(ious.shape[1], np.bool_)
    pairs = []
    for row, column in zip(rows[order].tolist(), columns[order].tolist(), strict=True):
        if free_rows[row] and free_columns[column]:
            free_rows[row] = free_columns[column] = False
            pairs.append((row, column))
    return pairs
