"""Runs over a data set: what is measured on a photo, resuming, several processes, the options."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from click.testing import CliRunner

from tests.drawn_data import SIDE, BoxFiller, draw
from tinysam_mobile.cli.evaluate import command
from tinysam_mobile.contract.spec import Label
from tinysam_mobile.errors import DatasetError, UnknownNameError, UsageError
from tinysam_mobile.evaluation.coco import read_coco
from tinysam_mobile.evaluation.detections import DetectedBox, read_boxes
from tinysam_mobile.evaluation.ideal_prompts import next_click, random_points
from tinysam_mobile.evaluation.photo import EvaluationPlan, PhotoResult, evaluate_photo
from tinysam_mobile.evaluation.prompt_kinds import KINDS, check_kinds, clicked
from tinysam_mobile.evaluation.results import open_results
from tinysam_mobile.evaluation.run import figures, measure_photos
from tinysam_mobile.segment.everything import EverythingConfig
from tinysam_mobile.segment.predictor import Predictor

MODEL = "stand-in:tiny-test"
EXACT = 1e-12


@pytest.fixture
def drawn(tmp_path: Path) -> Path:
    return draw(tmp_path / "drawn")


def run_command(*arguments: str) -> dict[str, Any]:
    result = CliRunner().invoke(command, [*arguments, "--json"])
    assert result.exit_code == 0, result.output
    answer: dict[str, Any] = json.loads(result.stdout)
    return answer


# What is measured


def test_detector_boxes_of_the_objects_give_full_ap_and_miou(drawn: Path) -> None:
    data = read_coco(drawn)
    plan = EvaluationPlan(boxes=read_boxes(drawn / "boxes.json"))
    results = open_results(drawn / "out", "filler", {})
    assert measure_photos(BoxFiller(), data, plan, results) == 4
    table = figures(data, plan, results)
    # Upscaling moves each edge by less than half of a low-resolution pixel of 4.
    assert table["miou_detector"]["all"] == table["miou_box"]["all"] > (40 - 4) / 40
    assert table["AP50"]["all"] == pytest.approx(1.0)
    assert table["AP"].keys() == {"all", "medium"}
    assert "instances_detector" not in table


def test_a_detector_that_misses_or_confuses_lowers_ap_and_the_count(drawn: Path) -> None:
    boxes = json.loads((drawn / "boxes.json").read_text())[:-1]
    boxes[0]["category_id"] = 2
    (drawn / "boxes.json").write_text(json.dumps(boxes))
    data = read_coco(drawn)
    plan = EvaluationPlan(boxes=read_boxes(drawn / "boxes.json"))
    results = open_results(drawn / "out", "filler", {})
    measure_photos(BoxFiller(), data, plan, results)
    table = figures(data, plan, results)
    assert table["instances"]["all"] == 8
    assert table["instances_detector"]["all"] == 6
    assert 0.5 < table["AP50"]["all"] < 0.8


def test_boxes_reach_over_the_border_or_lie_outside(drawn: Path) -> None:
    image = read_coco(drawn).images[0]
    box = DetectedBox(category_id=1, box=(-10.0, 30.0, 64.0, 500.0), score=0.5)
    assert box.inside(image) == (0.0, 30.0, 64.0, 128.0)
    for outside in ((200.0, 0.0, 220.0, 9.0), (-9.0, 3.0, 0.0, 9.0), (5.0, 5.0, 5.0, 9.0)):
        assert DetectedBox(category_id=1, box=outside, score=0.5).inside(image) is None
    entries = [
        {"image_id": 1, "category_id": 1, "bbox": [300, 0, 20, 9], "score": 0.9},
        {"image_id": 1, "category_id": 1, "bbox": [16, 32, 48, 64], "score": 0.8},
    ]
    (drawn / "boxes.json").write_text(json.dumps(entries))
    plan = EvaluationPlan(boxes=read_boxes(drawn / "boxes.json"))
    result = evaluate_photo(Predictor(BoxFiller()), image, plan)
    assert [d.area > 0 for d in result.detections] == [False, True]


def test_everything_mode_has_recall_and_miou(drawn: Path) -> None:
    data = read_coco(drawn)
    config = EverythingConfig(hierarchical=False, mode="exact", points_per_side=2)
    plan = EvaluationPlan(prompts=("box",), everything=config)
    results = open_results(drawn / "out", "filler", {})
    backend = BoxFiller()
    measure_photos(backend, data, plan, results)
    table = figures(data, plan, results)
    # Its one mask is the left half, 64 x 128, around the left rectangle of 48 x 64.
    assert table["miou_everything"]["all"] == pytest.approx(48 * 64 / (64 * 128) / 2, abs=EXACT)
    assert table["AR@1000"]["all"] == 0
    assert backend.images == 8


def test_a_photo_without_anything_to_measure_is_not_even_opened(tmp_path: Path) -> None:
    document = {"images": [{"id": 1, "file_name": "none.png", "width": 9, "height": 9}], "annotations": []}
    (tmp_path / "instances.json").write_text(json.dumps(document))
    image = read_coco(tmp_path).images[0]
    assert evaluate_photo(Predictor(BoxFiller()), image, EvaluationPlan()).measurements == ()


def test_random_points_are_on_the_mask_and_fewer_are_the_first_of_more() -> None:
    mask = np.zeros((30, 40), np.bool_)
    mask[3:9, 5:30] = True
    nine = random_points(mask, 9, (0, 17))
    assert len(set(nine)) == 9
    assert all(mask[y, x] for x, y in nine)
    assert random_points(mask, 3, (0, 17)) == nine[:3]
    assert random_points(mask, 9, (1, 17)) != nine
    tiny = np.zeros((30, 40), np.bool_)
    tiny[4, 4:6] = True
    assert sorted(random_points(tiny, 9, (0, 1))) == [(4, 4), (5, 4)]


def test_the_next_click_goes_where_most_is_wrong() -> None:
    mask = np.zeros((60, 60), np.bool_)
    mask[10:50, 10:30] = True
    too_little = mask.copy()
    too_little[20:31, 14:25] = False
    assert next_click(mask, too_little) == (19, 25, Label.FOREGROUND)
    too_much = mask.copy()
    too_much[5:14, 40:49] = True
    assert next_click(mask, too_much) == (44, 9, Label.BACKGROUND)
    assert next_click(mask, mask) is None


def test_clicks_follow_the_answers_of_the_model(drawn: Path) -> None:
    predictor = Predictor(BoxFiller())
    predictor.set_image(np.zeros((SIDE, SIDE, 3), np.uint8))
    left, right = np.zeros((SIDE, SIDE), np.bool_), np.zeros((SIDE, SIDE), np.bool_)
    left[:, :64] = True
    right[:, 64:] = True
    answers = list(clicked(predictor, [left, right], 3))
    assert [(count, i) for count, i, _ in answers] == [(c, i) for c in (1, 2, 3) for i in (0, 1)]
    plan = EvaluationPlan(prompts=("clicks3", "random3"))
    result = evaluate_photo(predictor, read_coco(drawn).images[0], plan)
    assert [m.prompt for m in result.measurements] == ["random3"] * 2 + ["clicks3"] * 2


def test_prompts_that_the_model_has_no_slots_for_say_how_to_get_them() -> None:
    check_kinds(KINDS, slots=10)
    with pytest.raises(UsageError, match="--slots 10"):
        check_kinds(("box", "random9"), slots=8)
    with pytest.raises(UnknownNameError, match="clicks9"):
        check_kinds(("scribble",), slots=8)


# Resuming and several processes


def test_results_survive_json_and_a_killed_run_goes_on(drawn: Path) -> None:
    data = read_coco(drawn)
    plan = EvaluationPlan(boxes=read_boxes(drawn / "boxes.json"))
    results = open_results(drawn / "out", "filler", {"a": 1})
    measure_photos(BoxFiller(), data, plan, results)
    whole = figures(data, plan, results)
    again = PhotoResult.from_json(json.loads(json.dumps(results.read(0).to_json())))
    assert again == results.read(0)
    (results.folder / "0" / "2.json").unlink()
    backend = BoxFiller()
    assert measure_photos(backend, data, plan, open_results(drawn / "out", "filler", {"a": 1})) == 1
    assert backend.images == 1
    assert figures(data, plan, results) == whole
    assert open_results(drawn / "out", "filler", {"a": 2}).folder != results.folder


def test_a_damaged_result_is_named(drawn: Path) -> None:
    data = read_coco(drawn)
    results = open_results(drawn / "out", "filler", {})
    measure_photos(BoxFiller(), data, EvaluationPlan(), results)
    (results.folder / "0" / "1.json").write_text("{")
    with pytest.raises(DatasetError, match=r"1\.json"):
        figures(data, EvaluationPlan(), results)


def test_ranks_split_the_photos_and_give_the_answer_of_one(drawn: Path) -> None:
    data = read_coco(drawn)
    alone, shared = (open_results(drawn / "out", name, {}) for name in ("alone", "shared"))
    measure_photos(BoxFiller(), data, EvaluationPlan(), alone)
    counts = [
        measure_photos(BoxFiller(), data, EvaluationPlan(), shared, rank=rank, processes=3)
        for rank in range(3)
    ]
    assert counts == [2, 1, 1]
    assert figures(data, EvaluationPlan(), shared) == figures(data, EvaluationPlan(), alone)


def test_two_processes_of_torchrun_print_what_one_prints(drawn: Path) -> None:
    options = [str(drawn), "--checkpoint", MODEL, "--prompt-kind", "box", "--prompt-kind", "random3"]
    options += ["--boxes", str(drawn / "boxes.json")]
    launcher = [sys.executable, "-W", "ignore", "-m", "torch.distributed.run", "--standalone"]
    launcher += ["--nproc-per-node", "2", "-m", "tinysam_mobile", "evaluate", *options]
    done = subprocess.run(
        [*launcher, "--out", str(drawn / "out"), "--threads", "1", "--json"],
        env={**os.environ, "OMP_NUM_THREADS": "1"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout) == run_command(*options, "--threads", "1")


# The command line


def test_annotations_and_images_may_lie_apart(drawn: Path, tmp_path: Path) -> None:
    (drawn / "instances.json").rename(tmp_path / "train.json")
    (drawn / "images").rename(tmp_path / "photos")
    apart = ["--annotations", str(tmp_path / "train.json"), "--images", str(tmp_path / "photos")]
    answer = run_command(*apart, "--checkpoint", MODEL, "--last", "2")
    assert (answer["dataset"], answer["photos"]) == ("train", 2)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ([], "DATASET"),
        (["{}", "--annotations", "{}/instances.json"], "--compare"),
        (["--annotations", "{}/instances.json"], "--images"),
        (["{}", "--runtime", "tflite", "--checkpoint", "stand-in"], "--bundle"),
        (["{}", "--runtime", "tflite"], "--bundle"),
        (["{}", "tiny"], "--compare"),
        (["{}", "--compare"], "--compare"),
        (["{}", "--last", "0"], "--last"),
        (["{}", "--dataset", "lvis"], "--dataset coco"),
    ],
)
def test_options_that_do_not_go_together_exit_with_2(drawn: Path, arguments: list[str], message: str) -> None:
    result = CliRunner().invoke(command, [argument.format(drawn) for argument in arguments])
    assert result.exit_code == 2
    assert message in result.stderr
