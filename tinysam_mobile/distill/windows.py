"""Masks seen through a window around the object, finer than the decoder's grid, so that small things count.

A low-resolution mask has one value per 4x4 pixels of the S frame; an object of 20 pixels is 5 values wide,
and what decides its IoU is where the interpolated mask crosses 0 between them.  Sampling the logits
bilinearly, as everyone who uses a mask does, and comparing with the truth at those very places teaches that.
(Point sampling as in PointRend, arXiv 1912.08193, on a regular grid.)
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor

from tinysam_mobile.evaluation.ideal_prompts import tight_box

__all__ = ["Windows", "places_of", "see_through", "windows_of"]

WINDOW_SIDE = 48
"""Samples across a window."""
MARGIN = 0.5
"""Of the box's longer side, added on each side of the box."""
LEAST_SIDE = 24.0
"""Pixels of the S frame across the smallest window: half a pixel per sample."""
_STEPS = (np.arange(WINDOW_SIDE) + 0.5) / WINDOW_SIDE - 0.5
"""Where the samples lie, as shares of the window's side from its centre."""


class Windows(NamedTuple):
    """Squares around K masks, in the frame of the scene: x and y from -1 to 1."""

    centres: Tensor
    """f32 (K, 2), x and y."""
    spans: Tensor
    """f32 (K), the side of each square."""
    truth: Tensor
    """bool (K, W, W), what the mask says at the W x W places of its window."""


def windows_of(masks: NDArray[np.bool_]) -> Windows:
    """The window of each mask of bool (K, S, S), none of them empty."""
    size = masks.shape[-1]
    boxes = np.array([tight_box(mask) for mask in masks], np.float64)
    centres = (boxes[:, :2] + boxes[:, 2:]) / 2
    sides = np.maximum((1 + 2 * MARGIN) * (boxes[:, 2:] - boxes[:, :2]).max(1), LEAST_SIDE)
    # A place's pixel is the one that it lies in; beyond the border it is the one at the border.
    pixels = np.floor(centres[..., None] + sides[:, None, None] * _STEPS).clip(0, size - 1).astype(np.intp)
    truth = np.stack([mask[np.ix_(y, x)] for mask, (x, y) in zip(masks, pixels, strict=True)])
    return Windows(
        centres=torch.from_numpy(2 * centres / size - 1).float(),
        spans=torch.from_numpy(2 * sides / size).float(),
        truth=torch.from_numpy(truth),
    )


def places_of(windows: Windows) -> Tensor:
    """Where the samples lie, f32 (K, W, W, 2): x and y from -1 to 1 across the scene."""
    steps = torch.from_numpy(_STEPS).float().to(windows.centres.device)
    x, y = (windows.centres[:, axis, None] + windows.spans[:, None] * steps for axis in (0, 1))
    rows, columns = y[:, :, None].expand(-1, -1, WINDOW_SIDE), x[:, None, :].expand(-1, WINDOW_SIDE, -1)
    return torch.stack([columns, rows], dim=-1)


def see_through(windows: Windows, logits: Tensor) -> tuple[Tensor, Tensor]:
    """Logits f32 (K, M, h, w) and the truth at the places of `windows`, both f32 (K, M, W, W)."""
    seen = F.grid_sample(
        logits, places_of(windows), mode="bilinear", padding_mode="border", align_corners=False
    )
    return seen, windows.truth.float().unsqueeze(1).expand_as(seen)
