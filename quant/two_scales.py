"""Two scales in one tensor, as the paper has after softmax and after GELU; simulated only.

The values fall into two groups, each with a grid of its own; one bit says which, b − 1 bits say where.  After
softmax the groups are small and large weights of attention, after GELU negative and positive values
(PTQ4ViT, arXiv 2111.12293, section 3.2).  No integer kernel of the three formats knows this: there the one
affine grid of the plan counts.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from enum import StrEnum

import numpy as np
import torch
from torch import Tensor, fx

__all__ = ["Split", "TwoScales", "best_two_scales", "round_two_scales", "split_before"]

GELU_MINIMUM = 0.16997
"""−min of GELU: the range of its negative side is known (official code)."""
CANDIDATES = 100
_A = torch.ops.aten
_VIEWS = (
    _A.view.default,
    _A.reshape.default,
    _A.permute.default,
    _A.transpose.int,
    _A.flatten.using_ints,
    _A.clone.default,
)


class Split(StrEnum):
    """What tells the two groups apart."""

    SIZE = "size"
    """After softmax: values that the fine grid reaches, and the rest."""
    SIGN = "sign"
    """After GELU: below and above 0."""


SPLITS = {_A.softmax.int: Split.SIZE, _A._softmax.default: Split.SIZE, _A.gelu.default: Split.SIGN}


@dataclass(frozen=True, kw_only=True)
class TwoScales:
    """`fine` is the step of the small or negative group, `coarse` that of the other; `bits` b in all."""

    split: Split
    fine: float
    coarse: float
    bits: int


def split_before(node: fx.Node) -> Split | None:
    """Return how the values that reach a layer as `node` split: softmax or GELU, through views; else None."""
    while node.op == "call_function" and node.target in _VIEWS:
        node = node.all_input_nodes[0]
    return SPLITS.get(node.target) if node.op == "call_function" else None  # type: ignore[call-overload]


def round_two_scales(x: Tensor, scales: TwoScales) -> Tensor:
    """Return `x` with each value rounded on the grid of its group."""
    steps = 2 ** (scales.bits - 1) - 1
    coarse = (x / scales.coarse).round().clamp(0, steps) * scales.coarse
    if scales.split is Split.SIGN:
        fine = (x / scales.fine).round().clamp(-steps, 0) * scales.fine
        return torch.where(x < 0, fine, coarse)
    fine = (x / scales.fine).round().clamp(0, steps) * scales.fine
    return torch.where(x < scales.fine * steps, fine, coarse)


def best_two_scales(
    split: Split, largest: float, bits: int, error: Callable[[TwoScales], float]
) -> TwoScales:
    """Return the scales with the least `error`; `largest` is the largest value seen.

    After softmax the coarse grid spans [0, 1] and the fine one is finer by a power of two, so that integer
    hardware could shift; after GELU the negative range is known and the positive one is searched.
    """
    return min(_candidates(split, largest, bits), key=error)


def _candidates(split: Split, largest: float, bits: int) -> Iterator[TwoScales]:
    steps = 2 ** (bits - 1)
    if split is Split.SIZE:
        for power in range(1, bits + 4):
            yield TwoScales(split=split, fine=1 / steps / 2**power, coarse=1 / steps, bits=bits)
        return
    for share in np.linspace(0.01, 1.2, CANDIDATES):
        coarse = max(float(share) * largest, 1e-9) / steps
        yield TwoScales(split=split, fine=GELU_MINIMUM / steps, coarse=coarse, bits=bits)
