"""Gathers and scatters.

Source: coremltools, `mil/ops/defs/iOS15/scatter_gather.py` and its iOS 16 and iOS 17 versions.
Up to iOS 16 negative indices count from the end, and what lies outside is an error.  From iOS 17 on,
`validate_indices` refuses negative indices too; without it the result is undefined: here gathers
count negative indices from the end and clamp the rest, and scatters drop the update.
"""

from __future__ import annotations

import torch

from tinysam_mobile.mil.registry import Tensor, mil_op

__all__: list[str] = []


def _checked(indices: Tensor, size: int | Tensor, *, from_end: bool) -> Tensor:
    """Indices as int64 in [0, size); IndexError when one lies outside."""
    index = indices.to(torch.int64)
    if from_end:
        index = torch.where(index < 0, index + size, index)
    if bool(((index < 0) | (index >= size)).any()):
        raise IndexError(f"indices are out of bounds for an axis of size {size}")
    return index


def _clamped(indices: Tensor, size: int | Tensor) -> Tensor:
    """Indices as int64 in [0, size): negative ones counted from the end, then the nearest."""
    index = indices.to(torch.int64)
    index = torch.where(index < 0, index + size, index)
    return torch.minimum(index.clamp(min=0), (torch.as_tensor(size) - 1).clamp(min=0))


def _gather_index(indices: Tensor, size: int | Tensor, validate: bool | None) -> Tensor:
    """validate: None up to iOS 16."""
    if validate is False:
        return _clamped(indices, size)
    return _checked(indices, size, from_end=validate is None)


def _gather(x: Tensor, indices: Tensor, axis: int, batch_dims: int, validate: bool | None) -> Tensor:
    axis %= x.dim()
    index = _gather_index(indices, x.shape[axis], validate)
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
    return _gather(x, indices, axis, batch_dims, validate=None)


@mil_op("gather", since="ios17", moves_data=True)
def gather_ios17(
    x: Tensor, indices: Tensor, axis: int = 0, batch_dims: int = 0, validate_indices: bool = False
) -> Tensor:
    """As `gather`; see the module for `validate_indices`."""
    return _gather(x, indices, axis, batch_dims, validate_indices)


@mil_op("gather_along_axis", moves_data=True)
def gather_along_axis(x: Tensor, indices: Tensor, axis: int = 0) -> Tensor:
    """`x[..., indices[..., i, ...], ...]` along `axis`; the shape of `indices`."""
    return torch.gather(x, axis, _gather_index(indices, x.shape[axis], None))


@mil_op("gather_along_axis", since="ios17", moves_data=True)
def gather_along_axis_ios17(
    x: Tensor, indices: Tensor, axis: int = 0, validate_indices: bool = False
) -> Tensor:
    """As `gather_along_axis`; see the module for `validate_indices`."""
    return torch.gather(x, axis, _gather_index(indices, x.shape[axis], validate_indices))


def _gather_nd(x: Tensor, indices: Tensor, batch_dims: int, validate: bool | None) -> Tensor:
    depth = indices.shape[-1]
    sizes = torch.tensor(x.shape[batch_dims : batch_dims + depth], dtype=torch.int64)
    index = _gather_index(indices, sizes, validate)
    columns = list(index.unbind(-1))
    for axis in reversed(range(batch_dims)):
        form = [1] * (indices.dim() - 1)
        form[axis] = -1
        columns.insert(0, torch.arange(x.shape[axis]).reshape(form))
    return x[tuple(columns)] if columns else x.expand(index.shape[:-1] + x.shape)


@mil_op("gather_nd", moves_data=True)
def gather_nd(x: Tensor, indices: Tensor, batch_dims: int = 0) -> Tensor:
    """`x[indices[..., :]]`: the last axis of `indices` is an index into the axes after `batch_dims`."""
    return _gather_nd(x, indices, batch_dims, validate=None)


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


def _scatter_index(indices: Tensor, size: int | Tensor, validate: bool | None) -> tuple[Tensor, Tensor]:
    """Indices in [0, size), and which of them are meant.  validate: None up to iOS 16."""
    if validate is not False:
        index = _checked(indices, size, from_end=validate is None)
        return index, torch.ones_like(index, dtype=torch.bool)
    index = indices.to(torch.int64)
    return _clamped(index, size), (index >= 0) & (index < size)


def _scatter(
    data: Tensor, indices: Tensor, updates: Tensor, axis: int, mode: str, validate: bool | None
) -> Tensor:
    index, meant = _scatter_index(indices.reshape(-1), data.shape[axis], validate)
    shape = list(data.shape)
    shape[axis] = len(index)
    if mode in ("add", "sub") and bool(meant.all()):
        updates = updates.reshape(shape).to(data.dtype)
        return data.index_add(axis, index, updates, alpha=1 if mode == "add" else -1)
    chosen = updates.reshape(shape).index_select(axis, meant.nonzero().reshape(-1))
    return _scatter_flat(data, _positions(data).index_select(axis, index[meant]), chosen, mode)


@mil_op("scatter")
def scatter(data: Tensor, indices: Tensor, updates: Tensor, axis: int = 0, mode: str = "add") -> Tensor:
    """`data` with slice i of `updates` combined into its slice `indices[i]` along `axis`."""
    return _scatter(data, indices, updates, axis, mode, None)


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
    return _scatter(data, indices, updates, axis, mode, validate_indices)


def _scatter_along_axis(
    data: Tensor, indices: Tensor, updates: Tensor, axis: int, mode: str, validate: bool | None
) -> Tensor:
    index, meant = _scatter_index(indices, data.shape[axis], validate)
    places = torch.gather(_positions(data), axis, index)
    return _scatter_flat(data, places[meant], updates.expand(index.shape)[meant], mode)


@mil_op("scatter_along_axis")
def scatter_along_axis(
    data: Tensor, indices: Tensor, updates: Tensor, axis: int = 0, mode: str = "add"
) -> Tensor:
    """`data` with each element of `updates` combined in at `indices` along `axis`."""
    return _scatter_along_axis(data, indices, updates, axis, mode, None)


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
    return _scatter_along_axis(data, indices, updates, axis, mode, validate_indices)


def _scatter_nd(data: Tensor, indices: Tensor, updates: Tensor, mode: str, validate: bool | None) -> Tensor:
    depth = indices.shape[-1]
    index, meant = _scatter_index(indices, torch.tensor(data.shape[:depth]), validate)
    rows = meant.all(-1).reshape(-1)
    places = _positions(data)[tuple(index.reshape(-1, depth)[rows].unbind(-1))]
    return _scatter_flat(data, places, updates.reshape((-1, *data.shape[depth:]))[rows], mode)


@mil_op("scatter_nd")
def scatter_nd(data: Tensor, indices: Tensor, updates: Tensor, mode: str = "add") -> Tensor:
    """`data` with slices of `updates` combined in where the last axis of `indices` points."""
    return _scatter_nd(data, indices, updates, mode, None)


@mil_op("scatter_nd", since="ios17")
def scatter_nd_ios17(
    data: Tensor, indices: Tensor, updates: Tensor, mode: str = "add", validate_indices: bool = False
) -> Tensor:
    """As `scatter_nd`; see the module for `validate_indices`."""
    return _scatter_nd(data, indices, updates, mode, validate_indices)
