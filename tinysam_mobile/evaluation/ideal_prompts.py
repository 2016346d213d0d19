"""The prompts that a perfect user would give for a known mask."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from tinysam_mobile.errors import RuntimeUnavailableError

__all__ = ["centre_point", "tight_box"]


def tight_box(mask: NDArray[np.bool_]) -> tuple[int, int, int, int]:
    """Return x0, y0, x1, y1 of the edges around the true pixels of bool (H, W), at least one of them true.

    Edges lie between pixels: a single pixel at (3, 5) has the box 3, 5, 4, 6.
    """
    rows, columns = np.flatnonzero(mask.any(1)), np.flatnonzero(mask.any(0))
    return int(columns[0]), int(rows[0]), int(columns[-1]) + 1, int(rows[-1]) + 1


def centre_point(mask: NDArray[np.bool_]) -> tuple[int, int]:
    """Return x, y of the pixel farthest from everything outside the mask, beyond the photo included.

    The maximum of the distance transform, the first in raster order.  Raises `RuntimeUnavailableError`
    without scipy.
    """
    try:
        from scipy.ndimage import distance_transform_edt
    except ImportError as error:
        raise RuntimeUnavailableError(
            "point prompts need scipy: pip install 'tinysam-mobile[train]'"
        ) from error
    x0, y0, x1, y1 = tight_box(mask)
    distance = distance_transform_edt(np.pad(mask[y0:y1, x0:x1], 1))[1:-1, 1:-1]
    y, x = np.unravel_index(int(np.argmax(distance)), distance.shape)
    return x0 + int(x), y0 + int(y)
