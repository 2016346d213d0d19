"""What an app does around the network, as data: a family differs from SAM here, never by its name.

The values are written into `manifest.json` under `rules`, and every app reads them there.  `SAM_RULES` are
those of Segment Anything (arXiv 2304.02643) and of TinySAM.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields
from enum import StrEnum
from typing import Any

from tinysam_mobile.errors import InputError

__all__ = [
    "SAM_RULES",
    "Filter",
    "PadPoint",
    "PointScale",
    "Resize",
    "Rounding",
    "Rules",
    "Selection",
    "Upscale",
]


class Resize(StrEnum):
    """How a photo comes into the square of side S."""

    LONGEST_SIDE = "longest_side"
    """Its longest side becomes S; the rest of the square, at the right and bottom, is padding."""
    STRETCH = "stretch"
    """Both sides become S, whatever the aspect ratio; there is no padding."""


class Rounding(StrEnum):
    """The length of the shorter side, side · S / longest, in whole pixels and never 0."""

    HALF_UP = "half_up"
    DOWN = "down"


class Filter(StrEnum):
    """Interpolation with half-pixel centres (align_corners false)."""

    BILINEAR = "bilinear"
    BICUBIC = "bicubic"
    """With a = −0.5 for photos, as Pillow has it, and −0.75 for masks, as PyTorch has it."""


class PointScale(StrEnum):
    """What the coordinates of a prompt are multiplied by to come into the frame of side F."""

    PER_AXIS = "per_axis"
    """Each axis by the resized over the original length, both in whole pixels."""
    UNIFORM = "uniform"
    """Both axes by F / longest side."""


class PadPoint(StrEnum):
    """Whether a prompt gets one slot of label −1 after its points and corners."""

    WITHOUT_BOX = "without_box"
    ALWAYS = "always"
    NEVER = "never"


class Selection(StrEnum):
    """Which of a prompt's masks is shown: the first of those with the highest score of this kind."""

    PREDICTED_IOU = "predicted_iou"
    STABILITY = "stability"
    """Pixels of the low-resolution mask with a logit above +1 over those with one above −1; 0 without any."""


class Upscale(StrEnum):
    """How low-resolution logits come to the size of the photo."""

    OVER_FRAME = "over_frame"
    """To the frame of side F, cropped to the photo's part, then to the photo."""
    AT_ONCE = "at_once"
    """Cropped to the photo's part of the low-resolution mask, then to the photo."""


@dataclass(frozen=True, kw_only=True)
class Rules:
    """The rules of one model.

    `resize`, `rounding` and `filter` make the photo's part of the square; with `antialias` the filter's
    support grows with the shrink factor, and with `whole_values` the result is rounded to 0…255 as Pillow's
    is.  Points and masks live in a frame of side F = S · `frame_scale`, in which the photo is resized by the
    same rule.  With `fixed_points` above 0 every prompt has as many: slots of label −1 at (−1, −1) fill it.
    Without `negative_points` or `mask_prompts` the model was never trained with such prompts, which are
    refused.  `num_masks` masks come back per prompt; `selection` says which one to show.  A pixel belongs to
    the mask where its logit is above 0.
    """

    resize: Resize = Resize.LONGEST_SIDE
    rounding: Rounding = Rounding.HALF_UP
    filter: Filter = Filter.BILINEAR
    antialias: bool = True
    whole_values: bool = True
    point_scale: PointScale = PointScale.PER_AXIS
    frame_scale: int = 1
    pad_point: PadPoint = PadPoint.WITHOUT_BOX
    fixed_points: int = 0
    negative_points: bool = True
    mask_prompts: bool = True
    num_masks: int = 3
    selection: Selection = Selection.PREDICTED_IOU
    upscale: Upscale = Upscale.OVER_FRAME
    upscale_filter: Filter = Filter.BILINEAR

    def __post_init__(self) -> None:
        if not 1 <= self.num_masks <= 4:
            raise InputError(f"rules: num_masks must be 1 to 4, not {self.num_masks}")
        if not 0 <= self.fixed_points <= 64:
            raise InputError(f"rules: fixed_points must be 0 to 64, not {self.fixed_points}")
        if not 1 <= self.frame_scale <= 8:
            raise InputError(f"rules: frame_scale must be 1 to 8, not {self.frame_scale}")
        if self.upscale is Upscale.OVER_FRAME and self.upscale_filter is not Filter.BILINEAR:
            raise InputError("rules: masks that are upscaled over the frame are upscaled bilinearly")
        if self.whole_values and not self.antialias:
            raise InputError("rules: whole_values are Pillow's, which always antialiases")

    def to_json(self) -> dict[str, Any]:
        """Return plain JSON data, the inverse of `from_json`."""
        return {
            key: str(value) if isinstance(value, StrEnum) else value for key, value in asdict(self).items()
        }

    @classmethod
    def from_json(cls, data: Any) -> Rules:
        """Check data from a file; raises `InputError` that names the rule at fault."""
        kinds = {field.name: type(field.default) for field in fields(cls)}
        if not isinstance(data, Mapping) or set(data) != set(kinds):
            raise InputError(f"rules must be an object with the keys {', '.join(kinds)}")
        return cls(**{key: _checked(key, value, kinds[key]) for key, value in data.items()})


def _checked(key: str, value: Any, kind: type) -> Any:
    if issubclass(kind, StrEnum):
        known = [str(item) for item in kind]
        if value not in known:
            raise InputError(f"rules: {key} {value!r} is unknown; known: {', '.join(known)}")
        return kind(value)
    if type(value) is not kind:
        raise InputError(f"rules: {key} must be {kind.__name__}, not {value!r}")
    return value


SAM_RULES = Rules()
"""Of Segment Anything, MobileSAM, TinySAM, RepViT-SAM and SlimSAM."""
