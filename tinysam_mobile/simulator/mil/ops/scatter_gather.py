"""Gathers and scatters.

Source: coremltools, `mil/ops/defs/iOS15/scatter_gather.py` and its iOS 16 and iOS 17 versions.
Negative indices count from the end at every opset.  What lies outside is an error up to iOS 16 and
with `validate_indices`; without it, where iOS 17 leaves the result open, gathers take the nearest
element and scatters drop the update.
"""

from __future__ import annotations

import torch

from tinysam_mobile.simulator.mil.registry import Tensor, mil_op

__all__: list[str] = []


def _wrapped(indices: Tensor, size: int | Tensor, validate: bool) -> Tensor:
    """Indices as int64 in [0, size): negative ones counted from the end, others clamped or refused."""
    index = indices.to(torch.int64)
    index = torch.where(index < 0, index + size, index)
    outside = (index < 0) | (index >= size)
    if bool(outside.any()):
        if validate:
            raise IndexError(f"indices are out of bounds for an axis of size {size}")
        bound = torch.as_tensor(size) - 1
        index = torch.minimum(index.clamp(min=0), bound.clamp(min=0))
    return index


def _gather(x: Tensor, indices: Tensor, axis: int, batch_dims: int, validate: bool) -> Tensor:
    axis %= x.dim()
    index = _wrapped(indices, x.shape[axis], validate)
    shape = x.shape[:axis] + index.shape[batch_dims:] + x.shape[axis + 1 :]
    if not batch_dims:
        return x.index_select(axis, index.reshape(-1)).reshape(shape)
    batch = x.shape[:batch_dims].numel()
    outer, inner = x.shape[batch_dims:axis].numel(), x.shape[axis + 1 :].numel()
    data = x.reshape(batch, outer, x.shape[axis], inner)
    flat = index.reshape(batch, 1, -1, 1).expand(batch, outer, -1, inner)
    return torch.gather(data, 2, flat).reshape(shape)


@mil_op("gather", moves_data=True)
def gather(x: Tensor, indices: Tensor, axis: int = 0, batch_dims: int = 0) -> Tensor:
    """Slices of `x` along `axis` at `indices`; shape x[:axis] + indices[batch_dims:] + x[axis + 1:]."""
    return _gather(x, indices, axis, batch_dims, validate=True)


@mil_op("gather", since="ios17", moves_data=True)
def gather_ios17(
    x: Tensor, indices: Tensor, axis: int = 0, batch_dims: int = 0, validate_indices: bool = False
) -> Tensor:
    """As `gather`; see the module for `validate_indices`."""
    return _gather(x, indices, axis, batch_dims, validate_indices)


@mil_op("gather_along_axis", moves_data=True)
def gather_along_axis(x: Tensor, indices: Tensor, axis: int = 0) -> Tensor:
    """`x[..., indices[..., i, ...], ...]` along `axis`; the shape of `indices`."""
    return torch.gather(x, axis, _wrapped(indices, x.shape[axis], validate=True))


@mil_op("gather_along_axis", since="ios17", moves_data=True)
def gather_along_axis_ios17(
    x: Tensor, indices: Tensor, axis: int = 0, validate_indices: bool = False
) -> Tensor:
    """As `gather_along_axis`; see the module for `validate_indices`."""
    return torch.gather(x, axis, _wrapped(indices, x.shape[axis], validate_indices))


def _gather_nd(x: Tensor, indices: Tensor, batch_dims: int, validate: bool) -> Tensor:
    depth = indices.shape[-1]
    sizes = torch.tensor(x.shape[batch_dims : batch_dims + depth])
    index = _wrapped(indices, sizes, validate)
    columns = list(index.unbind(-1))
    for axis in reversed(range(batch_dims)):
        form = [1] * (indices.dim() - 1)
        form[axis] = -1
        columns.insert(0, torch.arange(x.shape[axis]).reshape(form))
    return x[tuple(columns)] if columns else x.expand(index.shape[:-1] + x.shape)


@mil_op("gather_nd", moves_data=True)
def gather_nd(x: Tensor, indices: Tensor, batch_dims: int = 0) -> Tensor:
    """`x[indices[..., :]]`: the last axis of `indices` is an index into the axes after `batch_dims`."""
    return _gather_nd(x, indices, batch_dims, validate=True)


@mil_op("gather_nd", since="ios17", moves_data=True)
def gather_nd_ios17(
    x: Tensor, indices: Tensor, batch_dims: int = 0, validate_indices: bool = False
) -> Tensor:
    """As `gather_nd`; see the module for `validate_indices`."""
    return _gather_nd(x, indices, batch_dims, validate_indices)


_REDUCE = {"mul": "prod", "max": "amax", "min": "amin"}


def _scatter_flat(data: Tensor, places: Tensor, updates: Tensor, mode: str) -> Tensor:
    """`data` with `updates` combined into it at flat `places`, in order."""
    flat, index, values = data.reshape(-1).clone(), places.reshape(-1), updates.reshape(-1).to(data.dtype)
    if mode == "update":
        flat[index] = values
    elif mode == "add":
        flat.index_add_(0, index, values)
    elif mode == "sub":
        flat.index_add_(0, index, values, alpha=-1)
    elif mode in _REDUCE:
        flat.scatter_reduce_(0, index, values, _REDUCE[mode], include_self=True)
    elif mode == "div":
        divisor = torch.ones_like(flat).scatter_reduce_(0, index, values, "prod", include_self=True)
        flat = flat / divisor if flat.is_floating_point() else torch.div(flat, divisor, rounding_mode="trunc")
    else:
        raise ValueError(f"unknown scatter mode {mode!r}")
    return flat.reshape(data.shape)


def _positions(data: Tensor) -> Tensor:
    return torch.arange(data.numel()).reshape(data.shape)


def _inside(indices: Tensor, size: int | Tensor, validate: bool) -> tuple[Tensor, Tensor]:
    """Indices in [0, size), and which of them were inside to begin with."""
    index = indices.to(torch.int64)
    index = torch.where(index < 0, index + size, index)
    good = (index >= 0) & (index < size)
    return _wrapped(indices, size, validate), good


@mil_op("scatter")
def scatter(data: Tensor, indices: Tensor, updates: Tensor, axis: int = 0, mode: str = "add") -> Tensor:
    """`data` with slice i of `updates` combined into its slice `indices[i]` along `axis`."""
    return scatter_ios17(data, indices, updates, axis, mode, validate_indices=True)


@mil_op("scatter", since="ios17")
def scatter_ios17(
    data: Tensor,
    indices: Tensor,
    updates: Tensor,
    axis: int = 0,
    mode: str = "add",
    validate_indices: bool = False,
) -> Tensor:
    """As `scatter`; see the module for `validate_indices`."""
    index, good = _inside(indices.reshape(-1), data.shape[axis], validate_indices)
    index, chosen = index[good], updates.reshape(_with_axis(data, axis, len(good)))
    chosen = chosen.index_select(axis, good.nonzero().reshape(-1))
    return _scatter_flat(data, _positions(data).index_select(axis, index), chosen, mode)


def _with_axis(data: Tensor, axis: int, size: int) -> list[int]:
    shape = list(data.shape)
    shape[axis] = size
    return shape


@mil_op("scatter_along_axis")
def scatter_along_axis(
    data: Tensor, indices: Tensor, updates: Tensor, axis: int = 0, mode: str = "add"
) -> Tensor:
    """`data` with each element of `updates` combined in at `indices` along `axis`."""
    return scatter_along_axis_ios17(data, indices, updates, axis, mode, validate_indices=True)


@mil_op("scatter_along_axis", since="ios17")
def scatter_along_axis_ios17(
    data: Tensor,
    indices: Tensor,
    updates: Tensor,
    axis: int = 0,
    mode: str = "add",
    validate_indices: bool = False,
) -> Tensor:
    """As `scatter_along_axis`; see the module for `validate_indices`."""
    index, good = _inside(indices, data.shape[axis], validate_indices)
    places = torch.gather(_positions(data), axis, index)
    return _scatter_flat(data, places[good], updates.expand(index.shape)[good], mode)


@mil_op("scatter_nd")
def scatter_nd(data: Tensor, indices: Tensor, updates: Tensor, mode: str = "add") -> Tensor:
    """`data` with slices of `updates` combined in where the last axis of `indices` points."""
    return scatter_nd_ios17(data, indices, updates, mode, validate_indices=True)


@mil_op("scatter_nd", since="ios17")
def scatter_nd_ios17(
    data: Tensor, indices: Tensor, updates: Tensor, mode: str = "add", validate_indices: bool = False
) -> Tensor:
    """As `scatter_nd`; see the module for `validate_indices`."""
    depth = indices.shape[-1]
    index, good = _inside(indices, torch.tensor(data.shape[:depth]), validate_indices)
    rows = index.reshape(-1, depth)[good.all(-1).reshape(-1)]
    places = _positions(data)[tuple(rows.unbind(-1))]
    chosen = updates.reshape((-1, *data.shape[depth:]))[good.all(-1).reshape(-1)]
    return _scatter_flat(data, places, chosen, mode)
