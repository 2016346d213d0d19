"""Pictures that people look at: masks and prompts drawn over the photo."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw

__all__ = ["MASK_COLOUR", "draw_prompts", "mask_image", "overlay"]

MASK_COLOUR = (30, 144, 255)
FOREGROUND_COLOUR = (46, 204, 64)
BACKGROUND_COLOUR = (255, 65, 54)
BOX_COLOUR = (255, 220, 0)
OPACITY = 0.5


def mask_image(mask: NDArray[np.bool_]) -> Image.Image:
    """An 8-bit grey image of a mask (H, W): 255 inside, 0 outside."""
    return Image.fromarray(mask.astype(np.uint8) * 255)


def _outline(mask: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """Pixels of the mask that have a 4-neighbour outside it (or outside the photo)."""
    padded = np.pad(mask, 1)
    inner = padded[:-2, 1:-1] & padded[2:, 1:-1] & padded[1:-1, :-2] & padded[1:-1, 2:]
    return mask & ~inner


def overlay(
    image: NDArray[np.uint8], mask: NDArray[np.bool_], colour: tuple[int, int, int] = MASK_COLOUR
) -> Image.Image:
    """The photo (H, W, 3) with the mask (H, W) as a half-transparent colour and an outline."""
    result = image.copy()
    tint = np.asarray(colour, np.float32) * OPACITY
    result[mask] = (image[mask] * (1 - OPACITY) + tint).astype(np.uint8)
    result[_outline(mask)] = 255
    return Image.fromarray(result)


def draw_prompts(
    picture: Image.Image,
    *,
    points: Sequence[tuple[float, float, int]] = (),
    box: tuple[float, float, float, float] | None = None,
) -> Image.Image:
    """Draw points (x, y, label) and a box (x0, y0, x1, y1), in pixels, onto `picture`, and return it."""
    draw = ImageDraw.Draw(picture)
    radius = max(4, max(picture.size) // 150)
    if box is not None:
        draw.rectangle(box, outline=BOX_COLOUR, width=max(2, radius // 2))
    for x, y, label in points:
        colour = FOREGROUND_COLOUR if label else BACKGROUND_COLOUR
        corners = (x - radius, y - radius, x + radius, y + radius)
        draw.ellipse(corners, fill=colour, outline=(255, 255, 255), width=max(1, radius // 3))
    return picture
