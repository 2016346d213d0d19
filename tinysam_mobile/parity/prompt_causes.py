"""Why a prompt's mask is not the float model's, so that the report shows the worst prompts of each cause."""

from __future__ import annotations

from collections.abc import Mapping
from enum import StrEnum

from tinysam_mobile.parity.judge import PromptJudgement
from tinysam_mobile.parity.stages import Stage

__all__ = ["CAUSES", "Cause", "cause_of"]


class Cause(StrEnum):
    """Causes without a stage that leaves its bound; the other causes are the stages themselves."""

    TOGETHER = "together"
    ANOTHER_MASK = "another_mask"
    UNCERTAIN_OUTLINE = "uncertain_outline"
    ROUNDING = "rounding"


CAUSES: Mapping[str, tuple[str, str]] = {
    Stage.PREPROCESSED_IMAGE: (
        "The photo was prepared differently",
        "Resizing, padding, channel order or value range differ before the network begins.",
    ),
    Stage.EMBEDDING: (
        "The encoder is wrong",
        "The embedding is further from PyTorch than the recipe explains, so every mask of the photo suffers.",
    ),
    Stage.PACKED_PROMPT: (
        "The prompt was packed differently",
        "Points, boxes or labels reach the decoder in other slots or at other places.",
    ),
    Stage.LOW_RES_LOGITS: (
        "The decoder is wrong",
        "From the same embedding and prompt the decoder gives other logits than the recipe explains.",
    ),
    Stage.PREDICTED_IOU: (
        "The predicted IoU is wrong",
        "The mask may be right, but its score is not, so that another mask may be chosen.",
    ),
    Stage.BATCH_SCORES: (
        "score_batch and decode disagree",
        "Everything mode would drop good prompts, or keep bad ones.",
    ),
    Stage.CHOSEN_MASK: (
        "Not the best mask is shown",
        "By its own scores another of the masks should have been chosen.",
    ),
    Stage.FULL_SIZE_MASK: (
        "The mask was enlarged differently",
        "The logits are right, but resizing, cropping or the threshold is not.",
    ),
    Cause.TOGETHER: (
        "Small differences that add up",
        "Each stage is within its bound, but together they move the mask further than allowed.",
    ),
    Cause.ANOTHER_MASK: (
        "Another mask is chosen",
        "Two masks score nearly alike, and rounding decides which one is shown.",
    ),
    Cause.UNCERTAIN_OUTLINE: (
        "The outline is uncertain",
        "The float model's logits are near the threshold here: noise within the bounds moves the outline.",
    ),
    Cause.ROUNDING: (
        "Rounding",
        "Everything is within its bounds; these are the largest of the small differences.",
    ),
}
"""Cause, by the name of a stage or of a `Cause`, in the order of the report → title, and what it means."""


def cause_of(prompt: PromptJudgement) -> str | None:
    """Return the key in `CAUSES` of what made the mask differ; None where nothing differs."""
    if prompt.fault is not None:
        return prompt.fault
    if not prompt.passed:
        return Cause.TOGETHER
    if not prompt.argmax_agrees:
        return Cause.ANOTHER_MASK
    if prompt.mask_iou == 1.0:
        return None
    # The bound was lowered to what the float model is certain of.
    return Cause.UNCERTAIN_OUTLINE if prompt.required_iou == prompt.certain_iou else Cause.ROUNDING
