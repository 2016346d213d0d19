"""Element-wise binary ops, with numpy's broadcasting.

Source: coremltools, `mil/ops/defs/iOS15/elementwise_binary.py` and `control_flow.py` (`select`).
Integers stay integers: `floor_div` and `mod` round towards negative infinity, `real_div` towards
zero, and dividing an integer by zero gives zero, as numpy does.
"""

from __future__ import annotations

from collections.abc import Callable

import torch

from tinysam_mobile.mil.registry import Tensor, mil_op

__all__: list[str] = []

Binary = Callable[[Tensor, Tensor], Tensor]


def _register(name: str, function: Binary) -> None:
    def binary(x: Tensor, y: Tensor) -> Tensor:
        return function(x, y)

    binary.__doc__ = f"`{name}(x, y)`, element-wise."
    mil_op(name)(binary)


_OPS: dict[str, Binary] = {
    "add": torch.add, "mul": torch.mul, "equal": torch.eq, "not_equal": torch.ne, "greater": torch.gt,
    "greater_equal": torch.ge, "less": torch.lt, "less_equal": torch.le, "logical_and": torch.logical_and,
    "logical_or": torch.logical_or, "logical_xor": torch.logical_xor, "maximum": torch.maximum,
    "minimum": torch.minimum,
}  # fmt: skip
for _name, _function in _OPS.items():
    _register(_name, _function)


@mil_op("sub")
def sub(x: Tensor, y: Tensor) -> Tensor:
    """`x - y`."""
    return x - y


def _integer_division(x: Tensor, y: Tensor, rounding: str) -> Tensor:
    zero = y == 0
    quotient = torch.div(x, torch.where(zero, torch.ones_like(y), y), rounding_mode=rounding)
    return quotient.masked_fill(zero, 0)


@mil_op("real_div")
def real_div(x: Tensor, y: Tensor) -> Tensor:
    """`x / y`; of two integers, the quotient rounded towards zero."""
    if x.is_floating_point() or y.is_floating_point():
        return x / y
    return _integer_division(x, y, "trunc")


@mil_op("floor_div")
def floor_div(x: Tensor, y: Tensor) -> Tensor:
    """`x / y` rounded towards negative infinity."""
    if x.is_floating_point() or y.is_floating_point():
        return torch.div(x, y, rounding_mode="floor")
    return _integer_division(x, y, "floor")


@mil_op("mod")
def mod(x: Tensor, y: Tensor) -> Tensor:
    """`x % y`, with the sign of `y`."""
    if x.is_floating_point() or y.is_floating_point():
        return torch.remainder(x, y)
    zero = y == 0
    return torch.remainder(x, torch.where(zero, torch.ones_like(y), y)).masked_fill(zero, 0)


@mil_op("pow")
def pow_(x: Tensor, y: Tensor) -> Tensor:
    """`x ^ y`; of integers, a negative power is rounded towards zero."""
    if x.is_floating_point() or y.is_floating_point():
        return torch.pow(x, y)
    return torch.pow(x.double(), y.double()).to(x.dtype)


@mil_op("select")
def select(cond: Tensor, a: Tensor, b: Tensor) -> Tensor:
    """Elements of `a` where `cond` is true, else of `b`, broadcast."""
    return torch.where(cond.bool(), a, b)
