"""Training scenes: a crop of a stored photo, objects and shapes pasted on it, colours jittered.

All randomness comes from the generator that is passed in, so a scene is a function of (seed, step, place).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from tinysam_mobile.distill.photo_store import Photo, PhotoStore
from tinysam_mobile.distill.shapes import random_shape
from tinysam_mobile.evaluation.ideal_prompts import tight_box

__all__ = ["Scene", "SceneComposer", "SceneSettings"]

Layer = NDArray[np.uint8]


@dataclass(frozen=True, kw_only=True)
class SceneSettings:
    """What scenes are made of; shares are probabilities."""

    source_weights: tuple[tuple[str, float], ...] = ()
    """Relative weight of each photo of a source; sources that are not named weigh 1."""
    whole_photo_share: float = 0.4
    min_crop_side: float = 0.35
    """Smallest side of a crop as a share of the photo's long side."""
    paste_share: float = 0.5
    max_pasted: int = 4
    shape_share: float = 0.4
    """Of the pasted things, how many are synthetic shapes and not cut-out objects."""
    object_weight: float = 3.0
    """How much likelier an object (annotated, cut out or pasted) is chosen than a region."""
    min_mask_area: int = 24
    """In pixels of the scene."""
    flip_share: float = 0.5
    colour_jitter: float = 0.35
    gray_share: float = 0.08


@dataclass(frozen=True, kw_only=True)
class Scene:
    """`pixels` uint8 (S, S, 3), photo in the top-left `valid_size` (H, W); `masks` bool (M, S, S).

    `photo` is the key of the photo if the scene is that photo, whole, unflipped and with its own colours.
    """

    pixels: NDArray[np.uint8]
    valid_size: tuple[int, int]
    masks: NDArray[np.bool_]
    photo: str | None = None


@dataclass
class _Canvas:
    """A scene under construction; the layers shrink where something is pasted over them."""

    pixels: NDArray[np.uint8]
    objects: list[Layer]
    regions: list[Layer]
    photo: str | None


def _jittered(pixels: NDArray[np.uint8], rng: np.random.Generator, strength: float) -> NDArray[np.uint8]:
    """Scale each channel and the contrast by random gains: one table of 256 entries per channel."""
    gains = 1 + strength * rng.uniform(-1, 1) + 0.3 * strength * rng.uniform(-1, 1, 3)
    mean = float(pixels.mean())
    contrast = 1 + strength * rng.uniform(-1, 1)
    values = np.arange(256, dtype=np.float32)[:, None]
    table = np.clip(((values - mean) * contrast + mean) * gains, 0, 255).astype(np.uint8)
    return np.stack([table[pixels[..., channel], channel] for channel in range(3)], axis=-1)


class SceneComposer:
    """Makes scenes out of the photos of some stores."""

    def __init__(self, stores: Sequence[PhotoStore], settings: SceneSettings) -> None:
        self.settings = settings
        self._stores = list(stores)
        self._places = [(store, i) for store in self._stores for i in range(len(store))]
        weights = dict(settings.source_weights)
        chances = np.array([weights.get(source, 1.0) for store in self._stores for source in store.sources])
        self._chances = np.cumsum(chances / chances.sum())

    def _photo(self, rng: np.random.Generator) -> Photo:
        place = min(int(np.searchsorted(self._chances, rng.random())), len(self._places) - 1)
        store, index = self._places[place]
        return store[index]

    def compose(self, rng: np.random.Generator, *, size: int, masks: int) -> Scene:
        """Make one scene of `size` S with `masks` M masks (some repeat if the scene has fewer)."""
        settings = self.settings
        while True:
            canvas = self._background(rng, size)
            if rng.random() < settings.paste_share:
                for _ in range(int(rng.integers(1, settings.max_pasted + 1))):
                    self._paste(canvas, rng)
            candidates, chances = self._candidates(canvas)
            if candidates:
                break
        pixels = canvas.pixels
        if settings.colour_jitter:
            pixels = _jittered(pixels, rng, settings.colour_jitter)
            canvas.photo = None
        if rng.random() < settings.gray_share:
            pixels = np.repeat(pixels.mean(-1, keepdims=True).astype(np.uint8), 3, axis=-1)
            canvas.photo = None
        chosen = rng.choice(len(candidates), size=masks, replace=len(candidates) < masks, p=chances)
        height, width, _ = pixels.shape
        padded = np.zeros((size, size, 3), np.uint8)
        padded[:height, :width] = pixels
        stacked = np.zeros((masks, size, size), np.bool_)
        for row, index in enumerate(chosen):
            layer, label = candidates[index]
            stacked[row, :height, :width] = layer == label
        return Scene(pixels=padded, valid_size=(height, width), masks=stacked, photo=canvas.photo)

    def _background(self, rng: np.random.Generator, size: int) -> _Canvas:
        """A crop of a photo, its long side scaled to `size`, flipped half of the time."""
        photo = self._photo(rng)
        height, width, _ = photo.pixels.shape
        box = (0.0, 0.0, float(width), float(height))
        if rng.random() >= self.settings.whole_photo_share:
            # Sides of about the same length, whatever the photo's: padding would be wasted work.
            sides = rng.uniform(self.settings.min_crop_side, 1.0) * np.exp(rng.uniform(-0.2, 0.2, 2))
            crop_width, crop_height = np.minimum(sides * max(width, height), (width, height))
            x, y = rng.uniform(0, width - crop_width), rng.uniform(0, height - crop_height)
            box = (x, y, x + crop_width, y + crop_height)
        scale = size / max(box[2] - box[0], box[3] - box[1])
        shape = (max(1, round((box[2] - box[0]) * scale)), max(1, round((box[3] - box[1]) * scale)))
        flip = -1 if rng.random() < self.settings.flip_share else 1
        pixels = Image.fromarray(photo.pixels).resize(shape, Image.Resampling.BILINEAR, box=box)
        untouched = flip == 1 and box == (0.0, 0.0, float(width), float(height))

        def resized(kind: str) -> list[Layer]:
            return [
                np.array(Image.fromarray(layer).resize(shape, Image.Resampling.NEAREST, box=box))[:, ::flip]
                for layer, layer_kind in zip(photo.layers, photo.kinds, strict=True)
                if layer_kind == kind
            ]

        return _Canvas(
            pixels=np.array(pixels)[:, ::flip].copy(),
            objects=resized("object"),
            regions=resized("region"),
            photo=photo.key if untouched else None,
        )

    def _paste(self, canvas: _Canvas, rng: np.random.Generator) -> None:
        """Paste one thing at a random place, at most half of it outside."""
        height, width, _ = canvas.pixels.shape
        side = max(height, width) * float(np.exp(rng.uniform(np.log(0.06), np.log(0.65))))
        thing = self._thing(rng, side)
        if thing is None:
            return
        pixels, mask = thing
        rows, columns = mask.shape
        y = int(rng.integers(-rows // 2, height - rows // 2))
        x = int(rng.integers(-columns // 2, width - columns // 2))
        y0, y1, x0, x1 = max(y, 0), min(y + rows, height), max(x, 0), min(x + columns, width)
        if y1 <= y0 or x1 <= x0:
            return
        mask, pixels = mask[y0 - y : y1 - y, x0 - x : x1 - x], pixels[y0 - y : y1 - y, x0 - x : x1 - x]
        canvas.photo = None
        canvas.pixels[y0:y1, x0:x1][mask] = pixels[mask]
        for layer in (*canvas.objects, *canvas.regions):
            layer[y0:y1, x0:x1][mask] = 0
        pasted = np.zeros((height, width), np.uint8)
        pasted[y0:y1, x0:x1][mask] = 1
        canvas.objects.append(pasted)

    def _thing(
        self, rng: np.random.Generator, side: float
    ) -> tuple[NDArray[np.uint8], NDArray[np.bool_]] | None:
        """Pixels and mask of something `side` pixels long: a shape filled with a photo, or an object."""
        photo = self._photo(rng)
        if rng.random() < self.settings.shape_share:
            mask = random_shape(rng, side)
            texture = Image.fromarray(photo.pixels)
            zoom = rng.uniform(0.2, 1.0)
            box = (0.0, 0.0, texture.width * zoom, texture.height * zoom)
            filled = np.asarray(texture.resize(mask.shape[::-1], Image.Resampling.BILINEAR, box=box))
            return _jittered(filled, rng, 0.6), mask
        objects = [layer for layer, kind in zip(photo.layers, photo.kinds, strict=True) if kind == "object"]
        if not objects:
            return None
        layer = objects[int(rng.integers(len(objects)))]
        labels = np.unique(layer)[1:]
        if not len(labels):
            return None
        found = layer == labels[int(rng.integers(len(labels)))]
        bounds = tight_box(found)
        columns, rows = bounds[2] - bounds[0], bounds[3] - bounds[1]
        shape = (
            max(2, round(columns * side / max(columns, rows))),
            max(2, round(rows * side / max(columns, rows))),
        )
        flip = -1 if rng.random() < self.settings.flip_share else 1
        mask = np.asarray(Image.fromarray(found).resize(shape, Image.Resampling.NEAREST, box=bounds))[
            :, ::flip
        ]
        pixels = Image.fromarray(photo.pixels).resize(shape, Image.Resampling.BILINEAR, box=bounds)
        return _jittered(np.asarray(pixels)[:, ::flip], rng, 0.25), mask

    def _candidates(self, canvas: _Canvas) -> tuple[list[tuple[Layer, int]], NDArray[np.float64]]:
        """Every (layer, label) that is large enough, with its chance of being chosen."""
        found: list[tuple[Layer, int]] = []
        weights: list[float] = []
        for layers, weight in ((canvas.objects, self.settings.object_weight), (canvas.regions, 1.0)):
            for layer in layers:
                areas = np.bincount(layer.ravel(), minlength=2)[1:]
                labels = 1 + np.flatnonzero(areas >= self.settings.min_mask_area)
                found += [(layer, int(label)) for label in labels]
                # Small regions are many: their number must not crowd out the large ones.
                weights += [weight * (areas[label - 1] / layer.size) ** 0.25 for label in labels]
        chances = np.array(weights)
        return found, chances / chances.sum() if found else chances
