"""Everything mode of a side as a section of the report: flat and hierarchical, with a verdict of its own."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from tinysam_mobile.contract.backend import Backend
from tinysam_mobile.imaging.overlaps import mask_ious, match_one_to_one
from tinysam_mobile.parity.bounds import Bounds
from tinysam_mobile.parity.everything_parity import IOU_LEVELS, EverythingParity, compare_results
from tinysam_mobile.parity.report_pictures import difference_picture, jpeg, shrunk, shrunk_mask
from tinysam_mobile.parity.stages import PhotoCase
from tinysam_mobile.segment.everything import (
    EverythingConfig,
    EverythingGenerator,
    EverythingResult,
    SegmentedObject,
)
from tinysam_mobile.segment.predictor import Predictor

__all__ = ["MODES", "EverythingCheck", "check_everything", "everything_of"]

MODES = {"flat": False, "hierarchical": True}


@dataclass(frozen=True, kw_only=True)
class EverythingCheck:
    """One photo in one of `MODES`.

    `unexplained` is the share of objects that only one side has though neither a tie nor a point that was not
    decoded explains it.  `picture` is a JPEG file: red what the side lacks, blue what only the side has.
    """

    photo: str
    mode: str
    parity: EverythingParity
    unexplained: float
    limit: float
    picture: bytes

    @property
    def passed(self) -> bool:
        return self.unexplained <= self.limit


def everything_of(backend: Backend, case: PhotoCase, config: EverythingConfig) -> dict[str, EverythingResult]:
    """Run every one of `MODES` on a photo."""
    return {
        mode: EverythingGenerator(Predictor(backend), replace(config, hierarchical=hierarchical)).generate(
            case.pixels
        )
        for mode, hierarchical in MODES.items()
    }


def check_everything(
    case: PhotoCase,
    reference: EverythingResult,
    other: EverythingResult,
    *,
    mode: str,
    config: EverythingConfig,
    bounds: Bounds,
) -> EverythingCheck:
    """Judge one photo in one mode; `reference` is the float model's result."""
    size = (case.pixels.shape[0], case.pixels.shape[1])
    parity = compare_results(reference, other, size, config)
    objects = parity.reference.objects + parity.other.objects
    values = sum(difference.cause == "value" for difference in parity.differences)
    ious = mask_ious([o.runs for o in reference.objects], [o.runs for o in other.objects])
    pairs = match_one_to_one(ious, min_iou=IOU_LEVELS[0])
    lacking = _union(reference.objects, {row for row, _ in pairs}, size)
    added = _union(other.objects, {column for _, column in pairs}, size)
    picture = difference_picture(shrunk(case.pixels), missing=shrunk_mask(lacking), extra=shrunk_mask(added))
    return EverythingCheck(
        photo=case.name,
        mode=mode,
        parity=parity,
        unexplained=values / objects if objects else 0.0,
        limit=bounds.max_everything_unexplained.value,
        picture=jpeg(picture),
    )


def _union(objects: Sequence[SegmentedObject], matched: set[int], size: tuple[int, int]) -> NDArray[np.bool_]:
    """Pixels bool (H, W) of the objects without a partner."""
    union = np.zeros(size, np.bool_)
    for i, found in enumerate(objects):
        if i not in matched:
            union |= found.runs.decode()
    return union
