"""Annotation files, box files and photos that do not fit: handled, or one error that says which and why."""

from __future__ import annotations

import gzip
import io
import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from tests.drawn_data import SIDE, BoxFiller, draw
from tinysam_mobile.errors import DatasetError, ImageError
from tinysam_mobile.evaluation.coco import check_photos, read_annotations, read_coco
from tinysam_mobile.evaluation.detections import read_boxes
from tinysam_mobile.evaluation.json_stream import MAX_DEPTH, _ShallowJson, stream_items
from tinysam_mobile.evaluation.photo import EvaluationPlan, evaluate_photo
from tinysam_mobile.evaluation.results import open_results
from tinysam_mobile.evaluation.run import figures, measure_photos
from tinysam_mobile.imaging.masks import RunLengths
from tinysam_mobile.segment.predictor import Predictor


@pytest.fixture
def drawn(tmp_path: Path) -> Path:
    return draw(tmp_path / "drawn")


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


def changed(folder: Path, part: str, **change: Any) -> None:
    """Replace fields of the first photo (`images`) or annotation (`annotations`)."""
    document = json.loads((folder / "instances.json").read_text())
    document[part][0] |= change
    (folder / "instances.json").write_text(json.dumps(document))


def measured_instances(folder: Path) -> int:
    data = read_coco(folder)
    check_photos(data)
    results = open_results(folder / "out", "filler", {})
    measure_photos(BoxFiller(), data, EvaluationPlan(), results)
    return int(figures(data, EvaluationPlan(), results)["instances"]["all"])


@pytest.mark.parametrize(
    ("change", "counted"),
    [
        ({}, 8),
        ({"iscrowd": 1}, 7),
        ({"image_id": 77}, 7),
        ({"segmentation": []}, 7),
        ({"segmentation": [[]]}, 7),
        ({"segmentation": [[10, 10, 90, 10]]}, 7),
        ({"segmentation": [[500, 500, 600, 500, 600, 600]]}, 7),
        ({"segmentation": [[-50, -50, 60, -50, 60, 60, -50, 60]]}, 8),
        ({"segmentation": {"size": [SIDE, SIDE], "counts": [3000, 5000, 8384]}}, 8),
        ({"segmentation": {"size": [SIDE, SIDE], "counts": [SIDE * SIDE]}}, 7),
    ],
)
def test_odd_annotations_count_or_are_left_out(drawn: Path, change: dict[str, Any], counted: int) -> None:
    changed(drawn, "annotations", **change)
    assert measured_instances(drawn) == counted


@pytest.mark.parametrize(
    ("segmentation", "message"),
    [
        (None, "neither a list of polygons nor run lengths"),
        ([[1, 2, 3]], "a polygon must be numbers"),
        ([[0, 0, 1e9, 0, 1e9, 1e9]], "more than 1048576 pixels away"),
        ([[0, 0, 1e300, 0, 5, 5]], "more than 1048576 pixels away"),
        ({"size": [64, 64], "counts": [4096]}, "but the photo has"),
        ({"size": [SIDE, SIDE], "counts": [5, 5]}, "their sum is 10"),
        ({"size": [10**9, 10**9], "counts": [10**18]}, "more than this package decodes"),
        ({"size": [SIDE, SIDE], "counts": "@@@@"}, "run lengths must be"),
    ],
)
def test_a_bad_segmentation_names_annotation_and_photo(drawn: Path, segmentation: Any, message: str) -> None:
    changed(drawn, "annotations", segmentation=segmentation)
    with pytest.raises(DatasetError, match=rf"annotation 10 of 1\.png: .*{message}"):
        measured_instances(drawn)


@pytest.mark.parametrize(
    ("part", "change", "message"),
    [
        ("images", {"height": 0}, "1 to 65536 pixels, not 0"),
        ("images", {"height": -4}, "1 to 65536 pixels, not -4"),
        ("images", {"width": 10**12}, "1 to 65536 pixels"),
        ("images", {"width": "wide"}, "instances.json"),
        ("images", {"file_name": None}, "must be text"),
        ("images", {"file_name": 5}, "must be text"),
        ("images", {"file_name": "x" * 5000}, "1 of 4 photos are missing"),
        ("images", {"file_name": "a\0b"}, "must be text"),
        ("images", {"file_name": "."}, "1 of 4 photos are missing"),
        ("images", {"id": {}}, "instances.json"),
        ("annotations", {"area": "wide"}, "instances.json"),
        ("annotations", {"iscrowd": "no"}, "annotation 10: iscrowd must be 0 or 1, not 'no'"),
        ("annotations", {"iscrowd": "0"}, "iscrowd must be 0 or 1, not '0'"),
        ("annotations", {"iscrowd": None}, "iscrowd must be 0 or 1, not 'None'"),
        ("annotations", {"iscrowd": 2}, "iscrowd must be 0 or 1, not '2'"),
        ("annotations", {"image_id": [1]}, "instances.json"),
        ("annotations", {"id": 10**30}, "not valid JSON"),
    ],
)
def test_a_bad_field_is_one_clear_error(drawn: Path, part: str, change: dict[str, Any], message: str) -> None:
    changed(drawn, part, **change)
    with pytest.raises(DatasetError, match=message):
        measured_instances(drawn)


@pytest.mark.parametrize("damage", ["utf-16", "utf-8-sig", "gzip", "trailing", "nested"])
def test_a_file_of_another_kind_is_one_clear_error(drawn: Path, damage: str) -> None:
    file = drawn / "instances.json"
    text = file.read_text()
    nested = text.replace('"segmentation": [[', f'"segmentation": {"[" * 5000}{"]" * 5000}, "x": [[', 1)
    damaged = {
        "utf-16": text.encode("utf-16"),
        "utf-8-sig": text.encode("utf-8-sig"),
        "gzip": gzip.compress(text.encode()),
        "trailing": text.encode() + b"x",
        "nested": nested.encode(),
    }
    file.write_bytes(damaged[damage])
    with pytest.raises(DatasetError, match=r"instances\.json: ") as caught:
        read_coco(drawn)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("depth", "is_refused"), [(MAX_DEPTH - 1, False), (MAX_DEPTH, True), (100_000, True)]
)
def test_deep_nesting_is_refused_before_it_takes_memory(tmp_path: Path, depth: int, is_refused: bool) -> None:
    file = tmp_path / "deep.json"
    file.write_text("[" + "[" * depth + "]" * depth + "]")
    if is_refused:
        with pytest.raises(DatasetError, match=f"nests more than {MAX_DEPTH} lists"):
            list(stream_items(file))
    else:
        assert len(list(stream_items(file))) == 1


@pytest.mark.parametrize("size", [1, 2, 3, 7, 4096])
def test_brackets_in_strings_are_no_nesting_wherever_the_file_is_cut(size: int) -> None:
    strings = ["[" * 99, '"[{', "\\", "[\\", '\\"[', "é]" * 70, ""]
    text = json.dumps([{"caption": text} for text in strings] * 5).encode()
    stream = _ShallowJson(io.BytesIO(text), Path("captions.json"))
    assert b"".join(iter(lambda: stream.read(size), b"")) == text
    assert stream._depth == 0


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
