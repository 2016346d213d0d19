"""Random numbers.  A seed of zero or more repeats its series at every prediction; Core ML's own
series cannot be known.

Source: coremltools, `mil/ops/defs/iOS15/random.py`.
"""

from __future__ import annotations

import torch

from tinysam_mobile.mil.registry import Ints, Tensor, mil_op

__all__: list[str] = []


def _generator(seed: int) -> torch.Generator | None:
    return torch.Generator().manual_seed(seed) if seed >= 0 else None


@mil_op("random_bernoulli", foldable=False)
def random_bernoulli(shape: Ints, prob: float = 0.5, seed: int = -1) -> Tensor:
    """1.0 with probability `prob`, else 0.0."""
    return (torch.rand(shape, generator=_generator(seed)) < prob).float()


@mil_op("random_normal", foldable=False)
def random_normal(shape: Ints, mean: float = 0.0, stddev: float = 1.0, seed: int = -1) -> Tensor:
    """Normally distributed."""
    return torch.randn(shape, generator=_generator(seed)) * stddev + mean


@mil_op("random_uniform", foldable=False)
def random_uniform(shape: Ints, low: float = 0.0, high: float = 1.0, seed: int = -1) -> Tensor:
    """Uniform in [low, high)."""
    return torch.rand(shape, generator=_generator(seed)) * (high - low) + low


@mil_op("random_categorical", foldable=False)
def random_categorical(x: Tensor, mode: str = "logits", size: int = 1, seed: int = -1) -> Tensor:
    """`size` samples from each distribution along the last axis, as floats."""
    weights = torch.softmax(x, dim=-1) if mode == "logits" else x
    rows = weights.reshape(-1, x.shape[-1])
    drawn = torch.multinomial(rows, size, replacement=True, generator=_generator(seed))
    return drawn.reshape((*x.shape[:-1], size)).float()
