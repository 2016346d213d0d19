"""Faults that people reported of other tools and that were here too: each was wrong once."""

from __future__ import annotations

import json
import struct
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from click.testing import CliRunner, Result
from numpy.typing import NDArray
from PIL import Image
from pycocotools.coco import COCO

from tests.hostile.doors import CONTRACT, manifest_document
from tinysam_mobile.bundle.folder import Bundle
from tinysam_mobile.cli import main
from tinysam_mobile.contract.everything_settings import everything_settings
from tinysam_mobile.errors import BundleError, DatasetError, ImageError, InputError, UsageError
from tinysam_mobile.evaluation.coco import read_annotations
from tinysam_mobile.evaluation.detections import check_matches, read_boxes
from tinysam_mobile.evaluation.instances import CocoDataset, decode_segmentation
from tinysam_mobile.evaluation.photo import _loaded
from tinysam_mobile.imaging.images import _eight_bits, load_image
from tinysam_mobile.imaging.preprocess import preprocess
from tinysam_mobile.modeling.config import TINY_TEST, config_from_dict
from tinysam_mobile.parity.photo_set import PhotoSet
from tinysam_mobile.segment.prompts import make_prompt, pack_prompts
from tinysam_mobile.simulator.registry import open_bundle

MODEL = ("--checkpoint", "stand-in:tiny-test")


def call(*words: str | Path) -> Result:
    return CliRunner().invoke(main, [str(word) for word in words])


@pytest.fixture
def photo(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    pixels = np.random.default_rng(0).integers(0, 256, (6, 9, 3), np.uint8)
    Image.fromarray(pixels).resize((90, 60)).save("a.b.png")
    return tmp_path / "a.b.png"


# Boxes, names of outputs, results.


def test_a_box_over_the_border_is_the_part_inside() -> None:
    geometry = preprocess(np.zeros((60, 90, 3), np.uint8), CONTRACT.image_size).geometry
    packed = [
        pack_prompts([make_prompt(box=box)], geometry, slots=4, batch=1)
        for box in ([-500, -3, 9000, 61], [0, 0, 90, 60])
    ]
    np.testing.assert_array_equal(packed[0].point_coords, packed[1].point_coords)
    inside = pack_prompts([make_prompt(box=[1, 2, 30, 40])], geometry, slots=4, batch=1)
    np.testing.assert_allclose(inside.point_coords[0, :2], geometry.to_model(np.array([[1, 2], [30, 40]])))


def test_a_dot_in_a_name_is_no_suffix(photo: Path) -> None:
    (photo.parent / "a.png").write_bytes(b"another photo of the user")
    options = ["--everything", "--points-per-side", "4", *MODEL]
    assert call("segment", photo, *options).exit_code == 0
    names = sorted(path.name for path in photo.parent.iterdir())
    assert names == [
        "a.b.png",
        *(f"a.b_everything{end}" for end in (".json", ".png", "_labels.png")),
        "a.png",
    ]
    assert (photo.parent / "a.png").read_bytes() == b"another photo of the user"
    assert call("segment", photo, *options, "--out", "x.y.png").exit_code == 0
    assert {"x.y.json", "x.y.png", "x.y_labels.png"} <= {path.name for path in photo.parent.iterdir()}


def test_the_photo_itself_is_not_overwritten(photo: Path) -> None:
    before = photo.read_bytes()
    Path("link.png").symlink_to(photo)
    for out in ("a.b.png", "link.png"):
        for mode in (("--point", "1,2"), ("--everything", "--points-per-side", "4")):
            result = call("segment", photo, *mode, *MODEL, "--out", out)
            assert result.exit_code == 2
            assert "is the photo itself" in result.stderr
    assert photo.read_bytes() == before


# pycocotools 2.0 predates numpy 2's copy keyword.
@pytest.mark.filterwarnings("ignore:__array__ implementation:DeprecationWarning")
def test_one_object_is_a_result_that_cocos_tools_load(photo: Path) -> None:
    name = "000000000139.png"
    photo.rename(name)
    assert call("segment", name, "--point", "30,20", *MODEL, "--out", "object.json").exit_code == 0
    truth = COCO()
    truth.dataset = {
        "images": [{"id": 139, "width": 90, "height": 60}],
        "categories": [{"id": 1, "name": "object"}],
        "annotations": [],
    }
    truth.createIndex()
    loaded = truth.loadRes("object.json")
    assert [annotation["image_id"] for annotation in loaded.dataset["annotations"]] == [139]


# Colours and sizes of photos.

P3_TO_XYZ_D50 = np.array(
    [[0.51512, 0.29198, 0.15710], [0.24120, 0.69225, 0.06657], [-0.00105, 0.04189, 0.78407]]
)
SRGB_TO_XYZ_D50 = np.array(
    [[0.43607, 0.38515, 0.14307], [0.22249, 0.71689, 0.06062], [0.01392, 0.09708, 0.71410]]
)
"""Columns: the primaries' colorants in both ICC profiles, adapted to D50 (Apple's and HP's files)."""


def display_p3() -> bytes:
    """A matrix profile of version 2 with Display P3's primaries and a gamma of 2.2."""

    def number(value: float) -> bytes:
        return struct.pack(">i", round(value * 65536))

    def xyz(values: NDArray[np.float64]) -> bytes:
        return b"XYZ \0\0\0\0" + b"".join(map(number, values))

    curve = b"curv\0\0\0\0" + struct.pack(">IH", 1, round(2.2 * 256)) + b"\0\0"
    text = b"desc\0\0\0\0" + struct.pack(">I", 11) + b"Display P3\0" + bytes(79)
    parts = {
        b"desc": text,
        b"wtpt": xyz(np.array([0.9642, 1.0, 0.8249])),
        b"cprt": b"text\0\0\0\0none\0\0\0\0",
    }
    parts |= {name: xyz(P3_TO_XYZ_D50[:, i]) for i, name in enumerate((b"rXYZ", b"gXYZ", b"bXYZ"))}
    parts |= dict.fromkeys((b"rTRC", b"gTRC", b"bTRC"), curve)
    offset, table, body = 128 + 4 + 12 * len(parts), b"", b""
    for name, content in parts.items():
        content += bytes(-len(content) % 4)
        table += name + struct.pack(">II", offset + len(body), len(content))
        body += content
    size = offset + len(body)
    header = struct.pack(">I4sI4s4s4s", size, b"\0\0\0\0", 0x02100000, b"mntr", b"RGB ", b"XYZ ")
    header += bytes(12) + b"acsp" + bytes(28) + number(0.9642) + number(1.0) + number(0.8249)
    return header.ljust(128, b"\0") + struct.pack(">I", len(parts)) + table + body


def test_a_photo_in_display_p3_looks_as_in_srgb(tmp_path: Path) -> None:
    # Half as colourful as they may be, so that no colour leaves sRGB and is clipped.
    pixels = np.random.default_rng(0).integers(90, 170, (8, 8, 3), np.uint8)
    linear = (pixels / 255.0) ** 2.2 @ P3_TO_XYZ_D50.T @ np.linalg.inv(SRGB_TO_XYZ_D50).T
    expected = 255 * np.where(
        linear <= 0.0031308, 12.92 * linear, 1.055 * np.abs(linear) ** (1 / 2.4) - 0.055
    )
    Image.fromarray(pixels).save(tmp_path / "p3.png", icc_profile=display_p3())
    shown = load_image(tmp_path / "p3.png").astype(float)
    # One level from rounding, one from the profile's 8-bit gamma and 16-bit colorants.
    np.testing.assert_allclose(shown, expected, rtol=0, atol=2)
    assert np.abs(shown - pixels).max() > 5


def test_a_damaged_profile_changes_nothing(tmp_path: Path) -> None:
    pixels = np.random.default_rng(0).integers(0, 256, (8, 8, 3), np.uint8)
    for number, profile in enumerate((b"nonsense", display_p3()[:200], b"")):
        Image.fromarray(pixels).save(tmp_path / f"{number}.png", icc_profile=profile)
        np.testing.assert_array_equal(load_image(tmp_path / f"{number}.png"), pixels)


def test_a_photo_is_refused_by_its_declared_size(tmp_path: Path) -> None:
    Image.new("1", (300, 200)).save(tmp_path / "x.png")
    with pytest.raises(ImageError, match="300 x 200 pixels"):
        load_image(tmp_path / "x.png", max_pixels=59_999)
    assert load_image(tmp_path / "x.png", max_pixels=60_000).shape == (200, 300, 3)


@pytest.mark.parametrize("dtype", [np.uint16, np.int32, np.float32])
def test_samples_of_any_range_are_brought_to_eight_bits_in_pieces(dtype: type[Any]) -> None:
    values = np.random.default_rng(0).uniform(-50, 70_000, (600, 3)).astype(dtype)
    samples = values.astype(np.float64)
    low, high = (
        (0.0, 65535.0) if dtype is np.uint16 and samples.min() >= 0 else (samples.min(), samples.max())
    )
    expected = ((samples - low) * (255.0 / (high - low)) + 0.5).astype(np.uint8)
    np.testing.assert_array_equal(_eight_bits(values), expected)


def test_one_damaged_photo_among_many_is_left_out_and_told(tmp_path: Path) -> None:
    for name in "ab":
        Image.new("RGB", (40, 30), 90).save(tmp_path / f"{name}.png")
    (tmp_path / "b.png").write_bytes((tmp_path / "b.png").read_bytes()[:60])
    photos = PhotoSet.find(tmp_path, None, max_photos=None, prompts=1, seed=0)
    assert [case.name for case in photos.cases(CONTRACT)] == ["a.png"]
    assert list(photos.damaged) == ["b.png"]
    (tmp_path / "a.png").unlink()
    alone = PhotoSet.find(tmp_path, None, max_photos=None, prompts=1, seed=0)
    with pytest.raises(ImageError, match=r"b\.png"):
        list(alone.cases(CONTRACT))


# Annotations.


def annotated(folder: Path, image: dict[str, Any], annotation: dict[str, Any]) -> CocoDataset:
    square = {
        "id": 1,
        "image_id": 1,
        "category_id": 1,
        "area": 25,
        "segmentation": [[1, 1, 6, 1, 6, 6, 1, 6]],
    }
    photo = {"id": 1, "file_name": "1.png", "width": 16, "height": 12}
    data = {"images": [photo | image], "annotations": [square | annotation], "categories": []}
    (folder / "x.json").write_text(json.dumps(data))
    return read_annotations(folder / "x.json", folder)


@pytest.mark.parametrize(("of_photo", "of_annotation"), [(1, "1"), ("1", 1), (1.0, 1), (1, 1.0), ("1", 1.0)])
def test_ids_of_different_tools_match(of_photo: Any, of_annotation: Any, tmp_path: Path) -> None:
    data = annotated(tmp_path, {"id": of_photo}, {"image_id": of_annotation})
    assert [instance.id for instance in data.images[0].instances] == [1]
    boxes = [{"image_id": of_annotation, "category_id": "1", "bbox": [1, 1, 2, 2], "score": 0.5}]
    (tmp_path / "boxes.json").write_text(json.dumps(boxes))
    assert len(read_boxes(tmp_path / "boxes.json").of(data.images[0])) == 1


def test_annotations_and_boxes_that_match_nothing_are_errors(tmp_path: Path) -> None:
    with pytest.raises(DatasetError, match="none of its 1 annotations"):
        annotated(tmp_path, {}, {"image_id": 2})
    data = annotated(tmp_path, {}, {})
    boxes = [{"image_id": 9, "category_id": 1, "bbox": [1, 1, 2, 2], "score": 0.5}]
    (tmp_path / "boxes.json").write_text(json.dumps(boxes))
    with pytest.raises(DatasetError, match="none of the boxes"):
        check_matches(read_boxes(tmp_path / "boxes.json"), data)


@pytest.mark.parametrize("area", [None, 0, 0.0])
def test_an_area_that_is_not_told_is_that_of_the_mask(area: float | None, tmp_path: Path) -> None:
    assert annotated(tmp_path, {}, {"area": area}).images[0].instances[0].area == 25


def test_areas_that_are_not_told_are_counted_and_said(tmp_path: Path) -> None:
    Image.new("RGB", (16, 12), 90).save(tmp_path / "1.png")
    assert annotated(tmp_path, {}, {}).without_area == 0
    assert annotated(tmp_path, {}, {"area": None}).without_area == 1
    result = call("evaluate", "--annotations", tmp_path / "x.json", "--images", tmp_path, *MODEL)
    assert "1 annotations tell no area" in result.stderr


@pytest.mark.parametrize("is_crowd", [False, True, 0, 1, 1.0, "no", None, 2])
def test_iscrowd_means_what_pycocotools_reads_or_is_refused(is_crowd: Any, tmp_path: Path) -> None:
    """pycocotools takes the same values, but for 2, which it counts as 1, and ends in an error elsewhere."""
    try:
        theirs = int(is_crowd)
    except (TypeError, ValueError):
        theirs = None
    if theirs not in (0, 1):
        with pytest.raises(DatasetError, match="annotation 1: iscrowd must be 0 or 1"):
            annotated(tmp_path, {}, {"iscrowd": is_crowd})
    else:
        assert annotated(tmp_path, {}, {"iscrowd": is_crowd}).images[0].instances[0].is_crowd == bool(theirs)


@pytest.mark.parametrize("area", [[25], "25", -1, 1e300, True])
def test_an_area_that_is_none_is_an_error_with_the_annotations_number(area: Any, tmp_path: Path) -> None:
    with pytest.raises(DatasetError, match="annotation 1: area"):
        annotated(tmp_path, {}, {"area": area})


def test_annotations_of_the_stored_pixels_of_a_turned_photo_are_told(tmp_path: Path) -> None:
    exif = Image.Exif()
    exif[0x0112] = 6
    Image.new("RGB", (16, 12)).save(tmp_path / "1.png", exif=exif)
    (image,) = annotated(tmp_path, {}, {}).images
    with pytest.raises(DatasetError, match="EXIF orientation"):
        _loaded(image)


def test_zigzags_take_no_memory() -> None:
    rng = np.random.default_rng(0)
    corners = rng.uniform(0, 10_000, (10_000, 2))
    with pytest.raises(DatasetError, match="outline is longer"):
        decode_segmentation([corners.ravel().tolist()], 10_000, 10_000)


@pytest.mark.parametrize("size", [(65_536, 65_536), (0, 4), ("x", 4), (1e300, 4)])
def test_a_photo_that_nobody_can_read_is_not_annotated(size: tuple[Any, Any], tmp_path: Path) -> None:
    with pytest.raises(DatasetError):
        annotated(tmp_path, {"width": size[0], "height": size[1]}, {})


# Sizes that are bounded before anything is built.


@pytest.mark.parametrize(
    "change",
    [
        {"encoder": {"depths": [2**20, 1, 1, 1]}},
        {"encoder": {"mlp_ratio": 2.0**20}},
        {"encoder": {"mlp_ratio": float("nan")}},
        {"encoder": {"window_sizes": [7, 7, 10**400, 7]}},
        {"encoder": {"embed_dims": "abcd"}},
        {"encoder": {"depths": [1] * 1000}},
        {"encoder": {"depths": [True, 1, 1, 1]}},
        {"decoder": {"depth": 2**20}},
        {"decoder": {"dim": None}},
        {"image_size": 64 * 2**20},
        {"image_size": 128.0},
        {"name": "x" * 10_000},
        {"name": 3},
    ],
)
def test_a_configuration_has_types_and_ranges(change: dict[str, Any]) -> None:
    data = json.loads(json.dumps(TINY_TEST.to_dict()))
    assert config_from_dict(data) == TINY_TEST
    for key, value in change.items():
        data[key] = data[key] | value if isinstance(value, dict) else value
    with pytest.raises(UsageError):
        config_from_dict(data)


@pytest.mark.parametrize("value", [10**400, float("nan"), 1e308, True, "1", None, [1]])
def test_thresholds_are_numbers_in_a_range(value: Any) -> None:
    for key in ("pred_iou_thresh", "points_per_side", "high_score_thresh"):
        with pytest.raises(InputError, match=key):
            everything_settings({key: value})


def test_an_entry_point_that_no_model_has_is_named(tmp_path: Path) -> None:
    document = json.loads(json.dumps(manifest_document()))
    for artifact in document["artifacts"]:
        artifact["entry_points"] = {"[/b]run": "x"}
        path = tmp_path / artifact["path"]
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch()
    (tmp_path / "manifest.json").write_text(json.dumps(document))
    with pytest.raises(BundleError, match="entry points that no model has"):
        open_bundle(Bundle.open(tmp_path), "tflite")
