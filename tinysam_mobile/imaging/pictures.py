"""Pictures that people look at: masks and prompts drawn over the photo."""

from __future__ import annotations

from collections.abc import Sequence
from colorsys import hsv_to_rgb

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw

__all__ = ["distinct_colours", "draw_prompts", "mask_image", "overlay", "overlay_labels"]

MASK_COLOUR = (30, 144, 255)
FOREGROUND_COLOUR = (46, 204, 64)
BACKGROUND_COLOUR = (255, 65, 54)
BOX_COLOUR = (255, 220, 0)
OPACITY = 0.5
GOLDEN_RATIO = 0.618033988749895
"""Steps of this share of the colour circle keep any number of hues apart."""


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


def distinct_colours(count: int) -> NDArray[np.uint8]:
    """Colours u8 (count, 3) RGB of which neighbours in the list look different; the same for every call."""
    rings = ((0.75, 1.0), (0.95, 0.8), (0.5, 0.95))
    colours = [hsv_to_rgb(i * GOLDEN_RATIO % 1, *rings[i % len(rings)]) for i in range(count)]
    return (np.array(colours).reshape(-1, 3) * 255).astype(np.uint8)


def overlay_labels(image: NDArray[np.uint8], labels: NDArray[np.uint16]) -> Image.Image:
    """The photo (H, W, 3) with a colour for each number of a label map (H, W) and a line around its areas."""
    colours = np.concatenate([np.zeros((1, 3), np.uint8), distinct_colours(int(labels.max(initial=0)))])
    tinted = (image * (1 - OPACITY) + colours[labels] * OPACITY).astype(np.uint8)
    result = np.where(labels[..., None] > 0, tinted, image)
    padded = np.pad(labels, 1, mode="edge")
    edge = (padded[1:-1, 2:] != labels) | (padded[2:, 1:-1] != labels)
    result[edge] = 255
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
