"""Thresholds of everything mode travel from the checkpoint's metadata to the manifest and to the config."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from safetensors.torch import save_file

from tinysam_mobile.bundle.manifest import Manifest, contract_data
from tinysam_mobile.contract.everything_settings import EVERYTHING_DEFAULTS
from tinysam_mobile.errors import BundleError, CheckpointError
from tinysam_mobile.modeling.checkpoint import Checkpoint, load_checkpoint
from tinysam_mobile.modeling.config import TINY_TEST
from tinysam_mobile.modeling.entry_points import contract_of
from tinysam_mobile.modeling.stand_in import stand_in_model
from tinysam_mobile.segment.everything import EverythingConfig

STORED = {"pred_iou_thresh": 0.5, "high_score_thresh": 2.5}
WRONG = ['{"pred_iou": 0.5}', '{"pred_iou_thresh": "high"}', '{"points_per_side": 8.5}', "[1]", "{", "null"]


def checkpoint_with(folder: Path, stored: str) -> Checkpoint:
    metadata = {"config": json.dumps(TINY_TEST.to_dict()), "everything": stored}
    save_file(dict(stand_in_model(TINY_TEST).state_dict()), folder / "m.safetensors", metadata=metadata)
    return load_checkpoint(folder / "m.safetensors")


def test_from_the_checkpoint_to_the_manifest_and_the_config(tmp_path: Path) -> None:
    checkpoint = checkpoint_with(tmp_path, json.dumps(STORED))
    expected = {**EVERYTHING_DEFAULTS, **STORED}
    assert checkpoint.everything == expected
    data = json.loads(json.dumps(contract_data(checkpoint, contract_of(checkpoint.model))))
    manifest = Manifest.from_json({**data, "artifacts": []})
    assert manifest.everything == expected
    config = EverythingConfig(**manifest.everything)
    assert (config.pred_iou_thresh, config.high_score_thresh, config.points_per_side) == (0.5, 2.5, 32)


def test_the_papers_where_nothing_is_stored() -> None:
    checkpoint = load_checkpoint("stand-in:tiny-test")
    assert checkpoint.everything == EVERYTHING_DEFAULTS
    assert EverythingConfig(**checkpoint.everything) == EverythingConfig()


@pytest.mark.parametrize("stored", WRONG)
def test_damaged_thresholds_are_refused(stored: str, tmp_path: Path) -> None:
    with pytest.raises(CheckpointError, match="thresholds"):
        checkpoint_with(tmp_path, stored)


@pytest.mark.parametrize("stored", [None, {"pred_iou": 1}, {"high_score_thresh": True}])
def test_a_manifest_with_damaged_thresholds_is_refused(stored: Any) -> None:
    checkpoint = load_checkpoint("stand-in:tiny-test")
    data = contract_data(checkpoint, contract_of(checkpoint.model))
    with pytest.raises(BundleError, match="everything"):
        Manifest.from_json({**data, "everything": stored, "artifacts": []})
