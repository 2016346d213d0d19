"""Normalizations.

Source: coremltools, `mil/ops/defs/iOS15/normalization.py`; the iOS 17 versions differ in the element
types that they take only.
"""

from __future__ import annotations

import torch
from torch.nn import functional

from tinysam_mobile.mil.registry import Ints, Tensor, mil_op

__all__: list[str] = []


def _scale_and_shift(x: Tensor, gamma: Tensor | None, beta: Tensor | None, shape: Ints) -> Tensor:
    if gamma is not None:
        x = x * gamma.reshape(shape)
    return x if beta is None else x + beta.reshape(shape)


@mil_op("batch_norm")
def batch_norm(
    x: Tensor,
    mean: Tensor,
    variance: Tensor,
    gamma: Tensor | None = None,
    beta: Tensor | None = None,
    epsilon: float = 1e-5,
) -> Tensor:
    """`gamma * (x - mean) / sqrt(variance + epsilon) + beta` per channel (axis 1)."""
    return functional.batch_norm(x, mean, variance, gamma, beta, training=False, eps=epsilon)


@mil_op("instance_norm")
def instance_norm(
    x: Tensor, gamma: Tensor | None = None, beta: Tensor | None = None, epsilon: float = 1e-5
) -> Tensor:
    """Each channel of each instance normalized by its own mean and (biased) variance."""
    variance, mean = torch.var_mean(x, dim=tuple(range(2, x.dim())), correction=0, keepdim=True)
    shape = (1, -1) + (1,) * (x.dim() - 2)
    return _scale_and_shift((x - mean) * torch.rsqrt(variance + epsilon), gamma, beta, shape)


@mil_op("l2_norm")
def l2_norm(x: Tensor, epsilon: float = 1e-6) -> Tensor:
    """`x / sqrt(sum(x ** 2) + epsilon)` over the last three axes."""
    total = (x * x).sum(dim=(-3, -2, -1), keepdim=True)
    return x / torch.sqrt(total + epsilon)


@mil_op("layer_norm")
def layer_norm(
    x: Tensor,
    axes: Ints | None = None,
    gamma: Tensor | None = None,
    beta: Tensor | None = None,
    epsilon: float = 1e-5,
) -> Tensor:
    """`gamma * (x - mean) / sqrt(variance + epsilon) + beta` over `axes` (all when None)."""
    rank = x.dim()
    over = sorted(axis % rank for axis in axes) if axes is not None else list(range(rank))
    if over == list(range(rank - len(over), rank)):
        return functional.layer_norm(x, x.shape[rank - len(over) :], gamma, beta, epsilon)
    variance, mean = torch.var_mean(x, dim=over, correction=0, keepdim=True)
    shape = tuple(x.shape[i] if i in over else 1 for i in range(rank))
    return _scale_and_shift((x - mean) / torch.sqrt(variance + epsilon), gamma, beta, shape)


@mil_op("local_response_norm")
def local_response_norm(
    x: Tensor, size: int, alpha: float = 1e-4, beta: float = 0.75, k: float = 1.0
) -> Tensor:
    """`x / (k + alpha / size * sum of x ** 2 over `size` channels) ** beta`."""
    return functional.local_response_norm(x, size, alpha, beta, k)
