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
from tinysam_mobile.imaging.masks import RunLengths

__all__ = ["Category", "CocoDataset", "CocoImage", "Instance", "decode_segmentation"]

BoolMask = NDArray[np.bool_]
POLYGON_STEPS = 5
"""Per pixel, of the walk around a polygon."""
MAX_POLYGON_STEPS = 10_000_000
"""Of the walk along one polygon, which takes a hundred bytes for each."""
POLYGON_REACH_PX = 2**20
"""Corners farther out are no polygon of a photo, and the walk would take memory for each pixel on the way."""


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
        """Return the instance's mask, bool (height, width); raises `DatasetError` that names both."""
        try:
            return decode_segmentation(instance.segmentation, self.height, self.width)
        except DatasetError as error:
            raise DatasetError(
                f"annotation {instance.id} of {self.path.name}: {error}; check the annotations"
            ) from error


@dataclass(frozen=True, kw_only=True)
class CocoDataset:
    """Photos in the order of the annotation file; `name` is that of its folder.

    `without_area` counts the annotations of the file that tell no area (none, null or 0), which pycocotools
    cannot count or takes for the smallest objects; here their area is that of the mask.
    """

    name: str
    images: Sequence[CocoImage]
    categories: tuple[Category, ...] = ()
    without_area: int = 0


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
    """Union of polygons x0, y0, x1, y1, … in pixel edges, each filled even-odd; raises `DatasetError`."""
    mask = np.zeros((height, width), np.bool_)
    for polygon in polygons:
        try:
            corners = np.asarray(polygon, np.float64).reshape(-1, 2)
        except (TypeError, ValueError) as error:
            raise DatasetError(f"a polygon must be numbers x0, y0, x1, y1, …: {error}") from error
        if not (np.abs(corners) <= POLYGON_REACH_PX).all():
            raise DatasetError(f"a polygon has a corner more than {POLYGON_REACH_PX} pixels away")
        places, counts = np.unique(_toggles(corners, height, width), return_counts=True)
        toggles = np.zeros(height * width + 1, np.bool_)
        toggles[places[counts % 2 == 1]] = True
        mask |= np.logical_xor.accumulate(toggles[:-1]).reshape((height, width), order="F")
    return mask


def _toggles(corners: NDArray[np.float64], height: int, width: int) -> NDArray[np.int64]:
    """Places, counted down the columns, where a column enters or leaves the polygon (n, 2).

    The rule of COCO's rleFrPoly to the pixel (it decides over the border): the outline is walked in steps of
    a fifth of a pixel, and crossings of a column's middle count.
    """
    # C's cast drops the fraction, as does astype.
    start = (POLYGON_STEPS * corners + 0.5).astype(np.int64)
    end = np.roll(start, -1, axis=0)
    steps = np.abs(end - start).max(axis=1, initial=0)
    if steps.sum() > MAX_POLYGON_STEPS:
        raise DatasetError(f"a polygon's outline is longer than {MAX_POLYGON_STEPS // POLYGON_STEPS} pixels")
    edge = np.repeat(np.arange(len(start)), steps + 1)
    step = np.arange(len(edge)) - np.repeat(np.cumsum(steps + 1) - steps - 1, steps + 1)
    x, y = _walked(start, end, steps, edge, step).T
    turns = np.flatnonzero(x[1:] != x[:-1]) + 1
    column = (np.minimum(x[turns], x[turns - 1]) + 0.5) / POLYGON_STEPS - 0.5
    row = np.clip((np.minimum(y[turns], y[turns - 1]) + 0.5) / POLYGON_STEPS - 0.5, 0, height)
    inside = (column == np.floor(column)) & (column >= 0) & (column <= width - 1)
    places: NDArray[np.int64] = (column[inside] * height + np.ceil(row[inside])).astype(np.int64)
    return places


def _walked(
    start: NDArray[np.int64],
    end: NDArray[np.int64],
    steps: NDArray[np.int64],
    edge: NDArray[np.int64],
    step: NDArray[np.int64],
) -> NDArray[np.int64]:
    """Points (n, 2) along the edges: whole steps along the longer axis, rounded on the other.

    Rounding always goes from the end with the lower coordinate on the longer axis.
    """
    rows = np.arange(len(start))
    is_steep = np.abs(end - start)[:, 1] > np.abs(end - start)[:, 0]
    long = is_steep.astype(np.int64)
    is_backward = start[rows, long] > end[rows, long]
    low = np.where(is_backward[:, None], end, start)
    high = np.where(is_backward[:, None], start, end)
    slope = (high - low)[rows, 1 - long] / np.maximum(steps, 1)
    along = np.where(is_backward[edge], steps[edge] - step, step)
    points = np.empty((len(edge), 2), np.int64)
    walked = np.arange(len(edge))
    points[walked, long[edge]] = low[rows, long][edge] + along
    points[walked, 1 - long[edge]] = (low[rows, 1 - long][edge] + slope[edge] * along + 0.5).astype(np.int64)
    return points
