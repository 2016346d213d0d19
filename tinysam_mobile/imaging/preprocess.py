"""From a photo to the square that the network sees: where the photo lies in it, and its pixels.

Frames: *original* pixels (H, W) of the photo; the *input square* of side S, in which the resized photo lies
at the top left; the *frame* of side F in which points and full masks live, the same square in most families
(F = S · `frame_scale`).  Sizes are (H, W), points x, y.  How a photo is resized is data, `contract.rules`;
the defaults are those of the official code (arXiv 2312.13789): Pillow's bilinear resize of the longest side
to S, padding at the right and bottom.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from tinysam_mobile.contract.rules import SAM_RULES, Filter, PointScale, Resize, Rounding, Rules
from tinysam_mobile.imaging.images import RGBImage, as_rgb
from tinysam_mobile.imaging.resampling import TAPS, resample

__all__ = ["Geometry", "Preprocessed", "preprocess"]

Floats = NDArray[np.float32]
PILLOW_FILTERS = {Filter.BILINEAR: Image.Resampling.BILINEAR, Filter.BICUBIC: Image.Resampling.BICUBIC}


@dataclass(frozen=True, kw_only=True)
class Geometry:
    """Where a photo lies in the input square and in the frame.

    `original_size` and `valid_size` are (H, W), of the photo and of its part of the input square, whose side
    is `image_size` S; `rules` say how it came there.
    """

    original_size: tuple[int, int]
    valid_size: tuple[int, int]
    image_size: int
    rules: Rules = SAM_RULES

    @classmethod
    def of(cls, original_size: tuple[int, int], image_size: int, rules: Rules = SAM_RULES) -> Geometry:
        """Return where a photo of `original_size` (H, W) lies in a square of side `image_size`."""
        valid = resized_size(original_size, image_size, rules)
        return cls(original_size=original_size, valid_size=valid, image_size=image_size, rules=rules)

    @property
    def frame_size(self) -> int:
        """Side F of the frame."""
        return self.image_size * self.rules.frame_scale

    @property
    def frame_valid_size(self) -> tuple[int, int]:
        """The photo's part (H, W) of the frame."""
        return resized_size(self.original_size, self.frame_size, self.rules)

    def to_model(self, points: NDArray[Any]) -> NDArray[np.float64]:
        """Points (..., 2) x, y in original pixels → the frame.

        A box xyxy is two points: reshape it to (..., 2, 2).
        """
        return np.asarray(points, np.float64) * self._scale()

    def to_original(self, points: NDArray[Any]) -> NDArray[np.float64]:
        """Points (..., 2) x, y in the frame → original pixels; the inverse of `to_model`."""
        return np.asarray(points, np.float64) / self._scale()

    def _scale(self) -> NDArray[np.float64]:
        (height, width), (valid_height, valid_width) = self.original_size, self.frame_valid_size
        if self.rules.point_scale is PointScale.UNIFORM:
            return np.full(2, self.frame_size / max(height, width))
        return np.array([valid_width / width, valid_height / height])


def resized_size(original_size: tuple[int, int], side: int, rules: Rules) -> tuple[int, int]:
    """Size (H, W) of a photo in a square of `side`, and never 0 for a very long photo."""
    if rules.resize is Resize.STRETCH:
        return side, side
    height, width = original_size
    if rules.rounding is Rounding.DOWN:
        # In the order of NanoSAM's operations, since a rounding error may cost a pixel.
        aspect = width / height
        return (max(int(side / aspect), 1), side) if aspect >= 1 else (side, max(int(side * aspect), 1))
    scale = side / max(height, width)
    return max(int(height * scale + 0.5), 1), max(int(width * scale + 0.5), 1)


@dataclass(frozen=True, kw_only=True)
class Preprocessed:
    """The inputs of `encode` for one photo, and its geometry.

    `image` f32 (1, 3, S, S) RGB 0…255, 0 outside the photo (normalisation is inside the graph);
    `valid_size` i32 (2,) height and width of the photo in it.
    """

    image: Floats
    valid_size: NDArray[np.int32]
    geometry: Geometry


def preprocess(image: RGBImage, image_size: int, rules: Rules = SAM_RULES) -> Preprocessed:
    """Resize a photo, uint8 (H, W, 3) RGB or (H, W) grey, to the input square and pad it.

    Raises `ImageError` for another shape or dtype and for an image without pixels.
    """
    pixels = as_rgb(image)
    geometry = Geometry.of((pixels.shape[0], pixels.shape[1]), image_size, rules)
    height, width = geometry.valid_size
    square = np.zeros((1, 3, image_size, image_size), np.float32)
    square[0, :, :height, :width] = _resized(pixels, (height, width), rules)
    return Preprocessed(image=square, valid_size=np.array([height, width], np.int32), geometry=geometry)


def _resized(pixels: RGBImage, size: tuple[int, int], rules: Rules) -> Floats:
    """uint8 (H, W, 3) → f32 (3, *size)."""
    height, width = size
    if rules.whole_values:
        resized = Image.fromarray(pixels).resize((width, height), PILLOW_FILTERS[rules.filter])
        return np.asarray(resized).transpose(2, 0, 1).astype(np.float32)
    planes = pixels.transpose(2, 0, 1)
    if rules.antialias:
        # Pillow resizes 32-bit planes with the same kernels and without rounding.
        kernel = PILLOW_FILTERS[rules.filter]
        resized_planes = [
            np.asarray(Image.fromarray(plane.astype(np.float32)).resize((width, height), kernel))
            for plane in planes
        ]
        return np.stack(resized_planes)
    taps = TAPS[rules.filter]
    by_row, by_column = (taps(source, target) for source, target in zip(pixels.shape[:2], size, strict=True))
    rows = [resample(plane.astype(np.float32), by_row, axis=0) for plane in planes]
    return np.stack([resample(plane, by_column, axis=1) for plane in rows])
