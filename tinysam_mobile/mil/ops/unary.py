"""Element-wise unary ops.

Source: coremltools, `mil/ops/defs/iOS15/elementwise_unary.py` and `iOS17/elementwise_unary.py`.
"""

from __future__ import annotations

from collections.abc import Callable

import torch

from tinysam_mobile.mil.registry import Tensor, mil_op

__all__ = ["cast", "cast_to"]


def _register(name: str, function: Callable[[Tensor], Tensor]) -> None:
    def unary(x: Tensor) -> Tensor:
        return function(x)

    unary.__doc__ = f"`{name}(x)`, element-wise."
    mil_op(name)(unary)


for _name, _function in {
    "abs": torch.abs, "acos": torch.acos, "asin": torch.asin, "atan": torch.atan, "atanh": torch.atanh,
    "ceil": torch.ceil, "cos": torch.cos, "cosh": torch.cosh, "erf": torch.erf, "exp": torch.exp,
    "floor": torch.floor, "round": torch.round, "sin": torch.sin, "sinh": torch.sinh,
    "sqrt": torch.sqrt, "square": torch.square, "tan": torch.tan, "tanh": torch.tanh,
    "logical_not": torch.logical_not,
}.items():  # fmt: skip
    _register(_name, _function)


@mil_op("sign")
def sign(x: Tensor) -> Tensor:
    """-1, 0 or 1; NaN stays NaN, as in numpy."""
    return torch.where(x == x, torch.sign(x), x)


@mil_op("exp2")
def exp2(x: Tensor) -> Tensor:
    """`2 ** x`; of an integer, an integer, a negative power rounded towards zero."""
    return torch.exp2(x) if x.is_floating_point() else torch.exp2(x.double()).to(x.dtype)


@mil_op("clip")
def clip(x: Tensor, alpha: float, beta: float) -> Tensor:
    """`x` within [alpha, beta]; NaN stays NaN."""
    return torch.clamp(x, alpha, beta)


@mil_op("threshold")
def threshold(x: Tensor, alpha: Tensor) -> Tensor:
    """The larger of `x` and `alpha`."""
    return torch.maximum(x, alpha)


@mil_op("inverse")
def inverse(x: Tensor, epsilon: float = 1e-4) -> Tensor:
    """`1 / (x + epsilon)`."""
    return torch.reciprocal(x + epsilon)


@mil_op("log")
def log(x: Tensor, epsilon: float = 1e-45) -> Tensor:
    """`log(x + epsilon)`."""
    return torch.log(x + epsilon)


@mil_op("rsqrt")
def rsqrt(x: Tensor, epsilon: float = 1e-12) -> Tensor:
    """`1 / sqrt(x + epsilon)`."""
    return torch.rsqrt(x + epsilon)


# Names that `cast` and the quantization ops use -> (runtime type, lowest and highest integer).
_INTEGERS: dict[str, tuple[torch.dtype, int, int]] = {
    "int4": (torch.int8, -8, 7),
    "uint4": (torch.uint8, 0, 15),
    "int8": (torch.int8, -128, 127),
    "uint8": (torch.uint8, 0, 255),
    "int16": (torch.int16, -(2**15), 2**15 - 1),
    "uint16": (torch.int32, 0, 2**16 - 1),
    "int32": (torch.int32, -(2**31), 2**31 - 1),
    "uint32": (torch.int64, 0, 2**32 - 1),
    "int64": (torch.int64, -(2**63), 2**63 - 1),
}


def cast_to(x: Tensor, dtype: str) -> Tensor:
    """`x` in the MIL type `dtype`.

    Floats are truncated towards zero and saturate (NaN gives 0), as ARM's conversion does; integers
    wrap around in two's complement.
    """
    if dtype in ("fp16", "fp32", "fp64"):
        return x.float()
    if dtype == "bool":
        return x.bool()
    runtime, low, high = _INTEGERS[dtype]
    if x.is_floating_point():
        whole = torch.nan_to_num(x.double(), nan=0.0, posinf=float(high), neginf=float(low))
        return whole.trunc().clamp(float(low), float(high)).to(torch.int64).clamp(low, high).to(runtime)
    if dtype == "uint16":
        return (x.to(torch.int32) & 0xFFFF).to(runtime)
    return x.to(runtime)


@mil_op("cast")
def cast(x: Tensor, dtype: str) -> Tensor:
    """`x` with the type `dtype` (see `cast_to`)."""
    return cast_to(x, dtype)
