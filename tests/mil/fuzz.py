"""Random programs of 5 to 40 ops, and what numpy and torch say they give.

python -m tests.mil.fuzz --count 20000 --seed 0
"""

from __future__ import annotations

import random
import sys
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import click
import numpy as np

from tests.mil.builder import Const, Program
from tests.mil.fuzz_drawing import Drawer, Drawn, Value
from tests.mil.fuzz_more_ops import MORE_MAKERS
from tests.mil.fuzz_ops import MAKERS

__all__ = ["check_program"]

SHAPES = [(), (1,), (4,), (0,), (2, 3), (3, 1), (1, 0, 2), (2, 3, 4), (1, 2, 4, 5), (1, 2, 1, 2, 3)]
TYPES = {"f": 11, "i": 23, "b": 1}
_MAKERS = [*MAKERS, *MORE_MAKERS]
_INTEGER_LIMIT = 2**20
"""Integers that grow leave int32 sooner or later, where numpy and Core ML need not agree."""


def _first_values(integer: Callable[[int, int], int]) -> list[Value]:
    """Inputs of every kind: floats, integers and booleans."""
    values = []
    for number in range(integer(2, 4)):
        rng = np.random.default_rng(integer(0, 1000))
        shape = SHAPES[integer(0, len(SHAPES) - 1)]
        array = rng.normal(size=shape).astype(np.float32)
        values.append(Value(name=f"f{number}", array=array))
        values.append(Value(name=f"i{number}", array=rng.integers(-9, 9, shape).astype(np.int32)))
        values.append(Value(name=f"b{number}", array=array > 0))
    return values


def _draw_op(integer: Callable[[int, int], int], values: list[Value]) -> Drawn | None:
    """An op on some of `values`; None when the one that was drawn finds nothing that suits it."""
    try:
        with np.errstate(all="ignore"):
            drawn = _MAKERS[integer(0, len(_MAKERS) - 1)](Drawer(integer, values))
    except LookupError:
        return None
    wide = [
        a
        for a in drawn.expected
        if a.dtype.kind == "i" and a.size and np.abs(a.astype(np.int64)).max() > 2**20
    ]
    return None if wide else drawn


def _argument(value: Any) -> Any:
    if isinstance(value, Value):
        return f"%{value.name}"
    if isinstance(value, tuple):
        return tuple(_argument(part) for part in value)
    return Const(value) if isinstance(value, np.ndarray) else value


@dataclass(frozen=True, kw_only=True)
class _Step:
    """One op of the program, and how it was drawn: the choices, among how many values."""

    drawn: Drawn
    outputs: tuple[str, ...]
    choices: tuple[int, ...]
    known: int


def check_program(integer: Callable[[int, int], int]) -> None:
    """Draw a program by `integer` (lowest, highest), run it, and raise AssertionError where it is wrong."""
    values = _first_values(integer)
    program = Program("ios17")
    for value in values:
        program.add_input(value.name, value.array)
    steps = []
    for number in range(integer(5, 40)):
        step = _add_op(program, integer, values, number)
        if step is not None:
            steps.append(step)
            pairs = zip(step.outputs, step.drawn.expected, strict=True)
            values += [Value(name=name, array=array) for name, array in pairs]
    if steps:
        program.returns(*(name for step in steps for name in step.outputs))
        _judge(steps, values, program.load(precision="fp32").predict(program.data))


def _add_op(
    program: Program, integer: Callable[[int, int], int], values: list[Value], number: int
) -> _Step | None:
    """An op on some of `values`; None when the one that was drawn finds nothing that suits it."""
    choices: list[int] = []

    def recorded(low: int, high: int) -> int:
        choices.append(integer(low, high))
        return choices[-1]

    drawn = _draw_op(recorded, values)
    if drawn is None:
        return None
    outputs = tuple(f"v{number}_{i}" for i in range(len(drawn.expected)))
    arguments = {key: _argument(value) for key, value in drawn.arguments.items()}
    operation = program.add_op(drawn.op_type, arguments, outputs)
    for named, array in zip(operation.outputs, drawn.expected, strict=True):
        tensor = named.type.tensorType
        tensor.dataType, tensor.rank = TYPES[array.dtype.kind], array.ndim
        for size in array.shape:
            tensor.dimensions.add().constant.size = size
    return _Step(drawn=drawn, outputs=outputs, choices=tuple(choices), known=len(values))


def _judge(steps: list[_Step], values: list[Value], found: dict[str, np.ndarray]) -> None:
    """Compare each op with numpy on the values that it really had, so that small errors do not add up."""
    real = [
        Value(name=v.name, array=found[v.name].astype(v.array.dtype).reshape(v.array.shape))
        if v.name in found else v
        for v in values
    ]  # fmt: skip
    for step in steps:
        again = _replayed(step, real[: step.known])
        if again is None:
            continue
        largest = max((_largest(v.array) for v in _operands(again)), default=1.0)
        for name, expected in zip(step.outputs, again.expected, strict=True):
            _compare(again.op_type, found[name], expected, largest)


def _replayed(step: _Step, values: list[Value]) -> Drawn | None:
    """The same choices on other values; None when they would have led to another op."""
    left = iter(step.choices)
    try:
        again = _draw_op(lambda _low, _high: next(left), values)
    except (StopIteration, IndexError):
        return None
    same = again is not None and [v.name for v in _operands(again)] == [v.name for v in _operands(step.drawn)]
    return again if same else None


def _operands(drawn: Drawn) -> list[Value]:
    parts = [p for v in drawn.arguments.values() for p in (v if isinstance(v, tuple) else (v,))]
    return [part for part in parts if isinstance(part, Value)]


def _largest(array: np.ndarray) -> float:
    finite = np.abs(array[np.isfinite(array)]) if array.dtype.kind == "f" else np.zeros(0)
    return float(finite.max()) if finite.size else 1.0


def _compare(op_type: str, found: np.ndarray, expected: np.ndarray, largest: float) -> None:
    found = found.reshape(expected.shape)
    if expected.dtype.kind != "f":
        np.testing.assert_array_equal(found.astype(expected.dtype), expected, err_msg=op_type)
        return
    # 256 elements at most are added up, each within a unit of the last place of the largest: 256 * 2**-23
    # is 3e-5.  Elementary functions of two libraries are a few units apart.
    scale = max(1.0, largest, _largest(expected))
    np.testing.assert_allclose(found, expected, rtol=2e-5, atol=3e-5 * scale, err_msg=op_type)


@click.command()
@click.option("--count", default=20_000, show_default=True)
@click.option("--seed", default=0, show_default=True, help="Of the first program.")
def main(count: int, seed: int) -> None:
    """Check programs and print the seeds of those that are wrong; exits 1 when there are any."""
    wrong = 0
    with np.errstate(all="ignore"):
        for number in range(seed, seed + count):
            try:
                check_program(random.Random(number).randint)
            except Exception as error:  # whatever it is, it is a fault
                wrong += 1
                click.echo(f"{number}: {type(error).__name__}: {' '.join(str(error).split())[:300]}")
    click.echo(f"{count} programs, {wrong} wrong")
    sys.exit(1 if wrong else 0)


if __name__ == "__main__":
    main()
