"""What everything mode found, as a COCO document: run lengths, or polygons."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tinysam_mobile.imaging.masks import outlines
from tinysam_mobile.segment.everything import SegmentedObject

__all__ = ["coco_document", "coco_polygons"]

CATEGORY = {"id": 1, "name": "object"}


def coco_document(
    objects: Sequence[SegmentedObject], file_name: str, size: tuple[int, int], *, polygons: bool = False
) -> dict[str, Any]:
    """The objects of one photo of `size` (H, W) as a document that COCO's tools read, in the order given.

    Annotation i + 1 is `objects[i]`, the number that `label_map` paints it with.  `segmentation` is a
    compressed run length, or with `polygons` the exact pixel outline; `bbox` xywh and `area` in pixels.
    """
    height, width = size
    return {
        "images": [{"id": 1, "file_name": file_name, "height": height, "width": width}],
        "annotations": [_annotation(i, found, polygons) for i, found in enumerate(objects, start=1)],
        "categories": [CATEGORY],
    }


def _annotation(number: int, found: SegmentedObject, polygons: bool) -> dict[str, Any]:
    x0, y0, x1, y1 = found.box
    area = found.runs.area
    return {
        "id": number,
        "image_id": 1,
        "category_id": CATEGORY["id"],
        "iscrowd": 0,
        # No polygon has no pixel, and COCO's tools do not take an empty list.
        "segmentation": coco_polygons(found.runs.decode()) if polygons and area else found.runs.to_coco(),
        "bbox": [x0, y0, x1 - x0 + 1, y1 - y0 + 1] if area else [0, 0, 0, 0],
        "area": area,
        "score": found.score,
        "stability_score": found.stability,
        "point_coords": [list(found.point)],
        "mask_index": found.mask_index,
    }


def coco_polygons(mask: NDArray[np.bool_]) -> list[list[float]]:
    """Polygons x0, y0, x1, y1, … along the pixel edges of a mask bool (H, W), whose filling is the mask.

    COCO joins polygons and knows no holes.  The rings of a mask with holes therefore become one polygon that
    goes from ring to ring and back on the same line, which encloses nothing.
    """
    rings = [ring.tolist() for ring in outlines(mask)]
    if not any(_is_hole(ring) for ring in rings):
        return [[float(value) for corner in ring for value in corner] for ring in rings]
    start = rings[0][0]
    path = [corner for ring in rings for corner in (*ring, ring[0], start)]
    return [[float(value) for corner in path for value in corner]]


def _is_hole(ring: list[list[int]]) -> bool:
    """Outlines run clockwise on the screen around islands, the other way around holes."""
    following = [*ring[1:], ring[0]]
    return sum(x0 * y1 - x1 * y0 for (x0, y0), (x1, y1) in zip(ring, following, strict=True)) < 0
