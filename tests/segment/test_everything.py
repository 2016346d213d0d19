"""Everything mode: the official generator's answers, and scenes whose objects are known."""

from __future__ import annotations

import base64
import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from tinysam_mobile.contract.backend import Arrays
from tinysam_mobile.contract.spec import Contract
from tinysam_mobile.errors import UnknownNameError, UsageError
from tinysam_mobile.imaging.images import load_image
from tinysam_mobile.modeling.config import TINYSAM
from tinysam_mobile.modeling.entry_points import contract_of
from tinysam_mobile.modeling.stand_in import stand_in_model
from tinysam_mobile.segment.everything import (
    EverythingConfig,
    EverythingGenerator,
    EverythingResult,
    SegmentedObject,
)
from tinysam_mobile.segment.predictor import Predictor
from tinysam_mobile.simulator.registry import open_model

GOLDEN = Path(__file__).parents[1] / "golden"
SIZE = 128
CONTRACT = Contract(image_size=SIZE, grid_size=8, mask_size=32, channels=4, slots=2, batch=16)
OUTSIDE, INSIDE = -10.0, 10.0


class Scene:
    """A backend that answers a point with the region of `labels` (32, 32) under it; region 0 scores low.

    The three masks are the region with a high, and twice with a low predicted IoU.
    """

    contract = CONTRACT

    def __init__(self, labels: NDArray[np.int64]) -> None:
        self.labels = labels

    def run(self, entry_point: str, inputs: Mapping[str, NDArray[Any]]) -> Arrays:
        if entry_point == "encode":
            return {"image_embeddings": np.zeros((1, 4, 8, 8), np.float32)}
        cells = np.clip(inputs["point_coords"][:, 0] // 4, 0, 31).astype(int)
        found = self.labels[cells[:, 1], cells[:, 0]]
        masks = np.where(self.labels == found[:, None, None], INSIDE, OUTSIDE).astype(np.float32)
        high = np.where(found > 0, 0.95, 0.1)
        scores = np.stack([high, np.full(len(found), 0.2), np.full(len(found), 0.3)], axis=1).astype(
            np.float32
        )
        return {"low_res_masks": np.repeat(masks[:, None], 3, axis=1), "iou_predictions": scores}


def quarters() -> NDArray[np.int64]:
    """Four regions and a frame of background between them."""
    labels = np.zeros((32, 32), np.int64)
    for i, (y, x) in enumerate([(1, 1), (1, 18), (18, 1), (18, 18)], start=1):
        labels[y : y + 13, x : x + 13] = i
    return labels


def everything(
    labels: NDArray[np.int64], size: tuple[int, int] = (SIZE, SIZE), **settings: Any
) -> EverythingResult:
    config = EverythingConfig(**{"points_per_side": 16, **settings})
    return EverythingGenerator(Predictor(Scene(labels)), config).generate(np.zeros((*size, 3), np.uint8))


@pytest.mark.parametrize("mode", ["exact", "fast"])
@pytest.mark.parametrize("hierarchical", [True, False])
def test_each_region_is_found_once(mode: str, hierarchical: bool) -> None:
    result = everything(quarters(), mode=mode, hierarchical=hierarchical)
    assert len(result.objects) == 4
    labels = np.kron(quarters(), np.ones((4, 4), np.int64))
    for found in result.objects:
        region = labels[int(found.point[1]), int(found.point[0])]
        mask = found.runs.decode()
        # Bilinear upscaling moves an outline by at most half a low-resolution cell, two pixels.
        assert (mask & (labels == region)).sum() / (mask | (labels == region)).sum() > 0.9
        rows, columns = np.nonzero(mask)
        assert found.box == (columns.min(), rows.min(), columns.max(), rows.max())
        assert found.mask_index == 0


def test_the_second_round_skips_what_the_first_covered() -> None:
    flat, hierarchical = (everything(quarters(), hierarchical=h, mode="exact") for h in (False, True))
    assert len(hierarchical.points) < 0.6 * len(flat.points)


@pytest.mark.parametrize("mode", ["exact", "fast"])
def test_a_fully_covered_photo_needs_no_second_round(mode: str) -> None:
    result = everything(np.ones((32, 32), np.int64), mode=mode)
    assert [found.runs.area for found in result.objects] == [SIZE * SIZE]
    assert len(result.points) == 16


@pytest.mark.parametrize("mode", ["exact", "fast"])
@pytest.mark.parametrize("size", [(SIZE, SIZE), (1, 1), (1, 300), (300, 1), (37, 5)])
def test_no_survivor_and_odd_sizes_are_results(mode: str, size: tuple[int, int]) -> None:
    assert everything(np.zeros((32, 32), np.int64), size, mode=mode).objects == ()
    for found in everything(np.ones((32, 32), np.int64), size, mode=mode).objects:
        assert found.runs.size == size
        assert found.runs.area == size[0] * size[1]


def test_crops_find_the_same_regions_in_the_whole_photo() -> None:
    result = everything(quarters(), hierarchical=False, crop_layers=1, points_per_side=8)
    assert all(found.runs.size == (SIZE, SIZE) for found in result.objects)
    assert len({found.crop_box for found in result.objects}) >= 1


def test_budgets_stop_in_time_with_the_best_so_far() -> None:
    result = everything(quarters(), hierarchical=False, max_decoder_calls=2)
    assert result.decoder_calls == 2
    assert result.stopped_early
    assert len(result.objects) >= 1
    assert everything(quarters(), budget_ms=0.0).decoder_calls == 0


def test_small_regions_are_removed() -> None:
    labels = quarters()
    labels[1:14, 1:14][6, 6] = 0
    holed = [o for o in everything(labels).objects if o.point[0] < 64 and o.point[1] < 64]
    filled = [o for o in everything(labels, min_region_area=400).objects if o.box == holed[0].box]
    assert filled[0].runs.area > holed[0].runs.area


def test_wrong_settings_are_refused() -> None:
    with pytest.raises(UnknownNameError, match="exact, fast"):
        EverythingConfig(mode="slow")
    with pytest.raises(UsageError, match="at least 4"):
        EverythingConfig(points_per_side=3)
    with pytest.raises(UsageError, match="flat"):
        EverythingConfig(crop_layers=1)


def matching(
    official: dict[str, Any], objects: tuple[SegmentedObject, ...], size: tuple[int, int]
) -> SegmentedObject:
    """The object that has the official annotation's point and score."""
    height, width = size
    x, y = official["point_coords"][0]
    near = [o for o in objects if abs(o.point[0] - x) < 1e-6 * width and abs(o.point[1] - y) < 1e-6 * height]
    found = [o for o in near if abs(o.score - official["predicted_iou"]) < 1e-4]
    assert len(found) == 1, (x, y)
    return found[0]


@pytest.mark.slow
def test_exact_mode_replays_the_official_generator() -> None:
    folder = os.environ.get("TINYSAM_GOLDEN_PHOTOS")
    if not folder:
        pytest.skip("TINYSAM_GOLDEN_PHOTOS is not set: see CONTRIBUTING.md")
    official = json.loads((GOLDEN / "dogs_everything.json").read_text())
    settings = {k: v for k, v in official["settings"].items() if k not in ("points_per_batch", "output_mode")}
    model = stand_in_model(TINYSAM)
    predictor = Predictor(open_model(model, contract_of(model, slots=2)))
    photo = load_image(Path(folder) / "dogs.jpg")
    result = EverythingGenerator(predictor, EverythingConfig(mode="exact", **settings)).generate(photo)
    size = (photo.shape[0], photo.shape[1])
    second = result.points[16:] / [size[1], size[0]]
    np.testing.assert_allclose(second, official["second_round_points"], atol=1e-6)
    assert len(result.objects) == len(official["annotations"]) == 118
    for annotation in official["annotations"]:
        found = matching(annotation, result.objects, size)
        x0, y0, x1, y1 = found.box
        assert [x0, y0, x1 - x0, y1 - y0] == annotation["bbox"]
        assert found.stability == pytest.approx(annotation["stability_score"], abs=1e-4)
        mask = found.runs.decode()[::8, ::8]
        packed = np.frombuffer(base64.b64decode(annotation["mask_sub8_packed_b64"]), np.uint8)
        expected = np.unpackbits(packed)[: mask.size].reshape(mask.shape).astype(bool)
        # A pixel may flip where its logit is at rounding level; on every eighth pixel that is one at most.
        assert (mask != expected).sum() <= 1
