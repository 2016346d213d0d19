"""Reductions.

Source: coremltools, `mil/ops/defs/iOS15/reduction.py` and `iOS17/reduction.py`.  Results of integers
are integers, rounded towards zero.
"""

from __future__ import annotations

from collections.abc import Callable

import torch

from tinysam_mobile.mil.registry import Ints, Tensor, mil_op

__all__: list[str] = []

# (values, axes, keep axes) -> reduced; computed in float64 for integers.
Reduce = Callable[[Tensor, Ints, bool], Tensor]


def _log_sum_exp(x: Tensor, axes: Ints, keep: bool) -> Tensor:
    return torch.logsumexp(x, axes, keep)


def _product(x: Tensor, axes: Ints, keep: bool) -> Tensor:
    for axis in sorted((axis % x.dim() for axis in axes), reverse=True):
        x = torch.prod(x, axis, keepdim=keep)
    return x


_REDUCTIONS: dict[str, Reduce] = {
    "reduce_l1_norm": lambda x, axes, keep: torch.sum(torch.abs(x), axes, keep),
    "reduce_l2_norm": lambda x, axes, keep: torch.sqrt(torch.sum(x * x, axes, keep)),
    "reduce_log_sum": lambda x, axes, keep: torch.log(torch.sum(x, axes, keep)),
    "reduce_log_sum_exp": _log_sum_exp,
    "reduce_max": lambda x, axes, keep: torch.amax(x, axes, keep),
    "reduce_mean": lambda x, axes, keep: torch.mean(x, axes, keep),
    "reduce_min": lambda x, axes, keep: torch.amin(x, axes, keep),
    "reduce_prod": _product,
    "reduce_sum": lambda x, axes, keep: torch.sum(x, axes, keep),
    "reduce_sum_square": lambda x, axes, keep: torch.sum(x * x, axes, keep),
}
# Exact on integers, so that large ones need not go through float64.
_EXACT = frozenset(
    {"reduce_max", "reduce_min", "reduce_sum", "reduce_sum_square", "reduce_prod", "reduce_l1_norm"}
)


def _register(name: str, function: Reduce) -> None:
    def reduce(x: Tensor, axes: Ints | None = None, keep_dims: bool = False) -> Tensor:
        over = tuple(range(x.dim())) if axes is None else axes
        if not over:  # torch would reduce everything
            return function(x.unsqueeze(0), (0,), False)
        if x.is_floating_point():
            return function(x, over, keep_dims)
        wide = x.to(torch.int64) if name in _EXACT else x.double()
        return function(wide, over, keep_dims).to(x.dtype)

    reduce.__doc__ = f"`{name}` over `axes` (all when None)."
    mil_op(name)(reduce)


for _name, _function in _REDUCTIONS.items():
    _register(_name, _function)


def _index(x: Tensor) -> Tensor:
    return x.to(torch.int32)


@mil_op("reduce_argmax")
def reduce_argmax(x: Tensor, axis: int = -1, keep_dims: bool = False, output_dtype: str = "int32") -> Tensor:  # noqa: ARG001
    """Index of the (first) largest element along `axis`."""
    return _index(torch.argmax(x, axis, keepdim=keep_dims))


@mil_op("reduce_argmin")
def reduce_argmin(x: Tensor, axis: int = -1, keep_dims: bool = False, output_dtype: str = "int32") -> Tensor:  # noqa: ARG001
    """Index of the (first) smallest element along `axis`."""
    return _index(torch.argmin(x, axis, keepdim=keep_dims))
