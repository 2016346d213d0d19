"""EverythingParity on drawn scenes whose differences are known."""

from __future__ import annotations

import json
from dataclasses import replace

import numpy as np
import pytest

from tests.segment.test_everything import SIZE, Scene, quarters
from tinysam_mobile.parity.everything_parity import compare_everything, compare_results, summary
from tinysam_mobile.segment.everything import EverythingConfig, EverythingGenerator, EverythingResult
from tinysam_mobile.segment.predictor import Predictor

CONFIG = EverythingConfig(points_per_side=16, mode="exact")
PHOTO = np.zeros((SIZE, SIZE, 3), np.uint8)


@pytest.fixture(scope="module")
def result() -> EverythingResult:
    return EverythingGenerator(Predictor(Scene(quarters())), CONFIG).generate(PHOTO)


def test_equal_backends_agree_in_everything() -> None:
    parity = compare_everything(Scene(quarters()), Scene(quarters()), PHOTO, CONFIG)
    assert parity.reference == parity.other
    assert parity.shared_points == parity.reference.points
    assert [(q.precision, q.recall, q.panoptic_quality) for q in parity.levels] == [(1, 1, 1)] * 3
    assert (parity.mean_iou, parity.pixel_agreement, parity.differences) == (1, 1, ())


def test_a_missing_object_costs_recall_and_its_pixels() -> None:
    fewer = np.where(quarters() == 4, 0, quarters())
    parity = compare_everything(Scene(quarters()), Scene(fewer), PHOTO, CONFIG)
    quality = parity.at(0.75)
    assert (quality.matched, quality.precision, quality.recall) == (3, 1, 0.75)
    assert quality.panoptic_quality == pytest.approx(3 / 3.5)
    assert parity.mean_iou == pytest.approx(0.75)
    # Bilinear upscaling moves an outline by at most half a cell of the 32 x 32 scene.
    assert parity.pixel_agreement == pytest.approx(1 - 13**2 / 32**2, abs=4 * 13 / 32**2)
    (difference,) = parity.differences
    assert (difference.side, difference.cause, difference.is_tie) == ("reference", "value", False)


def test_a_smaller_mask_counts_where_its_iou_allows() -> None:
    smaller = quarters()
    smaller[18:31, 18:21] = 0
    parity = compare_everything(Scene(quarters()), Scene(smaller), PHOTO, CONFIG)
    # 10 of 13 columns: IoU 0.77.
    assert [quality.matched for quality in parity.levels] == [4, 4, 3]
    assert parity.at(0.9).mean_matched_iou == 1
    assert parity.mean_iou == pytest.approx((3 + 10 / 13) / 4, abs=0.02)


def causes(ours: EverythingResult, theirs: EverythingResult) -> list[str]:
    return [d.cause for d in compare_results(ours, theirs, (SIZE, SIZE), CONFIG).differences]


def without_last(result: EverythingResult) -> EverythingResult:
    return replace(result, objects=result.objects[:-1])


def test_causes(result: EverythingResult) -> None:
    *others, last = result.objects
    assert causes(result, without_last(result)) == ["value"]
    for change, cause in (({"score": 0.885}, "predicted IoU"), ({"stability": 0.955}, "stability")):
        near = replace(result, objects=(*others, replace(last, **change)))
        assert causes(near, without_last(result)) == [cause]
    unseen = replace(without_last(result), points=result.points[:0])
    assert causes(result, unseen) == ["point"]


def test_rivals_are_named(result: EverythingResult) -> None:
    first, last = result.objects[0], result.objects[-1]
    x0, y0, x1, y1 = last.box
    for narrowing, score, cause in (
        (0.3, 0.5, "box overlap"),
        (0.1, last.score, "order"),
        (0.1, 0.5, "value"),
    ):
        # A rival at nearly the same place whose mask is another one, so that it does not match.
        box = (x0, y0, round(x1 - narrowing * (x1 - x0)), y1)
        rival = replace(first, box=box, score=score)
        assert causes(result, replace(result, objects=(*result.objects[:-1], rival)))[0] == cause


def test_no_objects_on_either_side_is_agreement(result: EverythingResult) -> None:
    empty = replace(result, objects=())
    parity = compare_results(empty, empty, (SIZE, SIZE), CONFIG)
    assert (parity.mean_iou, parity.pixel_agreement, parity.at(0.5).recall) == (1, 1, 1)
    parity = compare_results(empty, result, (SIZE, SIZE), CONFIG)
    assert (parity.mean_iou, parity.at(0.5).precision, parity.at(0.5).recall) == (0, 0, 1)


def test_summary_counts_over_photos(result: EverythingResult) -> None:
    same = compare_results(result, result, (SIZE, SIZE), CONFIG)
    less = compare_results(result, without_last(result), (SIZE, SIZE), CONFIG)
    data = json.loads(json.dumps(summary({"a": same, "b": less})))
    assert data["photos"] == 2
    assert data["levels"]["0.75"]["recall"] == 7 / 8
    assert data["mean_iou"] == pytest.approx(7 / 8)
    assert data["causes"] == {"value": 1}
    assert data["reference"]["objects"] == 8
    assert summary({}) == {}
    json.dumps(less.to_dict())
