"""Masks seen through a window around the object, finer than the decoder's grid, so that small things count.

A low-resolution mask has one value per 4x4 pixels of the S frame; an object of 20 pixels is 5 values wide,
and what decides its IoU is where the interpolated mask crosses 0 between them.  Sampling the logits
bilinearly, as everyone who uses a mask does, and comparing with the truth at those very places teaches that.
(Point sampling as in PointRend, arXiv 1912.08193, on a regular grid.)
"""

from __future__ import annotations

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor

from tinysam_mobile.evaluation.ideal_prompts import tight_box

__all__ = ["Windows", "see_through", "windows_of"]

WINDOW_SIDE = 48
"""Samples across a window."""
MARGIN = 0.5
"""Of the box's longer side, added on each side of the box."""
LEAST_SIDE = 24.0
"""Pixels of the S frame across the smallest window: half a pixel per sample."""

Windows = tuple[Tensor, Tensor]
"""Places f32 (K, W, W, 2), x and y in -1..1 across the S frame; the truth there, f32 (K, W, W), 0 or 1."""


def windows_of(masks: NDArray[np.bool_]) -> Windows:
    """The window of each mask of bool (K, S, S), none of them empty."""
    places = torch.from_numpy(np.stack([_places(mask) for mask in masks]))
    whole = torch.from_numpy(masks).unsqueeze(1).to(torch.uint8).float()
    truth = F.grid_sample(whole, places, mode="nearest", padding_mode="border", align_corners=False)
    return places, truth.squeeze(1)


def _places(mask: NDArray[np.bool_]) -> NDArray[np.float32]:
    x0, y0, x1, y1 = tight_box(mask)
    size = mask.shape[-1]
    side = max((1 + 2 * MARGIN) * max(x1 - x0, y1 - y0), LEAST_SIDE)
    steps = (np.arange(WINDOW_SIDE) + 0.5) / WINDOW_SIDE - 0.5
    x, y = ((low + high) / 2 + side * steps for low, high in ((x0, x1), (y0, y1)))
    return np.stack(np.meshgrid(2 * x / size - 1, 2 * y / size - 1), axis=-1).astype(np.float32)


def see_through(windows: Windows, logits: Tensor) -> tuple[Tensor, Tensor]:
    """Logits f32 (K, M, h, w) and the truth at the places of `windows`, both f32 (K, M, W, W)."""
    places, truth = windows
    seen = F.grid_sample(logits, places, mode="bilinear", padding_mode="border", align_corners=False)
    return seen, truth.unsqueeze(1).expand_as(seen)
