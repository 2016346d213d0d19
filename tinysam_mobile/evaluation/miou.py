"""mIoU of one-prompt segmentation, of any backend: from the tight box, and from the centre point.

Every instance that is no crowd and whose annotated area is at least `MIN_AREA_PX` counts once; IoU is
measured at the photo's own resolution.  `miou_box` and `miou_point` take the mask with the highest predicted
IoU, their `_best` the best of the three.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from tinysam_mobile.evaluation.coco import CocoDataset, CocoImage, Instance
from tinysam_mobile.evaluation.ideal_prompts import centre_point, tight_box
from tinysam_mobile.images import load_image
from tinysam_mobile.predictor import Predictor
from tinysam_mobile.prompts import Prompt, make_prompt
from tinysam_mobile.simulator.base import Backend
from tinysam_mobile.spec import Label

__all__ = ["PROMPT_KINDS", "SIZES", "Measurement", "measure", "size_of", "spearman", "summary"]

MIN_AREA_PX = 100
SIZES = {"small": 32**2, "medium": 96**2, "large": float("inf")}
"""COCO's sizes: the annotated area in pixels below which an object has that size."""
PROMPT_KINDS = ("box", "point")

BoolMask = NDArray[np.bool_]


@dataclass(frozen=True, kw_only=True)
class Measurement:
    """One prompt on one instance; `ious` and `predicted` hold one value for each of the three masks."""

    instance_id: int
    size: str
    prompt: str
    ious: tuple[float, ...]
    predicted: tuple[float, ...]

    @property
    def chosen_iou(self) -> float:
        """IoU of the mask that the model itself prefers."""
        return self.ious[int(np.argmax(self.predicted))]


class Target(NamedTuple):
    """An instance that counts, with its mask bool (H, W)."""

    instance: Instance
    mask: BoolMask


def size_of(instance: Instance) -> str:
    """Return the name of the instance's size in `SIZES`."""
    return next(name for name, limit in SIZES.items() if instance.area < limit)


def targets_of(image: CocoImage) -> list[Target]:
    """Return the instances of a photo that count."""
    counted = [i for i in image.instances if not i.is_crowd and i.area >= MIN_AREA_PX]
    return [target for target in (Target(i, image.mask(i)) for i in counted) if target.mask.any()]


def mask_iou(left: BoolMask, right: BoolMask) -> float:
    """IoU of two masks bool (H, W); 1 if both are empty."""
    either = int((left | right).sum())
    return int((left & right).sum()) / either if either else 1.0


def measure(
    backend: Backend, dataset: CocoDataset, *, progress: Callable[[int, int], None] | None = None
) -> Iterator[Measurement]:
    """Yield the measurements of both prompts on every instance that counts, photo by photo.

    `progress` is called with the number of photos done and of all.
    """
    predictor = Predictor(backend)
    for done, image in enumerate(dataset.images, start=1):
        targets = targets_of(image)
        if targets:
            predictor.set_image(load_image(image.path))
            yield from _measure_targets(predictor, targets)
        if progress:
            progress(done, len(dataset.images))


def _measure_targets(predictor: Predictor, targets: Sequence[Target]) -> Iterator[Measurement]:
    asked = [(kind, target) for kind in PROMPT_KINDS for target in targets]
    predictions = predictor.predict_batch([ideal_prompt(kind, target.mask) for kind, target in asked])
    for (kind, target), prediction in zip(asked, predictions, strict=True):
        yield Measurement(
            instance_id=target.instance.id,
            size=size_of(target.instance),
            prompt=kind,
            ious=tuple(mask_iou(mask, target.mask) for mask in prediction.masks),
            predicted=tuple(float(score) for score in prediction.scores),
        )


def ideal_prompt(kind: str, mask: BoolMask) -> Prompt:
    """Return the prompt of a `PROMPT_KINDS` kind that a perfect user would give for `mask`."""
    if kind == "box":
        return make_prompt(box=tight_box(mask))
    return make_prompt([centre_point(mask)], [Label.FOREGROUND])


def summary(measurements: Sequence[Measurement]) -> dict[str, dict[str, float]]:
    """Return mIoU by figure (`miou_box`, `miou_box_best`, …) and by size (also `all`, `medium_large`); the
    Spearman correlation of predicted with real IoU over all masks, by prompt; and the instance counts.

    Sizes without instances are left out.
    """
    groups = {name: {name} for name in SIZES} | {"medium_large": {"medium", "large"}, "all": set(SIZES)}
    table: dict[str, dict[str, float]] = {}
    for prompt in PROMPT_KINDS:
        ours = [m for m in measurements if m.prompt == prompt]
        for group, sizes in groups.items():
            members = [m for m in ours if m.size in sizes]
            if members:
                chosen, best = f"miou_{prompt}", f"miou_{prompt}_best"
                table.setdefault(chosen, {})[group] = float(np.mean([m.chosen_iou for m in members]))
                table.setdefault(best, {})[group] = float(np.mean([max(m.ious) for m in members]))
                table.setdefault("instances", {})[group] = len(members)
        if ours:
            real, predicted = np.array([m.ious for m in ours]), np.array([m.predicted for m in ours])
            table.setdefault("spearman", {})[prompt] = spearman(predicted.ravel(), real.ravel())
    return table


def spearman(left: NDArray[np.floating], right: NDArray[np.floating]) -> float:
    """Spearman's rank correlation, ties at their mean rank; NaN if one side is constant."""
    ours, theirs = (ranks - ranks.mean() for ranks in (_mean_ranks(left), _mean_ranks(right)))
    spread = float(ours @ ours) * float(theirs @ theirs)
    return float(ours @ theirs) / spread**0.5 if spread else float("nan")


def _mean_ranks(values: NDArray[np.floating]) -> NDArray[np.float64]:
    _, places, counts = np.unique(values, return_inverse=True, return_counts=True)
    ranks = np.cumsum(counts) - (counts - 1) / 2
    out: NDArray[np.float64] = ranks[places]
    return out
