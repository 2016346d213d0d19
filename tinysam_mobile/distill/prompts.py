"""Prompts for training: boxes with jitter, points, and points on what the last prediction got wrong."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from tinysam_mobile.contract.spec import Label
from tinysam_mobile.evaluation.ideal_prompts import centre_point, tight_box

__all__ = ["PromptSettings", "Prompts", "add_error_points", "sample_prompts"]

CELL = 4
"""Pixels of the S frame per pixel of a low-resolution mask, in each direction."""


@dataclass(frozen=True, kw_only=True)
class PromptSettings:
    """`box_share` + `box_and_point_share` <= 1; what remains are single points."""

    box_share: float = 0.5
    box_and_point_share: float = 0.1
    tight_share: float = 0.5
    """Boxes without jitter, of all boxes."""
    jitter: float = 0.1
    """Standard deviation of a box side's displacement, as a share of the box's width or height."""
    centre_share: float = 0.5
    """Points at the maximum of the distance transform, of all points; the others are uniform in the mask."""
    slots: int = 3


@dataclass(frozen=True, kw_only=True)
class Prompts:
    """`coords` f32 (K, N, 2) x, y in the S frame; `labels` i32 (K, N), −2 for slots that are not used."""

    coords: Tensor
    labels: Tensor


def _random_point(mask: NDArray[np.bool_], rng: np.random.Generator) -> tuple[float, float]:
    places = np.flatnonzero(mask)
    y, x = divmod(int(places[rng.integers(len(places))]), mask.shape[1])
    return float(x), float(y)


def _jittered_box(mask: NDArray[np.bool_], rng: np.random.Generator, settings: PromptSettings) -> list[float]:
    box = np.array(tight_box(mask), np.float64)
    if rng.random() >= settings.tight_share:
        sides = np.tile(box[2:] - box[:2], 2)
        # Never so far that the corners change places.
        box += np.clip(settings.jitter * rng.standard_normal(4), -0.3, 0.3) * sides
        box = np.clip(box, 0, np.tile(mask.shape[::-1], 2))
    return [float(edge) for edge in box]


def sample_prompts(masks: NDArray[np.bool_], rng: np.random.Generator, settings: PromptSettings) -> Prompts:
    """Draw one prompt for each mask of bool (K, S, S), none of them empty; other slots are unused."""
    coords = np.zeros((len(masks), settings.slots, 2), np.float32)
    labels = np.full((len(masks), settings.slots), Label.UNUSED, np.int32)
    for row, mask in enumerate(masks):
        kind = rng.random()
        has_box = kind < settings.box_share + settings.box_and_point_share
        slot = 0
        if has_box:
            coords[row, :2] = np.reshape(_jittered_box(mask, rng, settings), (2, 2))
            labels[row, :2] = Label.BOX_TOP_LEFT, Label.BOX_BOTTOM_RIGHT
            slot = 2
        if not has_box or kind >= settings.box_share:
            central = rng.random() < settings.centre_share
            coords[row, slot] = centre_point(mask) if central else _random_point(mask, rng)
            labels[row, slot] = Label.FOREGROUND
        if not has_box:
            labels[row, 1] = Label.PAD
    return Prompts(coords=torch.from_numpy(coords), labels=torch.from_numpy(labels))


def add_error_points(
    prompts: Prompts, logits: Tensor, targets: Tensor, generator: torch.Generator
) -> Prompts:
    """Give every prompt one more slot with a point drawn from the error of its prediction.

    `logits` f32 (K, H, W) of the mask that was chosen, `targets` f32 (K, H, W).  A point on missed object
    gets label 1, on falsely covered background label 0; a prediction without error gets an unused slot.
    (METHOD.md section 2, online hard prompt sampling; the background points are SAM's.)
    """
    wanted, got = targets > 0.5, logits > 0
    error = (wanted ^ got).flatten(1)
    has_error = error.any(1)
    chances = torch.where(has_error.unsqueeze(1), error.float(), 1.0)
    place = torch.multinomial(chances, 1, generator=generator).squeeze(1)
    width = logits.shape[-1]
    xy = torch.stack([place % width, place // width], dim=-1) * CELL + (CELL - 1) / 2
    missed = wanted.flatten(1).gather(1, place.unsqueeze(1)).squeeze(1)
    label = torch.where(missed, Label.FOREGROUND, Label.BACKGROUND)
    label = torch.where(has_error, label, Label.UNUSED).to(torch.int32)
    return Prompts(
        coords=torch.cat([prompts.coords, xy.unsqueeze(1).to(prompts.coords.dtype)], dim=1),
        labels=torch.cat([prompts.labels, label.unsqueeze(1)], dim=1),
    )
