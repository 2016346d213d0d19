"""Options of everything mode, for the commands that have one."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import click

from tinysam_mobile.cli.options import given, kept_option, number_option

__all__ = ["everything_options", "given_flags", "given_settings", "points_per_side_option"]

MAX_LOGIT = 1000.0
MAX_PIXELS = 2**31 - 1

points_per_side_option: Callable[[Callable[..., None]], Callable[..., None]] = kept_option(
    "--points-per-side",
    "points_per_side",
    click.IntRange(1, 256),
    "Everything mode: points of the grid in each direction.",
)
SETTINGS = {
    "hierarchical": kept_option(
        "--flat",
        "hierarchical",
        click.BOOL,
        "Everything mode: one full grid instead of two rounds.",
        flag_value=False,
        default=None,
    ),
    "mode": kept_option(
        "--mode",
        "mode",
        click.Choice(["fast", "exact"]),
        "Everything mode: fast by default, or exact, which keeps to the official order.",
    ),
    "points_per_side": points_per_side_option,
    "pred_iou_thresh": number_option(
        "--pred-iou-thresh",
        "pred_iou_thresh",
        -MAX_LOGIT,
        1,
        "Everything mode: lowest predicted IoU of a mask.",
    ),
    "stability_score_thresh": number_option(
        "--stability-score-thresh",
        "stability_score_thresh",
        0,
        1,
        "Everything mode: lowest stability score of a mask.",
    ),
    "high_score_thresh": number_option(
        "--high-score-thresh",
        "high_score_thresh",
        -MAX_LOGIT,
        MAX_LOGIT,
        "Everything mode: logit above which the second round skips a pixel (τ in the paper).",
    ),
    "min_region_area": kept_option(
        "--min-region-area",
        "min_region_area",
        click.IntRange(0, MAX_PIXELS),
        "Everything mode: fill holes and remove islands of fewer pixels than this.",
    ),
    "max_decoder_calls": kept_option(
        "--max-decoder-calls",
        "max_decoder_calls",
        click.IntRange(1, MAX_PIXELS),
        "Everything mode: stop after so many decoder calls, with the best masks so far.",
    ),
    "budget_ms": number_option(
        "--budget-ms",
        "budget_ms",
        0,
        1e9,
        "Everything mode: stop after so many milliseconds, with the best masks so far.",
    ),
}


def everything_options(command: Callable[..., None]) -> Callable[..., None]:
    """Add the options of everything mode to a command; `given_settings` has their values."""
    for option in reversed(SETTINGS.values()):
        command = option(command)
    return command


def given_settings() -> dict[str, Any]:
    """Return the settings on the command line, by field of `EverythingConfig`."""
    return given(tuple(SETTINGS))


def given_flags() -> list[str]:
    """Return the options of everything mode on the command line, as the user wrote them."""
    names = given_settings()
    return [option.opts[0] for option in click.get_current_context().command.params if option.name in names]
