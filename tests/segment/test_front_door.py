"""`import tinysam_mobile as tsm`: one import, three lines to a mask; Segment Anything's names beside it."""

from __future__ import annotations

import json
import subprocess
import sys
from io import BytesIO
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from pycocotools import mask as coco_mask

import tinysam_mobile as tsm
from tinysam_mobile.errors import UsageError
from tinysam_mobile.imaging.images import RGBImage

POINT = (50.0, 30.0)
BOX = (20.0, 10.0, 90.0, 60.0)


@pytest.fixture(scope="module")
def photo(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("photo") / "photo.png"
    noise = np.random.default_rng(3).integers(0, 256, (8, 12, 3), dtype=np.uint8)
    Image.fromarray(noise).resize((120, 80), Image.Resampling.BICUBIC).save(path)
    return path


@pytest.fixture(scope="module")
def pixels(photo: Path) -> RGBImage:
    return tsm.load_image(photo)


@pytest.fixture(scope="module")
def model() -> tsm.Model:
    return tsm.open("stand-in:tiny-test")


def test_importing_the_package_imports_nothing_of_weight() -> None:
    heavy = "('torch', 'numpy', 'PIL', 'click')"
    code = f"import sys, tinysam_mobile; print([m for m in {heavy} if m in sys.modules])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_every_name_is_there_and_no_other() -> None:
    assert all(getattr(tsm, name) is not None for name in tsm.__all__)
    assert dir(tsm) == sorted(tsm.__all__)
    with pytest.raises(AttributeError, match="no attribute 'segmnt'"):
        tsm.segmnt  # noqa: B018


def test_a_path_and_its_pixels_give_the_predictor_s_mask(
    model: tsm.Model, photo: Path, pixels: RGBImage
) -> None:
    found = model.segment(photo, point=POINT)
    again = model.segment(pixels, points=[POINT], labels=[1])
    expected = model.predictor.predict(point_coords=[POINT], point_labels=[1])
    np.testing.assert_array_equal(found.mask, expected.best_mask)
    np.testing.assert_array_equal(again.mask, expected.best_mask)
    assert found.score == pytest.approx(float(expected.scores[expected.best]))


def test_a_second_prompt_does_not_encode_again(model: tsm.Model, photo: Path) -> None:
    model.segment(photo, point=POINT)
    image = model.predictor.image
    boxed = model.segment(box=BOX)
    assert model.predictor.image is image
    assert boxed.mask.shape == (80, 120)
    assert (boxed.box, boxed.points) == (BOX, ())


@pytest.mark.parametrize(
    ("prompt", "message"),
    [
        ({}, "nothing to predict"),
        ({"point": POINT, "points": [POINT]}, "not both"),
        ({"point": POINT, "labels": [0]}, "not both"),
    ],
)
def test_what_is_not_a_prompt_is_refused(
    model: tsm.Model, photo: Path, prompt: dict[str, object], message: str
) -> None:
    with pytest.raises(UsageError, match=message):
        model.segment(photo, **prompt)  # type: ignore[arg-type]


def test_a_model_without_a_photo_says_so() -> None:
    with pytest.raises(UsageError, match="no photo yet"):
        tsm.open("stand-in:tiny-test").segment(point=POINT)


def test_options_that_do_not_go_with_the_source(tflite_bundle: tuple[Path, object]) -> None:
    with pytest.raises(UsageError, match="convert it first"):
        tsm.open("stand-in:tiny-test", runtime="tflite")
    with pytest.raises(UsageError, match="holds no PyTorch model"):
        tsm.open(tflite_bundle[0], runtime="torch")


def test_a_bundle_opens_on_the_runtime_of_its_first_artifact(
    tflite_bundle: tuple[Path, object], model: tsm.Model, photo: Path
) -> None:
    ours, theirs = model.segment(photo, point=POINT), tsm.open(tflite_bundle[0]).segment(photo, point=POINT)
    # float32 of two runtimes: the stand-in's noise masks may differ in a pixel whose logit is near 0.
    assert (ours.mask != theirs.mask).mean() < 1e-3


@pytest.mark.filterwarnings("ignore:__array__ implementation:DeprecationWarning")
def test_a_mask_saves_and_shows_itself(model: tsm.Model, photo: Path, tmp_path: Path) -> None:
    found = model.segment(photo, point=POINT)
    np.testing.assert_array_equal(coco_mask.decode(found.rle()).astype(bool), found.mask)
    saved = np.asarray(Image.open(found.save(tmp_path / "mask.png")))
    np.testing.assert_array_equal(saved, found.mask * np.uint8(255))
    run_lengths = json.loads(found.save(tmp_path / "mask.json").read_text())
    np.testing.assert_array_equal(coco_mask.decode(run_lengths).astype(bool), found.mask)
    assert Image.open(BytesIO(found._repr_png_())).size == (120, 80)
    assert "120x80" in repr(found)
    with pytest.raises(UsageError, match=r"\.png, .*\.json"):
        found.save(tmp_path / "mask.tga")


def test_everything_is_a_sequence_of_masks(model: tsm.Model, pixels: RGBImage, tmp_path: Path) -> None:
    config = tsm.EverythingConfig(points_per_side=4, pred_iou_thresh=-10, stability_score_thresh=0)
    found = model.segment_everything(pixels, config)
    assert len(found) == len(list(found)) > 0
    labels = found.labels()
    assert (labels.shape, labels.dtype) == ((80, 120), np.uint16)
    document = json.loads(found.save(tmp_path / "objects.json").read_text())
    areas = [annotation["area"] for annotation in document["annotations"]]
    assert areas == [int(one.mask.sum()) for one in found]
    assert Image.open(BytesIO(found._repr_png_())).size == (120, 80)


def test_segment_anything_s_own_example(pixels: RGBImage) -> None:
    """The README of facebookresearch/segment-anything, its import changed."""
    from tinysam_mobile import SamAutomaticMaskGenerator, SamPredictor, sam_model_registry

    sam = sam_model_registry["vit_t"](checkpoint="stand-in:tiny-test")
    sam.to(device="cpu")
    predictor = SamPredictor(sam)
    predictor.set_image(pixels)
    masks, scores, logits = predictor.predict(
        point_coords=np.array([POINT]), point_labels=np.array([1]), multimask_output=True
    )
    assert (masks.shape, masks.dtype, scores.shape, logits.shape) == ((3, 80, 120), bool, (3,), (3, 32, 32))
    one, score, _ = predictor.predict(box=np.array(BOX), mask_input=logits[:1], multimask_output=False)
    assert one.shape == (1, 80, 120)
    assert score.shape == (1,)
    full, _, _ = predictor.predict(np.array([POINT]), np.array([1]), return_logits=True)
    np.testing.assert_array_equal(full > 0, masks)
    records = SamAutomaticMaskGenerator(sam, points_per_side=2, pred_iou_thresh=-10).generate(pixels)
    keys = {"segmentation", "area", "bbox", "predicted_iou", "point_coords", "stability_score", "crop_box"}
    assert all(set(record) == keys for record in records)


def test_bgr_is_opencv_s_order(pixels: RGBImage) -> None:
    predictor = tsm.SamPredictor(tsm.open("stand-in:tiny-test"))
    predictor.set_image(pixels)
    rgb = predictor.get_image_embedding()
    predictor.set_image(pixels[..., ::-1], image_format="BGR")
    np.testing.assert_array_equal(predictor.get_image_embedding(), rgb)
    with pytest.raises(UsageError, match="RGB, BGR"):
        predictor.set_image(pixels, image_format="CMYK")


def test_another_device_is_a_warning() -> None:
    with pytest.warns(UserWarning, match="not on cuda"):
        tsm.sam_model_registry["default"]("stand-in:tiny-test").to("cuda")
