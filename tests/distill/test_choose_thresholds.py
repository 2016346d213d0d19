"""Thresholds chosen on drawn photos, of which it is known what passes."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file

from tinysam_mobile.distill import choose_thresholds
from tinysam_mobile.distill.choose_thresholds import STABILITY_OFFSETS, PhotoMasks, choose, store_thresholds
from tinysam_mobile.errors import UsageError
from tinysam_mobile.modeling.checkpoint import load_checkpoint
from tinysam_mobile.modeling.config import TINY_TEST
from tinysam_mobile.modeling.stand_in import stand_in_model

GOOD, BAD, POINTS = 4, 36, 10


def photo() -> PhotoMasks:
    """Four good masks, each one object, and 36 bad ones; the good have high scores and are stable.

    The first good one is of round 1 and covers the first half of round 2's points, all bad, with logit 7.
    """
    count = GOOD + BAD
    good = np.arange(count) < GOOD
    x = np.arange(count) * 10
    place = np.concatenate([[-1, 5, 6, 7], np.arange(BAD) % (POINTS // 2)])
    return PhotoMasks(
        scores=np.where(good, 0.9, 0.3 + 0.001 * np.arange(count)).astype(np.float32),
        stability=dict.fromkeys(STABILITY_OFFSETS, np.where(good, 0.99, 0.4).astype(np.float32)),
        boxes=np.stack([x, x, x + 5, x + 5], axis=1),
        first=place < 0,
        point=place,
        ious=np.where(good[:, None], np.eye(count, GOOD), 0.1).astype(np.float32),
        high=np.where(np.arange(POINTS) < POINTS // 2, 7.0, -3.0)[None].astype(np.float32),
        peaks=np.linspace(2, 12, count).astype(np.float32),
    )


def test_the_good_masks_are_kept_and_covered_points_skipped() -> None:
    best, tried = choose([photo(), photo()], max_masks=GOOD)
    assert best.average_recall == 1
    assert best.masks_per_photo == GOOD
    assert best.prompts_per_photo == 64 + POINTS // 2
    assert best.high_score_thresh < 7
    assert best in tried
    assert set(best.settings()) == {
        "pred_iou_thresh",
        "stability_score_thresh",
        "stability_score_offset",
        "high_score_thresh",
    }


def test_a_tau_that_loses_objects_is_not_chosen() -> None:
    # Now every point of round 2 is covered, also those of the good masks.
    covered = replace(photo(), high=np.full((1, POINTS), 7, np.float32))
    best, _ = choose([covered], max_masks=GOOD)
    assert best.average_recall == 1
    assert best.high_score_thresh >= 7  # a logit at τ itself does not cover


def test_a_tau_is_chosen_that_skips_enough_points(monkeypatch: pytest.MonkeyPatch) -> None:
    # Five of ten points may be skipped: 64 + 10 prompts are too many, 64 + 5 are not.
    monkeypatch.setattr(choose_thresholds, "MAX_PROMPT_SHARE", 70 / 32**2)
    best, tried = choose([photo()], max_masks=GOOD)
    assert best.prompts_per_photo == 64 + POINTS // 2
    assert max(choice.prompts_per_photo for choice in tried) == 64 + POINTS


def test_too_small_a_budget_is_an_error() -> None:
    with pytest.raises(UsageError, match="allow more masks"):
        choose([photo()], max_masks=-1)


def test_thresholds_are_stored_and_weights_stay(tmp_path: Path) -> None:
    path = tmp_path / "m.safetensors"
    metadata = {"config": json.dumps(TINY_TEST.to_dict()), "step": "7"}
    save_file(dict(stand_in_model(TINY_TEST).state_dict()), path, metadata=metadata)
    before = load_file(path)
    store_thresholds(path, {"pred_iou_thresh": 0.4}, path)
    checkpoint = load_checkpoint(path)
    assert checkpoint.everything["pred_iou_thresh"] == 0.4
    assert checkpoint.metadata["step"] == "7"
    after = load_file(path)
    assert after.keys() == before.keys()
    assert all(torch.equal(after[key], before[key]) for key in before)
    assert list(tmp_path.iterdir()) == [path]
