"""`distill prepare`: annotated and unlabelled photos into one photo store."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from tinysam_mobile.distill.photo_store import Photo
from tinysam_mobile.distill.regions import region_layers
from tinysam_mobile.evaluation.coco import CocoDataset, CocoImage
from tinysam_mobile.imaging.images import load_image
from tinysam_mobile.imaging.photo_files import photos_in

__all__ = ["ObjectFinder", "annotated_photos", "plain_photos", "unlabelled_photos"]

ObjectFinder = Callable[[NDArray[np.uint8]], NDArray[np.uint8] | None]
"""Pixels uint8 (H, W, 3) → labels uint8 (H, W) of the objects from 1, or None if there is no sure one."""

STORED_SIDE = 512
MAX_LAYERS = 3


def _stored(path: Path) -> NDArray[np.uint8]:
    """Load a photo, scaled down if a side is longer than `STORED_SIDE`."""
    image = Image.fromarray(load_image(path))
    image.thumbnail((STORED_SIDE, STORED_SIDE), Image.Resampling.BILINEAR, reducing_gap=None)
    return np.asarray(image)


def annotated_photos(dataset: CocoDataset) -> Iterator[Photo]:
    """Yield each photo with its instances packed into as few layers as hold them."""
    for entry in dataset.images:
        pixels = _stored(entry.path)
        objects = _packed(entry, pixels.shape[0], pixels.shape[1])
        yield Photo(
            name=entry.path.name,
            source=dataset.name,
            pixels=pixels,
            layers=objects,
            kinds=("object",) * len(objects),
        )


def _packed(entry: CocoImage, height: int, width: int) -> NDArray[np.uint8]:
    """Put every instance into the first layer where it covers nothing; uint8 (L, height, width)."""
    layers: list[NDArray[np.uint8]] = []
    for instance in sorted(entry.instances, key=lambda i: -i.area):
        if instance.is_crowd:
            continue
        full = Image.fromarray(entry.mask(instance)).resize((width, height), Image.Resampling.NEAREST)
        mask = np.asarray(full)
        free = (layer for layer in layers if layer.max() < 255 and not layer[mask].any())
        layer = next(free, None)
        if layer is None:
            if len(layers) == MAX_LAYERS:
                continue
            layer = np.zeros((height, width), np.uint8)
            layers.append(layer)
        layer[mask] = layer.max() + 1
    return np.stack(layers) if layers else np.zeros((0, height, width), np.uint8)


def plain_photos(folder: Path, *, hold_back_every: int = 0, held_back: bool = False) -> list[Path]:
    """The photos of `folder` by name, without every `hold_back_every`-th one, or only those."""
    paths = photos_in(folder)
    if not hold_back_every:
        return paths
    return [path for i, path in enumerate(paths) if (i % hold_back_every == 0) == held_back]


def unlabelled_photos(
    paths: Iterable[Path], *, source: str, find_objects: ObjectFinder | None = None
) -> Iterator[Photo]:
    """Yield each photo with region layers, and the objects that `find_objects` sees in it.

    No region crosses the border of an object: inside one they are its parts.
    """
    for path in paths:
        pixels = _stored(path)
        found = find_objects(pixels) if find_objects else None
        objects = np.zeros((0, *pixels.shape[:2]), np.uint8) if found is None else found[None]
        regions = region_layers(pixels, found)
        yield Photo(
            name=path.name,
            source=source,
            pixels=pixels,
            layers=np.concatenate([objects, regions]),
            kinds=("object",) * len(objects) + ("region",) * len(regions),
        )
