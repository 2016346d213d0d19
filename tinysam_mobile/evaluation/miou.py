"""mIoU of one-prompt segmentation, of any backend, by kind of prompt (`prompt_kinds`).

Every instance that is no crowd and whose annotated area is at least `MIN_AREA_PX` counts once; IoU is
measured at the photo's own resolution.  `miou_box`, `miou_point` and so on take the mask with the highest
predicted IoU, their `_best` the best of the three.
"""

from __future__ import annotations

from array import array
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from tinysam_mobile.contract.backend import Backend
from tinysam_mobile.evaluation.instances import CocoDataset, CocoImage, Instance
from tinysam_mobile.evaluation.prompt_kinds import CLICKS, FIXED, clicked, ideal_prompt
from tinysam_mobile.imaging.images import load_image
from tinysam_mobile.segment.predictor import Prediction, Predictor

__all__ = [
    "GROUPS",
    "SIZES",
    "Measurement",
    "Target",
    "mask_iou",
    "measure",
    "measure_targets",
    "measured",
    "size_of",
    "spearman",
    "summary",
    "targets_of",
]

MIN_AREA_PX = 100
SIZES = {"small": 32**2, "medium": 96**2, "large": float("inf")}
"""COCO's sizes: the annotated area in pixels below which an object has that size."""
GROUPS = {name: {name} for name in SIZES} | {"medium_large": {"medium", "large"}, "all": set(SIZES)}
"""Columns of the table → the sizes in them."""
DEFAULT_KINDS = ("box", "point")

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
            yield from measure_targets(predictor, targets, DEFAULT_KINDS)
        if progress:
            progress(done, len(dataset.images))


def measure_targets(
    predictor: Predictor, targets: Sequence[Target], kinds: Sequence[str], *, seed: int = 0
) -> Iterator[Measurement]:
    """Yield measurements of `kinds` (of `prompt_kinds.KINDS`) on targets of the photo that is set."""
    asked = [(kind, target) for kind in kinds if kind in FIXED for target in targets]
    prompts = [ideal_prompt(kind, target.mask, (seed, target.instance.id)) for kind, target in asked]
    for (kind, target), prediction in zip(asked, predictor.predict_batch(prompts), strict=True):
        yield measured(kind, target, prediction)
    clicks = {CLICKS[kind]: kind for kind in kinds if kind in CLICKS}
    if clicks:
        answers = clicked(predictor, [target.mask for target in targets], max(clicks))
        for count, i, prediction in answers:
            if count in clicks:
                yield measured(clicks[count], targets[i], prediction)


def measured(kind: str, target: Target, prediction: Prediction) -> Measurement:
    """Compare the three masks of a prediction with the target's."""
    return Measurement(
        instance_id=target.instance.id,
        size=size_of(target.instance),
        prompt=kind,
        ious=tuple(mask_iou(mask, target.mask) for mask in prediction.masks),
        predicted=tuple(float(score) for score in prediction.scores),
    )


@dataclass(frozen=True, kw_only=True)
class _Values:
    """Numbers of one kind of prompt: 8 bytes each, since there may be millions of instances."""

    sizes: list[str] = field(default_factory=list)
    chosen: array[float] = field(default_factory=lambda: array("d"))
    best: array[float] = field(default_factory=lambda: array("d"))
    real: array[float] = field(default_factory=lambda: array("d"))
    predicted: array[float] = field(default_factory=lambda: array("d"))

    def add(self, measurement: Measurement) -> None:
        self.sizes.append(measurement.size)
        self.chosen.append(measurement.chosen_iou)
        self.best.append(max(measurement.ious))
        self.real.extend(measurement.ious)
        self.predicted.extend(measurement.predicted)


def summary(measurements: Iterable[Measurement]) -> dict[str, dict[str, float]]:
    """Return mIoU by figure (`miou_box`, `miou_box_best`, …) and by size (also `all`, `medium_large`); the
    Spearman correlation of predicted with real IoU over all masks, by prompt; and the instance counts.

    Sizes without instances are left out.  A prompt whose instances are not those of the first one has its
    own counts (`instances_detector`).
    """
    by_prompt: dict[str, _Values] = {}
    for measurement in measurements:
        by_prompt.setdefault(measurement.prompt, _Values()).add(measurement)
    table: dict[str, dict[str, float]] = {}
    for prompt, values in by_prompt.items():
        chosen, best, counts = _by_group(values)
        table[f"miou_{prompt}"], table[f"miou_{prompt}_best"] = chosen, best
        if table.setdefault("instances", counts) != counts:
            table[f"instances_{prompt}"] = counts
        correlation = spearman(np.frombuffer(values.predicted), np.frombuffer(values.real))
        table.setdefault("spearman", {})[prompt] = correlation
    return table


def _by_group(values: _Values) -> tuple[dict[str, float], dict[str, float], dict[str, float]]:
    """Mean of the chosen masks, mean of the best ones and count, by group of sizes."""
    chosen: dict[str, float] = {}
    best: dict[str, float] = {}
    counts: dict[str, float] = {}
    sizes = np.array(values.sizes)
    for group, members in GROUPS.items():
        where = np.isin(sizes, list(members))
        if where.any():
            chosen[group] = float(np.frombuffer(values.chosen)[where].mean())
            best[group] = float(np.frombuffer(values.best)[where].mean())
            counts[group] = int(where.sum())
    return chosen, best, counts


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
