"""What an annotation file describes: photos, instances, categories; and their masks, decoded on demand.

Polygons, uncompressed and compressed run lengths become boolean masks.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tinysam_mobile.errors import DatasetError, InputError
from tinysam_mobile.masks import RunLengths

__all__ = ["Category", "CocoDataset", "CocoImage", "Instance", "decode_segmentation"]

BoolMask = NDArray[np.bool_]


@dataclass(frozen=True, kw_only=True)
class Category:
    """A class of objects; `frequency` is LVIS's r (rare), c (common) or f (frequent), None elsewhere."""

    id: int
    frequency: str | None = None


@dataclass(frozen=True, kw_only=True)
class Instance:
    """One annotated object; `segmentation` is still in COCO's encoding, `area` in pixels of the photo."""

    id: int
    area: float
    is_crowd: bool
    segmentation: Any
    category_id: int = 0


@dataclass(frozen=True, kw_only=True)
class CocoImage:
    """One photo with its instances; sizes in pixels.

    LVIS's federated annotation: `negative_categories` are known not to be in the photo, of
    `partial_categories` not every instance is annotated; of a category that is in neither and has no
    instance nothing is known.
    """

    path: Path
    height: int
    width: int
    instances: tuple[Instance, ...]
    id: int | str = 0
    negative_categories: tuple[int, ...] = ()
    partial_categories: tuple[int, ...] = ()

    def mask(self, instance: Instance) -> BoolMask:
        """Return the instance's mask, bool (height, width); raises `DatasetError`."""
        return decode_segmentation(instance.segmentation, self.height, self.width)


@dataclass(frozen=True, kw_only=True)
class CocoDataset:
    """Photos in the order of the annotation file; `name` is that of its folder."""

    name: str
    images: Sequence[CocoImage]
    categories: tuple[Category, ...] = ()


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
