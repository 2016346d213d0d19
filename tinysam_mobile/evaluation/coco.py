"""Instances in COCO's JSON format: polygons, uncompressed and compressed run lengths to boolean masks."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tinysam_mobile.errors import DatasetError, InputError
from tinysam_mobile.masks import RunLengths

__all__ = ["CocoDataset", "CocoImage", "Instance", "decode_segmentation", "read_coco"]

BoolMask = NDArray[np.bool_]


@dataclass(frozen=True, kw_only=True)
class Instance:
    """One annotated object; `segmentation` is still in COCO's encoding, `area` in pixels of the photo."""

    id: int
    area: float
    is_crowd: bool
    segmentation: Any


@dataclass(frozen=True, kw_only=True)
class CocoImage:
    """One photo with its instances; sizes in pixels."""

    path: Path
    height: int
    width: int
    instances: tuple[Instance, ...]

    def mask(self, instance: Instance) -> BoolMask:
        """Return the instance's mask, bool (height, width); raises `DatasetError`."""
        return decode_segmentation(instance.segmentation, self.height, self.width)


@dataclass(frozen=True, kw_only=True)
class CocoDataset:
    """Photos in the order of the annotation file; `name` is that of its folder."""

    name: str
    images: tuple[CocoImage, ...]


def read_coco(folder: Path, *, annotations: str = "instances.json", images: str = "images") -> CocoDataset:
    """Read `annotations` in `folder`, whose photos lie in the folder `images`; raises `DatasetError`."""
    file = folder / annotations
    try:
        data = json.loads(file.read_text(encoding="utf-8"))
        by_image: dict[Any, list[Instance]] = {}
        for entry in data["annotations"]:
            by_image.setdefault(entry["image_id"], []).append(_instance(entry))
        photos = tuple(
            CocoImage(
                path=folder / images / entry["file_name"],
                height=int(entry["height"]),
                width=int(entry["width"]),
                instances=tuple(by_image.get(entry["id"], ())),
            )
            for entry in data["images"]
        )
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise DatasetError(
            f"{file}: no instance annotations in COCO's format ({error!r}); check the folder"
        ) from error
    return CocoDataset(name=folder.name, images=photos)


def _instance(entry: dict[str, Any]) -> Instance:
    return Instance(
        id=int(entry["id"]),
        area=float(entry["area"]),
        is_crowd=bool(entry.get("iscrowd", 0)),
        segmentation=entry["segmentation"],
    )


def decode_segmentation(segmentation: Any, height: int, width: int) -> BoolMask:
    """Decode a polygon list or a run-length object to bool (height, width); raises `DatasetError`."""
    if isinstance(segmentation, list):
        return _fill_polygons(segmentation, height, width)
    try:
        runs = RunLengths.from_coco(segmentation)
    except InputError as error:
        raise DatasetError(
            f"a segmentation is neither a list of polygons nor run lengths: {error}"
        ) from error
    if runs.size != (height, width):
        raise DatasetError(f"run lengths have size {runs.size}, but the photo has {(height, width)}")
    return runs.decode()


def _fill_polygons(polygons: Sequence[Sequence[float]], height: int, width: int) -> BoolMask:
    """Union of polygons x0, y0, x1, y1, … in pixel edges; pixels belong whose centre is inside (even-odd)."""
    mask = np.zeros((height, width), np.bool_)
    for polygon in polygons:
        corners = np.asarray(polygon, np.float64).reshape(-1, 2)
        crossings = np.zeros((height, width + 1), np.int64)
        for (x0, y0), (x1, y1) in zip(corners, np.roll(corners, -1, axis=0), strict=True):
            first, last = (int(np.clip(np.ceil(y - 0.5), 0, height)) for y in sorted((y0, y1)))
            rows = np.arange(first, last)
            if len(rows):
                x = x0 + (rows + 0.5 - y0) * (x1 - x0) / (y1 - y0)
                np.add.at(crossings, (rows, np.clip(np.ceil(x - 0.5), 0, width).astype(np.int64)), 1)
        mask |= np.cumsum(crossings, axis=1)[:, :-1] % 2 == 1
    return mask
