"""Options that replace a recipe's bounds, for the commands that judge."""

from __future__ import annotations

from collections.abc import Callable

from tinysam_mobile.cli.options import given, number_option

__all__ = ["bound_options", "given_bounds"]

MAX_DECIBEL = 1000.0

BOUNDS = {
    "min_mask_iou": number_option(
        "--min-mask-iou",
        "min_mask_iou",
        0,
        1,
        "Lowest mask IoU with PyTorch that every prompt must reach, in place of the recipe's bound.",
    ),
    "min_boundary_iou": number_option(
        "--min-boundary-iou",
        "min_boundary_iou",
        0,
        1,
        "Lowest boundary IoU that every prompt must reach, in place of the recipe's bound.",
    ),
    "min_embedding_sqnr_db": number_option(
        "--min-embedding-sqnr",
        "min_embedding_sqnr_db",
        -MAX_DECIBEL,
        MAX_DECIBEL,
        "Lowest SQNR of the image embeddings in dB, in place of the recipe's bound.",
    ),
    "min_logits_sqnr_db": number_option(
        "--min-logits-sqnr",
        "min_logits_sqnr_db",
        -MAX_DECIBEL,
        MAX_DECIBEL,
        "Lowest SQNR of the mask logits in dB, in place of the recipe's bound.",
    ),
    "max_score_difference": number_option(
        "--max-score-difference",
        "max_score_difference",
        0,
        None,
        "Largest difference of a predicted IoU from PyTorch's, in place of the recipe's bound.",
    ),
}


def bound_options(command: Callable[..., None]) -> Callable[..., None]:
    """Add the options to a command; `given_bounds` has their values."""
    for option in reversed(BOUNDS.values()):
        command = option(command)
    return command


def given_bounds() -> dict[str, float]:
    """Return the bounds on the command line, by field of `Bounds`."""
    return given(tuple(BOUNDS))
