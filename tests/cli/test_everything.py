"""`segment --everything` as a user meets it: files, summary, errors."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from click.testing import CliRunner, Result
from PIL import Image
from pycocotools.coco import COCO

from tinysam_mobile.cli import main
from tinysam_mobile.imaging.images import load_image
from tinysam_mobile.imaging.masks import RunLengths
from tinysam_mobile.modeling.config import TINY_TEST
from tinysam_mobile.modeling.entry_points import contract_of
from tinysam_mobile.modeling.stand_in import stand_in_model
from tinysam_mobile.segment.predictor import Predictor
from tinysam_mobile.simulator.torch import open_session

MODEL = ("--checkpoint", "stand-in:tiny-test")
LOOSE = ("--pred-iou-thresh", "-9", "--stability-score-thresh", "0", "--points-per-side", "4")
"""Stand-in weights predict no sensible IoU, so every mask may pass."""


def segment(photo: Path, *arguments: str | Path) -> Result:
    words = ["segment", str(photo), "--everything", *MODEL, *(str(argument) for argument in arguments)]
    return CliRunner().invoke(main, words, catch_exceptions=False)


@pytest.fixture
def photo(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    (tmp_path / "out").mkdir()
    monkeypatch.chdir(tmp_path / "out")
    pixels = np.random.default_rng(0).integers(0, 256, (6, 9, 3), np.uint8)
    Image.fromarray(pixels).resize((90, 60), Image.Resampling.BICUBIC).save(tmp_path / "photo.png")
    return tmp_path / "photo.png"


def painted(document: dict[str, Any]) -> np.ndarray[Any, np.dtype[np.int64]]:
    """The label map, from the document alone: large annotations first."""
    labels = np.zeros((60, 90), np.int64)
    for annotation in sorted(document["annotations"], key=lambda a: (-a["area"], a["score"], -a["id"])):
        labels[RunLengths.from_coco(annotation["segmentation"]).decode()] = annotation["id"]
    return labels


def test_three_files_that_agree(photo: Path) -> None:
    result = segment(photo, *LOOSE)
    assert result.exit_code == 0, result.stderr
    names = ["photo_everything.json", "photo_everything.png", "photo_everything_labels.png"]
    assert sorted(path.name for path in Path().iterdir()) == names
    document = json.loads(Path(names[0]).read_text())
    assert result.stdout.startswith(f"{len(document['annotations'])} objects from ")
    with Image.open(names[2]) as labels:
        assert labels.mode == "I;16"
        np.testing.assert_array_equal(np.asarray(labels), painted(document))
    with Image.open(names[1]) as overlay:
        assert (overlay.size, overlay.mode) == ((90, 60), "RGB")
        assert (np.asarray(overlay) != np.asarray(Image.open(photo))).any()


# pycocotools 2.0 predates numpy 2's copy keyword.
@pytest.mark.filterwarnings("ignore:__array__ implementation:DeprecationWarning")
def test_pycocotools_reads_run_lengths_and_polygons(photo: Path) -> None:
    for name, extra in (("rle.json", ()), ("polygons.json", ("--polygons",))):
        assert segment(photo, *LOOSE, "--out", name, *extra).exit_code == 0
    rle, polygons = COCO("rle.json"), COCO("polygons.json")
    assert len(rle.anns) == len(polygons.anns) > 0
    for number, annotation in rle.anns.items():
        mask = rle.annToMask(annotation)
        assert mask.sum() == annotation["area"]
        rows, columns = np.nonzero(mask)
        x, y, width, height = annotation["bbox"]
        assert (x, y) == (columns.min(), rows.min())
        assert (x + width, y + height) == (columns.max() + 1, rows.max() + 1)
        np.testing.assert_array_equal(polygons.annToMask(polygons.anns[number]), mask)


def test_one_format_and_json(photo: Path) -> None:
    result = segment(photo, *LOOSE, "--format", "labels", "--out", "map.png", "--flat", "--json")
    assert result.exit_code == 0, result.stderr
    report = json.loads(result.stdout)
    assert report["files"] == {"labels": "map.png"}
    assert [path.name for path in Path().iterdir()] == ["map.png"]
    assert report["points"] == 16
    assert report["decoder_calls"] == 1
    assert not report["stopped_early"]
    assert report["coco"]["images"][0]["file_name"] == "photo.png"


def test_a_budget_stops_early_and_still_writes(photo: Path) -> None:
    result = segment(photo, *LOOSE, "--max-decoder-calls", "1")
    assert result.exit_code == 0, result.stderr
    assert "in 1 decoder calls, stopped early" in result.stdout
    assert len(list(Path().iterdir())) == 3


def test_no_object_says_what_to_do(photo: Path) -> None:
    result = segment(photo, "--points-per-side", "4")
    assert result.exit_code == 0
    assert result.stdout.startswith("0 objects")
    assert "lower --pred-iou-thresh" in result.stderr


BOXES = [[5, 5, 40, 30], [5, 5, 40, 30], [0, 0, 90, 60], [50, 10, 55, 50]]


@pytest.fixture
def boxes(photo: Path) -> Path:
    path = photo.parent / "boxes.json"
    path.write_text(json.dumps([{"image_id": 3, "bbox": [x, y, r - x, b - y]} for x, y, r, b in BOXES]))
    return path


def test_one_annotation_a_box_from_the_token_for_single_masks(photo: Path, boxes: Path) -> None:
    result = segment(photo, "--boxes", boxes)
    assert result.exit_code == 0, result.stderr
    assert result.stdout.splitlines()[0] == "4 objects from 4 boxes"
    names = ["photo_everything.json", "photo_everything.png", "photo_everything_labels.png"]
    assert sorted(path.name for path in Path().iterdir()) == names
    document = json.loads(Path(names[0]).read_text())
    model = stand_in_model(TINY_TEST.with_single_mask())
    predictor = Predictor(open_session(model, contract_of(model, batch=2)))
    predictor.set_image(load_image(photo))
    for number, (box, annotation) in enumerate(zip(BOXES, document["annotations"], strict=True), start=1):
        alone = predictor.predict(box=box)
        mask = RunLengths.from_coco(annotation["segmentation"]).decode()
        np.testing.assert_array_equal(mask, alone.masks[0])
        assert annotation["id"] == number
    with Image.open(names[2]) as labels:
        np.testing.assert_array_equal(np.asarray(labels), painted(document))


def test_boxes_in_other_forms_give_the_same(photo: Path, boxes: Path) -> None:
    assert segment(photo, "--boxes", boxes, "--out", "coco.json").exit_code == 0
    boxes.write_text(json.dumps(BOXES))
    result = segment(photo, "--boxes", boxes, "--out", "xyxy.json", "--json")
    assert json.loads(result.stdout)["masks_per_prompt"] == 1
    assert Path("coco.json").read_text() == Path("xyxy.json").read_text()
    boxes.write_text("[]")
    assert segment(photo, "--boxes", boxes, "--out", "none.json").stdout.startswith("0 objects from 0 boxes")


@pytest.mark.parametrize(
    ("text", "arguments", "says"),
    [
        ("[[1, 2, 3, 4]]", ("--flat",), "leave out --flat"),
        ("[[1, 2, 3, 4]]", ("--pred-iou-thresh", "0.5"), "leave out --pred-iou-thresh"),
        ("[[1, 2, 3, 4]]", ("--format", "mask"), "overlay, coco, labels"),
        ("[[1, 2, 3]]", (), "box 0 must be four numbers"),
        ("[[1, 2, 3, 4], [100, 2, 120, 4]]", (), "box 1: box 100,2,120,4 is outside the image"),
        ("{}", (), "must hold a list of boxes"),
    ],
)
def test_wrong_boxes_are_one_line(
    text: str, arguments: tuple[str, ...], says: str, photo: Path, boxes: Path
) -> None:
    boxes.write_text(text)
    result = segment(photo, "--boxes", boxes, *arguments)
    assert result.exit_code == 2
    assert [says in line for line in result.stderr.splitlines() if line.startswith("error: ")] == [True]
    assert list(Path().iterdir()) == []


def test_boxes_need_everything(photo: Path, boxes: Path) -> None:
    words = ["segment", str(photo), "--point", "1,2", *MODEL, "--boxes", str(boxes)]
    result = CliRunner().invoke(main, words, catch_exceptions=False)
    assert result.exit_code == 2
    assert "--boxes: goes with everything mode only; add --everything" in result.stderr


WRONG: dict[str, tuple[tuple[str, ...], str]] = {
    "prompt": (("--point", "1,2"), "leave out --point"),
    "grid": (("--points-per-side", "3"), "at least 4"),
    "format": (("--format", "mask"), "overlay, coco, labels"),
    "folder": ((*LOOSE, "--out", "no/such/folder.png"), "--out: no/such/folder.png"),
    "suffix": ((*LOOSE, "--out", "picture.xyz"), "--out picture.xyz"),
}


@pytest.mark.parametrize("kind", WRONG)
def test_wrong_usage_is_one_line_and_leaves_nothing(kind: str, photo: Path) -> None:
    arguments, says = WRONG[kind]
    result = segment(photo, *arguments)
    assert result.exit_code == 2
    errors = [line for line in result.stderr.splitlines() if line.startswith("error: ")]
    assert len(errors) == 1
    assert says in errors[0]
    assert list(Path().iterdir()) == []


@pytest.mark.parametrize("option", [("--flat",), ("--mode", "exact"), ("--polygons",)])
def test_options_of_everything_alone_are_refused(option: tuple[str, ...], photo: Path) -> None:
    words = ["segment", str(photo), "--point", "1,2", *MODEL, *option]
    result = CliRunner().invoke(main, words, catch_exceptions=False)
    assert result.exit_code == 2
    assert "add --everything" in result.stderr
