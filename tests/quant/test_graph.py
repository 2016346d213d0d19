"""Layers of a graph, their simulation, and the quantize and dequantize operations put into it."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from tests.quant.net import entry_point, images, plan_of
from tinysam_mobile.parity.metrics import sqnr_db
from tinysam_mobile.quant.graph import LayerKind, trace_layers
from tinysam_mobile.quant.insertion import insert_dynamic, insert_static
from tinysam_mobile.quant.simulation import round_weight, simulated

SAME_DB = 70.0
"""The same roundings in another order of float32 sums, which rarely moves a value over a step of 1/256."""
ORDER = (
    *("stem", "local", "mix", "up", "down"),
    *("attn.qkv", "attn:bmm_0", "attn:bmm_1"),
)


def test_layers_by_name_kind_and_multiplications() -> None:
    graph = trace_layers(entry_point())
    layers = {layer.name: layer for layer in graph.layers.values()}
    assert graph.order == ORDER
    assert layers["local"].kind is LayerKind.DEPTHWISE
    assert layers["stem"].macs == 16 * 16 * 32 * 27
    assert layers["local"].macs == 16 * 16 * 32 * 9
    assert layers["up"].macs == 256 * 32 * 64
    assert layers["attn:bmm_0"].macs == 256 * 256 * 32
    assert layers["attn:bmm_1"].activations == (0, 1)
    assert layers["up"].activations == (0,)
    assert layers["up"].output.target is torch.ops.aten.relu.default
    assert {name for name, layer in layers.items() if layer.in_attention} == set(ORDER[5:])


def test_watching_changes_nothing() -> None:
    entry = entry_point()
    (image,) = images(1)
    (watched,) = trace_layers(entry).run((image,), lambda _, factors, multiply: multiply(*factors))
    torch.testing.assert_close(watched, entry.module(image))


def test_weights_rounded_as_torch_rounds_them() -> None:
    weight = torch.randn(6, 4, 3, 3, generator=torch.Generator().manual_seed(0))
    observer = torch.ao.quantization.PerChannelMinMaxObserver(
        ch_axis=0, dtype=torch.qint8, qscheme=torch.per_channel_symmetric, quant_min=-127, quant_max=127
    )
    observer(weight)
    scales, zeros = observer.calculate_qparams()
    oracle = torch.fake_quantize_per_channel_affine(weight, scales, zeros.int(), 0, -127, 127)
    torch.testing.assert_close(round_weight(weight, 1.0, 8), oracle, atol=2e-2, rtol=0)
    assert sqnr_db(oracle.numpy(), round_weight(weight, 1.0, 8).numpy()) > 60


@pytest.mark.parametrize("outputs", [False, True])
def test_inserted_operations_compute_what_the_simulation_does(outputs: bool) -> None:
    graph, plan = plan_of("static_w8a8")
    (image,) = images(1)
    # Products are integers where outputs are.
    layers = {name: grids for name, grids in plan.layers.items() if outputs or len(grids.inputs) == 1}
    (expected,) = graph.run((image,), simulated(layers, weight_bits=8, round_outputs=outputs))
    module = insert_static(graph, plan, quantize_outputs=outputs)
    assert sqnr_db(expected.numpy(), module(image).numpy()) > SAME_DB


def test_sixteen_bit_layers_get_integer_weights_only() -> None:
    graph, plan = plan_of("static_w8a8_attn16")
    assert plan.layers["attn.qkv"].output.bits == 16
    module = insert_static(graph, plan, quantize_outputs=False)
    names = [node.target.__name__ for node in module.graph.nodes if node.op == "call_function"]  # type: ignore[union-attr]
    assert names.count("dequantize_per_channel.default") == 6
    assert names.count("quantize_per_tensor.default") == 5


def test_dynamic_leaves_convolutions_in_float_and_is_near_float() -> None:
    entry = entry_point()
    module = insert_dynamic(trace_layers(entry))
    names = [node.target.__name__ for node in module.graph.nodes if node.op == "call_function"]  # type: ignore[union-attr]
    assert names.count("choose_qparams.tensor") == 3
    (image,) = images(1)
    assert sqnr_db(entry.module(image).numpy(), module(image).numpy()) > 30


def test_more_bits_are_nearer() -> None:
    figures = []
    for recipe in ("static_w6a6", "static_w8a8"):
        graph, plan = plan_of(recipe)
        (image,) = images(1)
        bits = plan.recipe.weight_bits
        (rounded,) = graph.run((image,), simulated(plan.layers, weight_bits=bits))
        figures.append(sqnr_db(entry_point().module(image).numpy(), rounded.numpy()))
    assert figures[0] > 15
    # Two bits are 12 dB.
    assert figures[1] - figures[0] == pytest.approx(12, abs=2.5)
    assert np.isfinite(figures).all()
