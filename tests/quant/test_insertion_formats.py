"""The plan's integers in ExecuTorch and Core ML, against the simulation of the same plan."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import numpy as np
import pytest
import torch

from tests.converters.tester import sqnr_db
from tests.quant.net import SIGNATURE, PaddedPool, entry_point, images, plan_of
from tinysam_mobile.artifacts.coreml_sdk import quiet
from tinysam_mobile.artifacts.executorch_facts import read_facts
from tinysam_mobile.artifacts.integer_macs import count_integer_macs
from tinysam_mobile.converters import coreml, coreml_quantize, executorch
from tinysam_mobile.converters.base import ConversionRequest
from tinysam_mobile.converters.coreml_quantize import compress_weights, quantized_module
from tinysam_mobile.mil import MilModel
from tinysam_mobile.modeling.entry_points import EntryPoint, example_inputs
from tinysam_mobile.quant.plan import QuantPlan
from tinysam_mobile.quant.recipe import RECIPES
from tinysam_mobile.quant.simulation import simulated
from tinysam_mobile.simulator.executorch import open_session

SIMULATION_MIN_DB = 45.0
"""Sums in another order move a value over a step now and then; float16 in between costs Core ML 55 dB."""


def expected(recipe: str | None, *, outputs: bool) -> tuple[np.ndarray, QuantPlan | None]:
    """The simulation's answer under a recipe, or the float network's; and the plan."""
    (image,) = images(1)
    if recipe is None:
        return entry_point().module(image).numpy(), None
    graph, plan = plan_of(recipe)
    layers = {name: grids for name, grids in plan.layers.items() if grids.output.bits == 8}
    if not outputs:
        # Core ML's products are float.
        layers = {name: grids for name, grids in layers.items() if len(grids.inputs) == 1}
    (out,) = graph.run((image,), simulated(layers, weight_bits=8, round_outputs=outputs))
    return out.numpy(), plan


def in_executorch(
    folder: Path, entry: EntryPoint, recipe: str, plan: QuantPlan | None
) -> tuple[Path, np.ndarray]:
    """The .pte of one entry point, and what its runtime answers to the first of the seeded inputs."""
    request = ConversionRequest(
        entry_points={"encode": entry}, recipe=RECIPES[recipe], contract={}, folder=folder, plan=plan
    )
    (file,) = executorch.convert(request)
    session = open_session(
        file.path, signatures={"encode": SIGNATURE}, entry_points={"encode": "encode"}, num_threads=1
    )
    return file.path, session.run("encode", {"image": images(1)[0].numpy()})["image_embeddings"]


@pytest.mark.parametrize(
    ("recipe", "bound_db"),
    [
        ("static_w8a8", SIMULATION_MIN_DB),
        pytest.param("dynamic_w8", 30.0, marks=pytest.mark.slow),
    ],
)
def test_executorch(tmp_path: Path, recipe: str, bound_db: float) -> None:
    answer, plan = expected(recipe if recipe == "static_w8a8" else None, outputs=True)
    path, out = in_executorch(tmp_path, entry_point(), recipe, plan)
    assert sqnr_db(answer, out) > bound_db
    graph = read_facts(path).graphs["encode"]
    assert graph.pieces == 1
    counted = count_integer_macs(graph)
    integer = 256 * 32 * 64 * 3
    if recipe == "static_w8a8":
        # Convolutions, dense and depthwise, and the products of attention; dynamic ones stay float.
        integer += 256 * (27 + 32 + 9) * 32 + 2 * 256 * 256 * 32
    # Layer norm adds two rows of averages, which stay float.
    assert counted.integer == integer


def test_executorch_loads_a_pad_between_integers(tmp_path: Path) -> None:
    graph, plan = plan_of("static_w8a8", net=PaddedPool)
    (image,) = images(1)
    (answer,) = graph.run((image,), simulated(plan.layers, weight_bits=8, round_outputs=True))
    _, out = in_executorch(tmp_path, entry_point(PaddedPool), "static_w8a8", plan)
    assert sqnr_db(answer.numpy(), out) > SIMULATION_MIN_DB


def test_core_ml_has_four_bits_where_they_save_something(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(coreml_quantize, "MIN_ELEMENTS_4_BITS", 1024)
    test_core_ml(tmp_path, "weight_only_w4_block32", 10.0, {"constexpr_blockwise_shift_scale": 3})


@pytest.mark.parametrize(
    ("recipe", "bound_db", "operations"),
    [
        ("static_w8a8", SIMULATION_MIN_DB, {"quantize": 6, "dequantize": 6}),
        ("static_w8a8_attn16", 25.0, {"quantize": 5, "dequantize": 5}),
        ("weight_only_w8", 35.0, {"quantize": 0}),
        # No layer of this network has the 8,193 weights from which on 4 bits are used: only float16 is lost.
        ("weight_only_w4_block32", 55.0, {"constexpr_blockwise_shift_scale": 0}),
        ("palettized_w6", 22.0, {"constexpr_lut_to_dense": 3}),
    ],
)
def test_core_ml(tmp_path: Path, recipe: str, bound_db: float, operations: dict[str, int]) -> None:
    simulated_recipe = recipe if recipe == "static_w8a8" else None
    answer, plan = expected(simulated_recipe, outputs=False)
    if recipe == "static_w8a8_attn16":
        _, plan = plan_of(recipe)
    entry = entry_point()
    request = ConversionRequest(
        entry_points={"encode": entry}, recipe=RECIPES[recipe], contract={}, folder=tmp_path, plan=plan
    )
    path = tmp_path / "encoder.mlpackage"
    with quiet():
        module = quantized_module(entry, RECIPES[recipe], plan)
        program = torch.export.export(module, example_inputs(SIGNATURE)).run_decompositions({})
        model = compress_weights(coreml._convert_program(program, entry, request), RECIPES[recipe])
        model.save(str(path))
    package = MilModel.load(path, precision="fp32")
    out = package.predict({"image": images(1)[0].numpy()})["image_embeddings"]
    assert sqnr_db(answer, np.asarray(out)) > bound_db
    histogram = Counter(node.op_type for node in package.plan.nodes())
    assert {name: histogram[name] for name in operations} == operations
