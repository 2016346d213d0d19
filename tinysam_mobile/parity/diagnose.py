"""Which classic mistake, if any, explains what a side computed at the first stage that is wrong.

A mistake explains a stage if the float model, made to commit it, gives what the side gave.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tinysam_mobile.contract.backend import Backend
from tinysam_mobile.imaging.preprocess import Geometry
from tinysam_mobile.parity.bounds import Bounds
from tinysam_mobile.parity.decoder_mistakes import DECODER_MISTAKES, MASK_MISTAKES, PROMPT_MISTAKES
from tinysam_mobile.parity.image_mistakes import EMBEDDING_MISTAKES, IMAGE_MISTAKES
from tinysam_mobile.parity.judge import comparable, completed, ideal_recording
from tinysam_mobile.parity.metrics import sqnr_db
from tinysam_mobile.parity.mistake import Mistake, Situation
from tinysam_mobile.parity.stages import PHOTO_STAGES, PhotoCase, Recording, Stage

__all__ = ["Explanation", "diagnose", "situation_of"]

MISTAKES = (*IMAGE_MISTAKES, *EMBEDDING_MISTAKES, *PROMPT_MISTAKES, *DECODER_MISTAKES, *MASK_MISTAKES)
"""In the order in which equally good explanations are preferred."""
EXPLAINED_DB = 20.0
"""The side must be this near to the mistaken model, or as near as its recipe allows: 1 % of the energy may
have other reasons (another resize filter)."""
MIN_GAIN_DB = 10.0
"""And nearer than to the right model by this, so that mistakes without effect on a photo explain nothing."""


@dataclass(frozen=True, kw_only=True)
class Explanation:
    """A known cause; `sqnr_db` is the side's nearness to the mistaken model, `before_db` to the right one."""

    cause: str
    how: str
    advice: str
    sqnr_db: float
    before_db: float


def situation_of(reference: Backend, case: PhotoCase, expected: Recording, side: Recording) -> Situation:
    """Return what mistakes are tried on; `expected` is the float model's recording of `case`."""
    geometry = Geometry.of(
        (case.pixels.shape[0], case.pixels.shape[1]), reference.contract.image_size, reference.contract.rules
    )
    own = completed(side, expected)
    ideal = ideal_recording(reference, case, expected, own, geometry)
    return Situation(reference=reference, case=case, geometry=geometry, own=own, ideal=ideal)


def diagnose(
    stage: Stage,
    situations: Sequence[Situation],
    bounds: Bounds,
    recorded: Iterable[Stage] = tuple(Stage),
) -> Explanation | None:
    """Return the mistake that explains `stage` on all `situations` together, or None: no known cause.

    `recorded` are the stages that the side recorded: mistakes of a stage that it did not are tried too.
    """
    enough_db = min(EXPLAINED_DB, bounds.min_embedding_sqnr_db.value, bounds.min_logits_sqnr_db.value)
    actual = [array for s in situations for array in _own(s, stage)]
    right = [array for s in situations for array in _right(s, stage)]
    before_db = _distance_db(right, actual)
    tried = [m for m in MISTAKES if m.stage is stage or _leads_to(m, stage, set(recorded))]
    best: Explanation | None = None
    for mistake in tried:
        guess = [array for s in situations for array in _outcome(mistake, s, stage)]
        after_db = _distance_db(guess, actual)
        explains = after_db >= enough_db and after_db >= before_db + MIN_GAIN_DB
        if explains and (best is None or after_db > best.sqnr_db):
            best = Explanation(
                cause=mistake.cause,
                how=mistake.how,
                advice=mistake.advice,
                sqnr_db=after_db,
                before_db=before_db,
            )
    return best


def _leads_to(mistake: Mistake, stage: Stage, recorded: set[Stage]) -> bool:
    """Whether the mistake is made in the stage before, of which nothing was recorded."""
    following = {Stage.PREPROCESSED_IMAGE: Stage.EMBEDDING, Stage.PACKED_PROMPT: Stage.LOW_RES_LOGITS}
    return following.get(mistake.stage) is stage and mistake.stage not in recorded


def _outcome(mistake: Mistake, s: Situation, stage: Stage) -> list[NDArray[Any]]:
    made = list(mistake.make(s))
    if mistake.stage is not stage:
        made = list(_encoded(s, made[0]) if stage is Stage.EMBEDDING else s.logits(made))
    return [comparable(stage, array, s.geometry) for array in made]


def _encoded(s: Situation, image: NDArray[Any]) -> list[NDArray[Any]]:
    """The embedding of a mistaken image; one that reaches into the padding was said to fill the square."""
    height, width = s.geometry.valid_size
    beyond = image[:, height:].any() or image[:, :, width:].any()
    size = s.geometry.image_size
    return list(s.encode(image, (size, size) if beyond else None))


def _own(s: Situation, stage: Stage) -> list[NDArray[Any]]:
    arrays = [s.own.photo[stage]] if stage in PHOTO_STAGES else s.own_arrays(stage)
    return [comparable(stage, array, s.geometry) for array in arrays]


def _right(s: Situation, stage: Stage) -> list[NDArray[Any]]:
    if stage is Stage.FULL_SIZE_MASK:
        return s.upscaled(s.shown_logits())
    if stage is Stage.CHOSEN_MASK:
        return [np.array([np.argmax(scores)]) for scores in s.own_arrays(Stage.PREDICTED_IOU)]
    arrays = [s.ideal.photo[stage]] if stage in PHOTO_STAGES else [p[stage] for p in s.ideal.prompts]
    return [comparable(stage, array, s.geometry) for array in arrays]


def _distance_db(reference: Sequence[NDArray[Any]], other: Sequence[NDArray[Any]]) -> float:
    """SQNR of all arrays together in dB; −∞ where it is not defined."""
    left, right = (
        np.concatenate([np.ravel(a).astype(np.float32) for a in side]) for side in (reference, other)
    )
    distance_db = sqnr_db(left, right)
    return -np.inf if np.isnan(distance_db) else distance_db
