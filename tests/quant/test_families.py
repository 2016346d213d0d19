"""Static recipes on every family: each entry point is watched, every layer gets grids, the masks survive."""

from __future__ import annotations

import re
from dataclasses import replace

import pytest

from tests.drawn_data import smooth_photos
from tests.small_families import SMALL
from tinysam_mobile.modeling.config import config_named
from tinysam_mobile.modeling.entry_points import contract_of, entry_points
from tinysam_mobile.modeling.families import FAMILIES
from tinysam_mobile.modeling.stand_in import stand_in_model
from tinysam_mobile.quant.calibration import CalibrationSet
from tinysam_mobile.quant.graph import LayerKind
from tinysam_mobile.quant.planning import keep_in_float, make_plan, trace_all
from tinysam_mobile.quant.recipe import RECIPES
from tinysam_mobile.quant.sensitivity import plan_cost

W8A8 = RECIPES["static_w8a8"]
MIN_DB = 20.0
"""Of the mask logits, all layers rounded to 8 bits: noise-like weights leave more of it than trained ones."""


@pytest.fixture(scope="module")
def photos(tmp_path_factory: pytest.TempPathFactory) -> CalibrationSet:
    return smooth_photos(tmp_path_factory.mktemp("photos"))


@pytest.mark.parametrize("is_single", [False, True])
@pytest.mark.parametrize("name", SMALL)
def test_plan_of_a_family(name: str, is_single: bool, photos: CalibrationSet) -> None:
    config = SMALL[name].with_single_mask() if is_single else SMALL[name]
    if is_single and not config.decoder.stable_single_mask:
        pytest.skip("a mask less is not another graph")
    model = stand_in_model(config)
    contract = contract_of(model, slots=6, batch=2, score_batch=2)
    entries = entry_points(model, contract)
    watched = ("encode", "decode", "decode_batch")
    graphs = trace_all({entry: entries[entry] for entry in watched})
    plan = make_plan(W8A8, graphs, photos, contract)
    layers = {layer.name: layer for graph in graphs.values() for layer in graph.layers.values()}
    unweighted = (LayerKind.PRODUCT, LayerKind.POSITION)
    assert all(layer.activations for layer in layers.values()), "what no input changes is no layer"
    weighted = {key for key, layer in layers.items() if layer.kind not in unweighted}
    assert weighted <= set(plan.layers)
    cost = plan_cost(graphs, plan, photos, contract)
    print(name, cost)
    assert cost.sqnr_db >= MIN_DB
    assert plan_cost(graphs, replace(plan, layers={}), photos, contract).sqnr_db == float("inf")


def test_layers_that_a_family_names_stay_in_float(photos: CalibrationSet) -> None:
    model = stand_in_model(SMALL["small-nanosam"])
    contract = contract_of(model, slots=3, batch=1, score_batch=1)
    entries = entry_points(model, contract)
    graphs = trace_all({name: entries[name] for name in ("encode", "decode", "decode_batch")})
    plan = make_plan(W8A8, graphs, photos, contract)
    assert keep_in_float(plan, (r"mask_decoder", r".*\.nothing")) == plan  # whole names, not parts
    kept = {name for name in plan.layers if "mask_decoder.iou_" in name}
    mixed = keep_in_float(plan, (r".*mask_decoder\.iou_.*",))
    assert kept
    assert set(mixed.float_layers) == kept
    assert set(mixed.layers) == set(plan.layers) - kept


@pytest.mark.parametrize("name", [name for name, family in FAMILIES.items() if family.float_layers])
def test_patterns_of_a_family_are_names_of_its_layers(name: str) -> None:
    """Each pattern matches a layer of the smallest published network of the family."""
    config = config_named(FAMILIES[name].configs[0]).at_image_size(128)
    model = stand_in_model(config)
    entries = entry_points(model, contract_of(model, slots=3, batch=1, score_batch=1))
    graphs = trace_all({entry: entries[entry] for entry in ("encode", "decode_batch")})
    layers = {layer.name for graph in graphs.values() for layer in graph.layers.values()}
    for pattern in FAMILIES[name].float_layers:
        assert any(re.fullmatch(pattern, layer) for layer in layers), pattern
