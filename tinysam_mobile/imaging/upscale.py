"""From small masks back to the photo: logits to the photo's size, in blocks, at points, as booleans.

Over the frame (SAM's way) a mask is resized twice, bilinearly, with the crop of the photo's part in between;
other families crop and resize at once.  Either way is separable and linear, so it is one sparse matrix per
axis with a few weights per row.  A mask of 12 megapixels then costs two narrow matrix products per block of
rows, and nothing of full size is held but what the caller asked for.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache
from itertools import product

import numpy as np
from numpy.typing import NDArray

from tinysam_mobile.contract.rules import Filter, Resize, Upscale
from tinysam_mobile.contract.spec import MASK_THRESHOLD
from tinysam_mobile.imaging.preprocess import Geometry
from tinysam_mobile.imaging.resampling import TAPS, two_taps

__all__ = ["upscale_at", "upscale_blocks", "upscale_logits", "upscale_masks", "window_above"]

OVER_FRAME_TAPS = 3
NONE = slice(0, 0)
BLOCK_ROWS = 32
BLOCK_COLUMNS = 512
"""Tiles in which masks are upscaled: small enough for the cache, and for OpenBLAS not to wake its threads,
which on a busy machine takes longer than the product."""

Floats = NDArray[np.float32]
Masks = NDArray[np.bool_]


def upscale_masks(low_res: Floats, geometry: Geometry, threshold: float = MASK_THRESHOLD) -> Masks:
    """Low-resolution logits f32 (M, m, m) → masks bool (M, H, W) in original pixels.

    A pixel is set where its full-size logit is above `threshold`.
    """
    masks = np.empty((low_res.shape[0], *geometry.original_size), np.bool_)
    for rows, logits in upscale_blocks(low_res, geometry):
        np.greater(logits, threshold, out=masks[:, rows])
    return masks


def upscale_logits(low_res: Floats, geometry: Geometry) -> Floats:
    """Low-resolution logits f32 (M, m, m) → full-size logits f32 (M, H, W)."""
    full = np.empty((low_res.shape[0], *geometry.original_size), np.float32)
    for rows, logits in upscale_blocks(low_res, geometry):
        full[:, rows] = logits
    return full


def upscale_blocks(
    low_res: Floats, geometry: Geometry, window: tuple[slice, slice] | None = None
) -> Iterator[tuple[slice, Floats]]:
    """Yield the full-size logits of masks f32 (M, m, m) in blocks of rows: (rows, logits (M, len(rows), W)).

    With `window`, rows and columns of the original with both ends, only that part, in columns from its left
    edge on.  The array is reused by the next block, so use it or copy it before going on.
    """
    within, across = window or (slice(0, geometry.original_size[0]), slice(0, geometry.original_size[1]))
    count, width = low_res.shape[0], across.stop - across.start
    by_row = _resize_of(low_res, geometry, axis=0)
    read = by_row.read(within)
    wide = _widen(low_res[:, read], geometry, across)
    logits = np.empty((count, BLOCK_ROWS, width), np.float32)
    for rows in _blocks(within, BLOCK_ROWS):
        weights, used = by_row.block(rows)
        block = logits[:, : rows.stop - rows.start]
        source = wide[:, used.start - read.start : used.stop - read.start]
        for columns in _blocks(slice(0, width), BLOCK_COLUMNS):
            np.matmul(weights, source[:, :, columns], out=block[:, :, columns])
        yield rows, block


def upscale_at(low_res: Floats, geometry: Geometry, pixels: NDArray[np.int64]) -> Floats:
    """Full-size logits of masks f32 (M, m, m) at `pixels` (P, 2) x, y of the original: f32 (M, P)."""
    by_row, by_column = (_resize_of(low_res, geometry, axis=axis) for axis in (0, 1))
    columns, rows = pixels.T
    total = np.zeros((low_res.shape[0], len(pixels)), np.float32)
    last = low_res.shape[1] - 1
    for i, j in product(range(by_row.weights.shape[1]), repeat=2):
        y, x = (np.minimum(first, last) for first in (by_row.first[rows] + i, by_column.first[columns] + j))
        total += low_res[:, y, x] * (by_row.weights[rows, i] * by_column.weights[columns, j])
    return total


def window_above(low_res: Floats, geometry: Geometry, threshold: float) -> tuple[slice, slice]:
    """Rows and columns of the original outside which no logit of a mask f32 (m, m) is above `threshold`.

    Both are empty, 0 to 0, if there is none: bilinear upscaling only averages.  A cubic overshoots.
    """
    if geometry.rules.upscale_filter is not Filter.BILINEAR:
        return slice(0, geometry.original_size[0]), slice(0, geometry.original_size[1])
    above = low_res > threshold
    rows, columns = (
        _resize_of(low_res, geometry, axis=axis).reads(np.flatnonzero(above.any(axis=1 - axis)))
        for axis in (0, 1)
    )
    # Where the mask lies in the padding, one of the two is empty.
    return (rows, columns) if rows.stop > rows.start and columns.stop > columns.start else (NONE, NONE)


def _resize_of(low_res: Floats, geometry: Geometry, *, axis: int) -> _MaskResize:
    size, original = low_res.shape[-1], geometry.original_size[axis]
    rules = geometry.rules
    if rules.upscale is Upscale.OVER_FRAME:
        return _MaskResize.over_frame(size, geometry.frame_size, geometry.frame_valid_size[axis], original)
    return _MaskResize.at_once(low_res_valid(geometry, size)[axis], original, rules.upscale_filter)


def low_res_valid(geometry: Geometry, size: int) -> tuple[int, int]:
    """The photo's part (H, W) of a low-resolution mask of side `size`, rounded down and never 0."""
    if geometry.rules.resize is Resize.STRETCH:
        return size, size
    height, width = geometry.original_size
    longest = max(height, width)
    return max(int(size * height / longest), 1), max(int(size * width / longest), 1)


def _widen(low_res: Floats, geometry: Geometry, across: slice) -> Floats:
    """Resize the columns only, to `across` of the original: (M, rows, m) → (M, rows, len(across))."""
    count, rows, _ = low_res.shape
    by_column = _resize_of(low_res, geometry, axis=1)
    wide = np.empty((count, rows, across.stop - across.start), np.float32)
    for columns in _blocks(across, BLOCK_ROWS):
        weights, used = by_column.block(columns)
        place = slice(columns.start - across.start, columns.stop - across.start)
        np.matmul(low_res[:, :, used], weights.T, out=wide[:, :, place])
    return wide


def _blocks(whole: slice, step: int) -> Iterator[slice]:
    for start in range(whole.start, whole.stop, step):
        yield slice(start, min(start + step, whole.stop))


@dataclass(frozen=True, kw_only=True)
class _MaskResize:
    """One axis of the whole way up: output i is Σ `weights`[i, t] · input[`first`[i] + t].

    Over the frame, output i reads two neighbours of it, and each of those two neighbours of the
    low-resolution mask; as the mask is not larger than the frame, together they are at most three.
    """

    first: NDArray[np.int64]
    weights: Floats

    def read(self, outputs: slice) -> slice:
        """The inputs that `outputs` (at least one) read; what lies beyond the photo's part is padding."""
        return self.block(outputs)[1] if outputs.stop > outputs.start else NONE

    def reads(self, inputs: NDArray[np.int64]) -> slice:
        """The outputs that may read one of `inputs`, which are sorted; none for none."""
        if not len(inputs):
            return NONE
        start = np.searchsorted(self.first, inputs[0] - self.weights.shape[1] + 1, side="left")
        return slice(int(start), int(np.searchsorted(self.first, inputs[-1], side="right")))

    @classmethod
    @lru_cache(maxsize=16)
    def over_frame(cls, size: int, frame_size: int, valid: int, original: int) -> _MaskResize:
        """Resize `size` → `frame_size`, crop to `valid`, resize to `original`."""
        outer, outer_weight = two_taps(valid, original)
        inner, inner_weight = two_taps(size, frame_size)
        first = inner[outer[:, 0], 0]
        weights = np.zeros((original, OVER_FRAME_TAPS), np.float64)
        outputs = np.arange(original)
        for i in (0, 1):
            for j in (0, 1):
                tap = inner[outer[:, i], j] - first
                weights[outputs, tap] += outer_weight[:, i] * inner_weight[outer[:, i], j]
        return cls(first=first, weights=weights.astype(np.float32))

    @classmethod
    @lru_cache(maxsize=16)
    def at_once(cls, valid: int, original: int, kernel: Filter) -> _MaskResize:
        """Crop to `valid`, resize to `original`."""
        index, weight = TAPS[kernel](valid, original)
        first = index[:, 0]
        weights = np.zeros((original, index.shape[1]), np.float64)
        for t in range(index.shape[1]):
            weights[np.arange(original), index[:, t] - first] += weight[:, t]
        return cls(first=first, weights=weights.astype(np.float32))

    def block(self, outputs: slice) -> tuple[Floats, slice]:
        """Return `outputs` as a dense matrix over the slice of the inputs that they read."""
        first, weights = self.first[outputs], self.weights[outputs]
        row, tap = np.nonzero(weights)
        read = first[row] + tap
        start, stop = int(read.min()), int(read.max()) + 1
        dense = np.zeros((len(first), stop - start), np.float32)
        dense[row, read - start] = weights[row, tap]
        return dense, slice(start, stop)
