"""Element-wise ops and activations of the MIL interpreter against numpy and torch."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch.nn import functional

from tests.mil.builder import Const, Program, run

# fp32 functions of two libraries: a few units in the last place.
RTOL, ATOL = 2e-6, 1e-6
OPSETS = ("ios15", "ios16", "ios17", "ios18")

UNARY: dict[str, tuple[Callable[..., Any], float, float]] = {
    "abs": (np.abs, -5, 5), "acos": (np.arccos, -0.99, 0.99), "asin": (np.arcsin, -0.99, 0.99),
    "atan": (np.arctan, -9, 9), "atanh": (np.arctanh, -0.99, 0.99), "ceil": (np.ceil, -5, 5),
    "cos": (np.cos, -9, 9), "cosh": (np.cosh, -4, 4), "exp": (np.exp, -9, 9), "exp2": (np.exp2, -9, 9),
    "erf": (np.vectorize(math.erf), -3, 3), "floor": (np.floor, -5, 5), "round": (np.round, -5, 5),
    "sign": (np.sign, -5, 5), "sin": (np.sin, -9, 9), "sinh": (np.sinh, -4, 4), "sqrt": (np.sqrt, 0, 9),
    "square": (np.square, -9, 9), "tan": (np.tan, -1, 1), "tanh": (np.tanh, -5, 5),
}  # fmt: skip


@pytest.mark.parametrize("opset", OPSETS)
@pytest.mark.parametrize("name", UNARY)
def test_unary_matches_numpy(name: str, opset: str) -> None:
    function, low, high = UNARY[name]
    x = np.random.default_rng(0).uniform(low, high, (3, 4, 5)).astype(np.float32)
    np.testing.assert_allclose(run(name, opset=opset, x=x), function(x), rtol=2e-5, atol=ATOL)


@pytest.mark.parametrize("name", ["abs", "sign", "square"])
def test_unary_of_integers_stays_integer(name: str) -> None:
    x = np.arange(-4, 5, dtype=np.int32)
    result = run(name, x=x)
    assert result.dtype == np.int32
    np.testing.assert_array_equal(result, UNARY[name][0](x))


def test_round_takes_halves_to_even() -> None:
    x = np.array([-1.5, -0.5, 0.5, 1.5, 2.5], np.float32)
    np.testing.assert_array_equal(run("round", x=x), [-2, 0, 0, 2, 2])


@pytest.mark.parametrize(
    ("name", "function"),
    [
        ("inverse", lambda x, e: 1 / (x + e)),
        ("log", lambda x, e: np.log(x + e)),
        ("rsqrt", lambda x, e: (x + e) ** -0.5),
    ],
)
@pytest.mark.parametrize("epsilon", [1e-3, 0.5])
def test_epsilon_is_added_first(name: str, function: Callable[..., Any], epsilon: float) -> None:
    x = np.linspace(0, 3, 7, dtype=np.float32)
    np.testing.assert_allclose(run(name, x=x, epsilon=epsilon), function(x, epsilon), rtol=2e-5)


def test_default_epsilons() -> None:
    x = np.zeros(1, np.float32)
    assert run("inverse", x=x)[0] == pytest.approx(1e4)
    assert run("rsqrt", x=x)[0] == pytest.approx(1e6)
    assert run("log", x=x)[0] == pytest.approx(math.log(1.4e-45), rel=1e-3)


FLOAT_BINARY = {
    "add": np.add, "sub": np.subtract, "mul": np.multiply, "real_div": np.divide, "maximum": np.maximum,
    "minimum": np.minimum, "floor_div": np.floor_divide, "mod": np.mod, "equal": np.equal,
    "not_equal": np.not_equal, "greater": np.greater, "greater_equal": np.greater_equal, "less": np.less,
    "less_equal": np.less_equal,
}  # fmt: skip
SHAPES = st.sampled_from(
    [((3,), (3,)), ((2, 3), (3,)), ((2, 1, 4), (3, 1)), ((1,), (2, 2)), ((4, 1), (1, 5)), ((2, 0), (1, 1))]
)


@given(st.sampled_from(sorted(FLOAT_BINARY)), SHAPES, st.integers(0, 99))
def test_binary_of_floats_matches_numpy(name: str, shapes: Any, seed: int) -> None:
    rng = np.random.default_rng(seed)
    x, y = (rng.integers(-8, 8, shape).astype(np.float32) / 2 for shape in shapes)
    y = np.where(y == 0, np.float32(1.5), y)
    expected = FLOAT_BINARY[name](x, y)
    result = run(name, x=x, y=y)
    assert result.shape == expected.shape
    np.testing.assert_allclose(result, expected, rtol=RTOL, atol=ATOL)


@given(st.sampled_from(sorted(FLOAT_BINARY)), SHAPES, st.integers(0, 99))
def test_binary_of_integers_matches_numpy(name: str, shapes: Any, seed: int) -> None:
    rng = np.random.default_rng(seed)
    x, y = (rng.integers(-9, 9, shape).astype(np.int32) for shape in shapes)
    y = np.where(y == 0, np.int32(3), y)
    expected = np.trunc(x / y) if name == "real_div" else FLOAT_BINARY[name](x, y)
    result = run(name, x=x, y=y)
    assert result.dtype == np.int32
    np.testing.assert_array_equal(result, expected)


@pytest.mark.parametrize("name", ["real_div", "floor_div", "mod"])
def test_integer_division_by_zero_gives_zero(name: str) -> None:
    np.testing.assert_array_equal(run(name, x=np.array([5, -5], np.int32), y=np.zeros(2, np.int32)), [0, 0])


def test_pow() -> None:
    x = np.array([[1.5, 2.0], [3.0, 0.25]], np.float32)
    np.testing.assert_allclose(run("pow", x=x, y=Const(np.float32(2.5))), x**2.5, rtol=1e-5)
    np.testing.assert_array_equal(run("pow", x=np.array([2, -3], np.int32), y=Const(np.int32(3))), [8, -27])


@pytest.mark.parametrize("name", ["logical_and", "logical_or", "logical_xor"])
def test_logical(name: str) -> None:
    x, y = np.array([False, False, True, True]), np.array([False, True, False, True])
    np.testing.assert_array_equal(run(name, x=x, y=y), getattr(np, name)(x, y))
    np.testing.assert_array_equal(run("logical_not", x=x), ~x)


def test_select_broadcasts() -> None:
    condition = np.array([[True], [False]])
    a, b = np.arange(3, dtype=np.float32), -np.ones((2, 3), np.float32)
    np.testing.assert_array_equal(run("select", cond=condition, a=a, b=b), np.where(condition, a, b))


@pytest.mark.parametrize(
    ("name", "arguments"), [("clip", {"alpha": -1.0, "beta": 2.0}), ("threshold", {"alpha": 0.5})]
)
def test_bounds(name: str, arguments: dict[str, float]) -> None:
    x = np.array([-3, -1, 0, 0.5, 2, 7, np.nan], np.float32)
    expected = np.clip(x, -1, 2) if name == "clip" else np.maximum(x, np.float32(0.5))
    np.testing.assert_array_equal(run(name, x=x, **arguments), expected)


INTEGERS = ("int8", "uint8", "int16", "uint16", "int32")


@pytest.mark.parametrize("dtype", INTEGERS)
def test_cast_of_floats_truncates(dtype: str) -> None:
    x = np.array([0.0, 0.9, 1.5, 99.99], np.float32)
    np.testing.assert_array_equal(_cast(x, dtype), x.astype(dtype))


def _cast(x: np.ndarray, dtype: str) -> np.ndarray:
    program = Program()
    program.add_input("x", x)
    program.add_op("cast", {"x": "%x", "dtype": dtype}, ("y",))
    program.returns("y")
    return program.run()[0]


@pytest.mark.parametrize("dtype", INTEGERS)
def test_cast_saturates_floats_that_do_not_fit(dtype: str) -> None:
    bounds = np.iinfo(dtype)
    x = np.array([-1e20, 1e20, np.nan, np.inf, -np.inf], np.float32)
    np.testing.assert_array_equal(_cast(x, dtype), [bounds.min, bounds.max, 0, bounds.max, bounds.min])


@pytest.mark.parametrize("dtype", [*INTEGERS, "bool", "fp32", "fp16"])
@pytest.mark.parametrize("source", [*INTEGERS, "bool"])
def test_cast_of_integers_wraps_as_numpy_does(source: str, dtype: str) -> None:
    x = np.array([0, 1, 100, 127], np.int64).astype(source)
    expected = x.astype({"fp32": "float32", "fp16": "float32"}.get(dtype, dtype))
    np.testing.assert_array_equal(_cast(x, dtype), expected)
    if source == "int32" and dtype in INTEGERS:
        wide = np.array([-70000, -1, 300, 40000], np.int32)
        np.testing.assert_array_equal(_cast(wide, dtype), wide.astype(dtype))


def _gelu_sigmoid(x: torch.Tensor) -> torch.Tensor:
    return x * torch.sigmoid(1.702 * x)


C = np.array([0.1, 0.2, -0.3, 1.5], np.float32)
PER_CHANNEL = torch.from_numpy(C).reshape(1, 4, 1, 1)
ACTIVATIONS: list[tuple[str, dict[str, Any], Callable[[torch.Tensor], torch.Tensor]]] = [
    ("relu", {}, functional.relu),
    ("relu6", {}, functional.relu6),
    ("clamped_relu", {"alpha": 0.1, "beta": 1.5}, lambda x: functional.leaky_relu(x, 0.1).clamp(max=1.5)),
    ("elu", {"alpha": 0.7}, lambda x: functional.elu(x, 0.7)),
    ("gelu", {}, functional.gelu),
    ("gelu", {"mode": "TANH_APPROXIMATION"}, lambda x: functional.gelu(x, approximate="tanh")),
    ("gelu", {"mode": "SIGMOID_APPROXIMATION"}, _gelu_sigmoid),
    ("leaky_relu", {"alpha": 0.3}, lambda x: functional.leaky_relu(x, 0.3)),
    ("linear_activation", {"alpha": 2.0, "beta": -1.0}, lambda x: 2 * x - 1),
    ("prelu", {"alpha": Const(C)}, lambda x: functional.prelu(x, torch.from_numpy(C))),
    ("scaled_tanh", {"alpha": 2.0, "beta": 0.5}, lambda x: 2 * torch.tanh(0.5 * x)),
    ("sigmoid", {}, torch.sigmoid),
    ("sigmoid_hard", {"alpha": 0.3, "beta": 0.4}, lambda x: torch.clamp(0.3 * x + 0.4, 0, 1)),
    ("silu", {}, functional.silu),
    ("softplus", {}, functional.softplus),
    ("softplus_parametric", {"alpha": Const(C), "beta": Const(C)},
     lambda x: PER_CHANNEL * torch.log1p(torch.exp(PER_CHANNEL * x))),
    ("softsign", {}, functional.softsign),
    ("softmax", {"axis": 1}, lambda x: torch.softmax(x, 1)),
    ("softmax", {}, lambda x: torch.softmax(x, -1)),
    ("thresholded_relu", {"alpha": 0.5}, lambda x: torch.where(x >= 0.5, x, torch.zeros(()))),
]  # fmt: skip


@pytest.mark.parametrize("opset", ["ios15", "ios18"])
@pytest.mark.parametrize(("name", "arguments", "oracle"), ACTIVATIONS)
def test_activation_matches_torch(name: str, arguments: dict[str, Any], oracle: Any, opset: str) -> None:
    x = np.random.default_rng(1).normal(0, 2, (2, 4, 3, 5)).astype(np.float32)
    x[0, 0, 0, 0] = 0.5
    expected = oracle(torch.from_numpy(x)).numpy()
    np.testing.assert_allclose(run(name, opset=opset, x=x, **arguments), expected, rtol=1e-5, atol=ATOL)


def test_softplus_does_not_overflow() -> None:
    np.testing.assert_allclose(
        run("softplus", x=np.array([-1e4, 0, 1e4], np.float32)), [0, math.log(2), 1e4], rtol=1e-6
    )


@given(st.sampled_from(["add", "mul", "exp", "tanh", "matmul"]), st.integers(0, 50))
def test_fp16_rounds_each_result_once(name: str, seed: int) -> None:
    """The fp16 mode of a program in floats: fp32 inside the op, its inputs and its result rounded."""
    x = np.random.default_rng(seed).normal(0, 3, (4, 4)).astype(np.float32)
    half = x.astype(np.float16).astype(np.float32)
    if name in ("add", "mul", "matmul"):
        expected = getattr(np, {"mul": "multiply"}.get(name, name))(half, half)
        result = run(name, precision="fp16", dtype=11, x=x, y=x.copy())
    else:
        expected = getattr(np, name)(half)
        result = run(name, precision="fp16", dtype=11, x=x)
    # One unit of fp16's last place: two libraries may round to either side of a tie.
    np.testing.assert_allclose(result, expected.astype(np.float16), rtol=2**-10, atol=2**-24)
    assert (result == result.astype(np.float16)).all()
