"""Everything that is measured on one photo, in one pass: the image is encoded once."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tinysam_mobile.errors import DatasetError
from tinysam_mobile.evaluation.average_precision import DetectedMask, rules_named
from tinysam_mobile.evaluation.average_recall import RecallCount, count_recall
from tinysam_mobile.evaluation.detections import Box, DetectedBox, DetectedBoxes
from tinysam_mobile.evaluation.ideal_prompts import tight_box
from tinysam_mobile.evaluation.instances import CocoImage
from tinysam_mobile.evaluation.miou import (
    Measurement,
    Target,
    measure_targets,
    measured,
    size_of,
    targets_of,
)
from tinysam_mobile.imaging.images import RGBImage, load_image
from tinysam_mobile.imaging.masks import RunLengths, box_ious
from tinysam_mobile.imaging.overlaps import mask_ious, match_one_to_one
from tinysam_mobile.segment.everything import EverythingConfig, EverythingGenerator
from tinysam_mobile.segment.predictor import Predictor
from tinysam_mobile.segment.prompts import make_prompt

__all__ = ["EvaluationPlan", "PhotoResult", "evaluate_photo"]

SAME_OBJECT_BOX_IOU = 0.5
"""A detector's box belongs to an instance of its category from this box IoU on."""


@dataclass(frozen=True, kw_only=True)
class EvaluationPlan:
    """What to measure: mIoU of `prompts` (`prompt_kinds.KINDS`), AP by `rules` if a detector's `boxes` are
    there, AR and mIoU of everything mode if it has a configuration.
    """

    prompts: tuple[str, ...] = ("box", "point")
    seed: int = 0
    rules: str = "coco"
    boxes: DetectedBoxes | None = None
    everything: EverythingConfig | None = None

    def to_json(self) -> dict[str, Any]:
        """Return what decides the figures, without the boxes themselves."""
        everything = asdict(self.everything) if self.everything else None
        return {
            "prompts": list(self.prompts),
            "seed": self.seed,
            "rules": self.rules,
            "everything": everything,
        }


@dataclass(frozen=True, kw_only=True)
class PhotoResult:
    """What one photo gave; small, since no mask but those of detections is kept."""

    image_id: int | str
    measurements: tuple[Measurement, ...]
    detections: tuple[DetectedMask, ...] = ()
    recall: RecallCount | None = None

    def to_json(self) -> dict[str, Any]:
        """Return plain JSON data, the inverse of `from_json`."""
        return {
            "image_id": self.image_id,
            "measurements": [asdict(m) for m in self.measurements],
            "detections": [asdict(d) for d in self.detections],
            "recall": self.recall.to_json() if self.recall else None,
        }

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> PhotoResult:
        """Read what `to_json` made."""
        return cls(
            image_id=data["image_id"],
            measurements=tuple(_measurement(entry) for entry in data["measurements"]),
            detections=tuple(DetectedMask(**entry) for entry in data["detections"]),
            recall=RecallCount.from_json(data["recall"]) if data["recall"] else None,
        )


def _measurement(entry: Mapping[str, Any]) -> Measurement:
    return Measurement(**{**entry, "ious": tuple(entry["ious"]), "predicted": tuple(entry["predicted"])})


def evaluate_photo(predictor: Predictor, image: CocoImage, plan: EvaluationPlan) -> PhotoResult:
    """Measure one photo; raises `ImageError` or `DatasetError` if it or its annotations cannot be used."""
    targets = targets_of(image)
    limit = rules_named(plan.rules).masks_per_photo
    boxes = plan.boxes.of(image, limit=limit) if plan.boxes else []
    recall_wanted = plan.everything is not None and bool(image.instances)
    if not targets and not boxes and not recall_wanted:
        return PhotoResult(image_id=image.id, measurements=())
    photo = _loaded(image)
    predictor.set_image(photo)
    measurements = list(measure_targets(predictor, targets, plan.prompts, seed=plan.seed))
    detections, of_boxes = _detections(predictor, image, boxes, targets)
    recall = None
    if plan.everything is not None and recall_wanted:
        recall, of_everything = _everything(predictor, photo, image, plan.everything, targets)
        of_boxes += of_everything
    return PhotoResult(
        image_id=image.id,
        measurements=(*measurements, *of_boxes),
        detections=tuple(detections),
        recall=recall,
    )


def _loaded(image: CocoImage) -> RGBImage:
    photo = load_image(image.path)
    if photo.shape[:2] != (image.height, image.width):
        height, width = photo.shape[:2]
        if (width, height) == (image.height, image.width):
            raise DatasetError(
                f"{image.path}: its annotations are for the photo as it is stored, {image.width} x "
                f"{image.height}, but its EXIF orientation turns it to {width} x {height}; turn the photo's "
                "pixels and delete the orientation, or annotate the upright photo"
            )
        raise DatasetError(
            f"{image.path}: is {width} x {height} pixels, but its annotations are for "
            f"{image.width} x {image.height}; these are other photos or resized ones"
        )
    return photo


def _detections(
    predictor: Predictor, image: CocoImage, boxes: Sequence[DetectedBox], targets: Sequence[Target]
) -> tuple[list[DetectedMask], list[Measurement]]:
    """A mask for each box, and mIoU for the targets that the detector found.

    The mask with the highest predicted IoU takes the detector's score.  A box without a pixel in the photo
    keeps its place with an empty mask, so that it counts as the mistake that it is.
    """
    inside = [(box, box.inside(image)) for box in boxes]
    found = [(box, part) for box, part in inside if part]
    owners = {row: targets[column] for row, column in _owners(found, targets)}
    detections = [
        _mask_of(box, np.zeros((image.height, image.width), np.bool_)) for box, part in inside if not part
    ]
    measurements = []
    predictions = predictor.predict_batch([make_prompt(box=part) for _, part in found])
    for row, ((box, _), prediction) in enumerate(zip(found, predictions, strict=True)):
        detections.append(_mask_of(box, prediction.best_mask))
        if row in owners:
            measurements.append(measured("detector", owners[row], prediction))
    return detections, measurements


def _mask_of(box: DetectedBox, mask: NDArray[np.bool_]) -> DetectedMask:
    runs = RunLengths.encode(mask)
    counts = runs.to_coco()["counts"]
    return DetectedMask(category_id=box.category_id, area=runs.area, score=box.score, counts=counts)


def _owners(found: Sequence[tuple[DetectedBox, Box]], targets: Sequence[Target]) -> list[tuple[int, int]]:
    """Which box is which target's: of the same category, one to one by falling box IoU."""
    ious = np.zeros((len(found), len(targets)))
    for column, target in enumerate(targets):
        tight = tight_box(target.mask)
        for row, (box, part) in enumerate(found):
            if box.category_id == target.instance.category_id:
                ious[row, column] = box_ious(part, np.array([tight]))[0]
    return match_one_to_one(ious, min_iou=SAME_OBJECT_BOX_IOU)


def _everything(
    predictor: Predictor,
    photo: RGBImage,
    image: CocoImage,
    config: EverythingConfig,
    targets: Sequence[Target],
) -> tuple[RecallCount, list[Measurement]]:
    """Recall of everything mode's masks, and the IoU of the best one for each target (0 without masks)."""
    objects = EverythingGenerator(predictor, config).generate(photo).objects
    masks = [found.runs for found in objects]
    recall = count_recall(image, masks, [found.score for found in objects])
    ious = mask_ious([RunLengths.encode(target.mask) for target in targets], masks)
    measurements = []
    for target, row in zip(targets, ious, strict=True):
        best = int(np.argmax(row)) if len(row) else None
        measurements.append(
            Measurement(
                instance_id=target.instance.id,
                size=size_of(target.instance),
                prompt="everything",
                ious=(float(row[best]) if best is not None else 0.0,),
                predicted=(objects[best].score if best is not None else 0.0,),
            )
        )
    return recall, measurements
