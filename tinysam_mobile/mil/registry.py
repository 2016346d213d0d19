"""The table of ops: one small function per op and opset version.

A function's signature *is* the op's: parameter names and defaults as in coremltools' documentation
of the op, annotations say in which form an argument arrives (`Tensor`, `int`, `Ints`, ...).  The
compiler converts constants once and binds them, so functions see plain Python values.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, TypeAlias, TypeVar

import torch

__all__ = [
    "OPS",
    "OPSETS",
    "Bools",
    "Ints",
    "OpVersion",
    "Param",
    "Tensor",
    "Tensors",
    "Values",
    "find_op",
    "mil_op",
]

Tensor: TypeAlias = torch.Tensor
Ints: TypeAlias = tuple[int, ...]
Bools: TypeAlias = tuple[bool, ...]
Tensors: TypeAlias = tuple[torch.Tensor, ...]
Values: TypeAlias = tuple[Any, ...]

# Opsets in order; a program of a later one may use every op version of the earlier ones.
OPSETS: tuple[str, ...] = ("ios15", "ios16", "ios17", "ios18")


def _ints(value: Any) -> Any:
    if not isinstance(value, torch.Tensor):
        return value
    items = value.tolist()
    return tuple(int(v) for v in items) if isinstance(items, list) else (int(items),)


def _bools(value: Any) -> Any:
    if not isinstance(value, torch.Tensor):
        return value
    return tuple(bool(v) for v in value.reshape(-1).tolist())


def _scalar(kind: Callable[[Any], Any]) -> Callable[[Any], Any]:
    def convert(value: Any) -> Any:
        return kind(value.item()) if isinstance(value, torch.Tensor) else value

    return convert


def _as_is(value: Any) -> Any:
    return value


# Annotation -> conversion of an argument; None: the argument is passed as the interpreter holds it.
_CONVERTERS: dict[Any, Callable[[Any], Any] | None] = {
    Tensor: None, Tensor | None: None, Tensors: _as_is, Values: _as_is, Any: None,
    int: _scalar(int), int | None: _scalar(int), float: _scalar(float), float | None: _scalar(float),
    bool: _scalar(bool), bool | None: _scalar(bool), str: _as_is, str | None: _as_is,
    Ints: _ints, Ints | None: _ints, Bools: _bools, Bools | None: _bools,
}  # fmt: skip


@dataclass(frozen=True, kw_only=True)
class Param:
    """One parameter of an op; `convert` is None when the argument is passed as it is."""

    name: str
    required: bool
    variadic: bool
    convert: Callable[[Any], Any] | None


@dataclass(frozen=True, kw_only=True)
class OpVersion:
    """One op as it is from the opset `since` on.

    moves_data: results are elements of the arguments, so that nothing needs rounding;
    foldable: the same arguments always give the same result, and nothing else happens.
    """

    name: str
    since: str
    function: Callable[..., Any]
    params: dict[str, Param]
    moves_data: bool
    foldable: bool


# Op type -> its versions, oldest first.
OPS: dict[str, list[OpVersion]] = {}

_Function = TypeVar("_Function", bound=Callable[..., Any])


def mil_op(
    name: str, *, since: str = "ios15", moves_data: bool = False, foldable: bool = True
) -> Callable[[_Function], _Function]:
    """Enter a function in `OPS` as op `name` from opset `since` on (see `OpVersion`)."""

    def register(function: _Function) -> _Function:
        version = OpVersion(
            name=name, since=since, function=function, params=_params(function),
            moves_data=moves_data, foldable=foldable,
        )  # fmt: skip
        versions = OPS.setdefault(name, [])
        versions.append(version)
        versions.sort(key=lambda v: OPSETS.index(v.since))
        return function

    return register


def find_op(name: str, opset: str) -> OpVersion | None:
    """The version of op `name` that a program of `opset` means; None when there is none."""
    rank = OPSETS.index(opset)
    fitting = [v for v in OPS.get(name, []) if OPSETS.index(v.since) <= rank]
    return fitting[-1] if fitting else None


def _params(function: Callable[..., Any]) -> dict[str, Param]:
    signature = inspect.signature(function, eval_str=True)
    return {
        p.name: Param(
            name=p.name, required=p.default is p.empty, variadic=p.annotation in (Tensors, Values),
            convert=_CONVERTERS[p.annotation],
        )
        for p in signature.parameters.values()
    }  # fmt: skip
