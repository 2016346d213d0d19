"""Ranking of layers and mixed precision on the smallest model, whose graphs are traced once."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner
from PIL import Image

from tests.drawn_data import smooth_photos
from tinysam_mobile.cli import main
from tinysam_mobile.errors import ConversionError
from tinysam_mobile.modeling.config import CONFIGS
from tinysam_mobile.modeling.entry_points import contract_of, entry_points
from tinysam_mobile.modeling.stand_in import stand_in_model
from tinysam_mobile.quant import search
from tinysam_mobile.quant.calibration import CalibrationSet
from tinysam_mobile.quant.graph import LayerGraph
from tinysam_mobile.quant.numerics import grid_of_range
from tinysam_mobile.quant.observers import SEARCH
from tinysam_mobile.quant.plan import LayerGrids, QuantPlan
from tinysam_mobile.quant.planning import make_plan, trace_all
from tinysam_mobile.quant.recipe import RECIPES
from tinysam_mobile.quant.sensitivity import auto_mixed, rank_layers
from tinysam_mobile.quant.simulation import SimulatedModel, simulated
from tinysam_mobile.simulator.registry import open_model

MODEL = stand_in_model(CONFIGS["tiny-test"])
CONTRACT = contract_of(MODEL, slots=4, batch=4)
BROKEN = "image_encoder.neck.0"
MASK_READER = "model.prompt_encoder.mask_downscaling.0"


@pytest.fixture(scope="module")
def graphs() -> dict[str, LayerGraph]:
    return trace_all(entry_points(MODEL, CONTRACT))


@pytest.fixture(scope="module")
def photos(tmp_path_factory: pytest.TempPathFactory) -> CalibrationSet:
    return smooth_photos(tmp_path_factory.mktemp("photos"))


@pytest.fixture(scope="module")
def plan(graphs: dict[str, LayerGraph], photos: CalibrationSet) -> QuantPlan:
    return make_plan(RECIPES["static_w8a8"], graphs, photos, CONTRACT)


def broken(plan: QuantPlan, names: tuple[str, ...]) -> QuantPlan:
    """A plan in which the input of some layers is rounded to next to nothing."""
    coarse = grid_of_range(-1e-3, 1e-3)
    grids = {n: LayerGrids(inputs=(coarse,), output=plan.layers[n].output) for n in names}
    return replace(plan, layers={**plan.layers, **grids})


def few(plan: QuantPlan) -> QuantPlan:
    """The plan of four layers, so that ranking takes four runs."""
    names = [BROKEN, "image_encoder.patch_embed.seq.0", "image_encoder.neck.2", "model.mask_decoder:linear_0"]
    return replace(plan, layers={name: plan.layers[name] for name in names})


def test_layers_have_one_name_in_both_decoders(graphs: dict[str, LayerGraph]) -> None:
    single, batch = (set(graphs[name].order) for name in ("decode", "decode_batch"))
    assert {name for name in single - batch if "mask_downscaling" not in name} == set()
    assert batch <= single


def test_the_broken_layer_is_first(
    graphs: dict[str, LayerGraph], plan: QuantPlan, photos: CalibrationSet
) -> None:
    ranked = rank_layers(graphs, broken(few(plan), (BROKEN,)), photos, CONTRACT)
    assert ranked[0].name == BROKEN
    assert ranked[0].sqnr_db < 5 < 20 < ranked[1].sqnr_db


def test_mixed_precision_leaves_it_out(
    graphs: dict[str, LayerGraph], plan: QuantPlan, photos: CalibrationSet
) -> None:
    mixed = auto_mixed(graphs, broken(few(plan), (BROKEN,)), photos, CONTRACT, min_iou=0.8)
    assert mixed.float_layers == (BROKEN,)
    assert BROKEN not in mixed.layers
    untouched = auto_mixed(graphs, few(plan), photos, CONTRACT, min_iou=0.5)
    assert untouched.float_layers == ()


def test_mixed_precision_says_when_it_cannot(
    graphs: dict[str, LayerGraph], plan: QuantPlan, photos: CalibrationSet
) -> None:
    small = few(plan)
    with pytest.raises(ConversionError, match=r"with 2 of 4 layers in float, not 0\.99"):
        auto_mixed(graphs, broken(small, tuple(small.layers)), photos, CONTRACT, min_iou=0.99)


def test_the_search_plans_every_layer_that_the_observers_do(
    graphs: dict[str, LayerGraph],
    plan: QuantPlan,
    photos: CalibrationSet,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(search, "CANDIDATES", 6)
    monkeypatch.setattr(search, "ROUNDS", 1)
    found = make_plan(RECIPES["static_w8a8"], graphs, photos, CONTRACT, method=SEARCH)
    assert found.layers.keys() == plan.layers.keys()
    searched = [name for name, grids in found.layers.items() if grids.weight_clip]
    # A mask prompt is no part of the loss, so the layers that read it keep their min-max grids.
    weighted = [name for name, grids in plan.layers.items() if len(grids.inputs) == 1]
    assert {name for name in weighted if name not in searched} == {
        f"model.prompt_encoder.mask_downscaling.{i}" for i in (0, 3, 6)
    }


def test_a_simulation_of_nothing_is_the_model(graphs: dict[str, LayerGraph]) -> None:
    model = SimulatedModel(contract=CONTRACT, graphs=graphs, visit=simulated({}, weight_bits=8))
    image = np.random.default_rng(0).uniform(0, 255, (1, 3, 128, 128)).astype(np.float32)
    inputs = {"image": image, "valid_size": np.array([100, 128], np.int32)}
    ours = model.run("encode", inputs)["image_embeddings"]
    theirs = open_model(MODEL, CONTRACT).run("encode", inputs)["image_embeddings"]
    np.testing.assert_allclose(ours, theirs, atol=1e-4)


def test_the_ranking_from_the_command_line(tmp_path: Path) -> None:
    Image.new("RGB", (64, 48), "teal").save(tmp_path / "photo.png")
    result = CliRunner().invoke(
        main, ["sensitivity", "stand-in:tiny-test", "--calibration", str(tmp_path), "--json"]
    )
    assert result.exit_code == 0, result.stderr
    assert "fewer than 8" in result.stderr
    report = json.loads(result.stdout)
    costs = [layer["mask_iou"] for layer in report["layers"]]
    assert costs == sorted(costs)
    # Layers of the mask prompt, which no prompt of the ranking has, cost nothing.
    assert report["all"]["sqnr_db"] < min(layer["sqnr_db"] or np.inf for layer in report["layers"])


def test_every_photo_is_asked_a_mask_prompt(graphs: dict[str, LayerGraph], photos: CalibrationSet) -> None:
    """Of one photo too: with an empty mask the layer that reads it would see zeros only."""
    one = CalibrationSet(photos=photos.photos[:1])
    grid = make_plan(RECIPES["static_w8a8"], graphs, one, CONTRACT).layers[MASK_READER].inputs[0]
    assert grid.scale * (grid.q_max - grid.q_min) > 0.1
