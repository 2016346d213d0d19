"""The prompt of `tinysam-mobile segment`: points and a box, read and checked before any model is loaded."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from tinysam_mobile.errors import UsageError
from tinysam_mobile.segment.prompts import check_inside, make_prompt

__all__ = ["AskedPrompt", "parse_box", "parse_point", "read_prompt"]

Point = tuple[float, float, int]
Box = tuple[float, float, float, float]


@dataclass(frozen=True, kw_only=True)
class AskedPrompt:
    """`points` x, y, label and `box` x0, y0, x1, y1, in pixels of the photo."""

    points: tuple[Point, ...]
    box: Box | None

    def arguments(self) -> dict[str, Any]:
        """What `Predictor.predict` takes."""
        return {
            "point_coords": [point[:2] for point in self.points] or None,
            "point_labels": [point[2] for point in self.points] or None,
            "box": self.box,
        }

    def check(self, size: tuple[int, int]) -> None:
        """Raise `UsageError` if the prompt lies outside a photo of `size`, height and width."""
        check_inside(make_prompt(**self.arguments()), size)


def read_prompt(points: Sequence[str], boxes: Sequence[str]) -> AskedPrompt:
    """Read what --point and --box were given; raises `UsageError`."""
    asked = AskedPrompt(
        points=tuple(parse_point(text) for text in points),
        box=parse_box(boxes[0]) if boxes else None,
    )
    if len(boxes) > 1:
        raise UsageError(f"--box was given {len(boxes)} times, and a prompt has one: run once for each box")
    if not asked.points and asked.box is None:
        raise UsageError(
            "nothing to segment: give --point x,y or --box x0,y0,x1,y1 in pixels of the photo, "
            "or --everything for all objects"
        )
    return asked


def parse_point(text: str) -> Point:
    """`x,y` or `x,y,label` with label 1 (on the object, the default) or 0 (outside it)."""
    x, y, *rest = _numbers(text, "--point", (2, 3), "x,y or x,y,0 or x,y,1 in pixels, for example 320,240")
    label = rest[0] if rest else 1.0
    if label not in (0.0, 1.0):
        raise UsageError(f"--point {text!r}: the label is 1 (on the object) or 0 (outside it)")
    return x, y, int(label)


def parse_box(text: str) -> Box:
    """`x0,y0,x1,y1`, of which the first two are the top left corner."""
    x0, y0, x1, y1 = _numbers(text, "--box", (4,), "x0,y0,x1,y1 in pixels, for example 10,20,300,400")
    if x0 >= x1 or y0 >= y1:
        left, right, top, bottom = min(x0, x1), max(x0, x1), min(y0, y1), max(y0, y1)
        if left == right or top == bottom:
            raise UsageError(f"--box {text!r} has no area: give its top left and its bottom right corner")
        raise UsageError(
            f"--box {text!r}: the top left corner comes first; did you mean "
            f"--box {left:g},{top:g},{right:g},{bottom:g}?"
        )
    return x0, y0, x1, y1


def _numbers(text: str, option: str, counts: Sequence[int], example: str) -> list[float]:
    try:
        values = [float(part) for part in text.split(",")]
    except ValueError:
        values = []
    if len(values) not in counts or not np.isfinite(values).all():
        raise UsageError(f"{option} {text!r}: expected {example}")
    return values
