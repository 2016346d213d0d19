"""Options of everything mode, for the commands that have one."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import click

__all__ = ["everything_options", "given_settings"]


def _collect(ctx: click.Context, option: click.Parameter, value: Any) -> None:
    """Keep what the user gave, by field of `EverythingConfig`."""
    if value is not None and option.name:
        ctx.ensure_object(dict)[option.name] = value


def _setting(flag: str, kind: Any, text: str) -> Callable[[Any], Any]:
    return click.option(flag, type=kind, help=text, expose_value=False, callback=_collect)


SETTINGS = (
    click.option(
        "--flat",
        "hierarchical",
        flag_value=False,
        default=None,
        type=bool,
        help="Everything: one full grid, not two rounds.",
        expose_value=False,
        callback=_collect,
    ),
    _setting("--mode", click.Choice(["fast", "exact"]), "Everything: fast (default), or the official order."),
    _setting("--points-per-side", int, "Everything: points of the grid in each direction."),
    _setting("--pred-iou-thresh", float, "Everything: lowest predicted IoU."),
    _setting("--stability-score-thresh", float, "Everything: lowest stability."),
    _setting("--high-score-thresh", float, "Everything: logit above which round 2 skips a pixel (τ)."),
    _setting("--min-region-area", int, "Everything: fill holes and drop islands below this many pixels."),
    _setting("--max-decoder-calls", int, "Everything: stop after so many calls with the best so far."),
    _setting("--budget-ms", float, "Everything: stop after so many milliseconds with the best so far."),
)


def everything_options(command: Callable[..., None]) -> Callable[..., None]:
    """Add the options of everything mode to a command; `given_settings` has their values."""
    for option in reversed(SETTINGS):
        command = option(command)
    return command


def given_settings() -> dict[str, Any]:
    """Return the settings on the command line, by field of `EverythingConfig`."""
    settings: dict[str, Any] = click.get_current_context().ensure_object(dict)
    return settings
