"""The rules of a model in words, for the manifest: apps decide by `rules`, people read this."""

from __future__ import annotations

from tinysam_mobile.contract.rules import (
    Filter,
    PadPoint,
    PointScale,
    Resize,
    Rounding,
    Rules,
    Selection,
    Upscale,
)

__all__ = ["filter_text", "frame_text", "packing_text", "selection_text", "size_text", "upscale_text"]

SIZE_RULES = {
    Rounding.HALF_UP: "side = max(1, floor(side * long_side / longest_side + 0.5))",
    Rounding.DOWN: "shorter side = max(1, floor(long_side / aspect)), or floor(long_side * aspect) for a "
    "portrait; aspect = width / height in float64",
}
PADS = {
    PadPoint.WITHOUT_BOX: ["without a box: one pad slot, label -1, at (0, 0)"],
    PadPoint.ALWAYS: ["last, with a box too: one pad slot, label -1, at (0, 0)"],
    PadPoint.NEVER: [],
}
SELECTIONS = {
    Selection.PREDICTED_IOU: "highest iou_predictions",
    Selection.STABILITY: "highest stability: low-resolution logits above +1 over those above -1",
}


def size_text(rules: Rules) -> str:
    """How large the photo is in the input square."""
    if rules.resize is Resize.STRETCH:
        return "both sides = long_side; the aspect ratio is not kept"
    return SIZE_RULES[rules.rounding]


def filter_text(rules: Rules) -> str:
    """How the photo is resized."""
    shrinking = "antialiased (support grows with the shrink factor)" if rules.antialias else "not antialiased"
    return f"{rules.filter}, {shrinking}" + ("" if rules.whole_values else ", values are not rounded")


def frame_text(rules: Rules) -> str:
    """Where points are."""
    if rules.point_scale is PointScale.UNIFORM:
        return "x, y in the frame: original x, y * frame_size / longest side"
    if rules.frame_scale == 1:
        return "x, y in pixels of the resized photo (original x * resized_width / original_width, y alike)"
    return (
        f"x, y in pixels of the photo as it would be resized to {rules.frame_scale} * image_size "
        "(original x * that width / original_width, y alike)"
    )


def packing_text(rules: Rules) -> list[str]:
    """How a prompt fills its slots."""
    fill = f"up to {rules.fixed_points} slots: label -1, at (-1, -1); a prompt that needs more is refused"
    return [
        "points in the order given"
        + ("" if rules.negative_points else "; label 0 is refused: never trained"),
        *PADS[rules.pad_point],
        "with a box: its top-left corner with label 2, then its bottom-right corner with label 3",
        *([fill] if rules.fixed_points else []),
        "every remaining slot: label -2",
    ]


def upscale_text(rules: Rules) -> list[str]:
    """From low-resolution logits to a mask."""
    how = f"{rules.upscale_filter}, align_corners false, no antialiasing"
    if rules.upscale_filter is Filter.BICUBIC:
        how += ", a = -0.75"
    if rules.upscale is Upscale.OVER_FRAME:
        side = "image_size" if rules.frame_scale == 1 else f"{rules.frame_scale} * image_size"
        first = [
            f"resize logits to {side} x {side}: {how}",
            "crop to valid_size" if rules.frame_scale == 1 else "crop to the photo's part of that square",
        ]
    elif rules.resize is Resize.STRETCH:
        first = []
    else:
        first = ["crop logits to max(1, floor(low_res_size * side / longest side)) of the original's sides"]
    return [*first, f"resize to the original size: {how}", "mask = logit > threshold"]


def selection_text(rules: Rules) -> str:
    """Which mask is shown."""
    return SELECTIONS[rules.selection]
