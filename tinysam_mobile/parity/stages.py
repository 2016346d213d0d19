"""The stages between a photo and its mask, and what one side (an artifact, a device) computed at each.

A `Recording` is plain arrays by stage, so a host session fills one directly and a device writes one to disk.
`parity/judge.py` compares it with the float model: each stage on the side's own input of that stage, so that
it is blamed only for what it does itself.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tinysam_mobile.contract.features import joined_shape
from tinysam_mobile.contract.spec import Contract
from tinysam_mobile.imaging.images import RGBImage
from tinysam_mobile.segment.prompts import Prompt

__all__ = [
    "PHOTO_STAGES",
    "PROMPT_KINDS",
    "PROMPT_STAGES",
    "ParityPrompt",
    "PhotoCase",
    "Recording",
    "Stage",
    "stage_arrays",
]

PROMPT_KINDS = (
    "point",
    "points",
    "negative_point",
    "box",
    "box_and_point",
    "full_slots",
    "spare_slots",
    "mask_refinement",
    "own",
)
"""What a prompt exercises: `full_slots` leaves no unused slot, `spare_slots` leaves far-off coordinates in
them, `mask_refinement` adds low-resolution logits, `own` comes from the user's file."""


class Stage(StrEnum):
    """A step between photo and mask, in order; the value is its name in reports, dumps and fixtures."""

    PREPROCESSED_IMAGE = "preprocessed_image"
    EMBEDDING = "embedding"
    PACKED_PROMPT = "packed_prompt"
    LOW_RES_LOGITS = "low_res_logits"
    PREDICTED_IOU = "predicted_iou"
    BATCH_SCORES = "batch_scores"
    CHOSEN_MASK = "chosen_mask"
    FULL_SIZE_MASK = "full_size_mask"
    EVERYTHING = "everything"


PHOTO_STAGES = (Stage.PREPROCESSED_IMAGE, Stage.EMBEDDING)
"""Once per photo: f32 (3, S, S) RGB 0–255, of which only the photo is compared; what `encode`
returned, joined (`contract.features`)."""
PROMPT_STAGES = (
    Stage.PACKED_PROMPT,
    Stage.LOW_RES_LOGITS,
    Stage.PREDICTED_IOU,
    Stage.CHOSEN_MASK,
    Stage.FULL_SIZE_MASK,
)
"""Once per prompt: f32 (N, 3) x, y in the S frame and label; f32 (3, S/4, S/4); f32 (3,); i32 (1,) index of
the mask that is shown; u8 (H, W) 0 or 1 in pixels of the photo.

Beside them a host records `BATCH_SCORES` f32 (3,), what `score_batch` answers to a prompt that fits it."""


def stage_arrays(contract: Contract, photo_size: tuple[int, int]) -> dict[Stage, tuple[tuple[int, ...], str]]:
    """Shape and dtype of each stage's array for a photo of `photo_size` (H, W); everything mode has none."""
    size, low, masks = contract.image_size, contract.mask_size, contract.rules.num_masks
    return {
        Stage.PREPROCESSED_IMAGE: ((3, size, size), "float32"),
        Stage.EMBEDDING: (joined_shape(contract), "float32"),
        Stage.PACKED_PROMPT: ((contract.slots, 3), "float32"),
        Stage.LOW_RES_LOGITS: ((masks, low, low), "float32"),
        Stage.PREDICTED_IOU: ((masks,), "float32"),
        Stage.BATCH_SCORES: ((masks,), "float32"),
        Stage.CHOSEN_MASK: ((1,), "int32"),
        Stage.FULL_SIZE_MASK: (photo_size, "uint8"),
    }


@dataclass(frozen=True, kw_only=True)
class ParityPrompt:
    """One prompt of a comparison; `kind` is one of `PROMPT_KINDS`.

    `mask_input` f32 (S/4, S/4) are logits as an earlier answer has them.  `spare_xy` is what lies
    in the coordinates of unused slots, which must change nothing.
    """

    kind: str
    prompt: Prompt
    mask_input: NDArray[np.float32] | None = None
    spare_xy: float = 0.0


@dataclass(frozen=True, kw_only=True)
class PhotoCase:
    """A photo (H, W, 3) and the prompts that every side answers on it, in pixels of the photo."""

    name: str
    pixels: RGBImage
    prompts: tuple[ParityPrompt, ...]


@dataclass(frozen=True, kw_only=True)
class Recording:
    """What one side computed for a `PhotoCase`; a stage that it did not record is absent.

    `photo` has the `PHOTO_STAGES`, `prompts` the `PROMPT_STAGES` of each prompt in the case's order; shapes
    and dtypes are theirs.  `check_recording` (parity/judge.py) raises `InputError` for others.
    """

    photo: Mapping[Stage, NDArray[Any]]
    prompts: tuple[Mapping[Stage, NDArray[Any]], ...]
