"""Activations.

Source: coremltools, `mil/ops/defs/iOS15/activation.py`; the iOS 17 versions differ in the element
types that they take only.
"""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch.nn import functional

from tinysam_mobile.mil.registry import Tensor, mil_op

__all__ = ["recurrent_activation"]


@mil_op("relu")
def relu(x: Tensor) -> Tensor:
    """`max(x, 0)`."""
    return torch.relu(x)


@mil_op("relu6")
def relu6(x: Tensor) -> Tensor:
    """`min(max(x, 0), 6)`."""
    return torch.clamp(x, 0.0, 6.0)


@mil_op("clamped_relu")
def clamped_relu(x: Tensor, alpha: float, beta: float) -> Tensor:
    """`min(beta, x if x >= 0 else alpha * x)`."""
    return torch.clamp(functional.leaky_relu(x, alpha), max=beta)


@mil_op("elu")
def elu(x: Tensor, alpha: float = 1.0) -> Tensor:
    """`x if x > 0 else alpha * (exp(x) - 1)`."""
    return functional.elu(x, alpha)


@mil_op("gelu")
def gelu(x: Tensor, mode: str = "EXACT") -> Tensor:
    """Gaussian error linear unit: EXACT, TANH_APPROXIMATION or SIGMOID_APPROXIMATION."""
    if mode == "EXACT":
        return functional.gelu(x)
    if mode == "TANH_APPROXIMATION":
        return functional.gelu(x, approximate="tanh")
    if mode == "SIGMOID_APPROXIMATION":
        return x * torch.sigmoid(1.702 * x)
    raise ValueError(f"unknown gelu mode {mode!r}")


@mil_op("leaky_relu")
def leaky_relu(x: Tensor, alpha: float = 0.01) -> Tensor:
    """`x if x >= 0 else alpha * x`."""
    return functional.leaky_relu(x, alpha)


@mil_op("linear_activation")
def linear_activation(x: Tensor, alpha: float, beta: float = 0.0) -> Tensor:
    """`alpha * x + beta`."""
    return x * alpha + beta


def _per_channel(values: Tensor, rank: int) -> Tensor:
    return values.reshape((1, -1) + (1,) * (rank - 2))


@mil_op("prelu")
def prelu(x: Tensor, alpha: Tensor) -> Tensor:
    """`x if x > 0 else alpha[channel] * x`; channels are axis 1."""
    return torch.where(x > 0, x, x * _per_channel(alpha, x.dim()))


@mil_op("scaled_tanh")
def scaled_tanh(x: Tensor, alpha: float = 1.0, beta: float = 1.0) -> Tensor:
    """`alpha * tanh(beta * x)`."""
    return alpha * torch.tanh(beta * x)


@mil_op("sigmoid")
def sigmoid(x: Tensor) -> Tensor:
    """`1 / (1 + exp(-x))`."""
    return torch.sigmoid(x)


@mil_op("sigmoid_hard")
def sigmoid_hard(x: Tensor, alpha: float = 0.2, beta: float = 0.5) -> Tensor:
    """`min(max(alpha * x + beta, 0), 1)`."""
    return torch.clamp(alpha * x + beta, 0.0, 1.0)


@mil_op("silu")
def silu(x: Tensor) -> Tensor:
    """`x * sigmoid(x)`."""
    return functional.silu(x)


@mil_op("softplus")
def softplus(x: Tensor) -> Tensor:
    """`log(1 + exp(x))`, without overflow."""
    return torch.logaddexp(x, torch.zeros((), dtype=x.dtype))


@mil_op("softplus_parametric")
def softplus_parametric(x: Tensor, alpha: Tensor, beta: Tensor) -> Tensor:
    """`alpha[c] * log(1 + exp(beta[c] * x))`; channels are axis 1."""
    return _per_channel(alpha, x.dim()) * softplus(x * _per_channel(beta, x.dim()))


@mil_op("softmax")
def softmax(x: Tensor, axis: int = -1) -> Tensor:
    """`exp(x) / sum(exp(x))` over `axis`."""
    return torch.softmax(x, dim=axis)


@mil_op("softsign")
def softsign(x: Tensor) -> Tensor:
    """`x / (1 + |x|)`."""
    return functional.softsign(x)


@mil_op("thresholded_relu")
def thresholded_relu(x: Tensor, alpha: float = 1.0) -> Tensor:
    """`x if x >= alpha else 0`."""
    return torch.where(x >= alpha, x, torch.zeros_like(x))


def _linear(x: Tensor) -> Tensor:
    return x


# Activations that recurrent ops name, with the parameters that Core ML fixes for them there.
_RECURRENT: dict[str, Callable[[Tensor], Tensor]] = {
    "tanh": torch.tanh,
    "scaled_tanh": torch.tanh,
    "sigmoid": torch.sigmoid,
    "hard_sigmoid": sigmoid_hard,
    "sigmoid_hard": sigmoid_hard,
    "relu": torch.relu,
    "linear": _linear,
}


def recurrent_activation(name: str) -> Callable[[Tensor], Tensor]:
    """The activation that a recurrent op names; ValueError for an unknown one."""
    try:
        return _RECURRENT[name.lower()]
    except KeyError:
        raise ValueError(f"unknown activation {name!r}; known: {', '.join(_RECURRENT)}") from None
