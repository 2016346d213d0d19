"""Small pictures for the report: one prompt's mask on both sides, and where they differ."""

from __future__ import annotations

import io
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from tinysam_mobile.imaging.images import RGBImage
from tinysam_mobile.imaging.pictures import draw_prompts, overlay
from tinysam_mobile.parity.judge import PromptJudgement
from tinysam_mobile.parity.stages import PhotoCase, Recording, Stage
from tinysam_mobile.segment.prompts import Prompt

__all__ = [
    "MaskPictures",
    "badness",
    "difference_picture",
    "jpeg",
    "mask_pictures",
    "shrunk",
    "shrunk_mask",
    "small_mask",
]

SIDE_PX = 360
JPEG_QUALITY = 80
MISSING_COLOUR = (255, 65, 54)
EXTRA_COLOUR = (30, 144, 255)
DIMMED = 0.45


@dataclass(frozen=True, kw_only=True)
class MaskPictures:
    """A prompt as JPEG files: the mask that the float model shows, the side's, and their difference."""

    photo: str
    prompt: PromptJudgement
    expected: bytes
    shown: bytes
    difference: bytes


def badness(prompt: PromptJudgement) -> float:
    """Lower is worse: the mask IoU, NaN lowest."""
    return -1.0 if np.isnan(prompt.mask_iou) else prompt.mask_iou


def small_mask(recording: Recording, index: int) -> NDArray[np.bool_]:
    """The full-size mask of a prompt, in the size of `shrunk`."""
    return shrunk_mask(recording.prompts[index][Stage.FULL_SIZE_MASK] != 0)


def mask_pictures(
    case: PhotoCase, expected: Recording, shown: NDArray[np.bool_], judged: PromptJudgement
) -> MaskPictures:
    """Draw one prompt of `case`: what people see, each side's own choice among the masks.

    `expected` is the float model's recording, `shown` the side's mask as `small_mask` gives it.
    """
    width = case.pixels.shape[1]
    photo, right = shrunk(case.pixels), small_mask(expected, judged.index)
    prompt, scale = case.prompts[judged.index].prompt, photo.shape[1] / width
    return MaskPictures(
        photo=case.name,
        prompt=judged,
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
