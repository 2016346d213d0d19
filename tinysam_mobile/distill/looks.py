"""How a scene looks: colours, blur, noise, JPEG, and what keeps a pasted thing from standing out."""

from __future__ import annotations

from io import BytesIO

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageFilter

__all__ = ["cast_shadow", "jittered", "matched", "soft_edge", "worn"]

Pixels = NDArray[np.uint8]
MIN_JPEG_QUALITY, MAX_JPEG_QUALITY = 25, 92
MAX_NOISE = 9.0
"""Standard deviation in grey levels."""


def jittered(pixels: Pixels, rng: np.random.Generator, strength: float) -> Pixels:
    """Scale each channel and the contrast by random gains: one table of 256 entries per channel."""
    gains = 1 + strength * rng.uniform(-1, 1) + 0.3 * strength * rng.uniform(-1, 1, 3)
    mean = float(pixels.mean())
    contrast = 1 + strength * rng.uniform(-1, 1)
    values = np.arange(256, dtype=np.float32)[:, None]
    table = np.clip(((values - mean) * contrast + mean) * gains, 0, 255).astype(np.uint8)
    return np.stack([table[pixels[..., channel], channel] for channel in range(3)], axis=-1)


def matched(pixels: Pixels, below: Pixels, strength: float) -> Pixels:
    """Move the mean colour of `pixels` by `strength` (0 to 1) of the way to that of `below`."""
    if not below.size:
        return pixels
    shift = strength * (below.mean((0, 1)) - pixels.mean((0, 1)))
    moved: Pixels = np.clip(pixels + shift, 0, 255).astype(np.uint8)
    return moved


def soft_edge(mask: NDArray[np.bool_], radius: float) -> NDArray[np.float32]:
    """bool (H, W) → coverage f32 (H, W, 1) in 0 to 1, blurred over `radius` pixels."""
    coverage = Image.fromarray(mask.astype(np.uint8) * 255)
    if radius > 0:
        coverage = coverage.filter(ImageFilter.BoxBlur(radius))
    return (np.asarray(coverage, np.float32) / np.float32(255))[..., None]


def cast_shadow(
    pixels: Pixels, mask: NDArray[np.bool_], place: tuple[int, int], rng: np.random.Generator
) -> None:
    """Darken `pixels` (H, W, 3) where the shadow of a thing falls whose `mask` begins at `place` (y, x)."""
    height, width, _ = pixels.shape
    reach = max(mask.shape)
    dy, dx = (round(offset) for offset in rng.uniform(-0.15, 0.25, 2) * reach)
    shadow = Image.new("L", (width, height))
    # `paste` cuts what lies outside.
    shadow.paste(Image.fromarray(mask.astype(np.uint8) * 255), (place[1] + dx, place[0] + dy))
    shadow = shadow.filter(ImageFilter.BoxBlur(0.02 * reach + 1))
    box = shadow.getbbox()
    if box is None:
        return
    x0, y0, x1, y1 = box
    depth = np.asarray(shadow.crop(box), np.float32)[..., None] / 255 * rng.uniform(0.2, 0.6)
    pixels[y0:y1, x0:x1] = (pixels[y0:y1, x0:x1] * (1 - depth)).astype(np.uint8)


def worn(pixels: Pixels, rng: np.random.Generator, share: float) -> Pixels:
    """Blur, add noise and compress as a phone's photo is: each with the probability `share`."""
    image = Image.fromarray(pixels)
    blurred, noisy, compressed = rng.random(3) < share
    if blurred:
        image = image.filter(ImageFilter.BoxBlur(rng.uniform(0.3, 1.2)))
    if noisy:
        noise = rng.standard_normal(pixels.shape[:2], np.float32)[..., None] * rng.uniform(1, MAX_NOISE)
        image = Image.fromarray(np.clip(np.asarray(image) + noise, 0, 255).astype(np.uint8))
    if compressed:
        file = BytesIO()
        image.save(file, "JPEG", quality=int(rng.integers(MIN_JPEG_QUALITY, MAX_JPEG_QUALITY)))
        image = Image.open(file)
    return np.asarray(image.convert("RGB"))
