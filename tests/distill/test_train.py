"""Whole runs of a tiny network: exact resume, two processes, stages, teacher and cache."""

from __future__ import annotations

import csv
import os
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from click.testing import CliRunner
from safetensors.torch import load_file, save_file

from tinysam_mobile.cli.distill import command
from tinysam_mobile.distill.cache import EmbeddingCache, write_cache
from tinysam_mobile.distill.config import (
    LossWeights,
    OptimiserSettings,
    TeacherSettings,
    TrainConfig,
    TrainingStage,
    config_from_data,
    read_config,
)
from tinysam_mobile.distill.export import write_run
from tinysam_mobile.distill.learner import FREQUENCIES, Learner
from tinysam_mobile.distill.photo_store import PhotoStore
from tinysam_mobile.distill.run_state import STATE_FILE, read_state
from tinysam_mobile.distill.scenes import SceneSettings
from tinysam_mobile.distill.train import train
from tinysam_mobile.distill.validation import validator
from tinysam_mobile.errors import CheckpointError, DatasetError, UsageError
from tinysam_mobile.modeling.checkpoint import load_checkpoint
from tinysam_mobile.modeling.config import config_named
from tinysam_mobile.modeling.sam import TinySAM


def weights_of(folder: Path) -> dict[str, torch.Tensor]:
    return load_file(folder / STATE_FILE)


def assert_same(left: Path, right: Path) -> None:
    ours, theirs = weights_of(left), weights_of(right)
    assert ours.keys() == theirs.keys()
    assert [name for name in ours if not torch.equal(ours[name], theirs[name])] == []


def logged_in(folder: Path) -> list[dict[str, str]]:
    """The rows of a run's losses, without the time that a step took."""
    rows = list(csv.DictReader((folder / "losses.csv").read_text().splitlines()))
    return [{name: value for name, value in row.items() if name != "step_s"} for row in rows]


def test_killed_and_resumed_is_the_same_as_not_killed(tmp_path: Path, config: TrainConfig) -> None:
    train(config, tmp_path / "whole")

    def kill(*_: object) -> None:
        raise KeyboardInterrupt

    # Dies after step 5, one step beyond the last state on disk.
    dying = replace(config, validate_every_steps=5)
    with pytest.raises(KeyboardInterrupt):
        train(dying, tmp_path / "killed", validate=kill)
    state = read_state(tmp_path / "killed")
    assert state is not None
    assert state.step == 4
    with (tmp_path / "killed" / "losses.csv").open("a") as file:
        file.write("6,0.1")  # a row that the kill cut short
    train(dying, tmp_path / "killed")
    assert_same(tmp_path / "whole", tmp_path / "killed")
    assert logged_in(tmp_path / "killed") == logged_in(tmp_path / "whole")
    assert [row["step"] for row in logged_in(tmp_path / "whole")] == ["2", "4", "6", "7"]


def test_training_moves_every_part_and_the_average_lags(tmp_path: Path, config: TrainConfig) -> None:
    train(config, tmp_path / "run", stop_after=3)
    before = weights_of(tmp_path / "run")
    train(config, tmp_path / "run")
    after = weights_of(tmp_path / "run")
    parts = ("image_encoder.patch_embed", "prompt_encoder.point_embed", "mask_decoder.iou_prediction_head")
    for part in parts:
        keys = [k for k in before if k.startswith(f"weights/model.{part}") and k.endswith("weight")]
        assert keys
        assert all(not torch.equal(before[k], after[k]) for k in keys if "seq.1" not in k), part
    assert (tmp_path / "run" / "losses.csv").read_text().startswith("step,loss,focal")


def test_a_folder_with_another_run_is_refused(tmp_path: Path, config: TrainConfig) -> None:
    train(config, tmp_path / "run", stop_after=1)
    with pytest.raises(CheckpointError, match="another configuration"):
        train(replace(config, seed=9), tmp_path / "run")


def test_a_run_can_start_from_another_ones_average(tmp_path: Path, config: TrainConfig) -> None:
    train(config, tmp_path / "first")
    frozen = OptimiserSettings(learning_rate=0.0)
    still = replace(config, start_from=str(tmp_path / "first"), optimiser=frozen)
    train(still, tmp_path / "second", stop_after=1)
    name = "model.mask_decoder.mask_tokens.weight"
    first, second = weights_of(tmp_path / "first"), weights_of(tmp_path / "second")
    assert torch.equal(second[f"weights/{name}"], first[f"average/{name}"])


TWO_PROCESSES = """
import sys
from pathlib import Path
import torch
from tinysam_mobile.evaluation.processes import joined_processes
from tinysam_mobile.distill.config import read_config
from tinysam_mobile.distill.step import Teachers, learn
from tinysam_mobile.distill.train import learning_rate, train
from tinysam_mobile.distill.validation import validator

torch.set_num_threads(1)
folder = Path(sys.argv[1])
config = read_config(folder / "run.toml")
with joined_processes() as (rank, count):
    assert count == 2
    train(config, folder / "whole")
    train(config, folder / "parts", stop_after=4)
    train(config, folder / "parts")
"""

RECIPE = """
model = "tiny-test"
stores = ["{store}"]

[[stages]]
steps = 2
image_size = 64
photos = 1
prompts = 3
use_image = false

[[stages]]
steps = 5
image_size = 128
photos = 2
prompts = 2
"""


def test_a_run_can_start_from_a_checkpoint_file(tmp_path: Path, config: TrainConfig) -> None:
    train(config, tmp_path / "first")
    write_run(tmp_path / "first", tmp_path / "first.safetensors")
    still = replace(config.optimiser, learning_rate=0.0)
    again = replace(config, start_from=str(tmp_path / "first.safetensors"), optimiser=still)
    train(again, tmp_path / "second", stop_after=1)
    wanted, got = (read_state(tmp_path / run) for run in ("first", "second"))
    assert wanted is not None
    assert got is not None
    # A checkpoint holds matrices in fp16.
    torch.testing.assert_close(
        got.groups["weights"]["model.mask_decoder.iou_token.weight"],
        wanted.groups["average"]["model.mask_decoder.iou_token.weight"].half().float(),
    )


def test_a_checkpoint_of_another_network_is_refused(tmp_path: Path, config: TrainConfig) -> None:
    train(config, tmp_path / "first", stop_after=1)
    write_run(tmp_path / "first", tmp_path / "first.safetensors")
    other = replace(config, model="tinysam-nano", start_from=str(tmp_path / "first.safetensors"))
    with pytest.raises(CheckpointError, match="layers"):
        train(other, tmp_path / "second", stop_after=1)


def test_two_processes_under_torchrun_resume_exactly(tmp_path: Path, store: Path) -> None:
    (tmp_path / "run.toml").write_text(RECIPE.format(store=store))
    (tmp_path / "two.py").write_text(TWO_PROCESSES)
    launcher = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2"]
    done = subprocess.run(
        [*launcher, str(tmp_path / "two.py"), str(tmp_path)],
        env=os.environ | {"OMP_NUM_THREADS": "1"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert_same(tmp_path / "whole", tmp_path / "parts")
    # The second process drew other scenes, so the weights are not those of one process.
    train(read_config(tmp_path / "run.toml"), tmp_path / "alone")
    name = "weights/model.mask_decoder.mask_tokens.weight"
    assert not torch.equal(weights_of(tmp_path / "whole")[name], weights_of(tmp_path / "alone")[name])


def test_every_distillation_loss_is_switchable(tmp_path: Path, config: TrainConfig) -> None:
    distil = replace(
        config,
        stages=(TrainingStage(steps=1, image_size=128, photos=1, prompts=2),),
        teacher=TeacherSettings(checkpoint="stand-in:tiny-test"),
        losses=LossWeights(embedding=1.0, token=1.0, output=1.0),
    )
    image_free = TrainingStage(steps=1, image_size=64, photos=1, prompts=2, use_image=False)
    train(replace(distil, stages=(image_free, *distil.stages)), tmp_path / "all")
    header, *rows = (line.split(",") for line in (tmp_path / "all" / "losses.csv").read_text().splitlines())
    assert {"embedding", "token", "output"} <= set(header)
    assert [len(row) for row in rows] == [len(header)] * 2  # one for each stage
    train(replace(distil, losses=LossWeights(output=1.0)), tmp_path / "one")
    header = (tmp_path / "one" / "losses.csv").read_text().splitlines()[0].split(",")
    assert "output" in header
    assert not {"embedding", "token"} & set(header)


AS_THEY_ARE = SceneSettings(
    whole_photo_share=1.0, paste_share=0.0, flip_share=0.0, colour_jitter=0.0, gray_share=0.0
)


def test_cached_embeddings_teach_as_the_live_teacher_does(
    tmp_path: Path, config: TrainConfig, store: Path
) -> None:
    teacher = load_checkpoint("stand-in:tiny-test")
    folder = tmp_path / "cache"
    assert write_cache(teacher, PhotoStore(store), folder) == 1
    assert write_cache(teacher, PhotoStore(store), folder) == 0, "what is there is kept"
    live = replace(
        config,
        scenes=AS_THEY_ARE,
        stages=(TrainingStage(steps=1, image_size=128, photos=2, prompts=2),),
        teacher=TeacherSettings(checkpoint="stand-in:tiny-test"),
        losses=LossWeights(embedding=1.0),
    )
    cached = replace(live, teacher=TeacherSettings(checkpoint="stand-in:tiny-test", cache=str(folder)))
    rows = []
    for name, run in (("live", live), ("cached", cached)):
        train(run, tmp_path / name)
        header, row = (tmp_path / name / "losses.csv").read_text().splitlines()
        rows.append(float(dict(zip(header.split(","), row.split(","), strict=True))["embedding"]))
    # The cache holds fp16, 11 bits.
    assert rows[0] == pytest.approx(rows[1], rel=2**-10)


def test_a_damaged_shard_and_an_unknown_photo_are_dataset_errors(tmp_path: Path, store: Path) -> None:
    write_cache(load_checkpoint("stand-in:tiny-test"), PhotoStore(store), tmp_path / "cache")
    with pytest.raises(DatasetError, match="no embedding of noise/9"):
        EmbeddingCache(tmp_path / "cache")["noise/9.png"]
    shard = next((tmp_path / "cache").glob("*.safetensors"))
    data = bytearray(shard.read_bytes())
    data[-1] ^= 1
    shard.write_bytes(data)
    with pytest.raises(DatasetError, match="hash"):
        EmbeddingCache(tmp_path / "cache")["noise/0.png"]


def test_a_cache_does_not_fit_augmented_scenes(tmp_path: Path, config: TrainConfig, store: Path) -> None:
    write_cache(load_checkpoint("stand-in:tiny-test"), PhotoStore(store), tmp_path / "cache")
    teacher = TeacherSettings(checkpoint="stand-in:tiny-test", cache=str(tmp_path / "cache"))
    with pytest.raises(UsageError, match="whole_photo_share"):
        train(replace(config, teacher=teacher, losses=LossWeights(output=1.0)), tmp_path / "run")


def test_an_exported_run_loads_as_a_checkpoint(tmp_path: Path, config: TrainConfig) -> None:
    train(config, tmp_path / "run")
    write_run(tmp_path / "run", tmp_path / "student.safetensors")
    loaded = load_checkpoint(tmp_path / "student.safetensors")
    assert loaded.model.config.name == "tiny-test"
    assert loaded.metadata["step"] == "7"
    key = "mask_decoder.mask_tokens.weight"
    average = weights_of(tmp_path / "run")[f"average/model.{key}"]
    assert torch.equal(loaded.model.state_dict()[key], average.half().float())


def test_configuration_survives_its_own_json_and_names_what_is_wrong(config: TrainConfig) -> None:
    import json

    assert config_from_data(TrainConfig, json.loads(config.to_json()), where="run") == config
    with pytest.raises(UsageError, match=r"run\.stages\[0\]: unknown key 'step'"):
        config_from_data(TrainConfig, {"model": "x", "stores": [], "stages": [{"step": 1}]}, where="run")
    with pytest.raises(UsageError, match=r"run\.seed: expected int"):
        config_from_data(TrainConfig, {"model": "x", "stores": [], "stages": [], "seed": "1"}, where="run")
    with pytest.raises(UsageError, match="need a"):
        replace(config, losses=LossWeights(token=1.0))


def test_an_unknown_or_absent_device_exits_with_2(tmp_path: Path) -> None:
    (tmp_path / "run.toml").write_text('model = "tiny-test"\nstores = []\n[[stages]]\nsteps = 1\n')
    arguments = ["train", str(tmp_path / "run.toml"), "--out", str(tmp_path / "out"), "--device"]
    result = CliRunner().invoke(command, [*arguments, "tpu"])
    assert (result.exit_code, "is not one of" in result.output) == (2, True)
    if not torch.cuda.is_available():
        result = CliRunner().invoke(command, [*arguments, "cuda"])
        assert (result.exit_code, "no CUDA" in result.output) == (2, True)


def test_frequencies_are_learned_only_if_asked_for(tmp_path: Path, config: TrainConfig) -> None:
    name = f"weights/model.prompt_encoder.pe_layer.{FREQUENCIES}"
    learned = replace(config.optimiser, frequency_share=0.5)
    for folder, optimiser in (("fixed", config.optimiser), ("learned", learned)):
        for steps in (3, 5):
            train(replace(config, optimiser=optimiser), tmp_path / folder, stop_after=steps)
            save_file(weights_of(tmp_path / folder), tmp_path / f"{folder}{steps}")
    fixed, moved = (
        [load_file(tmp_path / f"{folder}{steps}")[name] for steps in (3, 5)]
        for folder in ("fixed", "learned")
    )
    assert torch.equal(*fixed)
    assert not torch.equal(*moved)


def test_positions_are_exact_under_bf16() -> None:
    learner = Learner(TinySAM(config_named("tiny-test")), LossWeights())
    xy = torch.rand(1, 9, 2)
    exact = learner.model.prompt_encoder.pe_layer(xy)
    with torch.autocast("cpu", torch.bfloat16):
        assert torch.equal(learner.model.prompt_encoder.pe_layer(xy), exact)


def test_held_back_scenes_are_measured_during_a_run_and_on_a_checkpoint(
    tmp_path: Path, config: TrainConfig, store: Path
) -> None:
    held = replace(
        config,
        stages=(TrainingStage(steps=2, image_size=128, photos=1, prompts=2),),
        validation_stores=(str(store),),
        validation_scenes=2,
        validate_every_steps=2,
    )
    train(held, tmp_path / "run", validate=validator(held, tmp_path / "run"))
    (row,) = csv.DictReader((tmp_path / "run/validation.csv").read_text().splitlines())
    assert (row["step"], row["image_size"]) == ("2", "128")
    assert 0 < float(row["miou_filled"]) < 1
    write_run(tmp_path / "run", tmp_path / "run.safetensors")
    (tmp_path / "run.toml").write_text(RECIPE.format(store=store))
    text = (tmp_path / "run.toml").read_text()
    (tmp_path / "run.toml").write_text(f'validation_stores = ["{store}"]\nvalidation_scenes = 2\n{text}')
    result = CliRunner().invoke(
        command,
        ["score", str(tmp_path / "run.safetensors"), str(tmp_path / "run.toml"), "--image-size", "128"],
    )
    assert result.exit_code == 0, result.output
    table = dict(line.split() for line in result.output.splitlines())
    # The same scenes, so the same boxes filled; a checkpoint's matrices are in fp16.
    assert table["miou_filled"] == f"{float(row['miou_filled']):.3f}"
    assert float(table["miou_box"]) == pytest.approx(float(row["miou_box"]), abs=0.01)
