"""Thresholds of everything mode as a checkpoint and a manifest store them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from tinysam_mobile.errors import InputError

__all__ = [
    "BOX_MARGIN",
    "COARSE_FACTOR",
    "CROP_EDGE_PIXELS",
    "CROP_NMS_THRESH",
    "CROP_OVERLAP_RATIO",
    "DUPLICATE_IOUS",
    "EVERYTHING_DEFAULTS",
    "EVERYTHING_KEY",
    "MAX_WAITING_BYTES",
    "NEAR_IOU_SLACK",
    "SCORE_SLACK",
    "SECOND_ROUND_OFFSETS",
    "STABILITY_MARGIN_CELLS",
    "WINDOW_MARGIN_CELLS",
    "everything_settings",
]

EVERYTHING_KEY = "everything"
"""Metadata key of a checkpoint, and key of a manifest."""

CROP_NMS_THRESH = 0.7
"""Box IoU above which masks of different crops, or whose small regions were cleaned, are duplicates."""

CROP_OVERLAP_RATIO = 512 / 1500
"""How far the crops of the first layer overlap, in parts of the short side (segment-anything, amg)."""

CROP_EDGE_PIXELS = 20
"""A box this near to a crop's edge, and not to the photo's, is taken to be cut (segment-anything, amg)."""

EVERYTHING_DEFAULTS: Mapping[str, float] = {
    "points_per_side": 32,
    "pred_iou_thresh": 0.88,
    "stability_score_thresh": 0.95,
    "stability_score_offset": 1.0,
    "high_score_thresh": 8.5,
    "box_nms_thresh": 0.7,
}
"""Of the paper's everything mode (arXiv 2312.13789, section 3.4); fields of `EverythingConfig`."""

MAX_LOGIT = 1e6
RANGES: Mapping[str, tuple[float, float]] = {
    "points_per_side": (1, 256),
    "pred_iou_thresh": (-MAX_LOGIT, MAX_LOGIT),
    "stability_score_thresh": (0, 1),
    "box_nms_thresh": (0, 1),
}
"""Lowest and highest value that makes sense; of those that are missing here, any logit."""

COARSE_FACTOR = 4
"""Round 1 uses every fourth point of the grid in each direction (arXiv 2312.13789, section 3.4)."""

SECOND_ROUND_OFFSETS = (
    *((-1, -1), (-1, 0), (-1, 1), (0, -1), (0, 1), (1, -1), (1, 0), (1, 1)),
    *((2, -1), (2, 0), (2, 1), (-1, 2), (0, 2), (1, 2), (2, 2)),
)
"""(x, y) in steps of the lattice around a coarse point, in the order of the official code."""

# The fast mode, the same for every checkpoint; the apps read these from a manifest.

NEAR_IOU_SLACK = 0.05
"""A black point of the second round's chessboard is decoded if the best predicted IoU of one of its
neighbours lacks at most this to the threshold."""
SCORE_SLACK = 0.02
"""A point is decoded if its score lacks at most this: `score_batch` and `decode_batch` of one artifact round
differently, and the decoder's score decides."""
WINDOW_MARGIN_CELLS = 3
"""Cells that a pixel of an upscaled mask reads, in each direction: kept around a mask that waits."""
MAX_WAITING_BYTES = 256 * 2**20
"""Of low-resolution logits f16; beyond that near-duplicates go before all candidates are known."""
DUPLICATE_IOUS = (0.97, 0.9, 0.8)
"""Box IoUs above which duplicates go then, one after the other until it is enough.  A candidate that goes
would have stayed only if the one above it is itself suppressed later by a third that spares it."""
BOX_MARGIN = 0.2
"""Rough boxes decide over an overlap only if it is this far from the threshold; else full-size boxes do."""
STABILITY_MARGIN_CELLS = 1.0
"""A low-resolution stability is measured again at full size if it is nearer to the threshold than this over
the square root of the mask's area in cells: it is wrong by cells along the outline."""


def everything_settings(stored: Any) -> dict[str, Any]:
    """Return the defaults with the values of `stored` over them, ready for `EverythingConfig(**settings)`.

    Raises `InputError` for anything but an object with numbers under the keys of `EVERYTHING_DEFAULTS`.
    """
    known = ", ".join(EVERYTHING_DEFAULTS)
    if not isinstance(stored, Mapping) or not set(stored) <= set(EVERYTHING_DEFAULTS):
        raise InputError(f"everything-mode thresholds must be an object with some of the keys {known}")
    for key, value in stored.items():
        kinds = (int,) if key == "points_per_side" else (int, float)
        lowest, highest = RANGES.get(key, (-MAX_LOGIT, MAX_LOGIT))
        # NaN is in no range, and an integer of any length can be compared.
        if type(value) not in kinds or not lowest <= value <= highest:
            raise InputError(
                f"everything-mode threshold {key} must be a number from {lowest:g} to {highest:g}, not "
                f"{str(value)[:40]}"
            )
    return {**EVERYTHING_DEFAULTS, **stored}
