"""Everything mode on the converted formats in fp32 against torch: the same objects."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
import skimage.data

from tests import small_model
from tinysam_mobile.converters.options import ConversionOptions
from tinysam_mobile.converters.pipeline import convert_checkpoint
from tinysam_mobile.imaging.images import RGBImage
from tinysam_mobile.modeling.checkpoint import Checkpoint, load_checkpoint
from tinysam_mobile.modeling.entry_points import contract_of
from tinysam_mobile.parity.everything_parity import EverythingParity, compare_everything
from tinysam_mobile.segment.everything import EverythingConfig
from tinysam_mobile.simulator.registry import open_bundle, open_model

FORMATS = ("tflite", "executorch", "coreml")
SHARE = 0.99
"""Of the objects, at IoU 0.9: two float32 programs differ in rounding, which turns near ties only."""


def parity(
    checkpoint: Checkpoint, runtime: str, folder: Path, photo: RGBImage, config: EverythingConfig
) -> EverythingParity:
    options = ConversionOptions(targets=(runtime,), slots=2, batch=small_model.BATCH)
    bundle = convert_checkpoint(checkpoint, folder / "bundle", options)
    contract = contract_of(checkpoint.model, slots=2, batch=small_model.BATCH)
    reference = open_model(checkpoint.model, contract, num_threads=1)
    return compare_everything(reference, open_bundle(bundle, runtime, num_threads=1), photo, config)


@pytest.mark.parametrize(
    "runtime", ["coreml", *(pytest.param(name, marks=pytest.mark.slow) for name in ("tflite", "executorch"))]
)
def test_every_format_finds_the_objects_of_torch(runtime: str, tmp_path: Path) -> None:
    # Stand-in scores mean nothing, so every mask may pass and none is a duplicate: 3 x 16 points.
    config = EverythingConfig(
        hierarchical=False,
        points_per_side=4,
        pred_iou_thresh=-100,
        stability_score_thresh=0,
        box_nms_thresh=1,
    )
    photo = small_model.photos()["coffee.png"]
    found = parity(small_model.CHECKPOINT, runtime, tmp_path, photo, config)
    assert found.reference.objects > 40
    assert found.shared_points == found.reference.points == found.other.points == 16
    assert found.at(0.9).precision >= SHARE
    assert found.at(0.9).recall >= SHARE
    assert found.pixel_agreement >= SHARE


@pytest.mark.slow
@pytest.mark.parametrize("runtime", FORMATS)
def test_the_shipped_checkpoint_on_every_format(runtime: str, tmp_path: Path) -> None:
    checkpoint = load_checkpoint()
    config = replace(EverythingConfig(**checkpoint.everything), mode="exact", points_per_side=16)
    found = parity(checkpoint, runtime, tmp_path, skimage.data.astronaut(), config)
    assert found.reference.objects >= 5
    assert found.at(0.9).precision >= SHARE, found.differences
    assert found.at(0.9).recall >= SHARE, found.differences
