"""A scene under construction: pixels, and windows of labels that shrink where something is put over them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from tinysam_mobile.distill.looks import cast_shadow, matched, soft_edge
from tinysam_mobile.distill.photo_store import Photo

__all__ = ["Candidate", "Canvas", "Window", "cropped"]


@dataclass
class Window:
    """`labels` uint8 (h, w), every value but 0 one mask, at row `y` and column `x` of the canvas."""

    labels: NDArray[np.uint8]
    y: int
    x: int
    kind: str


class Candidate(NamedTuple):
    """One mask of a canvas: the pixels of `window` that have `label`, `area` of them."""

    window: Window
    label: int
    area: int


@dataclass
class Canvas:
    """`pixels` uint8 (H, W, 3); `photo` is the key of the photo that it shows unchanged, if it does."""

    pixels: NDArray[np.uint8]
    windows: list[Window] = field(default_factory=list)
    photo: str | None = None

    def put(
        self, pixels: NDArray[np.uint8], mask: NDArray[np.bool_], y: int, x: int, rng: np.random.Generator,
        *, blend: float,
    ) -> None:  # fmt: skip
        """Put a thing, `pixels` (h, w, 3) where `mask` (h, w), at row `y` and column `x`; it may stick out.

        With the probability `blend` each: its edge is soft, its colour near that below, it casts a shadow.
        """
        height, width, _ = self.pixels.shape
        rows, columns = mask.shape
        y0, y1, x0, x1 = max(y, 0), min(y + rows, height), max(x, 0), min(x + columns, width)
        if y1 <= y0 or x1 <= x0:
            return
        soft, alike, shaded = rng.random(3) < blend
        inner = slice(y0 - y, y1 - y), slice(x0 - x, x1 - x)
        outer = slice(y0, y1), slice(x0, x1)
        if alike:
            pixels = matched(pixels, self.pixels[outer], rng.uniform(0.1, 0.5))
        if shaded:
            cast_shadow(self.pixels, mask, (y, x), rng)
        cover = soft_edge(mask, float(rng.uniform(0.3, 1.0)) if soft else 0.0)[inner]
        mixed = self.pixels[outer] * (1 - cover) + pixels[inner] * cover
        self.pixels[outer] = mixed.astype(np.uint8)
        visible = mask[inner]
        self._hide(visible, y0, x0)
        self.windows.append(Window(visible.astype(np.uint8), y0, x0, "object"))
        self.photo = None

    def _hide(self, mask: NDArray[np.bool_], y: int, x: int) -> None:
        """Take the pixels of `mask`, which begins at row `y` and column `x`, from all windows."""
        rows, columns = mask.shape
        for window in self.windows:
            height, width = window.labels.shape
            y0, y1 = max(y, window.y), min(y + rows, window.y + height)
            x0, x1 = max(x, window.x), min(x + columns, window.x + width)
            if y1 > y0 and x1 > x0:
                hidden = mask[y0 - y : y1 - y, x0 - x : x1 - x]
                window.labels[y0 - window.y : y1 - window.y, x0 - window.x : x1 - window.x][hidden] = 0

    def candidates(self, min_area: int) -> list[Candidate]:
        """Every mask of at least `min_area` pixels."""
        found: list[Candidate] = []
        for window in self.windows:
            areas = np.bincount(window.labels.ravel(), minlength=2)
            areas[0] = 0
            found += [Candidate(window, int(i), int(areas[i])) for i in np.flatnonzero(areas >= min_area)]
        return found


def cropped(
    photo: Photo, box: Sequence[float], shape: tuple[int, int], *, flip: bool, kinds: Sequence[str]
) -> tuple[NDArray[np.uint8], list[Window]]:
    """The part `box` (x0, y0, x1, y1) of a photo as (H, W) = `shape`, and its layers of some `kinds`."""
    step = -1 if flip else 1
    bounds = (box[0], box[1], box[2], box[3])
    pixels = Image.fromarray(photo.pixels).resize(shape[::-1], Image.Resampling.BILINEAR, box=bounds)
    windows = [
        Window(
            np.array(Image.fromarray(layer).resize(shape[::-1], Image.Resampling.NEAREST, box=bounds))[
                :, ::step
            ].copy(),
            0,
            0,
            kind,
        )
        for layer, kind in zip(photo.layers, photo.kinds, strict=True)
        if kind in kinds
    ]
    return np.array(pixels)[:, ::step].copy(), windows
