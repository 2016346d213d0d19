"""Non-maximum suppression.

Source: coremltools, `mil/ops/defs/iOS15/tensor_operation.py`, `iOS17/tensor_operation.py`, and the
reference implementation in its tests (`iOS14/test_tensor_operation.py`) for what fills unused rows.
"""

from __future__ import annotations

import math

import torch

from tinysam_mobile.mil.registry import Tensor, mil_op

__all__: list[str] = []


def _iou_with(box: Tensor, boxes: Tensor) -> Tensor:
    """Overlap of one box (4,) with boxes (N, 4), all (centre x, centre y, width, height)."""
    low = torch.maximum(box[:2] - box[2:] / 2, boxes[:, :2] - boxes[:, 2:] / 2)
    high = torch.minimum(box[:2] + box[2:] / 2, boxes[:, :2] + boxes[:, 2:] / 2)
    common = (high - low).clamp(min=0).prod(dim=1)
    union = box[2] * box[3] + boxes[:, 2] * boxes[:, 3] - common
    return torch.where(union > 0, common / union, torch.zeros_like(common))


def _suppress(
    boxes: Tensor, scores: Tensor, iou_threshold: float, score_threshold: float, count: int
) -> list[int]:
    """Indices of the first `count` boxes of (N, 4) that survive, best score first."""
    order = torch.sort(scores, descending=True, stable=True).indices
    order = order[scores[order] > score_threshold] if score_threshold > -math.inf else order
    kept: list[int] = []
    while len(order) and len(kept) < count:
        best = int(order[0])
        kept.append(best)
        order = order[1:]
        order = order[_iou_with(boxes[best], boxes[order]) <= iou_threshold]
    return kept


def _select(
    boxes: Tensor,
    scores: Tensor,
    iou_threshold: float,
    score_threshold: float,
    max_boxes: int,
    per_class: bool,
) -> list[int]:
    if not per_class:
        best = scores.max(dim=1).values
        return _suppress(boxes, best, iou_threshold, score_threshold, max_boxes)
    candidates: list[tuple[float, int]] = []
    for column in scores.unbind(dim=1):
        kept = _suppress(boxes, column, iou_threshold, score_threshold, max_boxes)
        candidates.extend((float(column[i]), i) for i in kept)
    candidates.sort(key=lambda pair: -pair[0])
    return list(dict.fromkeys(index for _, index in candidates))[:max_boxes]


def _suppress_batch(
    boxes: Tensor,
    scores: Tensor,
    iou_threshold: float,
    score_threshold: float,
    max_boxes: int,
    per_class: bool,
) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    n = boxes.shape[0]
    out_boxes = boxes.new_zeros(n, max_boxes, 4)
    out_scores = scores.new_zeros(n, max_boxes, scores.shape[2])
    out_indices = torch.full((n, max_boxes), -1, dtype=torch.int32)
    counts = torch.zeros(n, dtype=torch.int32)
    for i in range(n):
        kept = _select(boxes[i], scores[i], iou_threshold, score_threshold, max_boxes, per_class)
        counts[i] = len(kept)
        out_boxes[i, : len(kept)] = boxes[i, kept]
        out_scores[i, : len(kept)] = scores[i, kept]
        out_indices[i, : len(kept)] = torch.tensor(kept, dtype=torch.int32)
    return out_boxes, out_scores, out_indices, counts


@mil_op("non_maximum_suppression", moves_data=True)
def non_maximum_suppression(
    boxes: Tensor,
    scores: Tensor,
    iou_threshold: float,
    score_threshold: float,
    max_boxes: int,
    per_class_suppression: bool = False,
) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """boxes (n, B, 4) centre x, centre y, width, height; scores (n, B, K).

    Returns boxes (n, max_boxes, 4), scores, indices (-1 where unused) and counts (n,).
    """
    return _suppress_batch(boxes, scores, iou_threshold, score_threshold, max_boxes, per_class_suppression)


@mil_op("non_maximum_suppression", since="ios17", moves_data=True)
def non_maximum_suppression_ios17(
    boxes: Tensor, scores: Tensor, iou_threshold: float, max_boxes: int, per_class_suppression: bool = False
) -> tuple[Tensor, Tensor, Tensor]:
    """As before, but boxes (n, 4, B), scores (n, K, B), no score threshold and no counts."""
    kept_boxes, kept_scores, indices, _ = _suppress_batch(
        boxes.transpose(1, 2),
        scores.transpose(1, 2),
        iou_threshold,
        -math.inf,
        max_boxes,
        per_class_suppression,
    )
    return kept_boxes.transpose(1, 2), kept_scores.transpose(1, 2), indices
