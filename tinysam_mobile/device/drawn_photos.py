"""Two drawn photos, for fixtures without photos of one's own: nothing to download, no licence to mind."""

from __future__ import annotations

import numpy as np
from PIL import Image, ImageDraw

from tinysam_mobile.imaging.images import RGBImage

__all__ = ["drawn_photos"]

SIZES = {"drawn_landscape": (333, 500), "drawn_portrait": (421, 280)}
"""Name → (H, W): one pads at the bottom, one at the right, and neither side divides by anything."""
OBJECTS = 6
NOISE = 6.0
"""Standard deviation of the pixel noise, in levels of 255."""


def drawn_photos() -> dict[str, RGBImage]:
    """Return name → picture uint8 (H, W, 3): coloured shapes on a gradient, the same every time."""
    return {name: _draw(size, seed) for seed, (name, size) in enumerate(SIZES.items())}


def _draw(size: tuple[int, int], seed: int) -> RGBImage:
    rng = np.random.default_rng(seed)
    height, width = size
    ramp = np.linspace(60, 200, width)[None, :, None] * np.linspace(0.7, 1.0, height)[:, None, None]
    canvas = Image.fromarray(np.broadcast_to(ramp, (height, width, 3)).astype(np.uint8))
    draw = ImageDraw.Draw(canvas)
    for number in range(OBJECTS):
        x, y = rng.uniform(0.1, 0.9, 2) * (width, height)
        half_width, half_height = rng.uniform(0.06, 0.2, 2) * min(size)
        shape = draw.ellipse if number % 2 else draw.rectangle
        colour = tuple(int(level) for level in rng.permutation([230, 120, 20]))
        shape((x - half_width, y - half_height, x + half_width, y + half_height), fill=colour)
    noisy = np.asarray(canvas) + rng.normal(0, NOISE, (height, width, 3))
    return np.clip(np.rint(noisy), 0, 255).astype(np.uint8)
