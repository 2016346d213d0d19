"""Losses of full-stage distillation (arXiv 2312.13789, section 3.2) and of Segment Anything (appendix A)."""

from __future__ import annotations

from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor

__all__ = [
    "MaskLosses",
    "dice_loss",
    "focal_loss",
    "hard_mask_weight",
    "mask_iou",
    "mask_losses",
    "rank_loss",
]


def focal_loss(logits: Tensor, targets: Tensor, *, gamma: float = 2.0, alpha: float = 0.25) -> Tensor:
    """Mean focal loss of each mask (arXiv 1708.02002): (..., H, W) → (...); `targets` in [0, 1]."""
    cross_entropy = F.binary_cross_entropy_with_logits(logits, targets, reduction="none")
    probability = logits.sigmoid()
    miss = probability + targets - 2 * probability * targets
    weight = alpha * targets + (1 - alpha) * (1 - targets)
    return (weight * miss**gamma * cross_entropy).mean((-2, -1))


def dice_loss(logits: Tensor, targets: Tensor) -> Tensor:
    """1 − soft Dice of each mask (arXiv 1606.04797), +1 on both sides as in SAM: (..., H, W) → (...)."""
    probability = logits.sigmoid()
    shared = (probability * targets).sum((-2, -1))
    return 1 - (2 * shared + 1) / (probability.sum((-2, -1)) + targets.sum((-2, -1)) + 1)


def mask_iou(logits: Tensor, targets: Tensor) -> Tensor:
    """IoU of (`logits` > 0) and (`targets` > 0.5): (..., H, W) → (...); two empty masks have IoU 1."""
    got, wanted = logits > 0, targets > 0.5
    shared = (got & wanted).sum((-2, -1))
    either = (got | wanted).sum((-2, -1))
    return torch.where(either > 0, shared / either.clamp(min=1), 1.0)


def hard_mask_weight(teacher_iou: Tensor, student_iou: Tensor, *, epsilon: float = 1e-2) -> Tensor:
    """H = sigmoid(IoU(teacher) / (IoU(student) + ε) − 1): above 0.5 where the student is worse."""
    return torch.sigmoid(teacher_iou / (student_iou + epsilon) - 1)


RANK_SHARPNESS = 8.0
MIN_RANK_DIFFERENCE = 0.03
"""Pairs whose IoUs are nearer than this have no order worth learning."""


def rank_loss(predicted: Tensor, measured: Tensor) -> Tensor:
    """Mean logistic loss of the order of all pairs of predicted IoUs; both of the same shape."""
    predicted, measured = predicted.flatten(), measured.flatten()
    wanted = measured.unsqueeze(1) - measured.unsqueeze(0)
    ahead = predicted.unsqueeze(1) - predicted.unsqueeze(0)
    counted = (wanted > MIN_RANK_DIFFERENCE).float()
    return (counted * F.softplus(-RANK_SHARPNESS * ahead)).sum() / counted.sum().clamp(min=1)


class MaskLosses(NamedTuple):
    """Scalars, and what the next prompt needs: `best` i64 (K) is the mask with the smallest loss."""

    focal: Tensor
    dice: Tensor
    iou: Tensor
    rank: Tensor
    window: Tensor
    best: Tensor


def mask_losses(
    logits: Tensor,
    iou: Tensor,
    targets: Tensor,
    *,
    focal_weight: float,
    dice_weight: float,
    others_weight: float | Tensor,
    focal_area: float = 0.0,
    focal_alpha: float = 0.25,
    close_up: tuple[Tensor, Tensor] | None = None,
) -> MaskLosses:
    """Losses of K prompts against the truth; only the best of the 3 masks counts fully (SAM's ambiguity).

    `logits` (K, 3, H, W), `iou` (K, 3) predicted, `targets` (K, H, W).  `others_weight`, one
    or (K, 1), is the share of the mean over all three, which keeps a mask that never wins alive.
    `focal_area` and `focal_alpha` as in `LossWeights`.  `close_up`: logits and truth (K, 3, W, W) in windows.
    """
    truth = targets.unsqueeze(1).expand_as(logits)
    focal, dice = focal_loss(logits, truth, alpha=focal_alpha), dice_loss(logits, truth)
    if focal_area:
        focal = focal / (truth.mean((-2, -1)) + focal_area)
    best = (focal_weight * focal + dice_weight * dice).detach().argmin(1)
    others = torch.as_tensor(others_weight).to(focal).expand(len(focal), 1)
    share = (others / focal.shape[1]).repeat(1, focal.shape[1])
    share.scatter_add_(1, best.unsqueeze(1), 1 - others)
    seen = torch.zeros_like(dice)
    if close_up is not None:
        seen = dice_weight * dice_loss(*close_up) + focal_weight * focal_loss(*close_up, alpha=focal_alpha)
    with torch.no_grad():
        measured = mask_iou(logits, truth)
    return MaskLosses(
        focal=focal_weight * (share * focal).sum(1).mean(),
        dice=dice_weight * (share * dice).sum(1).mean(),
        iou=(iou - measured).abs().mean(),
        rank=rank_loss(iou, measured),
        window=(share * seen).sum(1).mean(),
        best=best,
    )
