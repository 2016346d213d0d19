"""SAM 2's answer to a prompt that shall have one mask (arXiv 2408.00714, and its released code).

Token 0 is trained for one mask of a clear prompt.  Where its mask would change much with the threshold, the
mask of highest predicted IoU among the others is taken in its place, prompt by prompt.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

__all__ = ["StableOrBest"]

OFFSET = 0.05
"""Logits of this size or less count as undecided."""
LEAST_STABILITY = 0.98
"""Pixels above `OFFSET` over those above −`OFFSET`, from which token 0 is kept."""


class StableOrBest(nn.Module):
    """Which of the masks of all tokens a prompt gets."""

    computes_in_float32 = True
    """Float16 can count neither the pixels of a mask nor their share to a part in 50."""

    def forward(self, logits: Tensor, iou: Tensor) -> Tensor:
        """Logits of token 0 (K, 1, P) and predicted IoUs of all T tokens (K, T) → weights (K, T), 0 or 1."""
        inside, around = ((logits > edge).to(torch.float32).mean(dim=2) for edge in (OFFSET, -OFFSET))
        # As a quotient of two empty masks would be 1: both sides are 0 then.
        chosen = [(inside >= LEAST_STABILITY * around).to(torch.float32)]
        left = 1 - chosen[0]
        others = list(iou[:, 1:].split(1, dim=1))
        while len(others) > 1:
            first, *others = others
            wins = (first >= _largest(others)).to(torch.float32)
            chosen.append(left * wins)
            left = left * (1 - wins)
        return torch.cat([*chosen, left], dim=1)


def _largest(parts: list[Tensor]) -> Tensor:
    largest = parts[0]
    for part in parts[1:]:
        largest = torch.maximum(largest, part)
    return largest
