"""Training scenes: a crop of a stored photo or a mosaic of several, objects and shapes put on it.

All randomness comes from the generator that is passed in, so a scene is a function of (seed, step, place).
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from math import log

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from tinysam_mobile.distill.canvas import Candidate, Canvas, cropped
from tinysam_mobile.distill.looks import jittered, worn
from tinysam_mobile.distill.photo_store import LAYER_KINDS, Photo, PhotoStore
from tinysam_mobile.distill.prompts import SMALL_SHARE
from tinysam_mobile.distill.shapes import random_shape
from tinysam_mobile.evaluation.ideal_prompts import tight_box

__all__ = ["Scene", "SceneComposer", "SceneSettings"]

MAX_BLEND_TRIES = 4
CLASS_BOUNDS = (SMALL_SHARE, 9 * SMALL_SHARE)
"""Shares of the scene's area that divide small, medium and large: COCO's 32² and 96² of a 640x480 photo."""


@dataclass(frozen=True, kw_only=True)
class SceneSettings:
    """What scenes are made of; shares are probabilities."""

    source_weights: tuple[tuple[str, float], ...] = ()
    """Relative weight of each photo of a source; sources that are not named weigh 1."""
    whole_photo_share: float = 0.4
    min_crop_side: float = 0.35
    """Smallest side of a crop as a share of the photo's long side."""
    mosaic_share: float = 0.0
    """Scenes of several photos, each smaller: many objects, and small ones with edges of their own."""
    max_mosaic: int = 4
    """Photos of a mosaic in each direction, at most."""
    paste_share: float = 0.5
    max_pasted: int = 4
    min_paste_side: float = 0.06
    max_paste_side: float = 0.65
    """Long side of what is pasted, as a share of the scene's; evenly spread over its logarithm."""
    repeat_share: float = 0.0
    """Of the pasted things, how many come as two to five equal ones side by side."""
    shape_share: float = 0.4
    """Of the pasted things, how many are synthetic shapes and not cut-out objects."""
    cutout_share: float = 0.0
    """Of the pasted objects, how many come from the stores of cut-outs (clip art, emoji)."""
    blend_share: float = 0.0
    """Pasted things with a soft edge, an adapted colour, a shadow: each with this probability."""
    wear_share: float = 0.0
    """Scenes with blur, noise, JPEG: each with this probability."""
    object_weight: float = 3.0
    """How much likelier an object (annotated, cut out or pasted) is chosen than a region."""
    class_shares: tuple[float, ...] = ()
    """Shares of small, medium and large masks among those chosen, as far as a scene has them; if empty,
    a mask weighs the fourth root of its area."""
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


class _Photos:
    """Photos of some stores, drawn by the weights of their sources."""

    def __init__(self, stores: Sequence[PhotoStore], weights: dict[str, float]) -> None:
        self._places = [(store, i) for store in stores for i in range(len(store))]
        chances = np.array([weights.get(source, 1.0) for store in stores for source in store.sources])
        self._chances = np.cumsum(chances / chances.sum()) if len(chances) else chances

    def __bool__(self) -> bool:
        return bool(self._places)

    def draw(self, rng: np.random.Generator) -> Photo:
        place = min(int(np.searchsorted(self._chances, rng.random())), len(self._places) - 1)
        store, index = self._places[place]
        return store[index]


class SceneComposer:
    """Makes scenes out of the photos of some stores, and of the things in stores of cut-outs."""

    def __init__(
        self, stores: Sequence[PhotoStore], settings: SceneSettings, cutouts: Sequence[PhotoStore] = ()
    ) -> None:
        self.settings = settings
        weights = dict(settings.source_weights)
        self._photos, self._cutouts = _Photos(stores, weights), _Photos(cutouts, weights)

    def compose(self, rng: np.random.Generator, *, size: int, masks: int) -> Scene:
        """Make one scene of `size` S with `masks` M masks (some repeat if the scene has fewer)."""
        settings = self.settings
        while True:
            mosaic = settings.mosaic_share and rng.random() < settings.mosaic_share
            canvas = self._mosaic(rng, size) if mosaic else self._background(rng, size)
            if rng.random() < settings.paste_share:
                self._paste_some(canvas, rng)
            candidates = canvas.candidates(settings.min_mask_area)
            if candidates:
                break
        canvas = self._finished(canvas, rng)
        chances = self._chances(candidates, canvas.pixels[..., 0].size)
        chosen = rng.choice(len(candidates), size=masks, replace=len(candidates) < masks, p=chances)
        height, width, _ = canvas.pixels.shape
        padded = np.zeros((size, size, 3), np.uint8)
        padded[:height, :width] = canvas.pixels
        stacked = np.zeros((masks, size, size), np.bool_)
        for row, index in enumerate(chosen):
            window, label, _ = candidates[index]
            rows, columns = window.labels.shape
            part = stacked[row, window.y : window.y + rows, window.x : window.x + columns]
            part[:] = window.labels == label
        return Scene(pixels=padded, valid_size=(height, width), masks=stacked, photo=canvas.photo)

    def _finished(self, canvas: Canvas, rng: np.random.Generator) -> Canvas:
        """The canvas with its colours changed and the traces of a camera."""
        settings = self.settings
        pixels, photo = canvas.pixels, canvas.photo
        if settings.colour_jitter:
            pixels, photo = jittered(pixels, rng, settings.colour_jitter), None
        if rng.random() < settings.gray_share:
            gray = pixels.mean(-1, keepdims=True).astype(np.uint8)
            pixels, photo = np.repeat(gray, 3, axis=-1), None
        if settings.wear_share:
            pixels, photo = worn(pixels, rng, settings.wear_share), None
        return Canvas(pixels=pixels, windows=canvas.windows, photo=photo)

    def _background(self, rng: np.random.Generator, size: int) -> Canvas:
        """A crop of a photo, its long side scaled to `size`, flipped half of the time."""
        photo = self._photos.draw(rng)
        height, width, _ = photo.pixels.shape
        box = (0.0, 0.0, float(width), float(height))
        if rng.random() >= self.settings.whole_photo_share:
            # Sides of about the same length, whatever the photo's: padding would be wasted work.
            sides = rng.uniform(self.settings.min_crop_side, 1.0) * np.exp(rng.uniform(-0.2, 0.2, 2))
            crop_width, crop_height = np.minimum(sides * max(width, height), (width, height))
            x, y = rng.uniform(0, width - crop_width), rng.uniform(0, height - crop_height)
            box = (x, y, x + crop_width, y + crop_height)
        scale = size / max(box[2] - box[0], box[3] - box[1])
        shape = (max(1, round((box[3] - box[1]) * scale)), max(1, round((box[2] - box[0]) * scale)))
        flip = rng.random() < self.settings.flip_share
        untouched = not flip and box == (0.0, 0.0, float(width), float(height))
        pixels, windows = cropped(photo, box, shape, flip=flip, kinds=LAYER_KINDS)
        return Canvas(pixels=pixels, windows=windows, photo=photo.key if untouched else None)

    def _mosaic(self, rng: np.random.Generator, size: int) -> Canvas:
        """A square of two photos or more; regions are kept in large tiles only, objects in all."""
        canvas = Canvas(pixels=np.zeros((size, size, 3), np.uint8))
        across = int(rng.integers(1, self.settings.max_mosaic + 1))
        least, most = max(1, across // 2), min(2 * across, self.settings.max_mosaic)
        down = int(rng.integers(least if across > 1 else 2, most + 1))
        xs, ys = _cuts(rng, across, size), _cuts(rng, down, size)
        kinds = LAYER_KINDS if across * down <= 4 else ("object",)
        for y0, y1 in pairwise(ys):
            for x0, x1 in pairwise(xs):
                photo = self._photos.draw(rng)
                box = _covering_box(rng, photo.pixels.shape, (x1 - x0) / (y1 - y0))
                flip = rng.random() < self.settings.flip_share
                pixels, windows = cropped(photo, box, (y1 - y0, x1 - x0), flip=flip, kinds=kinds)
                canvas.pixels[y0:y1, x0:x1] = pixels
                for window in windows:
                    window.y, window.x = y0, x0
                canvas.windows += windows
        return canvas

    def _paste_some(self, canvas: Canvas, rng: np.random.Generator) -> None:
        """Paste things, large ones first, each at a random place and at most half of it outside."""
        settings = self.settings
        height, width, _ = canvas.pixels.shape
        count = int(rng.integers(1, settings.max_pasted + 1))
        least, most = log(settings.min_paste_side), log(settings.max_paste_side)
        for side in sorted(max(height, width) * np.exp(rng.uniform(least, most, count)), reverse=True):
            thing = self._thing(rng, float(side))
            if thing is None:
                continue
            rows, columns = thing[1].shape
            y = int(rng.integers(-rows // 2, height - rows // 2))
            x = int(rng.integers(-columns // 2, width - columns // 2))
            repeats = 1
            if settings.repeat_share and rng.random() < settings.repeat_share:
                repeats = int(rng.integers(2, 6))
            step = rng.uniform(0.75, 1.3) * columns
            for i in range(repeats):
                drift = int(rng.uniform(-0.1, 0.1) * rows) if i else 0
                canvas.put(*thing, y + drift, x + round(i * step), rng, blend=settings.blend_share)

    def _thing(
        self, rng: np.random.Generator, side: float
    ) -> tuple[NDArray[np.uint8], NDArray[np.bool_]] | None:
        """Pixels and mask of something `side` pixels long: a shape filled with a photo, or an object."""
        settings = self.settings
        if rng.random() < settings.shape_share:
            return _filled_shape(self._photos.draw(rng), rng, side)
        source = self._photos
        if self._cutouts and rng.random() < settings.cutout_share:
            source = self._cutouts
        for _ in range(MAX_BLEND_TRIES):
            photo = source.draw(rng)
            layers = [
                layer for layer, kind in zip(photo.layers, photo.kinds, strict=True) if kind == "object"
            ]
            if not layers:
                continue
            layer = layers[int(rng.integers(len(layers)))]
            if labels := list(np.flatnonzero(np.bincount(layer.ravel())[1:]) + 1):
                found = layer == labels[int(rng.integers(len(labels)))]
                return self._cut_out(photo, found, rng, side)
        return None

    def _cut_out(
        self, photo: Photo, found: NDArray[np.bool_], rng: np.random.Generator, side: float
    ) -> tuple[NDArray[np.uint8], NDArray[np.bool_]]:
        """The object `found` (H, W) of a photo, scaled so that its long side is `side` pixels."""
        bounds = tight_box(found)
        columns, rows = bounds[2] - bounds[0], bounds[3] - bounds[1]
        scale = side / max(columns, rows)
        shape = (max(2, round(columns * scale)), max(2, round(rows * scale)))
        flip = -1 if rng.random() < self.settings.flip_share else 1
        coverage = Image.fromarray(found.astype(np.uint8) * 255)
        mask = np.asarray(coverage.resize(shape, Image.Resampling.BILINEAR, box=bounds))[:, ::flip] > 127
        pixels = Image.fromarray(photo.pixels).resize(shape, Image.Resampling.BILINEAR, box=bounds)
        return jittered(np.asarray(pixels)[:, ::flip], rng, 0.25), mask

    def _chances(self, candidates: list[Candidate], scene_area: int) -> NDArray[np.float64]:
        """How likely each candidate is to be chosen; the sum is 1."""
        settings = self.settings
        crowd = Counter(id(c.window) for c in candidates)
        # A whole lies in a layer alone, its parts share one: together they weigh four times as much, not 16.
        weights = np.array(
            [
                (settings.object_weight if c.window.kind == "object" else 1.0) / crowd[id(c.window)] ** 0.5
                for c in candidates
            ]
        )
        areas = np.array([c.area for c in candidates]) / scene_area
        if not settings.class_shares:
            # Small regions are many: their number must not crowd out the large ones.
            weights *= areas**0.25
        classes = np.searchsorted(CLASS_BOUNDS, areas)
        for index, share in enumerate(settings.class_shares):
            member = classes == index
            if member.any():
                weights[member] *= share / weights[member].sum()
        chances: NDArray[np.float64] = weights / weights.sum()
        return chances


def _cuts(rng: np.random.Generator, parts: int, size: int) -> list[int]:
    """`parts` + 1 places from 0 to `size`, about evenly spaced."""
    inner = (np.arange(1, parts) + rng.uniform(-0.25, 0.25, parts - 1)) / parts
    return [0, *(int(place) for place in np.round(inner * size)), size]


def _covering_box(
    rng: np.random.Generator, shape: tuple[int, ...], aspect: float
) -> tuple[float, float, float, float]:
    """A box (x0, y0, x1, y1) of width / height = `aspect`, as large as the photo allows, or a bit smaller."""
    height, width = shape[:2]
    columns = min(width, height * aspect) * rng.uniform(0.75, 1.0)
    rows = columns / aspect
    x, y = rng.uniform(0, width - columns), rng.uniform(0, height - rows)
    return x, y, x + columns, y + rows


def _filled_shape(
    photo: Photo, rng: np.random.Generator, side: float
) -> tuple[NDArray[np.uint8], NDArray[np.bool_]]:
    mask = random_shape(rng, side)
    texture = Image.fromarray(photo.pixels)
    zoom = rng.uniform(0.2, 1.0)
    box = (0.0, 0.0, texture.width * zoom, texture.height * zoom)
    filled = np.asarray(texture.resize(mask.shape[::-1], Image.Resampling.BILINEAR, box=box))
    return jittered(filled, rng, 0.6), mask
