"""Packing of prompts into slots, and prompts that are refused."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from tinysam_mobile.imaging.preprocess import Geometry
from tinysam_mobile.segment.prompts import make_prompt, pack_prompts

from .store import Case, flat

SIZES = {"landscape": (480, 640), "portrait": (61, 37), "one_pixel": (1, 1)}


def prompt(
    points: list[float] | None = None,
    labels: list[int] | None = None,
    box: list[float] | None = None,
    mask: bool = False,
) -> dict[str, Any]:
    return {"points": points or [], "labels": labels or [], "box": box, "has_mask_input": mask}


PACKED = {
    "one_point": ("landscape", 8, 1, [prompt([320.25, 100.5], [1])]),
    "one_negative_point": ("landscape", 8, 1, [prompt([1.0, 2.0], [0])]),
    "two_points_both_labels": ("landscape", 8, 1, [prompt([10.0, 20.0, 639.5, 479.5], [1, 0])]),
    "box": ("landscape", 8, 1, [prompt(box=[12.5, 30.0, 300.75, 200.1])]),
    "box_without_area": ("landscape", 8, 1, [prompt(box=[12.0, 30.0, 12.0, 30.0])]),
    "box_and_points": (
        "landscape",
        8,
        1,
        [prompt([50.0, 60.0, 70.0, 80.0], [1, 0], [10.0, 20.0, 300.0, 400.0])],
    ),
    "box_over_the_border": ("landscape", 8, 1, [prompt(box=[-20.0, -5.5, 700.0, 20.0])]),
    "points_fill_all_slots": ("landscape", 4, 1, [prompt([1.0, 1.0, 2.0, 2.0, 3.0, 3.0], [1, 1, 0])]),
    "points_and_box_fill_all_slots": (
        "landscape",
        4,
        1,
        [prompt([1.0, 1.0, 2.0, 2.0], [1, 1], [0.0, 0.0, 9.0, 9.0])],
    ),
    "point_on_the_far_border": ("landscape", 8, 1, [prompt([640.0, 480.0], [1])]),
    "fewest_slots": ("landscape", 2, 1, [prompt([5.0, 6.0], [1])]),
    "fewest_slots_box": ("landscape", 2, 1, [prompt(box=[5.0, 6.0, 7.0, 8.0])]),
    "mask_prompt_only": ("landscape", 8, 1, [prompt(mask=True)]),
    "mask_prompt_and_point": ("landscape", 8, 1, [prompt([5.0, 6.0], [1], mask=True)]),
    "portrait_rounding": ("portrait", 8, 1, [prompt([36.9, 60.9, 0.1, 0.1], [1, 1])]),
    "one_pixel_photo": ("one_pixel", 8, 1, [prompt([0.5, 0.5], [1])]),
    "full_batch": ("landscape", 3, 2, [prompt([5.0, 6.0], [1]), prompt(box=[1.0, 2.0, 3.0, 4.0])]),
    "batch_with_spare_rows": ("landscape", 3, 4, [prompt([5.0, 6.0], [1]), prompt([7.1, 8.2], [0])]),
    "batch_of_one_in_sixteen": ("portrait", 8, 16, [prompt([5.0, 6.0], [1])]),
}

REFUSED = {
    "too_many_points": ("too_many_slots", "landscape", 4, prompt([1.0, 1.0] * 4, [1] * 4)),
    "too_many_points_beside_a_box": (
        "too_many_slots",
        "landscape",
        4,
        prompt([1.0, 1.0] * 3, [1] * 3, [0.0, 0.0, 1.0, 1.0]),
    ),
    "point_left_of_the_photo": ("point_outside", "landscape", 8, prompt([-0.5, 10.0], [1])),
    "point_right_of_the_photo": ("point_outside", "landscape", 8, prompt([640.5, 10.0], [1])),
    "point_above_the_photo": ("point_outside", "landscape", 8, prompt([10.0, -1.0], [1])),
    "point_below_the_photo": ("point_outside", "landscape", 8, prompt([10.0, 481.0], [1])),
    "second_point_outside": ("point_outside", "landscape", 8, prompt([1.0, 1.0, 10.0, 481.0], [1, 0])),
    "x_and_y_exchanged": ("point_outside", "portrait", 8, prompt([60.0, 10.0], [1])),
    "box_outside": ("box_outside", "landscape", 8, prompt(box=[700.0, 10.0, 800.0, 20.0])),
    "box_outside_above": ("box_outside", "landscape", 8, prompt(box=[10.0, -20.0, 20.0, -10.0])),
    "box_corners_exchanged": ("box_order", "landscape", 8, prompt(box=[50.0, 10.0, 20.0, 40.0])),
    "box_bottom_above_top": ("box_order", "landscape", 8, prompt(box=[10.0, 50.0, 20.0, 40.0])),
    "label_two": ("bad_label", "landscape", 8, prompt([1.0, 1.0], [2])),
    "label_minus_one": ("bad_label", "landscape", 8, prompt([1.0, 1.0], [-1])),
    "label_missing": ("label_count", "landscape", 8, prompt([1.0, 1.0, 2.0, 2.0], [1])),
    "label_without_point": ("label_count", "landscape", 8, prompt([], [1])),
    "nothing_at_all": ("empty", "landscape", 8, prompt()),
}
IMAGE_SIZE = 128


def slot_cases() -> Iterator[Case]:
    for name, (size, slots, batch, prompts) in PACKED.items():
        packed = pack_prompts(
            [make_prompt(_pairs(p["points"]), p["labels"], p["box"]) for p in prompts],
            Geometry.of(SIZES[size], IMAGE_SIZE),
            slots=slots,
            batch=batch,
        )
        yield {
            **_common(name, size, slots, batch, prompts),
            "point_coords": flat(packed.point_coords),
            "point_labels": flat(packed.point_labels),
        }
    for name, (error, size, slots, refused) in REFUSED.items():
        yield {**_common(name, size, slots, 1, [refused]), "error": error}


def _common(name: str, size: str, slots: int, batch: int, prompts: list[dict[str, Any]]) -> Case:
    height, width = SIZES[size]
    case = {"name": name, "image_size": IMAGE_SIZE, "height": height, "width": width}
    return {**case, "slots": slots, "batch": batch, "prompts": prompts}


def _pairs(points: list[float]) -> list[list[float]]:
    return [points[i : i + 2] for i in range(0, len(points), 2)]
