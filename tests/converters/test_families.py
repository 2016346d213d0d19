"""Every family in every format: the numbers of PyTorch, and graphs that delegates take.

Small networks of each family's structure (tests/small_families.py) on stand-in weights; the official sizes
are converted by `python -m benchmarks.which_sam --measure NAME`.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from importlib import import_module
from pathlib import Path

import numpy as np
import pytest
import torch

from tests.drawn_data import smooth_photos
from tests.small_families import ROUNDED_DB, SMALL, with_published_decoder
from tinysam_mobile.artifacts.executorch_graph import read_graphs
from tinysam_mobile.artifacts.formats import FORMATS
from tinysam_mobile.artifacts.tflite_delegates import delegation
from tinysam_mobile.artifacts.tflite_graph import read_graph
from tinysam_mobile.contract.backend import Arrays, Session
from tinysam_mobile.contract.spec import Component, Contract
from tinysam_mobile.converters.base import ConversionRequest, ConvertedFile
from tinysam_mobile.imaging.images import load_image
from tinysam_mobile.modeling.entry_points import EntryPoint, contract_of, entry_points
from tinysam_mobile.modeling.families import family_of
from tinysam_mobile.modeling.sam import TinySAM
from tinysam_mobile.modeling.stand_in import stand_in_model
from tinysam_mobile.parity.compare import probe_inputs
from tinysam_mobile.parity.everything_parity import compare_everything
from tinysam_mobile.parity.metrics import sqnr_db
from tinysam_mobile.quant.calibration import MIN_PHOTOS, CalibrationSet
from tinysam_mobile.quant.planning import keep_in_float, make_plan, trace_all
from tinysam_mobile.quant.recipe import RECIPES
from tinysam_mobile.segment.everything import EverythingConfig
from tinysam_mobile.simulator.registry import LoadedModel, open_model

pytestmark = pytest.mark.slow

NETWORKS = {**SMALL, "small-sam2-single": SMALL["small-sam2"].with_single_mask()}
"""Each family; SAM 2 also with the mask that its decoder chooses itself."""
SCORES_SPREAD = 2.0
"""Spread of predicted IoUs and their like with stand-in weights: what a ratio would be taken of."""
MIN_DB = {
    ("tflite", "fp32"): {Component.ENCODER: 100.0, Component.DECODER: 90.0},
    ("executorch", "fp32"): {Component.ENCODER: 100.0, Component.DECODER: 90.0},
    ("coreml", "fp16"): dict.fromkeys(Component, 55.0),
    **{(target, "static_w8a8"): dict.fromkeys(Component, ROUNDED_DB) for target in FORMATS},
}
"""The bars of the project's definition of done."""
AVERAGING = ("coreml", "fp16")
"""Judged on decoders of the published width: a decoder of a fourth of it averages less rounding out
(EdgeSAM's and SlimSAM's 53.6 dB, where the published widths leave 57.0 and 57.2)."""
MAX_PARTITIONS = 3
"""Of XNNPACK in the encoder: one, and what the edges cut off."""
SHARE = 0.99
"""Of everything mode's objects, at IoU 0.9: rounding in another order turns near ties."""
EVERYTHING = EverythingConfig(
    hierarchical=False,
    points_per_side=4,
    pred_iou_thresh=-100,
    stability_score_thresh=0,
    box_nms_thresh=1,
)
"""Stand-in scores mean nothing, so every mask may pass and none is a duplicate."""


def answers(entry: EntryPoint, inputs: Arrays) -> Arrays:
    """What PyTorch says."""
    with torch.inference_mode():
        out = entry.module(*(torch.from_numpy(value) for value in inputs.values()))
    outputs = out if isinstance(out, tuple) else (out,)
    specs = entry.signature.outputs
    return {spec.name: np.ascontiguousarray(value) for spec, value in zip(specs, outputs, strict=True)}


@pytest.fixture(scope="module")
def photos(tmp_path_factory: pytest.TempPathFactory) -> CalibrationSet:
    """As many as ranges want."""
    return smooth_photos(tmp_path_factory.mktemp("photos"), MIN_PHOTOS)


def request_of(
    entries: dict[str, EntryPoint],
    contract: Contract,
    recipe: str,
    photos: CalibrationSet,
    float_layers: Sequence[str],
    folder: Path,
) -> ConversionRequest:
    """With a plan, where the recipe needs one."""
    plan = None
    if RECIPES[recipe].needs_calibration:
        watched = {name: entry for name, entry in entries.items() if name != "score_batch"}
        plan = make_plan(RECIPES[recipe], trace_all(watched), photos, contract)
        plan = keep_in_float(plan, float_layers)
    return ConversionRequest(
        entry_points=entries, recipe=RECIPES[recipe], contract={"schema_version": 1}, folder=folder, plan=plan
    )


@pytest.mark.parametrize(("target", "recipe"), list(MIN_DB), ids=map("-".join, MIN_DB))
@pytest.mark.parametrize("name", NETWORKS)
def test_family_in_format(
    name: str, target: str, recipe: str, photos: CalibrationSet, tmp_path: Path
) -> None:
    small = NETWORKS[name]
    model = stand_in_model(with_published_decoder(small) if (target, recipe) == AVERAGING else small)
    contract = contract_of(model, slots=6, batch=2, score_batch=2)
    entries = entry_points(model, contract)
    float_layers = family_of(model.config).float_layers
    request = request_of(entries, contract, recipe, photos, float_layers, tmp_path)
    files = import_module(f"tinysam_mobile.converters.{target}").convert(request)
    features = answers(entries["encode"], probe_inputs(contract, None)["encode"])
    inputs = probe_inputs(contract, features)
    sessions = {}
    for file in files:
        session = opened(target, file, entries)
        sessions |= dict.fromkeys(file.entry_points, session)
        for entry in file.entry_points:
            expected, actual = answers(entries[entry], inputs[entry]), session.run(entry, inputs[entry])
            check_answers(expected, actual, MIN_DB[target, recipe][file.component])
        GRAPHS.get(target, lambda _: None)(file)
    if recipe == "fp32":
        check_everything(model, LoadedModel(contract=contract, sessions=sessions), photos)


def opened(target: str, file: ConvertedFile, entries: dict[str, EntryPoint]) -> Session:
    session: Session = import_module(f"tinysam_mobile.simulator.{target}").open_session(
        file.path,
        signatures={entry: entries[entry].signature for entry in file.entry_points},
        entry_points=file.entry_points,
        num_threads=1,
    )
    return session


def check_answers(expected: Arrays, actual: Arrays, bound: float) -> None:
    """Images and masks reach the bar; scores, a few numbers that make no ratio, the error that it allows."""
    for output, value in expected.items():
        figure = sqnr_db(value, actual[output])
        print(f"{output} {figure:.1f} dB")
        if output in ("iou_predictions", "object_scores"):
            assert np.abs(value - actual[output]).max() <= 10 ** (-bound / 20) * SCORES_SPREAD, output
        else:
            assert figure >= bound, output


def check_everything(model: TinySAM, other: LoadedModel, photos: CalibrationSet) -> None:
    reference = open_model(model, other.contract, num_threads=1)
    found = compare_everything(reference, other, load_image(photos.photos[0]), EVERYTHING)
    assert found.reference.objects >= 16
    assert found.at(0.9).precision >= SHARE, found.differences
    assert found.at(0.9).recall >= SHARE, found.differences


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
