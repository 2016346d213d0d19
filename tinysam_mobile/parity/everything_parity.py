"""Everything mode on two backends, or in two modes: what it cost, whether the same objects came out, and if
not, whether a score near a threshold decided that.

parity = compare_everything(open_model(model, contract), open_bundle(bundle, "tflite"), image, config)
parity.at(0.75).recall
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tinysam_mobile.contract.backend import Backend
from tinysam_mobile.imaging.images import RGBImage
from tinysam_mobile.imaging.masks import box_ious
from tinysam_mobile.imaging.overlaps import mask_ious, match_one_to_one
from tinysam_mobile.segment.everything import (
    EverythingConfig,
    EverythingGenerator,
    EverythingResult,
    SegmentedObject,
)
from tinysam_mobile.segment.label_map import label_map
from tinysam_mobile.segment.predictor import Predictor

__all__ = [
    "IOU_LEVELS",
    "EverythingCost",
    "EverythingDifference",
    "EverythingParity",
    "MatchQuality",
    "compare_everything",
    "compare_results",
    "summary",
]

IOU_LEVELS = (0.5, 0.75, 0.9)
"""Mask IoUs at which two sets of objects are matched."""
TIE_MARGIN = 0.01
"""A score, stability or box IoU this near to what decides over it counts as a tie: a rounding may turn it."""


@dataclass(frozen=True, kw_only=True)
class EverythingCost:
    """What one side did: calls of `decode_batch`, points decoded, objects that came out."""

    decoder_calls: int
    points: int
    objects: int


@dataclass(frozen=True, kw_only=True)
class MatchQuality:
    """Objects of both sides that are the same at one IoU level, each matched at most once.

    `precision` is their share of the other side's objects, `recall` of the reference's (1 of none);
    `panoptic_quality` is Σ IoU / (matched + half of those left on either side), as in arXiv 1801.00868.
    """

    iou_level: float
    matched: int
    precision: float
    recall: float
    mean_matched_iou: float
    panoptic_quality: float


@dataclass(frozen=True, kw_only=True)
class EverythingDifference:
    """An object that only one `side` ("reference" or "other") has, and what decided it.

    `cause` is "predicted IoU" or "stability" (within the margin of the threshold), "box overlap" (a box of
    the other side overlaps it by nearly the NMS threshold), "order" (a rival of nearly the same score took
    its place), "point" (the other side did not decode that point) or "value" (none of these: the masks or
    scores themselves differ).  All but the last two are ties.
    """

    side: str
    point: tuple[float, float]
    mask_index: int
    score: float
    stability: float
    area: int
    cause: str

    @property
    def is_tie(self) -> bool:
        """Whether a score near a threshold, or two nearly equal ones, decided."""
        return self.cause not in ("point", "value")


@dataclass(frozen=True, kw_only=True)
class EverythingParity:
    """One photo on both sides.

    `shared_points` were decoded by both.  `mean_iou` is that of the one-to-one matching with every object
    that found no partner, on either side, as 0 (1 if there is no object at all).  `pixel_agreement` is the
    share of pixels that belong to the same object, or to none, in both label maps.  `differences` are the
    objects without a partner at the lowest of `IOU_LEVELS`.
    """

    reference: EverythingCost
    other: EverythingCost
    shared_points: int
    levels: tuple[MatchQuality, ...]
    mean_iou: float
    pixel_agreement: float
    differences: tuple[EverythingDifference, ...]

    def at(self, iou_level: float) -> MatchQuality:
        """The matching at one of `IOU_LEVELS`."""
        return next(quality for quality in self.levels if quality.iou_level == iou_level)

    def to_dict(self) -> dict[str, Any]:
        """Return plain JSON data."""
        return {**asdict(self), "ties": sum(difference.is_tie for difference in self.differences)}


def compare_everything(
    reference_backend: Backend,
    other_backend: Backend,
    image: RGBImage,
    config: EverythingConfig,
    *,
    other_config: EverythingConfig | None = None,
) -> EverythingParity:
    """Segment `image` uint8 (H, W, 3) or (H, W) on both backends and compare.

    `other_config` is that of the other side where it differs (fast against exact mode).  Raises `ImageError`
    for another array.
    """
    reference = EverythingGenerator(Predictor(reference_backend), config).generate(image)
    other = EverythingGenerator(Predictor(other_backend), other_config or config).generate(image)
    return compare_results(reference, other, (image.shape[0], image.shape[1]), config)


def compare_results(
    reference: EverythingResult, other: EverythingResult, size: tuple[int, int], config: EverythingConfig
) -> EverythingParity:
    """Compare two results for one photo of `size` (H, W); `config` has the thresholds that decided."""
    ious = mask_ious([found.runs for found in reference.objects], [found.runs for found in other.objects])
    pairs = match_one_to_one(ious)
    both = len(reference.objects) + len(other.objects) - len(pairs)
    same = match_one_to_one(ious, min_iou=IOU_LEVELS[0])
    shared = set(map(tuple, reference.points.tolist())) & set(map(tuple, other.points.tolist()))
    return EverythingParity(
        reference=_cost(reference),
        other=_cost(other),
        shared_points=len(shared),
        levels=tuple(_quality(ious, level) for level in IOU_LEVELS),
        mean_iou=float(sum(ious[pair] for pair in pairs)) / both if both else 1.0,
        pixel_agreement=_pixel_agreement(reference, other, same, size),
        differences=(
            *_differences("reference", reference, other, {row for row, _ in same}, config),
            *_differences("other", other, reference, {column for _, column in same}, config),
        ),
    )


def _cost(result: EverythingResult) -> EverythingCost:
    return EverythingCost(
        decoder_calls=result.decoder_calls, points=len(result.points), objects=len(result.objects)
    )


def _quality(ious: NDArray[np.float64], level: float) -> MatchQuality:
    pairs = match_one_to_one(ious, min_iou=level)
    total = float(sum(ious[pair] for pair in pairs))
    matched, (references, others) = len(pairs), ious.shape
    return MatchQuality(
        iou_level=level,
        matched=matched,
        precision=matched / others if others else 1.0,
        recall=matched / references if references else 1.0,
        mean_matched_iou=total / matched if matched else 0.0,
        panoptic_quality=2 * total / (references + others) if references + others else 1.0,
    )


def _pixel_agreement(
    reference: EverythingResult, other: EverythingResult, same: list[tuple[int, int]], size: tuple[int, int]
) -> float:
    partner = np.full(len(other.objects) + 1, -1, np.int64)
    partner[0] = 0
    for row, column in same:
        partner[column + 1] = row + 1
    return float(np.mean(label_map(reference.objects, size) == partner[label_map(other.objects, size)]))


def _differences(
    side: str, ours: EverythingResult, theirs: EverythingResult, matched: set[int], config: EverythingConfig
) -> list[EverythingDifference]:
    visited = set(map(tuple, theirs.points.tolist()))
    return [
        EverythingDifference(
            side=side,
            point=found.point,
            mask_index=found.mask_index,
            score=found.score,
            stability=found.stability,
            area=found.runs.area,
            cause=_cause(found, theirs.objects, visited, config),
        )
        for i, found in enumerate(ours.objects)
        if i not in matched
    ]


def _cause(
    found: SegmentedObject,
    rivals: Sequence[SegmentedObject],
    visited: set[tuple[float, ...]],
    config: EverythingConfig,
) -> str:
    if found.score - config.pred_iou_thresh <= TIE_MARGIN:
        return "predicted IoU"
    if found.stability - config.stability_score_thresh <= TIE_MARGIN:
        return "stability"
    boxes = np.array([rival.box for rival in rivals]).reshape(-1, 4)
    overlaps = list(zip(box_ious(found.box, boxes).tolist(), rivals, strict=True))
    if any(abs(iou - config.box_nms_thresh) <= TIE_MARGIN for iou, _ in overlaps):
        return "box overlap"
    near = [rival for iou, rival in overlaps if iou > config.box_nms_thresh]
    if any(abs(rival.score - found.score) <= TIE_MARGIN for rival in near):
        return "order"
    return "value" if found.point in visited else "point"


def summary(parities: Mapping[str, EverythingParity]) -> dict[str, Any]:
    """The figures of several photos, by name, as JSON data: counts added up, shares over all their objects.

    `mean_iou` and `pixel_agreement` are means over photos.  Empty for no photo.
    """
    photos = list(parities.values())
    if not photos:
        return {}
    references, others = (
        sum(cost.objects for cost in costs)
        for costs in ([p.reference for p in photos], [p.other for p in photos])
    )
    levels = {}
    for level in IOU_LEVELS:
        matched = sum(photo.at(level).matched for photo in photos)
        levels[str(level)] = {
            "precision": matched / others if others else 1.0,
            "recall": matched / references if references else 1.0,
            "panoptic_quality": float(np.mean([photo.at(level).panoptic_quality for photo in photos])),
        }
    return {
        "photos": len(photos),
        "reference": _total([photo.reference for photo in photos]),
        "other": _total([photo.other for photo in photos]),
        "levels": levels,
        "mean_iou": float(np.mean([photo.mean_iou for photo in photos])),
        "pixel_agreement": float(np.mean([photo.pixel_agreement for photo in photos])),
        "causes": dict(Counter(d.cause for photo in photos for d in photo.differences)),
    }


def _total(costs: Sequence[EverythingCost]) -> dict[str, int]:
    return {key: sum(asdict(cost)[key] for cost in costs) for key in asdict(costs[0])}
