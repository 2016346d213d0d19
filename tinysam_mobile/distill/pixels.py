"""Pixels of many photos as the student's and teacher's input."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from tinysam_mobile.contract.spec import PIXEL_MEAN, PIXEL_STD

__all__ = ["normalised"]


def normalised(pixels: Tensor, valid_sizes: Tensor | Sequence[tuple[int, int]]) -> Tensor:
    """uint8 (G, S, S, 3) → f32 (G, 3, S, S) in channels-last memory, 0 outside each `valid_sizes` (H, W)."""
    images = (pixels.float() - pixels.new_tensor(PIXEL_MEAN, dtype=torch.float)) / pixels.new_tensor(
        PIXEL_STD, dtype=torch.float
    )
    sizes = torch.as_tensor(valid_sizes, device=pixels.device).view(-1, 2, 1)
    rows, columns = (torch.arange(pixels.shape[1], device=pixels.device) < sizes).unbind(1)
    inside = rows[:, :, None, None] & columns[:, None, :, None]
    return torch.where(inside, images, 0.0).permute(0, 3, 1, 2)
