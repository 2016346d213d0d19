"""Options that replace a recipe's bounds, for the commands that judge."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import click

__all__ = ["bound_options", "given_bounds"]


def _collect(ctx: click.Context, option: click.Parameter, value: float | None) -> None:
    """Keep what the user gave, by field of `Bounds`."""
    if value is not None and option.name:
        ctx.ensure_object(dict)[option.name] = value


def _bound(flag: str, field: str, text: str) -> Callable[[Any], Any]:
    return click.option(flag, field, type=float, help=text, expose_value=False, callback=_collect)


BOUNDS = (
    _bound("--min-mask-iou", "min_mask_iou", "Replaces the recipe's bound, for every prompt."),
    _bound("--min-boundary-iou", "min_boundary_iou", "Replaces the recipe's bound, for every prompt."),
    _bound("--min-embedding-sqnr", "min_embedding_sqnr_db", "In dB; replaces the recipe's bound."),
    _bound("--min-logits-sqnr", "min_logits_sqnr_db", "In dB; replaces the recipe's bound."),
    _bound("--max-score-difference", "max_score_difference", "Replaces the recipe's bound."),
)


def bound_options(command: Callable[..., None]) -> Callable[..., None]:
    """Add the options to a command; `given_bounds` has their values."""
    for option in reversed(BOUNDS):
        command = option(command)
    return command


def given_bounds() -> dict[str, float]:
    """Return the bounds on the command line, by field of `Bounds`."""
    bounds: dict[str, float] = click.get_current_context().ensure_object(dict)
    return bounds
