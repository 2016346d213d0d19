"""Static recipes on every family: each entry point is watched, every layer gets grids, the masks survive."""

from __future__ import annotations

import re
from dataclasses import replace

import pytest

from tests.drawn_data import smooth_photos
from tests.small_families import ROUNDED_DB, SMALL
from tinysam_mobile.modeling.entry_points import contract_of, entry_points
from tinysam_mobile.modeling.families import family_of
from tinysam_mobile.modeling.sam import TinySAM
from tinysam_mobile.modeling.stand_in import stand_in_model
from tinysam_mobile.parity.compare import probe_inputs
from tinysam_mobile.parity.metrics import sqnr_db
from tinysam_mobile.quant.calibration import MIN_PHOTOS, CalibrationSet
from tinysam_mobile.quant.graph import LayerKind, Visit
from tinysam_mobile.quant.plan import QuantPlan
from tinysam_mobile.quant.planning import keep_in_float, make_plan, trace_all
from tinysam_mobile.quant.recipe import RECIPES
from tinysam_mobile.quant.sensitivity import plan_cost
from tinysam_mobile.quant.simulation import SimulatedModel, simulated
from tinysam_mobile.simulator.registry import open_model

W8A8 = RECIPES["static_w8a8"]
SHARE_CHOSEN = 0.75
"""Of eight prompts two may lie at a tie of the masks to choose from and come out as another one."""


@pytest.fixture(scope="module")
def photos(tmp_path_factory: pytest.TempPathFactory) -> CalibrationSet:
    return smooth_photos(tmp_path_factory.mktemp("photos"), MIN_PHOTOS)


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
    assert cost.sqnr_db >= ROUNDED_DB or (is_single and cost.mask_iou >= SHARE_CHOSEN)
    assert plan_cost(graphs, replace(plan, layers={}), photos, contract).sqnr_db == float("inf")
    patterns = family_of(config).float_layers
    assert all(any(re.fullmatch(pattern, layer) for layer in plan.layers) for pattern in patterns)
    kept = keep_in_float(plan, patterns)
    if not is_single:
        other = SimulatedModel(contract=contract, graphs=graphs, visit=rounded(kept))
        assert_other_prompts_survive(other, model)


def rounded(plan: QuantPlan) -> Visit:
    """Outputs too, as TFLite and ExecuTorch do."""
    return simulated(plan.layers, weight_bits=8, round_outputs=True)


def assert_other_prompts_survive(other: SimulatedModel, model: TinySAM) -> None:
    """A photo, prompts and a mask prompt that ranges were not chosen on cost no more than the rounding."""
    float_model = open_model(model, other.contract, num_threads=1)
    features = float_model.run("encode", probe_inputs(other.contract, None)["encode"])
    inputs = probe_inputs(other.contract, features)
    for entry in ("decode", "decode_batch"):
        expected, actual = (side.run(entry, inputs[entry])["low_res_masks"] for side in (float_model, other))
        print(entry, sqnr_db(expected, actual))
        assert sqnr_db(expected, actual) >= ROUNDED_DB, entry


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
