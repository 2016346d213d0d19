"""One mask for each box: in order, unfiltered, in batches; and lists of boxes from files."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from tinysam_mobile.errors import InputError, UsageError
from tinysam_mobile.modeling.config import TINY_TEST
from tinysam_mobile.modeling.entry_points import contract_of
from tinysam_mobile.modeling.stand_in import stand_in_model
from tinysam_mobile.segment.from_boxes import (
    MAX_BOXES,
    objects_from_boxes,
    read_box_list,
    read_boxes_of,
)
from tinysam_mobile.segment.predictor import Predictor
from tinysam_mobile.simulator.torch import open_session

PHOTO = np.random.RandomState(0).randint(0, 256, (60, 90, 3)).astype(np.uint8)
BOXES = [[5, 5, 40, 30], [5, 5, 40, 30], [0, 0, 90, 60], [50, 10, 55, 50], [1.5, 2.5, 3.5, 4.5]]


@pytest.fixture(scope="module")
def predictor() -> Predictor:
    model = stand_in_model(TINY_TEST.with_single_mask())
    return Predictor(open_session(model, contract_of(model, batch=2)))


def test_as_many_objects_as_boxes_in_their_order(predictor: Predictor) -> None:
    """Duplicates stay, and each mask is that of its box alone."""
    found = objects_from_boxes(predictor, PHOTO, BOXES)
    assert len(found) == len(BOXES)
    for box, item in zip(BOXES, found, strict=True):
        alone = predictor.predict(box=box)
        assert alone.masks.shape == (1, 60, 90)
        np.testing.assert_array_equal(item.runs.decode(), alone.masks[0])
        assert item.score == pytest.approx(float(alone.scores[0]), abs=1e-6)
    assert found[0].runs == found[1].runs
    assert objects_from_boxes(predictor, PHOTO, []) == []


def test_too_many_boxes_are_refused(predictor: Predictor) -> None:
    with pytest.raises(UsageError, match=f"at most {MAX_BOXES}"):
        objects_from_boxes(predictor, PHOTO, [BOXES[0]] * (MAX_BOXES + 1))
    with pytest.raises(UsageError, match="outside"):
        objects_from_boxes(predictor, PHOTO, [[200, 10, 300, 20]])


def test_lists_of_boxes(tmp_path: Path) -> None:
    path = tmp_path / "boxes.json"
    path.write_text(json.dumps([[1, 2, 3.5, 4]]))
    assert read_box_list(path).tolist() == [[1, 2, 3.5, 4]]
    path.write_text(json.dumps([{"image_id": 7, "bbox": [1, 2, 10, 20], "score": 0.5, "category_id": 1}]))
    assert read_box_list(path).tolist() == [[1, 2, 11, 22]]
    path.write_text("[]")
    assert read_box_list(path).shape == (0, 4)


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("{", "not valid JSON"),
        ("{}", "list of boxes"),
        ("[[1, 2, 3]]", "box 0 must be four numbers"),
        ('[[1, 2, 3, 4], ["a", 2, 3, 4]]', "box 1"),
        ('[{"bbox": [1, 2, 3, 1e999]}]', "box 0"),
        ('[{"image_id": 1, "bbox": [1, 2, 3, 4]}, {"image_id": 2, "bbox": [1, 2, 3, 4]}]', "several photos"),
    ],
)
def test_bad_lists_are_one_line(text: str, says: str, tmp_path: Path) -> None:
    path = tmp_path / "boxes.json"
    path.write_text(text)
    with pytest.raises(InputError, match=says) as caught:
        read_box_list(path)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("boxes", "says"),
    [
        ([[1, 2, 3, 4], [200, 10, 300, 20]], "box 1: box 200,10,300,20 is outside the image of width 90"),
        ([[10, 2, 3, 4]], "box 0: box must be x0, y0, x1, y1 with x0 <= x1"),
        ([[1, 2, 3, 4]] * (MAX_BOXES + 1), "321 boxes: at most 320 of a photo are taken"),
    ],
)
def test_boxes_are_checked_against_the_photo(boxes: list[list[float]], says: str, tmp_path: Path) -> None:
    path = tmp_path / "boxes.json"
    path.write_text(json.dumps(boxes))
    with pytest.raises(InputError, match=says):
        read_boxes_of(path, (60, 90))
    path.write_text(json.dumps(boxes[:1] * MAX_BOXES if len(boxes) > MAX_BOXES else [[-5, -5, 95, 65]]))
    assert len(read_boxes_of(path, (60, 90))) in (1, MAX_BOXES)
