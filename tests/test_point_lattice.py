"""Grids, crops and the second round against the official code's answers."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from tinysam_mobile.point_lattice import crop_boxes, grid_points, is_cut_by_crop, second_round_points

GOLDEN = Path(__file__).parent / "golden"


def test_grids_of_each_crop_layer() -> None:
    with np.load(GOLDEN / "amg.npz") as official:
        for layer, count in enumerate((32, 16, 8)):
            np.testing.assert_allclose(grid_points(count, (1, 1)), official[f"grid_{layer}"], rtol=1e-12)


def test_crops_of_two_layers() -> None:
    with np.load(GOLDEN / "amg.npz") as official:
        for i in range(3):
            height, width = official[f"crops_{i}_size"].tolist()
            layers, boxes = zip(*crop_boxes((height, width), 2, 512 / 1500), strict=True)
            assert list(layers) == official[f"crops_{i}_layers"].tolist()
            assert [list(box) for box in boxes] == official[f"crops_{i}_boxes"].tolist()


def test_boxes_that_a_crop_cut() -> None:
    with np.load(GOLDEN / "amg.npz") as official:
        crop, boxes, expected = (official[key] for key in ("near_edge_crop", "boxes_xyxy", "near_edge"))
        height, width = official["logits_f16"].shape[1:]
    ours = [is_cut_by_crop(tuple(box), tuple(crop.tolist()), (height, width)) for box in boxes.tolist()]
    assert 0 < sum(ours) < len(ours)
    np.testing.assert_array_equal(ours, expected)


def test_second_round_visits_in_the_official_order() -> None:
    official = json.loads((GOLDEN / "dogs_everything.json").read_text())
    height, width = 770, 769
    every = second_round_points(16, np.zeros((height, width), np.bool_)) / [width, height]
    visited = np.array(official["second_round_points"])
    # The golden list leaves out what round 1 covered and holds six decimals: it is an ordered part of ours.
    nearest = np.abs(every[None] - visited[:, None]).max(axis=2)
    assert (nearest.min(axis=1) < 2e-6).all()
    assert (np.diff(nearest.argmin(axis=1)) > 0).all()


@pytest.mark.parametrize(("size", "count"), [((640, 640), 897), ((640, 769), 928), ((333, 501), 960)])
def test_second_round_candidates_before_removal(size: tuple[int, int], count: int) -> None:
    assert len(second_round_points(32, np.zeros(size, np.bool_))) == count


def test_covered_points_are_left_out() -> None:
    done = np.zeros((640, 640), np.bool_)
    done[:, :320] = True
    assert (second_round_points(32, done)[:, 0] >= 320).all()
    assert len(second_round_points(32, np.ones((640, 640), np.bool_))) == 0


def test_one_pixel() -> None:
    assert len(second_round_points(32, np.ones((1, 1), np.bool_))) == 0
    assert (second_round_points(32, np.zeros((1, 1), np.bool_)).astype(int) == 0).all()
