"""The weights of a run as a checkpoint that the package loads: safetensors with its configuration."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path

import torch
from safetensors.torch import save_file
from torch import Tensor

from tinysam_mobile.distill.config import TrainConfig, config_from_data
from tinysam_mobile.distill.networks import averaged_model
from tinysam_mobile.distill.run_state import read_state
from tinysam_mobile.errors import CheckpointError, UsageError
from tinysam_mobile.files import write_with
from tinysam_mobile.modeling.sam import TinySAM

__all__ = ["write_checkpoint", "write_run"]

CONFIG_KEY = "config"


def write_run(folder: Path, path: Path) -> None:
    """Write the averaged weights of the run in `folder` to `path`; `CheckpointError` if there is none.

    The thresholds of everything mode stay SAM's until `distill thresholds` chooses some for these weights.
    """
    state = read_state(folder)
    if state is None:
        raise CheckpointError(f"{folder}: holds no training run; train one with `distill train`")
    config = config_from_data(TrainConfig, json.loads(state.config_json), where=str(folder))
    if config.wide:
        raise UsageError(f"{folder}: its network is only a teacher; train a student with it, and export that")
    model = averaged_model(state, config)
    origin = {"run": state.config_json, "step": str(state.step)}
    write_checkpoint(model, path, origin=origin)


def write_checkpoint(model: TinySAM, path: Path, *, origin: Mapping[str, str]) -> None:
    """Write `model` to `path`: matrices and kernels in fp16, vectors (norms, biases) in fp32.

    The metadata hold the configuration and the texts of `origin`.
    """
    state = {name: _narrowed(tensor) for name, tensor in model.state_dict().items()}
    metadata = {CONFIG_KEY: json.dumps(model.config.to_dict())}
    path.parent.mkdir(parents=True, exist_ok=True)
    write_with(path, lambda building: save_file(state, building, metadata=metadata | dict(origin)))


def _narrowed(tensor: Tensor) -> Tensor:
    tensor = tensor.detach().contiguous()
    return tensor.to(torch.float16) if tensor.ndim > 1 and tensor.is_floating_point() else tensor.clone()
