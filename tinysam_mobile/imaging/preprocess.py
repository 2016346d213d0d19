"""From a photo to the square that the network sees, and from its small masks back to the photo.

Three frames: *original* pixels (H, W) of the photo; the *S frame*, the S x S square in which the photo was
resized so that its long side is S and put at the top left; *low-resolution* masks (m, m), m = S/4, over the
same square.  Sizes are (H, W), points x, y.  The method is that of the official code (arXiv 2312.13789):
Pillow's bilinear resize, pad at the right and bottom, masks by two bilinear resizes (align_corners=False)
with the crop of the valid part in between, threshold at full size.

The two resizes of a mask are separable and linear, so both are one sparse matrix per axis with at most three
weights per row.  A mask of 12 megapixels then costs two narrow matrix products per block of rows, and
nothing of full size is held but what the caller asked for.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache
from itertools import product
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from tinysam_mobile.contract.spec import MASK_THRESHOLD
from tinysam_mobile.imaging.images import RGBImage, as_rgb

__all__ = [
    "Geometry",
    "Preprocessed",
    "preprocess",
    "upscale_at",
    "upscale_blocks",
    "upscale_logits",
    "upscale_masks",
    "window_above",
]

TAPS = 3
NONE = slice(0, 0)
BLOCK_ROWS = 32
BLOCK_COLUMNS = 512
"""Tiles in which masks are upscaled: small enough for the cache, and for OpenBLAS not to wake its threads,
which on a busy machine takes longer than the product."""

Floats = NDArray[np.float32]
Masks = NDArray[np.bool_]


@dataclass(frozen=True, kw_only=True)
class Geometry:
    """Where a photo lies in the S frame; `original_size` and `valid_size` are (H, W), `image_size` is S."""

    original_size: tuple[int, int]
    valid_size: tuple[int, int]
    image_size: int

    @classmethod
    def of(cls, original_size: tuple[int, int], image_size: int) -> Geometry:
        """Return where a photo of `original_size` (H, W), both at least 1, lies in a square of `image_size`.

        The rule is the official one, int(side · S / longest + 0.5), and never 0 for a very long photo.
        """
        height, width = original_size
        scale = image_size / max(height, width)
        valid = (max(int(height * scale + 0.5), 1), max(int(width * scale + 0.5), 1))
        return cls(original_size=(height, width), valid_size=valid, image_size=image_size)

    def to_model(self, points: NDArray[Any]) -> NDArray[np.float64]:
        """Points (..., 2) x, y in original pixels → the S frame.

        Each axis has its own scale, that of the rounded size, as in the official code.  A box xyxy is two
        points: reshape it to (..., 2, 2).
        """
        return np.asarray(points, np.float64) * self._scale()

    def to_original(self, points: NDArray[Any]) -> NDArray[np.float64]:
        """Points (..., 2) x, y in the S frame → original pixels; the inverse of `to_model`."""
        return np.asarray(points, np.float64) / self._scale()

    def _scale(self) -> NDArray[np.float64]:
        (height, width), (valid_height, valid_width) = self.original_size, self.valid_size
        return np.array([valid_width / width, valid_height / height])


@dataclass(frozen=True, kw_only=True)
class Preprocessed:
    """The inputs of `encode` for one photo, and its geometry.

    `image` f32 (1, 3, S, S) RGB 0…255, 0 outside the photo (normalisation is inside the graph);
    `valid_size` i32 (2,) height and width of the photo in it.
    """

    image: Floats
    valid_size: NDArray[np.int32]
    geometry: Geometry


def preprocess(image: RGBImage, image_size: int) -> Preprocessed:
    """Resize a photo, uint8 (H, W, 3) RGB or (H, W) grey, to the S frame and pad it.

    Raises `ImageError` for another shape or dtype and for an image without pixels.
    """
    pixels = as_rgb(image)
    geometry = Geometry.of((pixels.shape[0], pixels.shape[1]), image_size)
    height, width = geometry.valid_size
    resized = Image.fromarray(pixels).resize((width, height), Image.Resampling.BILINEAR)
    square = np.zeros((1, 3, image_size, image_size), np.float32)
    square[0, :, :height, :width] = np.asarray(resized).transpose(2, 0, 1)
    return Preprocessed(image=square, valid_size=np.array([height, width], np.int32), geometry=geometry)


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
    for i, j in product(range(TAPS), repeat=2):
        y, x = (np.minimum(first, last) for first in (by_row.first[rows] + i, by_column.first[columns] + j))
        total += low_res[:, y, x] * (by_row.weights[rows, i] * by_column.weights[columns, j])
    return total


def window_above(low_res: Floats, geometry: Geometry, threshold: float) -> tuple[slice, slice]:
    """Rows and columns of the original outside which no logit of a mask f32 (m, m) is above `threshold`.

    Both are empty, 0 to 0, if there is none: upscaling only averages.
    """
    above = low_res > threshold
    rows, columns = (
        _resize_of(low_res, geometry, axis=axis).reads(np.flatnonzero(above.any(axis=1 - axis)))
        for axis in (0, 1)
    )
    # Where the mask lies in the padding, one of the two is empty.
    return (rows, columns) if rows.stop > rows.start and columns.stop > columns.start else (NONE, NONE)


def _resize_of(low_res: Floats, geometry: Geometry, *, axis: int) -> _MaskResize:
    return _MaskResize.of(
        low_res.shape[-1], geometry.image_size, geometry.valid_size[axis], geometry.original_size[axis]
    )


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
    """One axis of both resizes: output i is Σ `weights`[i, t] · input[`first`[i] + t], t = 0, 1, 2.

    Output i reads two neighbours of the S frame, and each of those two neighbours of the low-resolution mask;
    as the mask is not larger than the S frame, together they are at most three.
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
        start = np.searchsorted(self.first, inputs[0] - TAPS + 1, side="left")
        return slice(int(start), int(np.searchsorted(self.first, inputs[-1], side="right")))

    @classmethod
    @lru_cache(maxsize=16)
    def of(cls, size: int, image_size: int, valid: int, original: int) -> _MaskResize:
        """Resize `size` → `image_size`, crop to `valid`, resize to `original`."""
        outer, outer_weight = _two_taps(valid, original)
        inner, inner_weight = _two_taps(size, image_size)
        first = inner[outer[:, 0], 0]
        weights = np.zeros((original, TAPS), np.float64)
        outputs = np.arange(original)
        for i in (0, 1):
            for j in (0, 1):
                tap = inner[outer[:, i], j] - first
                weights[outputs, tap] += outer_weight[:, i] * inner_weight[outer[:, i], j]
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


def _two_taps(source: int, target: int) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
    """Bilinear resize of one axis without antialiasing, align_corners=False, as torch's `interpolate`.

    Returns the two inputs (target, 2) that each output reads and their weights (target, 2).
    """
    centre = np.maximum((np.arange(target) + 0.5) * (source / target) - 0.5, 0.0)
    low = np.minimum(centre.astype(np.int64), source - 1)
    fraction = np.where(low + 1 < source, centre - low, 0.0)
    high = np.minimum(low + 1, source - 1)
    return np.stack([low, high], axis=1), np.stack([1.0 - fraction, fraction], axis=1)
