"""Everything mode and boxes on a network of every family: each object is what its prompt alone gives."""

from __future__ import annotations

import numpy as np
import pytest
from PIL import Image

from tests.small_families import SMALL
from tinysam_mobile.imaging.images import RGBImage
from tinysam_mobile.modeling.entry_points import contract_of
from tinysam_mobile.modeling.stand_in import stand_in_model
from tinysam_mobile.segment.everything import EverythingConfig, EverythingGenerator
from tinysam_mobile.segment.from_boxes import objects_from_boxes
from tinysam_mobile.segment.predictor import Predictor
from tinysam_mobile.simulator.torch import open_session

NETWORKS = {**SMALL, **{f"{name}-single": config.with_single_mask() for name, config in SMALL.items()}}
LOOSE = EverythingConfig(
    hierarchical=False, points_per_side=4, pred_iou_thresh=-100, stability_score_thresh=0, box_nms_thresh=1
)
"""Stand-in scores mean nothing, so every mask may pass."""
BOXES = [[10, 20, 70, 80], [0, 0, 160, 120], [100, 30, 140, 60]]


@pytest.fixture(scope="module")
def photo() -> RGBImage:
    coarse = np.random.default_rng(0).integers(0, 256, (6, 8, 3), np.uint8)
    return np.asarray(Image.fromarray(coarse).resize((160, 120)))


@pytest.fixture(scope="module", params=NETWORKS)
def predictor(request: pytest.FixtureRequest) -> Predictor:
    model = stand_in_model(NETWORKS[request.param])
    return Predictor(open_session(model, contract_of(model, slots=6, batch=8, score_batch=8)))


def test_everything_finds_what_its_points_give(predictor: Predictor, photo: RGBImage) -> None:
    found = EverythingGenerator(predictor, LOOSE).generate(photo)
    assert len(found.points) == 16
    assert len(found.objects) >= 16
    predictor.set_image(photo)
    for item in found.objects[:: len(found.objects) // 4]:
        alone = predictor.predict(point_coords=[item.point], point_labels=[1])
        assert item.score == pytest.approx(float(alone.scores[item.mask_index]), abs=1e-4)
        mask = item.runs.decode()
        union = (mask | alone.masks[item.mask_index]).sum()
        assert (mask & alone.masks[item.mask_index]).sum() >= 0.99 * union


def test_a_box_gives_what_it_gives_alone(predictor: Predictor, photo: RGBImage) -> None:
    found = objects_from_boxes(predictor, photo, BOXES)
    for box, item in zip(BOXES, found, strict=True):
        alone = predictor.predict(box=box)
        np.testing.assert_array_equal(item.runs.decode(), alone.best_mask)
