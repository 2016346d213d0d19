"""Pixels of many photos as the student's and teacher's input."""

from __future__ import annotations

import torch
from torch import Tensor

from tinysam_mobile.contract.spec import PIXEL_MEAN, PIXEL_STD

__all__ = ["normalised"]


def normalised(pixels: Tensor, valid_sizes: list[tuple[int, int]]) -> Tensor:
    """uint8 (G, S, S, 3) → f32 (G, 3, S, S) in channels-last memory, 0 outside each `valid_sizes` (H, W)."""
    images = (pixels.float() - torch.tensor(PIXEL_MEAN)) / torch.tensor(PIXEL_STD)
    for image, (height, width) in zip(images, valid_sizes, strict=True):
        image[height:] = 0
        image[:, width:] = 0
    return images.permute(0, 3, 1, 2)
