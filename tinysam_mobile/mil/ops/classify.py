"""The last op of a classifier.

Source: coremltools, `mil/ops/defs/iOS15/classify.py`.
"""

from __future__ import annotations

from typing import Any

import torch

from tinysam_mobile.mil.registry import Tensor, mil_op

__all__: list[str] = []


def _label(value: Any) -> Any:
    return int(value.item()) if isinstance(value, torch.Tensor) else value


@mil_op("classify", moves_data=True)
def classify(probabilities: Tensor, classes: Any) -> tuple[Any, dict[Any, float]]:
    """The most probable class, and every class's probability."""
    labels = [_label(c) for c in classes]
    flat = probabilities.reshape(-1)
    if len(labels) != flat.numel():
        raise ValueError(f"{len(labels)} classes for {flat.numel()} probabilities")
    table = dict(zip(labels, flat.tolist(), strict=True))
    return labels[int(flat.argmax())], table
