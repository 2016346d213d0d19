"""The objects of everything mode on one sheet: each pixel belongs to the smallest object over it."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from tinysam_mobile.errors import UsageError
from tinysam_mobile.segment.everything import SegmentedObject

__all__ = [
    "label_map",
]

MAX_OBJECTS = np.iinfo(np.uint16).max


def paint_order(objects: Sequence[SegmentedObject]) -> list[int]:
    """Indices from bottom to top: large below small, then low score below high, then late below early.

    So that a part stays visible on its whole, and equal inputs always give the same map.
    """
    return sorted(range(len(objects)), key=lambda i: (-objects[i].runs.area, objects[i].score, -i))


def label_map(objects: Sequence[SegmentedObject], size: tuple[int, int]) -> NDArray[np.uint16]:
    """Paint objects of a photo of `size` (H, W) over one another: u16 (H, W), i + 1 for `objects[i]`, else 0.

    Raises `UsageError` for more objects than 16 bits can number.
    """
    if len(objects) > MAX_OBJECTS:
        raise UsageError(f"a label map holds at most {MAX_OBJECTS} objects, not {len(objects)}")
    labels = np.zeros(size, np.uint16)
    for i in paint_order(objects):
        labels[objects[i].runs.decode()] = i + 1
    return labels
