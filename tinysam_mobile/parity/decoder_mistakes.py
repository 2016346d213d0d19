"""Classic mistakes from the prompt on: what they make of the slots, logits, scores and the full-size mask."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from tinysam_mobile.contract.spec import MASK_THRESHOLD, Label
from tinysam_mobile.parity.mistake import Situation, mistake
from tinysam_mobile.parity.record import Floats
from tinysam_mobile.parity.stages import Stage

__all__ = ["DECODER_MISTAKES", "MASK_MISTAKES", "PROMPT_MISTAKES"]

SWAPPED_XY = [1, 0, 2]
PROBABILITY = 0.5


def _moved(slots: Sequence[Floats], move: Callable[[Floats], Floats]) -> list[Floats]:
    """Slots with `move` applied to the coordinates f32 (n, 2) of points and boxes; pad points stay."""
    result = []
    for own in slots:
        rows = own.copy()
        points = rows[:, 2] > Label.PAD
        rows[points, :2] = move(rows[points, :2])
        result.append(rows)
    return result


def _right_slots(s: Situation) -> list[Floats]:
    return [prompt[Stage.PACKED_PROMPT] for prompt in s.ideal.prompts]


def _own_slots(s: Situation) -> list[Floats]:
    return s.own_arrays(Stage.PACKED_PROMPT)


def _photo_scale(s: Situation) -> Floats:
    """Factors from x, y in pixels of the photo to the S frame."""
    return s.geometry.to_model(np.ones(2)).astype(np.float32)


def _photo_size(s: Situation) -> Floats:
    height, width = s.geometry.original_size
    return np.array([width, height], np.float32)


PROMPT = Stage.PACKED_PROMPT
PROMPT_MISTAKES = (
    mistake(
        "x/y swapped",
        "points are y, x in the S frame",
        PROMPT,
        lambda s: [a[:, SWAPPED_XY] for a in _right_slots(s)],
    ),
    mistake(
        "x/y swapped",
        "points are y, x in the photo",
        PROMPT,
        lambda s: _moved(_right_slots(s), lambda xy: (xy / _photo_scale(s))[:, ::-1] * _photo_scale(s)),
    ),
    mistake(
        "points not scaled",
        "points are in pixels of the photo",
        PROMPT,
        lambda s: _moved(_right_slots(s), lambda xy: xy / _photo_scale(s)),
    ),
    mistake(
        "points not scaled",
        "points are shares of the photo, 0 to 1",
        PROMPT,
        lambda s: _moved(_right_slots(s), lambda xy: xy / _photo_scale(s) / _photo_size(s)),
    ),
    mistake(
        "stretched resize",
        "points are scaled as if the photo filled the square",
        PROMPT,
        lambda s: _moved(
            _right_slots(s),
            lambda xy: xy / _photo_scale(s) / _photo_size(s) * np.float32(s.geometry.image_size),
        ),
    ),
)


def _ideal_arrays(s: Situation, stage: Stage) -> list[Floats]:
    return [prompt[stage] for prompt in s.ideal.prompts]


def _squashed(s: Situation, stage: Stage, times: int) -> list[Floats]:
    """The right answers after `times` sigmoids."""
    arrays = [array.astype(np.float64) for array in _ideal_arrays(s, stage)]
    for _ in range(times):
        arrays = [1 / (1 + np.exp(-array)) for array in arrays]
    return [array.astype(np.float32) for array in arrays]


LOGITS = Stage.LOW_RES_LOGITS
SCORES = Stage.PREDICTED_IOU
DECODER_MISTAKES = (
    mistake(
        "x/y swapped",
        "the graph reads points as y, x",
        LOGITS,
        lambda s: s.logits([a[:, SWAPPED_XY] for a in _own_slots(s)]),
    ),
    mistake(
        "points not scaled",
        "the graph takes points as shares of the square",
        LOGITS,
        lambda s: s.logits(_moved(_own_slots(s), lambda xy: xy * np.float32(s.geometry.image_size))),
    ),
    mistake("sigmoid twice", "a sigmoid is inside the graph", LOGITS, lambda s: _squashed(s, LOGITS, 1)),
    mistake("sigmoid twice", "a sigmoid is inside the graph", SCORES, lambda s: _squashed(s, SCORES, 1)),
    mistake("sigmoid twice", "the graph applies two sigmoids", LOGITS, lambda s: _squashed(s, LOGITS, 2)),
    mistake("sigmoid twice", "the graph applies two sigmoids", SCORES, lambda s: _squashed(s, SCORES, 2)),
    mistake(
        "threshold before upsampling",
        "the graph gives 0 and 1 for logits",
        LOGITS,
        lambda s: [(a > MASK_THRESHOLD).astype(np.float32) for a in _ideal_arrays(s, LOGITS)],
    ),
)


def _nearest(s: Situation) -> list[NDArray[Any]]:
    """Cut at low resolution, then each pixel of the photo takes the nearest value."""
    height, width = s.geometry.original_size
    masks = []
    for low in s.shown_logits():
        scale = np.array(s.geometry.valid_size) / s.geometry.image_size * low.shape[0]
        rows = ((np.arange(height) + 0.5) * scale[0] / height).astype(np.int64)
        columns = ((np.arange(width) + 0.5) * scale[1] / width).astype(np.int64)
        masks.append((low > MASK_THRESHOLD)[np.ix_(rows, columns)])
    return masks


def _uncropped(s: Situation) -> list[NDArray[Any]]:
    """The whole square resized to the photo, padding included."""
    height, width = s.geometry.original_size
    pictures = [
        Image.fromarray(low).resize((width, height), Image.Resampling.BILINEAR) for low in s.shown_logits()
    ]
    return [np.asarray(picture) > MASK_THRESHOLD for picture in pictures]


def _cut(s: Situation) -> list[Floats]:
    return [(low > MASK_THRESHOLD).astype(np.float32) for low in s.shown_logits()]


MASK = Stage.FULL_SIZE_MASK
MASK_MISTAKES = (
    mistake("threshold before upsampling", "cut at low resolution, then nearest neighbour", MASK, _nearest),
    mistake(
        "threshold before upsampling",
        "cut at low resolution, then bilinear, then above 0.5",
        MASK,
        lambda s: s.upscaled(_cut(s), PROBABILITY),
    ),
    mistake(
        "threshold before upsampling",
        "cut at low resolution, then bilinear, then above 0",
        MASK,
        lambda s: s.upscaled(_cut(s)),
    ),
    mistake(
        "sigmoid twice",
        "the sigmoid of a sigmoid is above 0.5 everywhere",
        MASK,
        lambda s: [np.ones(s.geometry.original_size, np.bool_) for _ in s.own.prompts],
    ),
    mistake(
        "probability threshold on logits",
        "logits are compared with 0.5",
        MASK,
        lambda s: s.upscaled(s.shown_logits(), PROBABILITY),
    ),
    mistake("no padding", "the padding is not cut off before the last resize", MASK, _uncropped),
    mistake(
        "x/y swapped",
        "the mask's rows and columns are exchanged",
        MASK,
        lambda s: s.upscaled([low.T for low in s.shown_logits()]),
    ),
)
