"""Lists of tensors, for loops.  A list is a tuple; writing makes a new one.

Source: coremltools, `mil/ops/defs/iOS15/control_flow.py`.
"""

from __future__ import annotations

from typing import Any

import torch

from tinysam_mobile.mil.ops.unary import cast_to
from tinysam_mobile.mil.registry import Tensor, Values, mil_op

__all__: list[str] = []

TensorList = tuple[Tensor, ...]


@mil_op("make_list", moves_data=True)
def make_list(
    elem_shape: Values,
    init_length: int = 1,
    dynamic_length: bool = True,  # noqa: ARG001
    dtype: str = "fp32",
) -> Any:
    """A list of `init_length` zeros; sizes that are known at run time only count as 1."""
    sizes = [1 if isinstance(size, str) else int(size) for size in elem_shape]
    element = cast_to(torch.zeros(sizes), dtype)
    return (element,) * init_length


@mil_op("list_length", moves_data=True)
def list_length(ls: Any) -> Tensor:
    """The number of elements, int32."""
    return torch.tensor(len(ls), dtype=torch.int32)


def _grown(ls: TensorList, length: int, like: Tensor) -> list[Tensor]:
    items = list(ls)
    items.extend(torch.zeros_like(like) for _ in range(length - len(items)))
    return items


@mil_op("list_write", moves_data=True)
def list_write(ls: Any, index: int, value: Tensor) -> Any:
    """The list with `value` at `index`; longer if need be."""
    items = _grown(ls, index + 1, value)
    items[index] = value
    return tuple(items)


@mil_op("list_read", moves_data=True)
def list_read(ls: Any, index: int) -> Tensor:
    """The element at `index`."""
    value: Tensor = ls[index]
    return value


@mil_op("list_gather", moves_data=True)
def list_gather(ls: Any, indices: Tensor) -> Tensor:
    """The elements at `indices`, stacked."""
    return torch.stack([ls[i] for i in indices.tolist()])


@mil_op("list_scatter", moves_data=True)
def list_scatter(ls: Any, indices: Tensor, value: Tensor) -> Any:
    """The list with `value[i]` at `indices[i]`; longer if need be."""
    places = indices.tolist()
    items = _grown(ls, max(places, default=-1) + 1, value[0]) if places else list(ls)
    for place, item in zip(places, value.unbind(0), strict=True):
        items[place] = item
    return tuple(items)
