"""Where everything mode puts its points: SAM's grids, TinySAM's second round, SAM's crops.

Points are (x, y) in pixels of the photo or crop, f64, in the order of the official code.
"""

from __future__ import annotations

from dataclasses import dataclass
from math import ceil

import numpy as np
from numpy.typing import NDArray

from tinysam_mobile.contract.everything_settings import COARSE_FACTOR, CROP_EDGE_PIXELS, SECOND_ROUND_OFFSETS

__all__ = [
    "Lattice",
    "beside",
    "coarse_lattice",
    "crop_boxes",
    "grid_points",
    "is_cut_by_crop",
    "second_round",
]

Points = NDArray[np.float64]
Box = tuple[int, int, int, int]


def grid_points(points_per_side: int, size: tuple[int, int]) -> Points:
    """Centres of a square grid over `size` (H, W): (points_per_side², 2), row by row, x fastest."""
    side = (np.arange(points_per_side) + 0.5) / points_per_side
    x, y = np.meshgrid(side, side)
    height, width = size
    return np.stack([x.ravel() * width, y.ravel() * height], axis=1)


@dataclass(frozen=True, kw_only=True)
class Lattice:
    """Points (P, 2) and their places `cells` i64 (P, 2) in a lattice, of which neighbours differ by 1."""

    points: Points
    cells: NDArray[np.int64]

    def __getitem__(self, chosen: NDArray[np.bool_]) -> Lattice:
        """The points for which `chosen` (P,) holds."""
        return Lattice(points=self.points[chosen], cells=self.cells[chosen])


def coarse_lattice(points_per_side: int, size: tuple[int, int]) -> Lattice:
    """The points of round 1 on a photo of `size` (H, W), at every fourth cell of the lattice."""
    side = points_per_side // COARSE_FACTOR
    x, y = np.meshgrid(np.arange(side), np.arange(side))
    cells = np.stack([x.ravel(), y.ravel()], axis=1) * COARSE_FACTOR
    return Lattice(points=grid_points(side, size), cells=cells)


def second_round(points_per_side: int, size: tuple[int, int]) -> Lattice:
    """Points of round 2 on a photo of `size` (H, W): around each coarse point, multiples of (W // n, H // n).

    Around a coarse point come the offsets −1, 0, +1 with x outer and y inner, without the point itself, then
    x = +2, then y = +2, then both, all only inside the photo.  This lattice is the official code's, not
    SAM's (i + 0.5)/n grid.
    """
    height, width = size
    offsets = np.array(SECOND_ROUND_OFFSETS, np.int64)
    coarse = coarse_lattice(points_per_side, size)
    step = (width // points_per_side, height // points_per_side)
    points = (coarse.points[:, None] + offsets * step).reshape(-1, 2)
    lattice = Lattice(points=points, cells=(coarse.cells[:, None] + offsets).reshape(-1, 2))
    return lattice[(points[:, 0] < width) & (points[:, 1] < height)]


def beside(cells: NDArray[np.int64], marked: NDArray[np.int64], points_per_side: int) -> NDArray[np.bool_]:
    """Whether one of the eight neighbours of each of `cells` (P, 2) is among `marked` (Q, 2): bool (P,)."""
    # Cells run from −1 to n + 1, and have neighbours on both sides.
    sheet = np.zeros((points_per_side + 5, points_per_side + 5), np.bool_)
    for dx, dy in ((x, y) for x in (-1, 0, 1) for y in (-1, 0, 1) if (x, y) != (0, 0)):
        sheet[marked[:, 0] + dx + 2, marked[:, 1] + dy + 2] = True
    found: NDArray[np.bool_] = sheet[cells[:, 0] + 2, cells[:, 1] + 2]
    return found


def crop_boxes(
    size: tuple[int, int], layers: int, overlap_ratio: float
) -> list[tuple[int, tuple[int, int, int, int]]]:
    """SAM's crops of a photo of `size` (H, W): (layer, box xyxy), the whole first.

    Layer i has 2ⁱ x 2ⁱ crops that overlap by `overlap_ratio` of the short side over 2ⁱ⁻¹ (arXiv 2304.02643,
    appendix B).
    """
    height, width = size
    boxes = [(0, (0, 0, width, height))]
    for layer in range(1, layers + 1):
        count = 2**layer
        overlap = int(overlap_ratio * min(height, width) * (2 / count))
        crop_width = ceil((overlap * (count - 1) + width) / count)
        crop_height = ceil((overlap * (count - 1) + height) / count)
        for i in range(count):
            for j in range(count):
                x, y = (crop_width - overlap) * i, (crop_height - overlap) * j
                boxes.append((layer, (x, y, min(x + crop_width, width), min(y + crop_height, height))))
    return boxes


def is_cut_by_crop(box: Box, crop: Box, size: tuple[int, int]) -> bool:
    """Whether a mask's `box`, xyxy from the crop's own corner, ends at an edge of `crop` inside the photo.

    `crop` xyxy lies in a photo of `size` (H, W).
    """
    height, width = size
    for i, edge in enumerate((0, 0, width, height)):
        position = box[i] + crop[i % 2]
        if abs(position - crop[i]) <= CROP_EDGE_PIXELS and abs(position - edge) > CROP_EDGE_PIXELS:
            return True
    return False
