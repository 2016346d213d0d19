"""Small pictures for the report: one prompt's mask on both sides, and where they differ."""

from __future__ import annotations

import io
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from tinysam_mobile.contract.rules import Rules
from tinysam_mobile.imaging.images import RGBImage
from tinysam_mobile.imaging.pictures import draw_prompts, overlay
from tinysam_mobile.imaging.preprocess import Geometry
from tinysam_mobile.imaging.upscale import upscale_masks
from tinysam_mobile.parity.judge import PhotoJudgement, PromptJudgement
from tinysam_mobile.parity.stages import PhotoCase, Recording, Stage
from tinysam_mobile.segment.prompts import Prompt

__all__ = ["MaskPictures", "difference_picture", "jpeg", "mask_pictures", "shrunk"]

SIDE_PX = 360
JPEG_QUALITY = 80
MISSING_COLOUR = (255, 65, 54)
EXTRA_COLOUR = (30, 144, 255)
DIMMED = 0.45


@dataclass(frozen=True, kw_only=True)
class MaskPictures:
    """The worst prompt of a photo as JPEG files: the float model's mask, the side's, their difference."""

    photo: str
    prompt: PromptJudgement
    expected: bytes
    shown: bytes
    difference: bytes

    @property
    def badness(self) -> float:
        """Lower is worse: the mask IoU, NaN lowest."""
        return -1.0 if np.isnan(self.prompt.mask_iou) else self.prompt.mask_iou


def mask_pictures(
    case: PhotoCase, expected: Recording, side: Recording, judgement: PhotoJudgement, rules: Rules
) -> MaskPictures:
    """Draw the prompt of `case` with the lowest mask IoU."""
    worst = min(judgement.prompts, key=lambda prompt: prompt.mask_iou)
    height, width = case.pixels.shape[:2]
    arrays = {**expected.prompts[worst.index], **side.prompts[worst.index]}
    low = expected.prompts[worst.index][Stage.LOW_RES_LOGITS][worst.chosen]
    contract_size = expected.photo[Stage.PREPROCESSED_IMAGE].shape[1]
    right = upscale_masks(low[None], Geometry.of((height, width), contract_size, rules))[0]
    shown = arrays[Stage.FULL_SIZE_MASK] != 0
    photo, right, shown = shrunk(case.pixels), shrunk_mask(right), shrunk_mask(shown)
    prompt, scale = case.prompts[worst.index].prompt, photo.shape[1] / width
    return MaskPictures(
        photo=case.name,
        prompt=worst,
        expected=jpeg(_with_prompt(overlay(photo, right), prompt, scale)),
        shown=jpeg(_with_prompt(overlay(photo, shown), prompt, scale)),
        difference=jpeg(difference_picture(photo, missing=right & ~shown, extra=shown & ~right)),
    )


def difference_picture(
    photo: RGBImage, *, missing: NDArray[np.bool_], extra: NDArray[np.bool_]
) -> Image.Image:
    """The dimmed photo (H, W, 3) with what the side lacks in red and what it has too much in blue."""
    picture = (photo * DIMMED).astype(np.uint8)
    picture[missing], picture[extra] = MISSING_COLOUR, EXTRA_COLOUR
    return Image.fromarray(picture)


def _with_prompt(picture: Image.Image, prompt: Prompt, scale: float) -> Image.Image:
    points = [
        (x * scale, y * scale, int(label)) for (x, y), label in zip(prompt.points, prompt.labels, strict=True)
    ]
    box = None if prompt.box is None else tuple(prompt.box * scale)
    return draw_prompts(picture, points=points, box=box)


def shrunk(photo: RGBImage) -> RGBImage:
    """A photo (H, W, 3) of at most `SIDE_PX` on its longer side."""
    return np.asarray(Image.fromarray(photo).resize(_small_size(photo.shape), Image.Resampling.BILINEAR))


def shrunk_mask(mask: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """A mask (H, W) in the size of `shrunk`."""
    picture = Image.fromarray(mask).resize(_small_size(mask.shape), Image.Resampling.NEAREST)
    return np.asarray(picture)


def _small_size(shape: tuple[int, ...]) -> tuple[int, int]:
    """Width and height."""
    scale = min(1.0, SIDE_PX / max(shape[:2]))
    return max(1, round(shape[1] * scale)), max(1, round(shape[0] * scale))


def jpeg(picture: Image.Image) -> bytes:
    """The picture as a JPEG file."""
    buffer = io.BytesIO()
    picture.save(buffer, "JPEG", quality=JPEG_QUALITY)
    return buffer.getvalue()
