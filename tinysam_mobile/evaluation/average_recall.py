"""Average recall of class-agnostic masks (everything mode), by COCO's rules; faster-coco-eval matches.

Recall is a quotient of counts, so photos are judged one by one and their counts added up: the figures are
those of one call with all photos, but the masks of one photo are all that memory holds.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tinysam_mobile.evaluation.average_precision import metric_classes
from tinysam_mobile.evaluation.instances import CocoImage, Instance
from tinysam_mobile.imaging.masks import RunLengths

__all__ = ["RecallCount", "average_recall", "count_recall"]

MASK_LIMITS = (1, 10, 100, 1000)
"""At most so many masks of a photo, the best by score: AR@1 … AR@1000."""
FIGURES = {"AR@100": (0, 2), "AR@1000": (0, 3), "ARs@1000": (1, 3), "ARm@1000": (2, 3), "ARl@1000": (3, 3)}
"""Figure → its place on the axes of area and of `MASK_LIMITS`."""


@dataclass(frozen=True, kw_only=True)
class RecallCount:
    """One photo's share: `objects` (4,) annotated objects that are no crowds, by area (all, small, medium,
    large), and `found` (10, 4, 4) of them at IoU 0.5 … 0.95, by area and mask limit.
    """

    objects: tuple[int, ...]
    found: NDArray[np.int64]

    def to_json(self) -> dict[str, Any]:
        """Return plain JSON data, the inverse of `from_json`."""
        return {"objects": list(self.objects), "found": self.found.tolist()}

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> RecallCount:
        """Read what `to_json` made."""
        return cls(objects=tuple(data["objects"]), found=np.array(data["found"], np.int64))


def count_recall(image: CocoImage, masks: Sequence[RunLengths], scores: Sequence[float]) -> RecallCount:
    """Match the masks of one photo to its objects; raises `RuntimeUnavailableError` without the metric."""
    dataset, evaluator = metric_classes()
    judge = evaluator(
        dataset(_document(image, [_truth(i) for i in image.instances])),
        dataset(_document(image, [_found(m, s) for m, s in zip(masks, scores, strict=True)])),
        "segm",
        rle_iou_max_workers=1,
    )
    judge.params.maxDets = list(MASK_LIMITS)
    judge.evaluate()
    judge.accumulate()
    objects = tuple(
        sum(low <= i.area <= high for i in image.instances if not i.is_crowd)
        for low, high in judge.params.areaRng
    )
    # -1 stands for "no object of that area".
    recall = np.maximum(np.asarray(judge.eval["recall"])[:, 0], 0)
    found = np.rint(recall * np.array(objects)[None, :, None]).astype(np.int64)
    return RecallCount(objects=objects, found=found)


def _document(image: CocoImage, annotations: list[dict[str, Any]]) -> dict[str, Any]:
    entries = [{**a, "id": i, "image_id": 1, "category_id": 1} for i, a in enumerate(annotations, start=1)]
    return {
        "images": [{"id": 1, "height": image.height, "width": image.width}],
        "annotations": entries,
        "categories": [{"id": 1}],
    }


def _truth(instance: Instance) -> dict[str, Any]:
    return {
        "segmentation": instance.segmentation,
        "area": instance.area,
        "iscrowd": int(instance.is_crowd),
    }


def _found(mask: RunLengths, score: float) -> dict[str, Any]:
    return {"segmentation": mask.to_coco(), "area": mask.area, "iscrowd": 0, "score": score}


def average_recall(counts: Iterable[RecallCount]) -> dict[str, float]:
    """Return the figures AR@100, AR@1000 and ARs, ARm, ARl@1000, 0 to 1; NaN without objects."""
    objects = np.zeros(4, np.int64)
    found = np.zeros((10, 4, len(MASK_LIMITS)), np.int64)
    for count in counts:
        objects += np.array(count.objects)
        found += count.found
    mean = found.mean(axis=0)
    return {
        name: float(mean[area, limit] / objects[area]) if objects[area] else float("nan")
        for name, (area, limit) in FIGURES.items()
    }
