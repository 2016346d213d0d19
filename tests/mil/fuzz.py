"""Random programs of 5 to 40 ops, and what numpy and torch say they give.

python -m tests.mil.fuzz --count 20000 --seed 0
"""

from __future__ import annotations

import random
import sys
from collections.abc import Callable
from typing import Any

import click
import numpy as np

from tests.mil.builder import Const, Program
from tests.mil.fuzz_ops import MAKERS, Drawer, Drawn, Value

__all__ = ["check_program"]

SHAPES = [(), (1,), (4,), (0,), (2, 3), (3, 1), (1, 0, 2), (2, 3, 4), (1, 2, 4, 5), (1, 2, 1, 2, 3)]
TYPES = {"f": 11, "i": 23, "b": 1}
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
            drawn = MAKERS[integer(0, len(MAKERS) - 1)](Drawer(integer, values))
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


def _declare_inputs(program: Program, values: list[Value]) -> None:
    for value in values:
        program.add_input(value.name, value.array)


def check_program(integer: Callable[[int, int], int]) -> None:
    """Draw a program by `integer` (lowest, highest), run it, and raise AssertionError where it is wrong."""
    values = _first_values(integer)
    program = Program("ios17")
    _declare_inputs(program, values)
    names: list[str] = []
    expected: list[np.ndarray] = []
    for number in range(integer(5, 40)):
        drawn = _draw_op(integer, values)
        if drawn is None:
            continue
        outputs = tuple(f"v{number}_{i}" for i in range(len(drawn.expected)))
        operation = program.add_op(
            drawn.op_type, {k: _argument(v) for k, v in drawn.arguments.items()}, outputs
        )
        for named, array in zip(operation.outputs, drawn.expected, strict=True):
            tensor = named.type.tensorType
            tensor.dataType, tensor.rank = TYPES[array.dtype.kind], array.ndim
            for size in array.shape:
                tensor.dimensions.add().constant.size = size
        names += outputs
        expected += drawn.expected
        values += [Value(name=n, array=a) for n, a in zip(outputs, drawn.expected, strict=True)]
    if names:
        program.returns(*names)
        _compare(program, dict(zip(names, expected, strict=True)))


def _compare(program: Program, expected: dict[str, np.ndarray]) -> None:
    found = program.load(precision="fp32").predict(program.data)
    for operation in program.block.operations:
        for named in operation.outputs:
            if named.name in expected:
                _compare_one(operation.type, found[named.name], expected[named.name])


def _compare_one(op_type: str, found: np.ndarray, expected: np.ndarray) -> None:
    if expected.dtype.kind != "f":
        np.testing.assert_array_equal(found.reshape(expected.shape), expected, err_msg=op_type)
        return
    # Values come from 40 float32 ops at most, each within a few units of the last place of the largest
    # value that it adds up; where an op is steep (exp, division) its input's error is magnified.
    finite = expected[np.isfinite(expected)]
    scale = float(np.abs(finite).max()) if finite.size else 1.0
    np.testing.assert_allclose(
        found.reshape(expected.shape), expected, rtol=2e-3, atol=1e-4 * max(scale, 1.0), err_msg=op_type
    )


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
