"""Ops that make tensors, fill, sort and pad.

Source: coremltools, `mil/ops/defs/iOS15/tensor_operation.py` and its iOS 16 and iOS 17 versions.
"""

from __future__ import annotations

import math

import torch
from torch.nn import functional

from tinysam_mobile.mil.registry import Ints, Tensor, mil_op

__all__: list[str] = []


@mil_op("band_part", moves_data=True)
def band_part(x: Tensor, lower: int = -1, upper: int = -1) -> Tensor:
    """The last two axes' band of `lower` diagonals below and `upper` above (all when negative)."""
    rows, columns = torch.arange(x.shape[-2])[:, None], torch.arange(x.shape[-1])
    keep = torch.ones(x.shape[-2:], dtype=torch.bool)
    if lower >= 0:
        keep &= rows - columns <= lower
    if upper >= 0:
        keep &= columns - rows <= upper
    return torch.where(keep, x, torch.zeros((), dtype=x.dtype))


@mil_op("cumsum")
def cumsum(x: Tensor, axis: int = 0, exclusive: bool = False, reverse: bool = False) -> Tensor:
    """Running sum along `axis`; exclusive sums stop before their own element."""
    data = x.flip(axis) if reverse else x
    total = torch.cumsum(data, axis, dtype=x.dtype)
    if exclusive:
        total = torch.roll(total, 1, axis)
        total.select(axis, 0).zero_()
    return total.flip(axis) if reverse else total


@mil_op("fill", moves_data=True)
def fill(shape: Ints, value: Tensor | None = None) -> Tensor:
    """`shape` full of `value` (0.0 when None), of its type."""
    scalar = torch.zeros(()) if value is None else value.reshape(())
    return scalar.expand(shape).clone()


@mil_op("fill_like", since="ios16", moves_data=True)
def fill_like(ref_tensor: Tensor, value: Tensor | None = None) -> Tensor:
    """The shape of `ref_tensor` full of `value` (0.0 when None), of its type."""
    return fill(tuple(ref_tensor.shape), value)


@mil_op("non_zero", moves_data=True)
def non_zero(x: Tensor) -> Tensor:
    """Indices of the elements that are not zero, int32 (N, rank)."""
    return torch.nonzero(x).to(torch.int32)


@mil_op("one_hot", moves_data=True)
def one_hot(
    indices: Tensor,
    one_hot_vector_size: int,
    axis: int = -1,
    on_value: Tensor | None = None,
    off_value: Tensor | None = None,
) -> Tensor:
    """`on_value` where the new `axis` counts to `indices`, else `off_value`; none when out of range."""
    axis %= indices.dim() + 1
    form = [1] * (indices.dim() + 1)
    form[axis] = one_hot_vector_size
    hot = indices.unsqueeze(axis) == torch.arange(one_hot_vector_size, dtype=torch.int32).reshape(form)
    on = torch.ones((), dtype=torch.int32) if on_value is None else on_value.reshape(())
    off = torch.zeros((), dtype=on.dtype) if off_value is None else off_value.reshape(())
    return torch.where(hot, on, off)


def _border_index(size: int, before: int, after: int, mode: str) -> Tensor:
    positions = torch.arange(-before, size + after)
    if mode == "replicate" or size == 1:
        return positions.clamp(0, size - 1)
    period = 2 * (size - 1)
    folded = positions.remainder(period)
    return torch.minimum(folded, period - folded)


@mil_op("pad", moves_data=True)
def pad(x: Tensor, pad: Ints, mode: str = "constant", constant_val: Tensor | None = None) -> Tensor:
    """The last axes padded by `pad` (before, after of each): constant, reflect or replicate."""
    pairs = list(zip(pad[::2], pad[1::2], strict=True))
    if mode == "constant":
        flat = [amount for pair in reversed(pairs) for amount in pair]
        value = 0 if constant_val is None else constant_val.item()
        return functional.pad(x, flat, value=value)
    if mode not in ("reflect", "replicate"):
        raise ValueError(f"unknown pad mode {mode!r}")
    for i, (before, after) in enumerate(pairs, start=x.dim() - len(pairs)):
        if before or after:
            x = x.index_select(i, _border_index(x.shape[i], before, after, mode))
    return x


@mil_op("range_1d")
def range_1d(start: Tensor, end: Tensor, step: Tensor) -> Tensor:
    """`start`, `start + step`, ... up to but without `end`."""
    first, last, pace = start.item(), end.item(), step.item()
    count = max(0, math.ceil((last - first) / pace))
    return (first + torch.arange(count, dtype=torch.float64) * pace).to(start.dtype)


def _sorted(x: Tensor, axis: int, ascending: bool) -> tuple[Tensor, Tensor]:
    if not x.dim():
        return x, torch.zeros((), dtype=torch.int64)
    values, indices = torch.sort(x, dim=axis, descending=not ascending, stable=True)
    return values, indices


@mil_op("argsort", moves_data=True)
def argsort(x: Tensor, axis: int = -1, ascending: bool = False) -> Tensor:
    """Indices that sort `x` along `axis`, int32; equal elements keep their order."""
    return _sorted(x, axis, ascending)[1].to(torch.int32)


@mil_op("topk", moves_data=True)
def topk(x: Tensor, k: int = 1, axis: int = -1, ascending: bool = False) -> tuple[Tensor, Tensor]:
    """The `k` largest (smallest when ascending) elements along `axis`, sorted, and their indices."""
    values, indices = _sorted(x, axis, ascending)
    count = x.shape[axis] if k == -1 else k
    return values.narrow(axis, 0, count), indices.narrow(axis, 0, count).to(torch.int32)


@mil_op("topk", since="ios16", moves_data=True)
def topk_ios16(
    x: Tensor,
    k: int = 1,
    axis: int = -1,
    ascending: bool = False,
    sort: bool = True,  # noqa: ARG001
    return_indices: bool = True,
    output_indices_dtype: str = "int32",  # noqa: ARG001
) -> Tensor | tuple[Tensor, Tensor]:
    """As `topk`, always sorted; without the indices unless `return_indices`; k = -1 means all."""
    values, indices = topk(x, k, axis, ascending)
    return (values, indices) if return_indices else values
