"""Integers in TFLite: the graph, and its numbers against the simulation, numpy and the SDK."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from ai_edge_litert import schema_py_generated as schema
from ai_edge_litert.interpreter import Interpreter

from tests.quant.net import SIGNATURE, entry_point, images, plan_of
from tinysam_mobile.artifacts.integer_macs import count_integer_macs
from tinysam_mobile.artifacts.tflite_delegates import delegation
from tinysam_mobile.artifacts.tflite_graph import TfliteGraph, read_graph
from tinysam_mobile.converters import tflite, tflite_passes, tflite_quantize
from tinysam_mobile.errors import ConversionError
from tinysam_mobile.parity.metrics import sqnr_db
from tinysam_mobile.quant.plan import QuantPlan
from tinysam_mobile.quant.recipe import RECIPES
from tinysam_mobile.quant.simulation import simulated

SIMULATION_MIN_DB = 45.0
"""XNNPACK rescales sums with 32-bit multipliers: now and then an output lands one step away, 1 of 256."""
WEIGHTS_MIN_DB = 35.0
"""int8 weights alone; 40 dB for one layer."""


@pytest.fixture(scope="module")
def float_model() -> bytes:
    """The float network as TFLite, converted once."""
    sdk = tflite._import_sdk()
    return tflite._lower(sdk, {"encode": entry_point()})


def quantized(data: bytes, recipe: str, plan: QuantPlan | None, path: Path) -> tuple[TfliteGraph, list[str]]:
    """Quantize, write and read back; returns the graph and the layers left in float."""
    model = tflite_passes.load_model(data)
    tflite_passes.use_batch_matmul(model)
    tflite_passes.fold_transposes(model)
    left = tflite_quantize.quantize_model(model, RECIPES[recipe], plan)
    path.write_bytes(tflite_passes.save_model(model))
    return read_graph(path), left["encode"]


def run(path: Path, *, reference_kernels: bool = False) -> np.ndarray:
    options: dict[str, Any] = {}
    if reference_kernels:
        from ai_edge_litert.interpreter import OpResolverType

        options["experimental_op_resolver_type"] = OpResolverType.BUILTIN_REF
    interpreter = Interpreter(model_path=str(path), num_threads=1, **options)
    (image,) = images(1)
    out: np.ndarray = interpreter.get_signature_runner("encode")(image=image.numpy())["image_embeddings"]
    return out


def expected() -> np.ndarray:
    (image,) = images(1)
    out: np.ndarray = entry_point().module(image).numpy()
    return out


@pytest.mark.parametrize("recipe", ["weight_only_w8", "dynamic_w8"])
def test_without_calibration(float_model: bytes, tmp_path: Path, recipe: str) -> None:
    path = tmp_path / "model.tflite"
    graph, _ = quantized(float_model, recipe, None, path)
    assert sqnr_db(expected(), run(path)) > WEIGHTS_MIN_DB - (recipe == "dynamic_w8") * 10
    assert delegation(path, "encode").outside == ()
    names = graph.subgraph_of("encode").histogram
    assert names["QUANTIZE"] == 0
    shares = count_integer_macs(graph.subgraph_of("encode")).integer_share
    assert shares == 0 if recipe == "weight_only_w8" else shares > 0.2
    assert graph.constant_bytes["INT8"] > 1024


def test_static_against_the_simulation(float_model: bytes, tmp_path: Path) -> None:
    traced, plan = plan_of("static_w8a8")
    path = tmp_path / "model.tflite"
    graph, left = quantized(float_model, "static_w8a8", plan, path)
    (image,) = images(1)
    (simulation,) = traced.run((image,), simulated(plan.layers, weight_bits=8, round_outputs=True))
    for reference_kernels in (False, True):
        assert sqnr_db(simulation.numpy(), run(path, reference_kernels=reference_kernels)) > SIMULATION_MIN_DB
    assert left == []
    # XNNPACK takes products only if the second factor has zero point 0.
    assert delegation(path, "encode").outside == ()
    for name, specs in (("inputs", SIGNATURE.inputs), ("outputs", SIGNATURE.outputs)):
        numbers = getattr(graph.signatures["encode"], name)
        assert {graph.subgraph_of("encode").tensors[numbers[s.name]].dtype for s in specs} == {"FLOAT32"}


def test_the_share_of_integer_multiplications_is_that_of_the_plan(float_model: bytes, tmp_path: Path) -> None:
    traced, plan = plan_of("static_w8a8")
    graph, _ = quantized(float_model, "static_w8a8", plan, tmp_path / "model.tflite")
    counted = count_integer_macs(graph.subgraph_of("encode"))
    assert counted.total == sum(layer.macs for layer in traced.layers.values())
    assert counted.integer == sum(layer.macs for layer in traced.layers.values() if layer.name in plan.layers)


def test_sixteen_bit_attention(float_model: bytes, tmp_path: Path) -> None:
    _, plan = plan_of("static_w8a8_attn16")
    path = tmp_path / "model.tflite"
    graph, left = quantized(float_model, "static_w8a8_attn16", plan, path)
    assert left == []
    tensors = graph.subgraph_of("encode").tensors
    products = [op for op in graph.subgraph_of("encode").ops if op.name == "BATCH_MATMUL"]
    assert {tensors[i].dtype for op in products for i in (*op.inputs, *op.outputs)} == {"INT16"}
    assert sqnr_db(expected(), run(path)) > 25


def test_weights_and_biases_follow_the_specification(float_model: bytes, tmp_path: Path) -> None:
    """Symmetric int8 weights without −128; a bias in steps of input scale times weight scale."""
    _, plan = plan_of("static_w8a8")
    path = tmp_path / "model.tflite"
    quantized(float_model, "static_w8a8", plan, path)
    model = tflite_passes.load_model(path.read_bytes())
    graph = model.subgraphs[0]
    checked = 0
    for op in graph.operators:
        if tflite_passes.builtin_of(model, op) != schema.BuiltinOperator.FULLY_CONNECTED:
            continue
        source, weight, bias = (graph.tensors[int(i)] for i in op.inputs)
        integers = np.frombuffer(bytes(model.buffers[weight.buffer].data), np.int8)
        assert integers.min() >= -127
        steps = source.quantization.scale[0] * weight.quantization.scale
        np.testing.assert_allclose(bias.quantization.scale, steps, rtol=1e-6)
        checked += 1
    assert checked == 3


def test_weight_only_is_what_the_sdk_makes(float_model: bytes, tmp_path: Path) -> None:
    """ai-edge-quantizer's explicit dequantization gives the same weights, so the same answers."""
    from ai_edge_quantizer import quantizer, recipe_manager  # noqa: F401
    from ai_edge_quantizer.recipe import weight_only_wi8_afp32

    source = tmp_path / "float.tflite"
    model = tflite_passes.load_model(float_model)
    tflite_passes.use_batch_matmul(model)
    tflite_passes.fold_transposes(model)
    source.write_bytes(tflite_passes.save_model(model))
    theirs = tmp_path / "theirs.tflite"
    sdk = quantizer.Quantizer(str(source), weight_only_wi8_afp32())
    theirs.write_bytes(sdk.quantize().quantized_model)
    ours = tmp_path / "ours.tflite"
    quantized(float_model, "weight_only_w8", None, ours)
    # They quantize the 288 weights of the depthwise convolution too, we only what has 1,024 or more.
    assert sqnr_db(run(theirs), run(ours)) > WEIGHTS_MIN_DB


def test_a_graph_with_other_layers_is_refused(float_model: bytes, tmp_path: Path) -> None:
    _, plan = plan_of("static_w8a8")
    short = QuantPlan(
        recipe=plan.recipe, method="", layers=plan.layers, order={"encode": plan.order["encode"][1:]}
    )
    with pytest.raises(ConversionError, match="8 layers where the model has 7"):
        quantized(float_model, "static_w8a8", short, tmp_path / "model.tflite")
