"""How far a side may be from the float model, per recipe (and runtime), each limit with its reason.

Every stage is compared on the side's own input of that stage; only the masks are compared end to end.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace

from tinysam_mobile.errors import UnknownNameError

__all__ = ["BOUNDS", "Bounds", "Limit", "bounds_for"]


@dataclass(frozen=True, kw_only=True)
class Limit:
    """A number and why it is that one."""

    value: float
    reason: str


@dataclass(frozen=True, kw_only=True)
class Bounds:
    """The limits of one comparison; `min_` is the lowest that passes, `max_` the highest.

    `max_slot_px` is in the S frame.  `max_wrong_logit`: a pixel on the wrong side of the threshold may have a
    logit of this size, as a share of the RMS logit of its mask.  `min_mask_iou` and `min_boundary_iou` hold
    for each prompt, end to end.
    `max_everything_unexplained`: share of objects that one side alone finds, ties apart.
    """

    min_image_sqnr_db: Limit
    min_embedding_sqnr_db: Limit
    max_slot_px: Limit
    min_logits_sqnr_db: Limit
    max_score_difference: Limit
    max_wrong_logit: Limit
    min_mask_iou: Limit
    min_boundary_iou: Limit
    max_everything_unexplained: Limit


FP32 = Bounds(
    min_image_sqnr_db=Limit(
        value=35.0,
        reason="another JPEG decoder or antialiased filter moves pixels by 1 or 2 levels of 255 (40 dB and "
        "more); nearest-neighbour or no antialiasing costs 30 dB or less",
    ),
    min_embedding_sqnr_db=Limit(
        value=90.0,
        reason="two correct float32 programs differ by the order of their sums, about 1e-6 (120 dB) a layer",
    ),
    max_slot_px=Limit(value=0.1, reason="rounding x and y to the S frame in float32 leaves 1e-4 px"),
    min_logits_sqnr_db=Limit(
        value=80.0, reason="as the embedding; the golden answers of the official decoder allow 80 dB"
    ),
    max_score_difference=Limit(value=1e-3, reason="80 dB of a score near 1, ten times over"),
    max_wrong_logit=Limit(
        value=0.02,
        reason="bilinear resizing in float16 errs by 1e-3 of its largest input, a threshold before it by "
        "whole logits",
    ),
    min_mask_iou=Limit(value=0.99, reason="float32 moves no pixel but those whose logit is 0 to 1e-4"),
    min_boundary_iou=Limit(value=0.97, reason="the same pixels, counted in a narrow band"),
    max_everything_unexplained=Limit(value=0.02, reason="ties apart, the same objects must come out"),
)
FP16 = replace(
    FP32,
    min_embedding_sqnr_db=Limit(
        value=50.0, reason="11 significant bits are 68 dB a rounding; some hundred in a row leave 50"
    ),
    min_logits_sqnr_db=Limit(value=45.0, reason="as the embedding, with logits near 0 beside large ones"),
    max_score_difference=Limit(value=0.01, reason="45 dB of a score near 1, twice over"),
    min_mask_iou=Limit(value=0.95, reason="0.3 % of the embedding moves outlines by part of a pixel"),
    min_boundary_iou=Limit(value=0.85, reason="the same pixels, counted in a narrow band"),
    max_everything_unexplained=Limit(value=0.1, reason="rounding decides by more than the margin of a tie"),
)
FP16_SUMS = replace(
    FP16,
    min_embedding_sqnr_db=Limit(
        value=35.0, reason="XNNPACK adds up in float16 too: sums of some hundred terms keep 5 to 7 bits"
    ),
    min_logits_sqnr_db=Limit(value=30.0, reason="as the embedding"),
    max_score_difference=Limit(value=0.05, reason="30 dB of a score near 1, twice over"),
    min_mask_iou=Limit(value=0.9, reason="1 % of the embedding moves outlines by a pixel"),
    min_boundary_iou=Limit(value=0.75, reason="the same pixels, counted in a narrow band"),
)


def _quantized(
    embedding_db: float, logits_db: float, score: float, mask_iou: float, boundary_iou: float, reason: str
) -> Bounds:
    """Bounds that catch what is broken; what a recipe costs in accuracy is measured on annotated photos."""
    return replace(
        FP16,
        min_embedding_sqnr_db=Limit(value=embedding_db, reason=reason),
        min_logits_sqnr_db=Limit(value=logits_db, reason=reason),
        max_score_difference=Limit(value=score, reason=reason),
        min_mask_iou=Limit(value=mask_iou, reason=reason),
        min_boundary_iou=Limit(value=boundary_iou, reason=reason),
        max_everything_unexplained=Limit(value=1 - mask_iou, reason=reason),
    )


WEIGHTS_8 = "a weight of 8 bits has about 40 dB; some fifty layers add their noise, which costs 10 to 17"
ACTIVATIONS_8 = "8-bit activations cost as much again as 8-bit weights"
WEIGHTS_6 = "a weight of 6 bits has about 28 dB, 12 less than one of 8"
WEIGHTS_4 = "a weight of 4 bits has about 16 dB, which the layers of a small network use up"
BOUNDS: Mapping[str, Bounds] = {
    "fp32": FP32,
    "fp16": FP16,
    "executorch fp16": FP16_SUMS,
    "weight_only_w8": _quantized(25.0, 20.0, 0.1, 0.8, 0.5, WEIGHTS_8),
    "palettized_w8": _quantized(25.0, 20.0, 0.1, 0.8, 0.5, WEIGHTS_8),
    "dynamic_w8": _quantized(20.0, 15.0, 0.15, 0.7, 0.4, ACTIVATIONS_8),
    "static_w8a8": _quantized(12.0, 10.0, 0.3, 0.5, 0.2, ACTIVATIONS_8),
    "static_w8a8_attn16": _quantized(12.0, 10.0, 0.3, 0.5, 0.2, ACTIVATIONS_8),
    "palettized_w6": _quantized(12.0, 8.0, 0.3, 0.5, 0.2, WEIGHTS_6),
    "weight_only_w4_block32": _quantized(5.0, 3.0, 0.5, 0.3, 0.1, WEIGHTS_4),
    "palettized_w4": _quantized(2.0, 0.0, 0.5, 0.2, 0.0, WEIGHTS_4),
}
"""By recipe, or by runtime and recipe where that runtime computes otherwise."""


def bounds_for(runtime: str, recipe: str, overrides: Mapping[str, float] | None = None) -> Bounds:
    """Return the bounds of a recipe on a runtime, with the limits that the user named replaced.

    `overrides` maps field names of `Bounds` to numbers.  Raises `UnknownNameError` for a recipe without
    bounds or a limit that does not exist.
    """
    if recipe not in BOUNDS:
        raise UnknownNameError("recipe", recipe, BOUNDS)
    bounds = BOUNDS.get(f"{runtime} {recipe}", BOUNDS[recipe])
    for name, value in (overrides or {}).items():
        if name not in Bounds.__dataclass_fields__:
            raise UnknownNameError("limit", name, Bounds.__dataclass_fields__)
        bounds = replace(bounds, **{name: Limit(value=value, reason="given by the user")})
    return bounds
