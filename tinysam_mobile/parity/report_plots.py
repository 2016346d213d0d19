"""Where the marks of the report's plots stand, in pixels; `report.html.j2` draws them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from math import ceil, floor, log10
from typing import Any

from tinysam_mobile.parity.sides import SideResult
from tinysam_mobile.parity.stages import PROMPT_KINDS

__all__ = ["KIND_COLOURS", "SCATTER_HEIGHT", "SCATTER_WIDTH", "TradeOff", "figure", "scatter", "trade_offs"]

SCATTER_WIDTH = 340
SCATTER_HEIGHT = 200
KIND_COLOURS = dict(
    zip(
        PROMPT_KINDS,
        ("#1f77b4", "#17becf", "#d62728", "#2ca02c", "#8c9c00", "#9467bd", "#7f7f7f", "#ff7f0e", "#e377c2"),
        strict=True,
    )
)
ONE_CALL = ("encode", "decode")
"""What a tap on a new photo costs."""
IOU_STEPS = (0.5, 0.2, 0.1, 0.05, 0.02, 0.01, 0.005, 0.002, 0.001)
"""How far below 1 the axis of the mean mask IoU may begin."""


def figure(value: float | None) -> str:
    """A number for a table; equal arrays have an infinite SQNR, which JSON holds as null."""
    if value is None:
        return "–"
    if value == float("inf"):
        return "∞"
    return f"{value:.1f}" if abs(value) >= 10 else f"{value:.4g}"


def scatter(photos: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """Return one mark per prompt: pixel x by the float model's predicted IoU, pixel y by the mask IoU.

    Both axes go from 0 to 1 and hold values outside at their ends.
    """
    return [
        {
            "x": round(SCATTER_WIDTH * _share(prompt["expected_score"]), 1),
            "y": round(SCATTER_HEIGHT * (1 - _share(prompt["mask_iou"])), 1),
            "colour": KIND_COLOURS[prompt["kind"]],
            "agrees": prompt["argmax_agrees"],
            "title": f"{photo['name']}, prompt {prompt['index']} ({prompt['kind']}): "
            f"mask IoU {figure(prompt['mask_iou'])}",
        }
        for photo in photos
        for prompt in photo["prompts"]
    ]


def _share(value: float | None) -> float:
    return min(max(value or 0.0, 0.0), 1.0)


@dataclass(frozen=True, kw_only=True)
class TradeOff:
    """A plot of the mean mask IoU over what a side costs; the x axis goes from 0 to `largest`.

    The y axis goes from `lowest` to 1.  Marks are `number` (the side's row in the page's first table), pixels
    `x` and `y`, and a `title`.
    """

    title: str
    largest: float
    lowest: float
    marks: Sequence[Mapping[str, Any]]


def trade_offs(sides: Sequence[SideResult]) -> list[TradeOff]:
    """Return the plots over size and over latency, without sides of which a figure is not known."""
    plots = [
        ("size, MB", [None if side.size_bytes is None else side.size_bytes / 1e6 for side in sides]),
        ("encode and decode, ms", [_latency(side) for side in sides]),
    ]
    return [plot for title, costs in plots if (plot := _trade_off(title, costs, sides)) is not None]


def _latency(side: SideResult) -> float | None:
    if not all(entry in side.latency_ms for entry in ONE_CALL):
        return None
    return sum(side.latency_ms[entry] for entry in ONE_CALL)


def _trade_off(title: str, costs: Sequence[float | None], sides: Sequence[SideResult]) -> TradeOff | None:
    """Return the plot of what is known of `sides` in order; None where that is less than two marks."""
    known = [
        (number, cost, iou, side.name)
        for number, (cost, side) in enumerate(zip(costs, sides, strict=True), 1)
        if cost is not None and (iou := side.mean_mask_iou) is not None
    ]
    if len(known) < 2:
        return None
    largest = round_up(max(cost for _, cost, _, _ in known))
    worst = 1 - min(iou for _, _, iou, _ in known)
    depth = min((step for step in IOU_STEPS if step >= worst), default=1.0)
    marks = [
        {
            "number": number,
            "x": round(SCATTER_WIDTH * cost / largest, 1),
            "y": round(SCATTER_HEIGHT * (1 - iou) / depth, 1),
            "title": f"{name}: {figure(cost)} ({title}), mean mask IoU {iou:.4f}",
        }
        for number, cost, iou, name in known
    ]
    return TradeOff(title=title, largest=largest, lowest=1 - depth, marks=marks)


def round_up(value: float) -> float:
    """Return the next number above `value` of two digits of which the second is even: 12, 14, … 1.2, …"""
    if value <= 0:
        return 1.0
    unit = 10.0 ** (floor(log10(value)) - 1)
    return 2 * unit * ceil(value / (2 * unit))
