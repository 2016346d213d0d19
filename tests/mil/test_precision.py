"""Precision modes: what is rounded to fp16, against numpy's fp16 and coremltools' own conversion."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

from tests.mil.builder import Const, Program, ct
from tests.mil.convert import load_converted, quiet
from tinysam_mobile.mil import MilModel

LARGE = np.full(4, 300, np.float16)


def _square_root_of_the_sum_of_squares() -> Program:
    """All of it declared fp16, as coremltools converts torch.linalg.norm: 4 · 300² is beyond fp16."""
    program = Program("ios17")
    program.add_input("x", LARGE)
    program.add_op("mul", {"x": "%x", "y": "%x"}, ("squared",), 10, (4,))
    program.add_op("reduce_sum", {"x": "%squared", "keep_dims": False}, ("sum",), 10, ())
    program.add_op("sqrt", {"x": "%sum"}, ("norm",), 10, ())
    program.returns("norm")
    return program


def test_what_overflows_on_a_phone_overflows_by_default() -> None:
    program = _square_root_of_the_sum_of_squares()
    with np.errstate(over="ignore"):
        expected = np.sqrt((LARGE * LARGE).sum(dtype=np.float16))
    assert np.isinf(expected)
    assert program.run()[0] == expected
    assert program.run(precision="fp16")[0] == expected


def test_fp32_is_the_reference_without_any_rounding() -> None:
    assert _square_root_of_the_sum_of_squares().run(precision="fp32")[0] == 600.0


def test_declared_rounds_nothing_that_is_declared_fp32() -> None:
    x = np.float32([0.1, 1 / 3])
    program = Program("ios17")
    program.add_input("x", x)
    program.add_op("mul", {"x": "%x", "y": Const(np.float32(3.3))}, ("y",), 11, (2,))
    program.returns("y")
    np.testing.assert_array_equal(program.run()[0], x * np.float32(3.3))
    half = program.run(precision="fp16")[0]
    np.testing.assert_array_equal(half, half.astype(np.float16))


class _Interpolate(nn.Module):
    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return nn.functional.interpolate(x, size=(10, 18), mode="bilinear", align_corners=False)


class _Angle(nn.Module):
    def forward(self, y: torch.Tensor, x: torch.Tensor) -> torch.Tensor:
        return torch.atan2(y, x)


def _fp32_program_in_fp16(module: nn.Module, *inputs: torch.Tensor) -> MilModel:
    with quiet():
        traced = torch.jit.trace(module.eval(), inputs)
    names = [ct.TensorType(name=f"x{i}", shape=tuple(x.shape)) for i, x in enumerate(inputs)]
    (model,) = load_converted(
        traced, "fp16", inputs=names, minimum_deployment_target=ct.target.iOS15,
        compute_precision=ct.precision.FLOAT32,
    )  # fmt: skip
    return model


def test_fp16_leaves_the_scale_factors_of_an_op_alone() -> None:
    """18 / 5 = 3.6 is 3.5996 in fp16, which would give 17 columns."""
    x = torch.randn(1, 2, 3, 5)
    (result,) = _fp32_program_in_fp16(_Interpolate(), x).predict({"x0": x.numpy()}).values()
    assert result.shape == (1, 2, 10, 18)


def test_fp16_turns_no_guard_into_zero() -> None:
    """coremltools divides by x + 1e-8 where x is 0; 1e-8 rounded to fp16 would be 0."""
    zero = torch.zeros(3)
    (result,) = (
        _fp32_program_in_fp16(_Angle(), zero, zero).predict({"x0": zero.numpy(), "x1": zero.numpy()}).values()
    )
    assert np.isfinite(result).all()


def test_fp16_leaves_ops_alone_whose_constants_it_cannot_hold() -> None:
    """As coremltools' conversion: an op with a finite constant beyond 65504 stays float32."""
    x = np.float32([1.0001, 2])
    program = Program("ios17")
    program.add_input("x", x)
    program.add_op("mul", {"x": "%x", "y": Const(np.float32(1e6))}, ("y",), 11, (2,))
    program.returns("y")
    half = x.astype(np.float16).astype(np.float32)
    np.testing.assert_array_equal(program.run(precision="fp16")[0], half * np.float32(1e6))


@pytest.mark.parametrize("mode", ["linear", "palette"])
def test_a_compressed_model_is_its_decompressed_twin(mode: str) -> None:
    import coremltools.optimize as cto

    torch.manual_seed(0)
    layer = nn.Linear(64, 48).eval()
    with quiet():
        traced = torch.jit.trace(layer, torch.zeros(1, 64))
        inputs = [ct.TensorType(name="x", shape=(1, 64))]
        model = ct.convert(traced, inputs=inputs, minimum_deployment_target=ct.target.iOS16)
        operation: Any = (
            cto.coreml.OpLinearQuantizerConfig(weight_threshold=0)
            if mode == "linear"
            else cto.coreml.OpPalettizerConfig(mode="uniform", nbits=4, weight_threshold=0)
        )
        compress = cto.coreml.linear_quantize_weights if mode == "linear" else cto.coreml.palettize_weights
        compressed = compress(model, cto.coreml.OptimizationConfig(global_config=operation))
        twin = cto.coreml.decompress_weights(compressed)
        x = {"x": np.random.default_rng(0).normal(size=(1, 64)).astype(np.float32)}
        (a,), (b,) = (MilModel.load(m).predict(x).values() for m in (compressed, twin))
        del model, compressed, twin
    np.testing.assert_array_equal(a, b)


def test_a_state_holds_fp16_where_that_is_declared() -> None:
    program = _counter()
    model = program.load()
    state = model.make_state()
    state.write_state("total", np.float32([0.1, 0.2]))
    np.testing.assert_array_equal(state.read_state("total"), np.float16([0.1, 0.2]).astype(np.float32))


def test_a_state_is_a_copy_of_what_was_written() -> None:
    program = _counter()
    model = program.load()
    state = model.make_state()
    x = np.float32([1, 2])
    model.predict({"x": x}, state)
    x[:] = 99
    np.testing.assert_array_equal(state.read_state("total"), [1, 2])


def _counter() -> Program:
    """Writes its input into the state `total`, fp16."""
    program = Program("ios18")
    program.add_input("x", np.zeros(2, np.float32))
    named = program.function.inputs.add(name="total")
    wrapped = named.type.stateType.wrappedType.tensorType
    wrapped.dataType, wrapped.rank = 10, 1
    wrapped.dimensions.add().constant.size = 2
    array = program.spec.description.state.add(name="total").type.stateType.arrayType
    array.dataType = 65552
    array.shape.append(2)
    program.add_op("write_state", {"input": "%total", "data": "%x"}, ())
    program.add_op("read_state", {"input": "%total"}, ("y",), 10, (2,))
    program.returns("y")
    return program
