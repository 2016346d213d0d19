"""Random outlines for synthetic scenes."""

from __future__ import annotations

from math import cos, pi, sin

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw

__all__ = ["random_masks", "random_shape"]

RECTANGLE_SHARE = 0.5


def _blob(rng: np.random.Generator, wobble: float, corners: int) -> list[tuple[float, float]]:
    """A closed outline inside the unit circle: a radius per direction, smooth if it has many corners."""
    phases, amplitudes = rng.uniform(0, 2 * pi, 4), wobble * rng.uniform(0, 1, 4) / np.arange(1, 5)
    outline = []
    for corner in range(corners):
        angle = 2 * pi * corner / corners
        radius = 1 + sum(
            a * sin((i + 1) * angle + p) for i, (a, p) in enumerate(zip(amplitudes, phases, strict=True))
        )
        outline.append((radius * cos(angle), radius * sin(angle)))
    reach = max(max(abs(x), abs(y)) for x, y in outline)
    return [(x / reach, y / reach) for x, y in outline]


def random_shape(rng: np.random.Generator, side: float) -> NDArray[np.bool_]:
    """Return the mask of a blob, polygon, ellipse or box whose long side is about `side` pixels; bool (H, W).

    It is turned by a random angle and squeezed to a random aspect ratio, and cropped to its bounds.
    """
    kind = int(rng.integers(4))
    if kind == 0:
        outline = _blob(rng, 0.6, 48)
    elif kind == 1:
        outline = _blob(rng, 0.5, int(rng.integers(3, 9)))
    elif kind == 2:
        outline = _blob(rng, 0.0, 48)
    else:
        outline = [(-1, -1), (1, -1), (1, 1), (-1, 1)]
    squeeze, angle = rng.uniform(0.25, 1.0), rng.uniform(0, pi)
    turned = [
        (x * cos(angle) - y * squeeze * sin(angle), x * sin(angle) + y * squeeze * cos(angle))
        for x, y in outline
    ]
    xs, ys = np.array(turned).T
    scale = side / max(np.ptp(xs), np.ptp(ys))
    width, height = max(3, round(np.ptp(xs) * scale)), max(3, round(np.ptp(ys) * scale))
    canvas = Image.new("1", (width, height))
    points = [(float((x - xs.min()) * scale), float((y - ys.min()) * scale)) for x, y in turned]
    ImageDraw.Draw(canvas).polygon(points, fill=1, outline=1)
    return np.array(canvas)


def random_masks(rng: np.random.Generator, *, size: int, masks: int) -> NDArray[np.bool_]:
    """Return `masks` upright rectangles and other shapes at random places of a square; bool (M, size, size).

    Sides are spread evenly over their logarithms, from 2 % to 80 % of the square.
    """
    placed = np.zeros((masks, size, size), np.bool_)
    for mask in placed:
        sides = size * np.exp(rng.uniform(np.log(0.02), np.log(0.8), 2))
        if rng.random() < RECTANGLE_SHARE:
            shape = np.ones(np.maximum(3, sides.round().astype(int)), np.bool_)
        else:
            shape = random_shape(rng, float(sides.max()))
        rows, columns = shape.shape
        y, x = int(rng.integers(size - rows + 1)), int(rng.integers(size - columns + 1))
        mask[y : y + rows, x : x + columns] = shape
    return placed
