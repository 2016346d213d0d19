"""mIoU protocol, COCO annotations and baselines against hand-made answers and scipy."""

from __future__ import annotations

import json
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from click.testing import CliRunner
from numpy.typing import NDArray
from PIL import Image
from pycocotools import mask as coco_mask
from scipy.stats import spearmanr

from tinysam_mobile.cli.evaluate import command
from tinysam_mobile.contract.spec import Contract, Label
from tinysam_mobile.errors import DatasetError, RuntimeUnavailableError
from tinysam_mobile.evaluation.baselines import filled_box, grab_cut, measure_baseline
from tinysam_mobile.evaluation.coco import CocoDataset, decode_segmentation, read_coco
from tinysam_mobile.evaluation.ideal_prompts import centre_point, tight_box
from tinysam_mobile.evaluation.miou import Measurement, mask_iou, measure, spearman, summary
from tinysam_mobile.imaging.masks import RunLengths

SIDE = 128
RECTANGLE = [16.0, 32.0, 80.0, 32.0, 80.0, 96.0, 16.0, 96.0]
"""Corners of the rectangle x 16…80, y 32…96."""


class BoxFiller:
    """A backend that fills the box it is asked for: mask 0 a corner of it, mask 1 all of it, mask 2 nothing.

    Its contract has S = 128 with masks of 32, so a box on multiples of 4 is filled exactly.
    """

    contract = Contract(image_size=SIDE, grid_size=8, mask_size=32, channels=4, slots=2, batch=2)

    def __init__(self, predicted: tuple[float, float, float]) -> None:
        self.predicted = predicted

    def run(self, entry_point: str, inputs: Mapping[str, NDArray[Any]]) -> dict[str, NDArray[Any]]:
        if entry_point == "encode":
            return {"image_embeddings": np.zeros((1, 4, 8, 8), np.float32)}
        masks = np.full((2, 3, 32, 32), -1.0, np.float32)
        for row, labels in enumerate(inputs["point_labels"]):
            if labels[0] == Label.BOX_TOP_LEFT:
                (x0, y0), (x1, y1) = (inputs["point_coords"][row] / 4).astype(int)
                masks[row, 1, y0:y1, x0:x1] = 1
                masks[row, 0, y0 : (y0 + y1) // 2, x0 : (x0 + x1) // 2] = 1
        return {"low_res_masks": masks, "iou_predictions": np.tile(np.float32(self.predicted), (2, 1))}


@pytest.fixture
def dataset(tmp_path: Path) -> CocoDataset:
    """One photo of 128x128 with a rectangle, the same as a crowd, and one that is too small to count."""
    (tmp_path / "images").mkdir()
    Image.new("RGB", (SIDE, SIDE), (90, 120, 30)).save(tmp_path / "images" / "a.png")
    entries = [
        {"id": 7, "image_id": 1, "category_id": 1, "area": 4096, "iscrowd": 0, "segmentation": [RECTANGLE]},
        {"id": 8, "image_id": 1, "category_id": 1, "area": 4096, "iscrowd": 1, "segmentation": [RECTANGLE]},
        {"id": 9, "image_id": 1, "category_id": 1, "area": 99, "iscrowd": 0, "segmentation": [RECTANGLE]},
    ]
    images = [{"id": 1, "file_name": "a.png", "width": SIDE, "height": SIDE}]
    (tmp_path / "instances.json").write_text(json.dumps({"images": images, "annotations": entries}))
    return read_coco(tmp_path)


def test_the_chosen_mask_is_that_of_the_highest_predicted_iou(dataset: CocoDataset) -> None:
    prefers_all = summary(list(measure(BoxFiller((0.1, 0.9, 0.5)), dataset)))
    prefers_corner = summary(list(measure(BoxFiller((0.9, 0.1, 0.5)), dataset)))
    # Upscaling moves the border by less than half of a low-resolution pixel of 4: 64² of at most 66².
    assert prefers_all["miou_box"]["all"] > 64**2 / 66**2
    assert prefers_corner["miou_box"]["all"] == pytest.approx(0.25, abs=0.03)
    assert prefers_corner["miou_box_best"] == prefers_all["miou_box"]
    assert prefers_all["miou_point_best"]["all"] == 0


def test_crowds_and_instances_under_100_px_do_not_count(dataset: CocoDataset) -> None:
    measured = list(measure(BoxFiller((1, 0, 0)), dataset))
    assert [(m.instance_id, m.prompt) for m in measured] == [(7, "box"), (7, "point")]
    assert summary(measured)["instances"] == {"medium": 1, "medium_large": 1, "all": 1}


def test_filling_the_box_of_a_rectangle_is_perfect(dataset: CocoDataset) -> None:
    assert [m.chosen_iou for m in measure_baseline("filled_box", dataset)] == [1.0]


def test_grab_cut_finds_a_flat_disc() -> None:
    y, x = np.mgrid[:64, :64]
    disc = (y - 32) ** 2 + (x - 32) ** 2 < 20**2
    photo = np.where(disc[..., None], np.uint8([200, 40, 40]), np.uint8([20, 90, 160])).astype(np.uint8)
    assert mask_iou(grab_cut(photo, tight_box(disc)), disc) > 0.95


def test_grab_cut_without_opencv_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "cv2", None)
    with pytest.raises(RuntimeUnavailableError, match="opencv-python-headless"):
        grab_cut(np.zeros((9, 9, 3), np.uint8), (2, 2, 5, 5))


def test_segmentations_of_all_three_kinds_give_the_same_mask() -> None:
    mask = np.zeros((5, 4), np.bool_)
    mask[1:4, 1:3] = True
    # Down the columns: column 0 and one pixel, three, two, three, and what is left of columns 2 and 3.
    counts = [6, 3, 2, 3, 6]
    assert (decode_segmentation({"size": [5, 4], "counts": counts}, 5, 4) == mask).all()
    # One character each, the fourth and fifth as differences to the run two before: 3 - 3 and 6 - 2.
    assert (decode_segmentation({"size": [5, 4], "counts": "63204"}, 5, 4) == mask).all()
    assert (decode_segmentation([[1, 1, 3, 1, 3, 4, 1, 4]], 5, 4) == mask).all()


def test_polygons_are_filled_as_in_pycocotools_to_the_pixel() -> None:
    rng = np.random.default_rng(4)
    for corners in (3, 4, 7, 40):
        for _ in range(25):
            # Beyond all four borders, with corners that repeat, and self-intersecting.
            polygon = (rng.random((corners, 2)) * (60, 50) - 10).round(rng.integers(0, 3))
            polygon[-1] = polygon[0]
            ours = decode_segmentation([polygon.ravel().tolist()], 31, 43)
            (theirs,) = coco_mask.frPyObjects([polygon.ravel().tolist()], 31, 43)
            assert (ours == RunLengths.from_coco(theirs).decode()).all()


def test_polygons_may_reach_outside() -> None:
    y, x = np.mgrid[:40, :50] + 0.5
    angles = np.linspace(0, 2 * np.pi, 400, endpoint=False)
    circle = np.stack([45 + 12.3 * np.cos(angles), 5 + 12.3 * np.sin(angles)], axis=1)
    wanted = (x - 45) ** 2 + (y - 5) ** 2 < 12.3**2
    assert mask_iou(decode_segmentation([circle.ravel().tolist()], 40, 50), wanted) > 0.99


@pytest.mark.parametrize(
    "segmentation",
    [
        None,
        3,
        [[1, 2, 3]],
        [["x"]],
        {"counts": [20]},
        {"size": [4, 5], "counts": [20]},
        {"size": [5, 4], "counts": [7]},
    ],
)
def test_a_segmentation_that_fits_nothing_is_a_dataset_error(segmentation: object) -> None:
    with pytest.raises(DatasetError):
        decode_segmentation(segmentation, 5, 4)


@pytest.mark.parametrize("text", ["", "[]", "{}", '{"images": [{}], "annotations": []}'])
def test_a_file_without_annotations_is_a_dataset_error(tmp_path: Path, text: str) -> None:
    (tmp_path / "instances.json").write_text(text)
    with pytest.raises(DatasetError, match=r"instances\.json"):
        read_coco(tmp_path)


def test_ideal_prompts_of_an_l_shape() -> None:
    mask = np.zeros((20, 30), np.bool_)
    mask[2:18, 3:7] = True
    mask[9:18, 3:25] = True
    assert tight_box(mask) == (3, 2, 25, 18)
    x, y = centre_point(mask)
    # The largest square inside is the foot's, rows 9…17: its middle row is 13.
    assert y == 13
    assert mask[y - 4 : y + 5, x - 4 : x + 5].all()


def test_spearman_is_scipys() -> None:
    rng = np.random.default_rng(0)
    left, right = rng.integers(0, 9, 200).astype(float), rng.random(200)
    right[:100] += left[:100]
    assert spearman(left, right) == pytest.approx(float(spearmanr(left, right).statistic), abs=1e-12)
    assert np.isnan(spearman(np.ones(5), np.arange(5.0)))


def test_mean_is_per_instance_and_sizes_are_coco_s() -> None:
    measured = [
        Measurement(
            instance_id=i, size=size, prompt="box", ious=(iou, iou / 2, 0.0), predicted=(0.1, 0.9, 0.2)
        )
        for i, (size, iou) in enumerate([("small", 0.4), ("medium", 0.8), ("large", 1.0), ("large", 0.6)])
    ]
    table = summary(measured)
    assert table["miou_box_best"] == pytest.approx(
        {"small": 0.4, "medium": 0.8, "large": 0.8, "medium_large": 0.8, "all": 0.7}
    )
    assert table["miou_box"]["all"] == pytest.approx(0.35)


def test_filled_box_covers_the_box_only() -> None:
    assert filled_box(np.zeros((9, 9, 3), np.uint8), (2, 3, 5, 9)).sum() == 3 * 6


def test_command_prints_the_figures_of_model_and_baseline(dataset: CocoDataset) -> None:
    folder = str(dataset.images[0].path.parents[1])
    arguments = [folder, "--checkpoint", "stand-in:tiny-test", "--baseline", "filled_box", "--json"]
    result = CliRunner().invoke(command, arguments)
    assert result.exit_code == 0, result.output
    figures = json.loads(result.stdout)["results"]
    assert figures["filled_box"]["miou_box"]["all"] == 1.0
    assert 0 <= figures["stand-in:tiny-test"]["miou_box"]["all"] <= 1


def test_command_on_an_empty_folder_exits_with_2(tmp_path: Path) -> None:
    result = CliRunner().invoke(command, [str(tmp_path)])
    assert result.exit_code == 2
    assert "instances.json" in result.stderr
