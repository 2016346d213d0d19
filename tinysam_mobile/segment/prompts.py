"""Prompts in original-image pixels, and their packing into the N slots of the decoder.

The packing is the official predictor's: the points, then the two corners of the box; a call with points and
no box gets exactly one pad point.  A box that reaches over the border is clipped to the image.
Slots that are left over carry `Label.UNUSED` and change nothing.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from tinysam_mobile.contract.rules import PadPoint, Rules
from tinysam_mobile.contract.spec import Label
from tinysam_mobile.errors import UsageError
from tinysam_mobile.imaging.preprocess import Geometry

__all__ = ["FILLING_XY", "PackedPrompts", "Prompt", "check_inside", "make_prompt", "pack_prompts"]


FILLING_XY = -1.0
"""Coordinates, in the frame, of the slots that fill a prompt up to a fixed number of points."""


@dataclass(frozen=True, kw_only=True)
class Prompt:
    """Points and at most one box for one object; `make_prompt` builds a checked one.

    `points` f64 (n, 2) x, y and `box` f64 (4,) x0, y0, x1, y1, both in original-image pixels; `labels`
    i32 (n,), 1 on the object and 0 off it.  Nothing at all is a valid prompt beside a mask prompt only.
    """

    points: NDArray[np.float64]
    labels: NDArray[np.int32]
    box: NDArray[np.float64] | None

    @property
    def is_empty(self) -> bool:
        """Whether there is neither a point nor a box."""
        return not len(self.points) and self.box is None

    def slots(self, rules: Rules) -> int:
        """Slots that the prompt takes, with the pad point."""
        count = len(self.points) + (0 if self.box is None else 2)
        return count + (1 if self.has_pad_point(rules) else 0)

    def has_pad_point(self, rules: Rules) -> bool:
        """Whether a slot of label −1 follows the points and corners."""
        if self.is_empty or rules.pad_point is PadPoint.NEVER:
            return False
        return self.box is None or rules.pad_point is PadPoint.ALWAYS


@dataclass(frozen=True, kw_only=True)
class PackedPrompts:
    """Inputs of the decoder: `point_coords` f32 (K, N, 2) in the S frame, `point_labels` i32 (K, N)."""

    point_coords: NDArray[np.float32]
    point_labels: NDArray[np.int32]


def make_prompt(
    point_coords: ArrayLike | None = None,
    point_labels: ArrayLike | None = None,
    box: ArrayLike | None = None,
) -> Prompt:
    """Check and convert a prompt: points (n, 2), labels (n,), box (4,), as lists or arrays.

    Raises `UsageError` for another shape, a label that is not 0 or 1, coordinates that are not finite, and a
    box whose first corner is not its top left.
    """
    points = _finite("point_coords", [] if point_coords is None else point_coords)
    points = points.reshape(0, 2) if points.size == 0 else points
    if points.ndim != 2 or points.shape[1] != 2:
        raise UsageError(f"point_coords must have shape (n, 2), one x, y per point, not {points.shape}")
    labels = _finite("point_labels", [] if point_labels is None else point_labels)
    if labels.shape != (len(points),):
        raise UsageError(f"point_labels must have shape ({len(points)},), one per point, not {labels.shape}")
    if not np.isin(labels, (Label.BACKGROUND, Label.FOREGROUND)).all():
        raise UsageError(f"point_labels must be 1 (on the object) or 0 (off it), not {labels.tolist()}")
    corners = None if box is None else _checked_box(box)
    return Prompt(points=points, labels=labels.astype(np.int32), box=corners)


def _checked_box(box: ArrayLike) -> NDArray[np.float64]:
    corners = _finite("box", box)
    if corners.shape != (4,):
        raise UsageError(f"box must be four numbers x0, y0, x1, y1, not an array of shape {corners.shape}")
    if corners[0] > corners[2] or corners[1] > corners[3]:
        raise UsageError(f"box must be x0, y0, x1, y1 with x0 <= x1 and y0 <= y1, not {corners.tolist()}")
    return corners


def _finite(name: str, values: ArrayLike) -> NDArray[np.float64]:
    try:
        array: NDArray[Any] = np.array(values, np.float64)
    except (TypeError, ValueError, OverflowError) as error:
        raise UsageError(f"{name} must be numbers: {error}") from error
    if not np.isfinite(array).all():
        raise UsageError(f"{name} must be finite numbers, not {array.tolist()}")
    return array


def pack_prompts(prompts: Sequence[Prompt], geometry: Geometry, *, slots: int, batch: int) -> PackedPrompts:
    """Pack at most `batch` prompts into (batch, slots); prompts beyond the last are made of unused slots.

    Raises `UsageError` if a prompt needs more than `slots` slots or lies outside the image.
    """
    coords = np.zeros((batch, slots, 2), np.float32)
    labels = np.full((batch, slots), Label.UNUSED, np.int32)
    for row, prompt in enumerate(prompts):
        _check_fits(prompt, geometry, slots)
        count = len(prompt.points)
        coords[row, :count] = geometry.to_model(prompt.points)
        labels[row, :count] = prompt.labels
        if prompt.box is not None:
            # A detector's box may reach over the border, where the network has seen nothing but padding.
            height, width = geometry.original_size
            corners = np.clip(prompt.box.reshape(2, 2), 0, (width, height))
            coords[row, count : count + 2] = geometry.to_model(corners)
            labels[row, count : count + 2] = Label.BOX_TOP_LEFT, Label.BOX_BOTTOM_RIGHT
            count += 2
        if prompt.has_pad_point(geometry.rules):
            labels[row, count] = Label.PAD
        if count < geometry.rules.fixed_points:
            coords[row, count : geometry.rules.fixed_points] = FILLING_XY
            labels[row, count : geometry.rules.fixed_points] = Label.PAD
    return PackedPrompts(point_coords=coords, point_labels=labels)


def _check_fits(prompt: Prompt, geometry: Geometry, slots: int) -> None:
    rules = geometry.rules
    if not rules.negative_points and (prompt.labels == Label.BACKGROUND).any():
        raise UsageError("this model was never trained with points off the object (label 0): leave them out")
    needed = prompt.slots(rules)
    if rules.fixed_points and needed > rules.fixed_points:
        raise UsageError(
            f"this model takes {rules.fixed_points} points, a box counting for two: not {needed}"
        )
    if needed > slots:
        parts = f"{len(prompt.points)} points" + ("" if prompt.box is None else ", a box")
        parts += ", a pad point" if prompt.has_pad_point(rules) else ""
        raise UsageError(
            f"the prompt takes {needed} slots ({parts}), this model has {slots}: "
            f"give fewer points or convert with --slots {needed}"
        )
    check_inside(prompt, geometry.original_size)


def check_inside(prompt: Prompt, size: tuple[int, int]) -> None:
    """Raise `UsageError` if a point, or the whole box, lies outside an image of `size`, height and width."""
    height, width = size
    # SAM answers such prompts too, with noise; the usual cause is (y, x), or pixels of a resized copy.
    outside = ((prompt.points < 0) | (prompt.points > (width, height))).any(axis=1)
    if outside.any():
        x, y = prompt.points[outside][0]
        raise UsageError(f"point {x:g},{y:g} (x,y) is outside the image of width {width} and height {height}")
    if prompt.box is not None and not _overlaps(prompt.box, width, height):
        x0, y0, x1, y1 = prompt.box
        raise UsageError(
            f"box {x0:g},{y0:g},{x1:g},{y1:g} is outside the image of width {width} and height {height}"
        )


def _overlaps(box: NDArray[np.float64], width: int, height: int) -> bool:
    """A detector's box may reach over the border, as long as part of it is in the image."""
    return bool(box[0] <= width and box[1] <= height and box[2] >= 0 and box[3] >= 0)
