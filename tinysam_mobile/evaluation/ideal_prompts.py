"""The prompts that a perfect user would give for a known mask."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from tinysam_mobile.contract.spec import Label
from tinysam_mobile.errors import RuntimeUnavailableError
from tinysam_mobile.version import install_command

__all__ = ["Click", "centre_point", "next_click", "random_points", "tight_box"]

BoolMask = NDArray[np.bool_]


class Click(NamedTuple):
    """A point prompt in pixels of the photo, with label 1 (on the object) or 0 (off it)."""

    x: int
    y: int
    label: int


def tight_box(mask: BoolMask) -> tuple[int, int, int, int]:
    """Return x0, y0, x1, y1 of the edges around the true pixels of bool (H, W), at least one of them true.

    Edges lie between pixels: a single pixel at (3, 5) has the box 3, 5, 4, 6.
    """
    rows, columns = np.flatnonzero(mask.any(1)), np.flatnonzero(mask.any(0))
    return int(columns[0]), int(rows[0]), int(columns[-1]) + 1, int(rows[-1]) + 1


def centre_point(mask: BoolMask) -> tuple[int, int]:
    """Return x, y of the pixel farthest from everything outside the mask, beyond the photo included.

    The maximum of the distance transform, the first in raster order.  Raises `RuntimeUnavailableError`
    without scipy.
    """
    x, y, _ = _deepest(mask)
    return x, y


def _deepest(mask: BoolMask) -> tuple[int, int, float]:
    """x, y of the centre point of a mask that is not empty, and its distance to the outside in pixels."""
    try:
        from scipy.ndimage import distance_transform_edt
    except ImportError as error:
        raise RuntimeUnavailableError(f"point prompts need scipy: {install_command('evaluation')}") from error
    x0, y0, x1, y1 = tight_box(mask)
    distance = distance_transform_edt(np.pad(mask[y0:y1, x0:x1], 1))[1:-1, 1:-1]
    y, x = np.unravel_index(int(np.argmax(distance)), distance.shape)
    return x0 + int(x), y0 + int(y), float(distance[y, x])


def random_points(mask: BoolMask, count: int, seed: tuple[int, ...]) -> list[tuple[int, int]]:
    """Return `count` different pixels x, y of the mask, or all if it has fewer, drawn uniformly.

    The same `seed` gives the same points, and fewer of them are the first of more.
    """
    places = np.random.default_rng(seed).permutation(np.flatnonzero(mask))[:count]
    return [(int(place % mask.shape[1]), int(place // mask.shape[1])) for place in places]


def next_click(mask: BoolMask, predicted: BoolMask) -> Click | None:
    """Return the click that mends most: the centre of what is missing or of what is too much, whichever is
    deeper (Segment Anything, section 7.1; RITM, arXiv 2102.06583).  None if nothing is wrong.
    """
    candidates = [(mask & ~predicted, Label.FOREGROUND), (predicted & ~mask, Label.BACKGROUND)]
    wrong = [(*_deepest(error), label) for error, label in candidates if error.any()]
    if not wrong:
        return None
    # Of two equally deep ones the missing part comes first.
    x, y, _, label = max(wrong, key=lambda found: found[2])
    return Click(x=x, y=y, label=int(label))
