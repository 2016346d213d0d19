"""Comparisons: models by name, rows of measured and published figures, the files that are written."""

from __future__ import annotations

import csv
import json
from pathlib import Path
from subprocess import CompletedProcess

import numpy as np
import pytest
from click.testing import CliRunner
from PIL import Image

from tinysam_mobile.cli.evaluate import command
from tinysam_mobile.cli.model_source import ModelSource
from tinysam_mobile.errors import UsageError
from tinysam_mobile.evaluation.comparison import (
    ComparedModel,
    comparison_files,
    markdown,
    published_rows,
    to_csv,
)
from tinysam_mobile.evaluation.models import bundle_models, checkpoint_model, is_bundle
from tinysam_mobile.evaluation.speed import boxes_on, timed

MODEL = "stand-in:tiny-test"
ROWS = [
    ComparedModel(name="nano", runtime="torch", recipe="float", figures={"encode_ms": 9.0, "miou_box": 0.5}),
    ComparedModel(name="nano", runtime="tflite", recipe="fp16", figures={"miou_box": 0.4875}),
    ComparedModel(name="SAM-H", runtime="published", recipe="", figures={"AP": 0.466}, source="a paper"),
]


def test_published_rows_are_marked_and_never_mixed_with_ours() -> None:
    coco = {row.name: row for row in published_rows("coco")}
    lvis = {row.name: row for row in published_rows("lvis")}
    assert all(row.is_published for row in [*coco.values(), *lvis.values()])
    assert coco["TinySAM"].figures == {"AP": 0.423, "macs_g": 42.0}
    assert lvis["TinySAM"].figures["AP"] == 0.389
    assert coco["SAM2-B+"].figures == {"miou_point": 0.543}
    assert "SAM2-B+" not in lvis


def test_markdown_table() -> None:
    assert markdown(ROWS, title="Models").splitlines() == [
        "# Models",
        "",
        "| model | runtime | recipe | miou_box | AP | encode_ms |",
        "|---|---|---|---:|---:|---:|",
        "| nano | torch | float | 0.5 |  | 9 |",
        "| nano | tflite | fp16 | 0.4875 |  |  |",
        "| *SAM-H* | published |  |  | 0.466 |  |",
        "",
        "*Italic*: published figures, not measured here: a paper.",
    ]


def test_csv_has_full_precision_and_empty_cells() -> None:
    rows = list(csv.DictReader(to_csv(ROWS).splitlines()))
    assert [row["published"] for row in rows] == ["0", "0", "1"]
    assert rows[1] | {} == {
        "model": "nano",
        "runtime": "tflite",
        "recipe": "fp16",
        "published": "0",
        "miou_box": "0.4875",
        "AP": "",
        "encode_ms": "",
    }


def test_files_of_a_comparison(tmp_path: Path) -> None:
    files = comparison_files(ROWS, tmp_path / "report", title="Models", about={"photos": 3})
    assert [file.name for file in files] == [
        "comparison.md",
        "comparison.json",
        "comparison.csv",
        "comparison.png",
    ]
    assert sorted(path.name for path in (tmp_path / "report").iterdir()) == sorted(f.name for f in files)
    document = json.loads(files[1].read_text())
    assert document["photos"] == 3
    assert document["rows"][2]["source"] == "a paper"
    with Image.open(files[3]) as picture:
        assert np.asarray(picture.convert("L")).std() > 0


def test_timing_takes_the_median_after_a_warm_up() -> None:
    calls = []
    timing = timed(lambda: calls.append(1), runs=5)
    assert len(calls) == 6
    assert timing.lower_quartile_ms <= timing.latency_ms <= timing.upper_quartile_ms
    assert timing.to_json()["per_s"] == pytest.approx(1e3 / timing.latency_ms)


def test_survey_boxes_lie_in_the_photo_and_are_always_the_same() -> None:
    photo = np.zeros((60, 80, 3), np.uint8)
    boxes = [prompt.box for prompt in boxes_on(photo, 50)]
    assert len(boxes) == 50
    assert all(box is not None and box.min() >= 0 and (box <= (80, 60, 80, 60)).all() for box in boxes)
    first = boxes_on(photo, 1)[0].box
    assert first is not None
    assert boxes[0] is not None
    assert (first == boxes[0]).all()


def test_a_checkpoint_by_name_knows_its_size(tmp_path: Path) -> None:
    model = checkpoint_model(MODEL, slots=3)
    assert model.checkpoint is not None
    assert model.size_bytes == 4 * sum(p.numel() for p in model.checkpoint.model.parameters())
    assert model.open().contract.slots == 3
    assert not is_bundle(str(tmp_path))


def one_photo(folder: Path) -> Path:
    """A data set of one grey photo with one square."""
    (folder / "images").mkdir(parents=True)
    Image.new("RGB", (64, 64), (90, 120, 30)).save(folder / "images" / "a.png")
    square = [[8, 8, 40, 8, 40, 40, 8, 40]]
    entry = {"id": 1, "image_id": 1, "category_id": 1, "area": 1024, "iscrowd": 0, "segmentation": square}
    image = {"id": 1, "file_name": "a.png", "width": 64, "height": 64}
    (folder / "instances.json").write_text(json.dumps({"images": [image], "annotations": [entry]}))
    return folder


def test_a_bundle_stands_for_its_artifacts_and_runs_in_evaluate(
    tmp_path: Path, tflite_bundle: tuple[Path, CompletedProcess[str]]
) -> None:
    folder, done = tflite_bundle
    assert done.returncode == 0, done.stderr
    assert is_bundle(str(folder))
    (model,) = bundle_models(folder)
    assert (model.name, model.runtime, model.recipe) == ("bundle", "tflite", "fp32")
    data = str(one_photo(tmp_path / "data"))
    answers = []
    for options in (["--checkpoint", MODEL], ["--bundle", str(folder), "--runtime", "tflite"]):
        result = CliRunner().invoke(command, [data, *options, "--json"])
        assert result.exit_code == 0, result.output
        (table,) = json.loads(result.stdout)["results"].values()
        answers.append(table)
    # A pixel or two at a border of noise may turn.
    assert answers[1]["miou_box"]["all"] == pytest.approx(answers[0]["miou_box"]["all"], abs=0.01)
    with pytest.raises(UsageError, match="fp16"):
        bundle_models(folder, recipe="fp16")


def test_command_compares_models_and_baselines(tmp_path: Path) -> None:
    data = one_photo(tmp_path / "data")
    arguments = [str(data), "--compare", MODEL, MODEL, "--report", str(tmp_path / "report")]
    result = CliRunner().invoke(command, [*arguments, "--baseline", "filled_box", "--json"])
    assert result.exit_code == 0, result.output
    rows = json.loads(result.stdout)["rows"]
    assert [row["model"] for row in rows[:3]] == [MODEL, MODEL, "filled_box"]
    assert rows[0]["miou_box"] == rows[1]["miou_box"]
    assert rows[2]["miou_box"] == 1.0
    assert rows[0]["macs_g"] > 0
    assert {row["runtime"] for row in rows[3:]} == {"published"}
    assert (tmp_path / "report" / "comparison.md").exists()


def test_compare_refuses_a_model_by_option() -> None:
    with pytest.raises(UsageError, match="after DATASET"):
        ModelSource(checkpoint="x").named(("a",), slots=2)
