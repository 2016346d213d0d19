"""The kinds of prompts whose mIoU is measured, by name; each comes from the annotated mask alone.

box             the tight box (ground-truth box).
point           the pixel farthest from the border: the centre point of the survey, and of Segment Anything's
                single-point evaluation (arXiv 2304.02643, section 7.1).
random1 … 9     1, 3, 5 or 9 pixels drawn uniformly, all on the object: the survey's random points (it has 1
                and 3).  Fewer are the first of more.
clicks3, 5, 9   TinySAM's "points valid mask", after Segment Anything: the centre point, then again and again
                the centre of the largest error, labelled by its kind; one click is `point`.  Here the mask is
                not fed back, since `decode_batch` has no input for it.

Random draws are seeded by the seed of the run and the annotation's id, so the order of the photos and the
number of processes do not matter.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import partial

import numpy as np
from numpy.typing import NDArray

from tinysam_mobile.contract.spec import Label
from tinysam_mobile.errors import UnknownNameError, UsageError
from tinysam_mobile.evaluation.ideal_prompts import (
    Click,
    centre_point,
    next_click,
    random_points,
    tight_box,
)
from tinysam_mobile.segment.predictor import Prediction, Predictor
from tinysam_mobile.segment.prompts import Prompt, make_prompt

__all__ = ["CLICKS", "FIXED", "KINDS", "check_kinds", "clicked", "ideal_prompt", "slots_of"]

BoolMask = NDArray[np.bool_]
Seed = tuple[int, int]


def _box(mask: BoolMask, seed: Seed) -> Prompt:  # noqa: ARG001 (one signature for all kinds)
    return make_prompt(box=tight_box(mask))


def _point(mask: BoolMask, seed: Seed) -> Prompt:  # noqa: ARG001
    return make_prompt([centre_point(mask)], [Label.FOREGROUND])


def _random(count: int, mask: BoolMask, seed: Seed) -> Prompt:
    points = random_points(mask, count, seed)
    return make_prompt(points, [Label.FOREGROUND] * len(points))


FIXED: Mapping[str, Callable[[BoolMask, Seed], Prompt]] = {
    "box": _box,
    "point": _point,
    **{f"random{count}": partial(_random, count) for count in (1, 3, 5, 9)},
}
"""Kinds that need no answer of the model."""
CLICKS = {"clicks3": 3, "clicks5": 5, "clicks9": 9}
"""Kinds that go by the model's answers, with their numbers of clicks."""
KINDS = (*FIXED, *CLICKS)


def check_kinds(kinds: Sequence[str], *, slots: int) -> None:
    """Raise `UnknownNameError` for an unknown kind, `UsageError` if one needs more than `slots`."""
    for kind in kinds:
        if kind not in KINDS:
            raise UnknownNameError("kind of prompt", kind, KINDS)
        if slots_of(kind) > slots:
            raise UsageError(
                f"{kind} prompts take {slots_of(kind)} slots, this model has {slots}: leave them out or "
                f"convert with --slots {slots_of(kind)}"
            )


def slots_of(kind: str) -> int:
    """Slots that the largest prompt of a kind takes, with the pad point."""
    digits = "".join(filter(str.isdigit, kind))
    return int(digits or 1) + 1


def ideal_prompt(kind: str, mask: BoolMask, seed: Seed = (0, 0)) -> Prompt:
    """Return the prompt of a kind of `FIXED` for `mask`, bool (H, W), not empty."""
    return FIXED[kind](mask, seed)


def clicked(
    predictor: Predictor, masks: Sequence[BoolMask], clicks: int
) -> Iterator[tuple[int, int, Prediction]]:
    """Click `clicks` times on each mask; yield clicks so far, the mask's index, the model's answer.

    A mask that the model has right is not clicked on any more, but its answer is repeated.
    """
    given = [[Click(*centre_point(mask), int(Label.FOREGROUND))] for mask in masks]
    for count in range(1, clicks + 1):
        prompts = [make_prompt([c[:2] for c in each], [c.label for c in each]) for each in given]
        for i, prediction in enumerate(predictor.predict_batch(prompts)):
            yield count, i, prediction
            following = next_click(masks[i], prediction.best_mask)
            if following:
                given[i].append(following)
