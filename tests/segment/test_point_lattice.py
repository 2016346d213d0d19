"""Grids, crops and the second round against the official code's answers."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from tinysam_mobile.segment.point_lattice import (
    beside,
    coarse_lattice,
    crop_boxes,
    grid_points,
    is_cut_by_crop,
    second_round,
)

GOLDEN = Path(__file__).parents[1] / "golden"


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
    every = second_round(16, (height, width)).points / [width, height]
    visited = np.array(official["second_round_points"])
    # The golden list leaves out what round 1 covered and holds six decimals: it is an ordered part of ours.
    nearest = np.abs(every[None] - visited[:, None]).max(axis=2)
    assert (nearest.min(axis=1) < 2e-6).all()
    assert (np.diff(nearest.argmin(axis=1)) > 0).all()


@pytest.mark.parametrize(("size", "count"), [((640, 640), 897), ((640, 769), 928), ((333, 501), 960)])
def test_second_round_candidates_before_removal(size: tuple[int, int], count: int) -> None:
    assert len(second_round(32, size).points) == count


def test_cells_are_the_places_of_the_points() -> None:
    # 640 divides by 32, so that the whole lattice has one step.
    coarse, fine = coarse_lattice(32, (640, 640)), second_round(32, (640, 640))
    for lattice in (coarse, fine):
        np.testing.assert_array_equal(lattice.points, (lattice.cells + 2) * 20)
    assert len(np.unique(np.concatenate([coarse.cells, fine.cells]), axis=0)) == 64 + 897


def test_a_part_of_a_lattice() -> None:
    fine = second_round(32, (640, 640))
    left = fine[fine.points[:, 0] < 320]
    assert (left.points[:, 0] < 320).all()
    np.testing.assert_array_equal(left.points, (left.cells + 2) * 20)


def test_neighbours_of_cells() -> None:
    fine = second_round(8, (80, 80)).cells
    found = fine[beside(fine, np.array([[4, 0], [-1, 6]]), 8)]
    around = {(x, y) for x in (3, 4, 5) for y in (-1, 0, 1)} | {(x, y) for x in (-1, 0) for y in (5, 6, 7)}
    around -= {(4, 0), (-1, 6)}
    assert set(map(tuple, found.tolist())) == around & set(map(tuple, fine.tolist()))
    assert not beside(fine, np.zeros((0, 2), np.int64), 8).any()


def test_one_pixel() -> None:
    assert (second_round(32, (1, 1)).points.astype(int) == 0).all()
