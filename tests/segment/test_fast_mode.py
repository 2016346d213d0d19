"""Fast everything mode against exact mode, on soft discs whose scores vary from point to point."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from tests.segment.test_everything import CONTRACT
from tinysam_mobile.contract.backend import Arrays
from tinysam_mobile.contract.everything_settings import SCORE_SLACK
from tinysam_mobile.parity.everything_parity import compare_results
from tinysam_mobile.segment import candidates
from tinysam_mobile.segment.everything import (
    EverythingConfig,
    EverythingGenerator,
    EverythingResult,
)
from tinysam_mobile.segment.predictor import Predictor

SIZE = (96, 120)
CONFIG = EverythingConfig(points_per_side=32, mode="exact", stability_score_thresh=0.8, high_score_thresh=4)
EVERYWHERE = {"near_iou_slack": 9.0}


class Discs:
    """A backend with soft discs around the corners of a grid: a point gets the disc nearest to it.

    Its radius grows a little with the point's place, and its score falls with the distance to the centre.
    """

    contract = CONTRACT

    def run(self, entry_point: str, inputs: Mapping[str, NDArray[Any]]) -> Arrays:
        if entry_point == "encode":
            return {"image_embeddings": np.zeros((1, 4, 8, 8), np.float32)}
        points = inputs["point_coords"][:, 0] / 4
        centres = np.round(points / 16) * 16 + 0.3
        distance = np.hypot(*(points - centres).T)
        y, x = np.mgrid[:32, :32] + 0.5
        away = np.hypot(x - centres[:, 0, None, None], y - centres[:, 1, None, None])
        radii = np.array([4.0, 5.5, 7.0]) + 0.02 * (centres.sum(axis=1) + distance)[:, None]
        logits = 5 * (radii[..., None, None] - away[:, None])
        scores = np.array([0.96, 0.97, 0.95]) - 0.03 * distance[:, None]
        return {
            "low_res_masks": logits.astype(np.float32),
            "iou_predictions": scores.astype(np.float32),
        }


def everything(config: EverythingConfig) -> EverythingResult:
    return EverythingGenerator(Predictor(Discs()), config).generate(np.zeros((*SIZE, 3), np.uint8))


@pytest.fixture(scope="module")
def exact() -> EverythingResult:
    result = everything(CONFIG)
    assert len(result.objects) > 10
    return result


def test_the_same_objects_where_every_point_is_decoded(exact: EverythingResult) -> None:
    fast = everything(replace(CONFIG, mode="fast", **EVERYWHERE))
    assert sorted(map(tuple, fast.points.tolist())) == sorted(map(tuple, exact.points.tolist()))
    assert [(o.point, o.mask_index) for o in fast.objects] == [(o.point, o.mask_index) for o in exact.objects]
    for ours, theirs in zip(fast.objects, exact.objects, strict=True):
        # float16 logits move an outline where the logit is at their rounding level, 2^-11 of at most 8.
        assert np.count_nonzero(ours.runs.decode() != theirs.runs.decode()) <= 2
        assert np.abs(np.subtract(ours.box, theirs.box)).max() <= 1
        # The low-resolution stability is right to its margin.
        cells = theirs.runs.area * 32**2 / max(SIZE) ** 2
        assert abs(ours.stability - theirs.stability) <= candidates.STABILITY_MARGIN_CELLS / cells**0.5


def test_nearly_the_same_objects_from_fewer_points(exact: EverythingResult) -> None:
    fast = everything(replace(CONFIG, mode="fast", near_iou_slack=0.03))
    assert len(fast.points) < 0.8 * len(exact.points)
    parity = compare_results(exact, fast, SIZE, CONFIG)
    assert parity.at(0.75).precision >= 0.97
    assert parity.at(0.75).recall >= 0.97
    assert parity.mean_iou >= 0.95


def test_without_memory_duplicates_go_early(exact: EverythingResult, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(candidates, "MAX_WAITING_BYTES", 0)
    monkeypatch.setattr(candidates, "DUPLICATE_IOUS", (0.97,))
    fast = everything(replace(CONFIG, mode="fast", **EVERYWHERE))
    assert compare_results(exact, fast, SIZE, CONFIG).mean_iou > 0.98


def test_a_window_of_logits_makes_the_same_mask() -> None:
    logits = Discs().run("decode_batch", {"point_coords": np.full((1, 1, 2), 60.0)})["low_res_masks"][0, 2]
    window = candidates.LogitWindow.of(logits)
    assert window.logits.size < logits.size
    inside = window.whole() > -1
    np.testing.assert_allclose(window.whole()[inside], logits[inside], rtol=2**-10)
    np.testing.assert_array_equal(window.whole() > 0, logits > 0)
    empty = candidates.LogitWindow.of(np.full((32, 32), -1, np.float32))
    assert empty.logits.size == 0
    assert (empty.whole() < 0).all()


def test_only_points_that_may_have_a_mask_are_decoded(exact: EverythingResult) -> None:
    fast = everything(replace(CONFIG, mode="fast", **EVERYWHERE))
    assert len(fast.points) == len(exact.points)
    assert fast.decoder_calls < 0.8 * exact.decoder_calls


def test_a_scorer_that_rounds_loses_no_object(monkeypatch: pytest.MonkeyPatch) -> None:
    """A point that `score_batch` puts below the threshold, and the decoder above, is decoded."""
    exact_run = Discs.run

    def rounded(self: Discs, entry_point: str, inputs: Mapping[str, NDArray[Any]]) -> Arrays:
        answer = exact_run(self, entry_point, inputs)
        if entry_point == "score_batch":
            answer = {"iou_predictions": answer["iou_predictions"] - np.float32(0.9 * SCORE_SLACK)}
        return answer

    expected = everything(replace(CONFIG, mode="fast", near_iou_slack=9.0))
    monkeypatch.setattr(Discs, "run", rounded)
    found = everything(replace(CONFIG, mode="fast", near_iou_slack=9.0))
    assert [(o.point, o.mask_index) for o in found.objects] == [
        (o.point, o.mask_index) for o in expected.objects
    ]
