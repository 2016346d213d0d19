"""Every family in every format: the numbers of PyTorch, and graphs that delegates take.

Small networks of each family's structure (tests/small_families.py) on stand-in weights; the official sizes
are converted by `python -m benchmarks.which_sam --measure NAME`.
"""

from __future__ import annotations

from collections.abc import Callable
from importlib import import_module
from pathlib import Path

import pytest
import torch

from tests.small_families import SMALL
from tinysam_mobile.artifacts.executorch_graph import read_graphs
from tinysam_mobile.artifacts.tflite_delegates import delegation
from tinysam_mobile.artifacts.tflite_graph import read_graph
from tinysam_mobile.contract.backend import Arrays
from tinysam_mobile.contract.spec import Component
from tinysam_mobile.converters.base import ConversionRequest, ConvertedFile
from tinysam_mobile.modeling.entry_points import EntryPoint, contract_of, entry_points
from tinysam_mobile.modeling.stand_in import stand_in_model
from tinysam_mobile.parity.compare import probe_inputs
from tinysam_mobile.parity.metrics import sqnr_db
from tinysam_mobile.quant.recipe import RECIPES

pytestmark = pytest.mark.slow

MIN_DB = {
    ("tflite", "fp32"): {Component.ENCODER: 100.0, Component.DECODER: 90.0},
    ("executorch", "fp32"): {Component.ENCODER: 100.0, Component.DECODER: 90.0},
    ("coreml", "fp16"): {Component.ENCODER: 55.0, Component.DECODER: 55.0},
}
"""The bars of the project's definition of done."""
MAX_PARTITIONS = 3
"""Of XNNPACK in the encoder: one, and what the edges cut off."""


def answers(entry: EntryPoint, inputs: Arrays) -> Arrays:
    """What PyTorch says."""
    with torch.inference_mode():
        out = entry.module(*(torch.from_numpy(value) for value in inputs.values()))
    outputs = out if isinstance(out, tuple) else (out,)
    return {spec.name: value.numpy() for spec, value in zip(entry.signature.outputs, outputs, strict=True)}


@pytest.mark.parametrize(("target", "recipe"), list(MIN_DB), ids=map("-".join, MIN_DB))
@pytest.mark.parametrize("name", SMALL)
def test_family_in_format(name: str, target: str, recipe: str, tmp_path: Path) -> None:
    model = stand_in_model(SMALL[name])
    contract = contract_of(model, slots=6, batch=2)
    entries = entry_points(model, contract)
    request = ConversionRequest(
        entry_points=entries, recipe=RECIPES[recipe], contract={"schema_version": 1}, folder=tmp_path
    )
    files = import_module(f"tinysam_mobile.converters.{target}").convert(request)
    features = answers(entries["encode"], probe_inputs(contract, None)["encode"])
    inputs = probe_inputs(contract, features)
    for file in files:
        check_answers(target, file, entries, inputs, MIN_DB[target, recipe][file.component])
        GRAPHS.get(target, lambda _: None)(file)


def check_answers(
    target: str, file: ConvertedFile, entries: dict[str, EntryPoint], inputs: dict[str, Arrays], bound: float
) -> None:
    session = import_module(f"tinysam_mobile.simulator.{target}").open_session(
        file.path,
        signatures={entry: entries[entry].signature for entry in file.entry_points},
        entry_points=file.entry_points,
        num_threads=1,
    )
    for entry in file.entry_points:
        expected, actual = answers(entries[entry], inputs[entry]), session.run(entry, inputs[entry])
        for output, value in expected.items():
            if output != "iou_predictions":
                assert sqnr_db(value, actual[output]) >= bound, (entry, output)


def check_tflite(file: ConvertedFile) -> None:
    graph = read_graph(file.path)
    assert graph.max_rank <= 4
    assert graph.custom_ops == ()
    assert graph.dynamic_tensors == ()
    if file.component is Component.ENCODER:
        assert delegation(file.path, "encode").partitions <= MAX_PARTITIONS


def check_executorch(file: ConvertedFile) -> None:
    for name, graph in read_graphs(file.path).items():
        assert set(graph.delegates) == {"XnnpackBackend"}
        assert name != "encode" or len(graph.delegates) <= MAX_PARTITIONS


GRAPHS: dict[str, Callable[[ConvertedFile], None]] = {"tflite": check_tflite, "executorch": check_executorch}
