"""Runs over a data set: what is measured on a photo, resuming, several processes, files that do not fit."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from click.testing import CliRunner
from numpy.typing import NDArray
from PIL import Image

from tinysam_mobile.cli.evaluate import command
from tinysam_mobile.errors import DatasetError, ImageError, UnknownNameError, UsageError
from tinysam_mobile.evaluation.coco import check_photos, read_annotations, read_coco
from tinysam_mobile.evaluation.detections import DetectedBox, read_boxes
from tinysam_mobile.evaluation.ideal_prompts import next_click, random_points
from tinysam_mobile.evaluation.photo import EvaluationPlan, PhotoResult, evaluate_photo
from tinysam_mobile.evaluation.prompt_kinds import KINDS, check_kinds, clicked
from tinysam_mobile.evaluation.results import open_results
from tinysam_mobile.evaluation.run import figures, measure_photos
from tinysam_mobile.everything import EverythingConfig
from tinysam_mobile.masks import RunLengths
from tinysam_mobile.predictor import Predictor
from tinysam_mobile.spec import Contract, Label

SIDE = 128
MODEL = "stand-in:tiny-test"
EXACT = 1e-12


class BoxFiller:
    """A backend that fills the box it is asked for, and for points everything left of x = 64.

    Its contract has S = 128 with masks of 32, so a box on multiples of 4 is filled but for its edges.
    """

    contract = Contract(image_size=SIDE, grid_size=8, mask_size=32, channels=4, slots=10, batch=4)

    def __init__(self) -> None:
        self.images = 0

    def run(self, entry_point: str, inputs: Mapping[str, NDArray[Any]]) -> dict[str, NDArray[Any]]:
        if entry_point == "encode":
            self.images += 1
            return {"image_embeddings": np.zeros((1, 4, 8, 8), np.float32)}
        masks = np.full((4, 3, 32, 32), -20.0, np.float32)
        for row, labels in enumerate(inputs["point_labels"]):
            if labels[0] == Label.BOX_TOP_LEFT:
                (x0, y0), (x1, y1) = (inputs["point_coords"][row, :2] / 4).astype(int)
                masks[row, :, y0:y1, x0:x1] = 20
            elif labels[0] == Label.FOREGROUND:
                masks[row, :, :, :16] = 20
        return {"low_res_masks": masks, "iou_predictions": np.tile(np.float32([0.99, 0.5, 0.1]), (4, 1))}


def rectangle(x0: float, y0: float, x1: float, y1: float) -> list[list[float]]:
    return [[x0, y0, x1, y0, x1, y1, x0, y1]]


def draw(folder: Path, count: int = 4) -> Path:
    """`count` photos with two rectangles each, of two categories, and a detector's boxes."""
    (folder / "images").mkdir(parents=True)
    annotations, boxes = [], []
    for i in range(1, count + 1):
        pixels = np.full((SIDE, SIDE, 3), 40 * i, np.uint8)
        pixels[32:96, 16:64] = 200
        Image.fromarray(pixels).save(folder / "images" / f"{i}.png")
        for part, (x0, y0, x1, y1) in enumerate([(16, 32, 64, 96), (72, 8 * i, 120, 8 * i + 40)]):
            area = (x1 - x0) * (y1 - y0)
            entry = {"image_id": i, "category_id": part + 1, "area": area, "iscrowd": 0}
            segmentation = rectangle(x0, y0, x1, y1)
            annotations.append({**entry, "id": 10 * i + part, "segmentation": segmentation})
            box = [x0, y0, x1 - x0, y1 - y0]
            boxes.append({"image_id": i, "category_id": part + 1, "bbox": box, "score": 0.9 - 0.01 * i})
    images = [{"id": i, "file_name": f"{i}.png", "width": SIDE, "height": SIDE} for i in range(1, count + 1)]
    categories = [{"id": 1, "name": "left"}, {"id": 2, "name": "right"}]
    document = {"images": images, "annotations": annotations, "categories": categories}
    (folder / "instances.json").write_text(json.dumps(document))
    (folder / "boxes.json").write_text(json.dumps(boxes))
    return folder


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
    options = [str(drawn), "--checkpoint", MODEL, "--prompts", "box", "--prompts", "random3"]
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


# Data sets that do not fit


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
        (["{}", "--annotations", "x.json"], "--compare"),
        (["--annotations", "x.json"], "--images"),
        (["{}", "--bundle", "b"], "--runtime"),
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


def test_missing_photos_are_counted_before_anything_runs(drawn: Path) -> None:
    (drawn / "images" / "2.png").unlink()
    (drawn / "images" / "4.png").unlink()
    with pytest.raises(DatasetError, match=r"2 of 4 photos are missing, the first is .*2\.png"):
        check_photos(read_coco(drawn))


def test_a_truncated_photo_and_one_of_another_size_are_named(drawn: Path) -> None:
    data = read_coco(drawn)
    Image.new("RGB", (64, 128)).save(drawn / "images" / "1.png")
    with pytest.raises(DatasetError, match=r"1\.png: is 64 x 128 pixels"):
        evaluate_photo(Predictor(BoxFiller()), data.images[0], EvaluationPlan())
    (drawn / "images" / "2.png").write_bytes((drawn / "images" / "3.png").read_bytes()[:60])
    with pytest.raises(ImageError, match=r"2\.png"):
        evaluate_photo(Predictor(BoxFiller()), data.images[1], EvaluationPlan())


@pytest.mark.parametrize("kind", ["crowds", "tiny", "empty mask", "nothing"])
def test_data_without_an_instance_that_counts_is_one_clear_error(drawn: Path, kind: str) -> None:
    document = json.loads((drawn / "instances.json").read_text())
    empty = RunLengths.encode(np.zeros((SIDE, SIDE), np.bool_)).to_coco()
    change = {"crowds": {"iscrowd": 1}, "tiny": {"area": 99}, "empty mask": {"segmentation": empty}}
    document["annotations"] = (
        [] if kind == "nothing" else [{**a, **change[kind]} for a in document["annotations"]]
    )
    (drawn / "instances.json").write_text(json.dumps(document))
    data = read_coco(drawn)
    results = open_results(drawn / "out", "filler", {})
    measure_photos(BoxFiller(), data, EvaluationPlan(), results)
    with pytest.raises(DatasetError, match="no instance counts in 4 photos"):
        figures(data, EvaluationPlan(), results)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "not valid JSON"),
        ('{"images": [', "not valid JSON"),
        ("[]", "no list 'images'"),
        ('{"images": []}', "no list 'annotations'"),
        ('{"images": {}, "annotations": []}', "no list 'images'"),
        ('{"images": [], "annotations": [{"id": 1}]}', "image_id"),
        ('{"images": [3], "annotations": []}', "COCO's format"),
        (
            '{"images": [{"id": 1, "file_name": "a", "height": 1, "width": 1},'
            ' {"id": 1, "file_name": "b", "height": 1, "width": 1}], "annotations": []}',
            "UNIQUE",
        ),
        ('{"images": [], "annotations": [{"image_id": 1, "id": 1, "area": 5}]}', "segmentation"),
    ],
)
def test_annotation_files_that_are_none_are_one_clear_error(tmp_path: Path, text: str, message: str) -> None:
    (tmp_path / "instances.json").write_text(text)
    with pytest.raises(DatasetError, match=message):
        read_coco(tmp_path)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("{}", "no list at its top"),
        ('{"annotations": []}', "no list at its top"),
        ("[1, 2]", "results format"),
        ('[{"image_id": 1, "category_id": 1, "bbox": [1, 2, 3], "score": 1}]', "results format"),
        ('[{"image_id": 1, "category_id": 1, "bbox": [1, 2, -3, 4], "score": 1}]', "negative side"),
        ('[{"image_id": 1, "category_id": 1, "bbox": [1, 2, 3, 4]}]', "score"),
        ('[{"image_id": 1, "category_id": 1, "bbox": [1, 2, 3, NaN], "score": 1}]', "not valid JSON"),
    ],
)
def test_box_files_that_are_none_are_one_clear_error(tmp_path: Path, text: str, message: str) -> None:
    (tmp_path / "boxes.json").write_text(text)
    with pytest.raises(DatasetError, match=message):
        read_boxes(tmp_path / "boxes.json")


def test_lvis_files_have_urls_for_names_and_federated_categories(tmp_path: Path) -> None:
    image = {"id": 7, "coco_url": "http://images.cocodataset.org/val2017/000000000007.jpg"}
    image |= {"height": 9, "width": 8, "neg_category_ids": [3], "not_exhaustive_category_ids": [4]}
    categories = [{"id": 3, "frequency": "r"}, {"id": 4, "frequency": "f"}]
    document = {"annotations": [], "categories": categories, "images": [image]}
    (tmp_path / "lvis.json").write_text(json.dumps(document))
    data = read_annotations(tmp_path / "lvis.json", tmp_path, federated=True)
    assert data.images[0].path == tmp_path / "val2017" / "000000000007.jpg"
    (tmp_path / "000000000007.jpg").touch()
    assert data.images[0].path == tmp_path / "000000000007.jpg"
    assert data.images[0].negative_categories == (3,)
    assert data.images[0].partial_categories == (4,)
    assert [category.frequency for category in data.categories] == ["r", "f"]


def test_slices_of_a_data_set_are_views_of_the_same_index(drawn: Path) -> None:
    images = read_coco(drawn).images
    assert [image.id for image in images[-3:][1:]] == [3, 4]
    assert images[-1].id == 4
    with pytest.raises(IndexError):
        images[4]


def test_a_large_annotation_file_takes_no_memory_of_its_size(tmp_path: Path) -> None:
    # 13 MB of polygons; Python objects of them would take several times that.
    polygon = json.dumps([[float(i % 97) for i in range(2000)]])
    images = ",".join(f'{{"id":{i},"file_name":"{i}.png","height":99,"width":99}}' for i in range(40))
    with (tmp_path / "instances.json").open("w") as file:
        file.write(f'{{"images":[{images}],"annotations":[')
        for i in range(1200):
            comma = "," if i else ""
            entry = f'{{"id":{i},"image_id":{i % 40},"category_id":1,"area":500,"segmentation":{polygon}}}'
            file.write(comma + entry)
        file.write("]}")
    code = (
        "import resource, sys\n"
        "from pathlib import Path\n"
        "from tinysam_mobile.evaluation.coco import read_coco\n"
        "peak = lambda: resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024\n"
        "before = peak()\n"
        "data = read_coco(Path(sys.argv[1]))\n"
        "assert sum(len(image.instances) for image in data.images) == 1200\n"
        "print(peak() - before)\n"
    )
    done = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", code, str(tmp_path)],
        stdout=subprocess.PIPE,
        text=True,
        check=True,
    )
    size_mb = (tmp_path / "instances.json").stat().st_size / 2**20
    assert size_mb > 10
    # One photo's 30 polygons and SQLite's page cache.
    assert float(done.stdout) < size_mb / 2
