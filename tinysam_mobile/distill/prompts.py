"""Prompts for training: boxes with jitter, points, and points on what the last prediction got wrong."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor

from tinysam_mobile.contract.rules import PadPoint, Rules
from tinysam_mobile.contract.spec import Label
from tinysam_mobile.evaluation.ideal_prompts import tight_box
from tinysam_mobile.segment.prompts import FILLING_XY

__all__ = ["PromptSettings", "Prompts", "add_error_points", "packed", "sample_prompts"]

SMALL_SHARE = 1 / 300
"""Of the scene's area: COCO's 32² of a 640x480 photo."""
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
    small_box_share: float = 0.0
    """Least share of boxes among the prompts of small masks (of less than `SMALL_SHARE` of the scene), which
    nobody points at as easily."""
    slots: int = 3


@dataclass(frozen=True, kw_only=True)
class Prompts:
    """`coords` f32 (K, N, 2) x, y in the S frame; `labels` i32 (K, N), −2 for slots that are not used."""

    coords: Tensor
    labels: Tensor


def _point(
    mask: NDArray[np.bool_], box: tuple[int, int, int, int], rng: np.random.Generator, *, central: bool
) -> tuple[float, float]:
    """A pixel of the mask, whose tight box is `box`: the one deepest inside, or any."""
    import cv2

    x0, y0, x1, y1 = box
    part = mask[y0:y1, x0:x1]
    if central:
        # The same point as `centre_point` gives, to the rounding of float32, in a tenth of its time.
        padded = cv2.copyMakeBorder(part.astype(np.uint8), 1, 1, 1, 1, cv2.BORDER_CONSTANT, value=0)
        depth = cv2.distanceTransform(padded, cv2.DIST_L2, cv2.DIST_MASK_PRECISE)[1:-1, 1:-1]
        place = int(np.argmax(depth))
    else:
        places = np.flatnonzero(part)
        place = int(places[rng.integers(len(places))])
    y, x = divmod(place, x1 - x0)
    return float(x0 + x), float(y0 + y)


def _jittered_box(
    box: tuple[int, int, int, int],
    shape: tuple[int, ...],
    rng: np.random.Generator,
    settings: PromptSettings,
) -> list[float]:
    edges = np.array(box, np.float64)
    if rng.random() >= settings.tight_share:
        sides = np.tile(edges[2:] - edges[:2], 2)
        # Never so far that the corners change places.
        edges += np.clip(settings.jitter * rng.standard_normal(4), -0.3, 0.3) * sides
        edges = np.clip(edges, 0, np.tile(shape[::-1], 2))
    return [float(edge) for edge in edges]


def sample_prompts(masks: NDArray[np.bool_], rng: np.random.Generator, settings: PromptSettings) -> Prompts:
    """Draw one prompt for each mask of bool (K, S, S), none of them empty; other slots are unused."""
    coords = np.zeros((len(masks), settings.slots, 2), np.float32)
    labels = np.full((len(masks), settings.slots), Label.UNUSED, np.int32)
    for row, mask in enumerate(masks):
        box = tight_box(mask)
        kind = rng.random()
        if settings.small_box_share and mask.sum() < SMALL_SHARE * mask.size:
            kind *= settings.box_share / max(settings.small_box_share, settings.box_share)
        has_box = kind < settings.box_share + settings.box_and_point_share
        slot = 0
        if has_box:
            coords[row, :2] = np.reshape(_jittered_box(box, mask.shape, rng, settings), (2, 2))
            labels[row, :2] = Label.BOX_TOP_LEFT, Label.BOX_BOTTOM_RIGHT
            slot = 2
        if not has_box or kind >= settings.box_share:
            central = rng.random() < settings.centre_share
            coords[row, slot] = _point(mask, box, rng, central=central)
            labels[row, slot] = Label.FOREGROUND
        if not has_box:
            labels[row, 1] = Label.PAD
    return Prompts(coords=torch.from_numpy(coords), labels=torch.from_numpy(labels))


def packed(prompts: Prompts, rules: Rules, *, scale: float) -> Prompts:
    """The same prompts, drawn by SAM's rules, with the slots and in the frame that a family's rules want.

    `scale` is the side of the family's frame over that of the scene.
    """
    coords, labels = prompts.coords * scale, prompts.labels
    is_spare = labels == Label.UNUSED
    if rules.pad_point is PadPoint.NEVER:
        labels = torch.where(labels == Label.PAD, Label.UNUSED, labels)
    elif rules.pad_point is PadPoint.ALWAYS:
        lacks_one = (labels != Label.PAD).all(1, keepdim=True)
        first_spare = is_spare & (is_spare.cumsum(1) == 1)
        labels = torch.where(lacks_one & first_spare, Label.PAD, labels)
    if not rules.fixed_points:
        return Prompts(coords=coords, labels=labels)
    missing = max(rules.fixed_points - labels.shape[1], 0)
    coords, labels = F.pad(coords, (0, 0, 0, missing)), F.pad(labels, (0, missing), value=Label.UNUSED)
    is_filled = labels == Label.UNUSED
    return Prompts(
        coords=torch.where(is_filled.unsqueeze(-1), coords.new_tensor(FILLING_XY), coords),
        labels=torch.where(is_filled, Label.PAD, labels),
    )


def add_error_points(
    prompts: Prompts, logits: Tensor, targets: Tensor, generator: torch.Generator
) -> Prompts:
    """Give every prompt one more slot with a point drawn from the error of its prediction.

    `logits` f32 (K, H, W) of the mask that was chosen, `targets` f32 (K, H, W).  A point on missed object
    gets label 1, on falsely covered background label 0; a prediction without error gets an unused slot.
    (TinySAM, arXiv 2312.13789, online hard prompt sampling; points on the background are SAM's.)
    """
    wanted, got = targets > 0.5, logits > 0
    error = (wanted ^ got).flatten(1)
    has_error = error.any(1)
    chances = torch.where(has_error.unsqueeze(1), error.float(), 1.0)
    # Drawn on the generator's device, so that a CUDA run neither waits for a number nor draws another.
    total = chances.cumsum(1)
    drawn = torch.rand(len(total), 1, generator=generator).to(total.device) * total[:, -1:]
    place = torch.searchsorted(total, drawn, right=True).squeeze(1).clamp(max=total.shape[1] - 1)
    width = logits.shape[-1]
    xy = torch.stack([place % width, place // width], dim=-1) * CELL + (CELL - 1) / 2
    missed = wanted.flatten(1).gather(1, place.unsqueeze(1)).squeeze(1)
    label = torch.where(missed, Label.FOREGROUND, Label.BACKGROUND)
    label = torch.where(has_error, label, Label.UNUSED).to(torch.int32)
    return Prompts(
        coords=torch.cat([prompts.coords, xy.unsqueeze(1).to(prompts.coords.dtype)], dim=1),
        labels=torch.cat([prompts.labels, label.unsqueeze(1)], dim=1),
    )
