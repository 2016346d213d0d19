"""The state of a run on disk: weights, their moving average, Adam's moments, the step; nothing pickled."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import torch
from safetensors import SafetensorError, safe_open
from torch import Tensor, nn

from tinysam_mobile.errors import CheckpointError
from tinysam_mobile.modeling.safetensors_writer import write_safetensors

__all__ = ["RunState", "read_state", "write_state"]

STATE_FILE = "state.safetensors"


@dataclass(frozen=True, kw_only=True)
class RunState:
    """`groups` maps weights, average and `ADAM_GROUPS` to tensors by parameter name."""

    step: int
    config_json: str
    groups: Mapping[str, Mapping[str, Tensor]]


ADAM_GROUPS = {"exp_avg": "first_moment", "exp_avg_sq": "second_moment", "step": "updates"}
"""What torch's AdamW keeps for each parameter, and what it is called in a state."""


def adam_groups(optimiser: torch.optim.Optimizer, model: nn.Module) -> dict[str, dict[str, Tensor]]:
    """Return what `optimiser` keeps, by parameter name; parameters that were never updated have nothing."""
    held = {name: optimiser.state[p] for name, p in model.named_parameters() if optimiser.state.get(p)}
    return {
        group: {name: state[key] for name, state in held.items()}
        for key, group in ADAM_GROUPS.items()
        if held
    }


def restore_adam(optimiser: torch.optim.Optimizer, model: nn.Module, state: RunState) -> None:
    """Give `optimiser` what `adam_groups` returned; a parameter that is not in it starts afresh."""
    for name, parameter in model.named_parameters():
        if name in state.groups.get("updates", {}):
            optimiser.state[parameter] = {
                key: state.groups[group][name].to(parameter.device, copy=True)
                for key, group in ADAM_GROUPS.items()
            }


def write_state(state: RunState, folder: Path) -> None:
    """Write `state.safetensors` into `folder` whole or not at all, so that a kill leaves the old one."""
    folder.mkdir(parents=True, exist_ok=True)
    tensors = {
        f"{group}/{name}": tensor.detach().cpu().contiguous().clone()
        for group, named in state.groups.items()
        for name, tensor in named.items()
    }
    metadata = {"step": str(state.step), "run": state.config_json}
    write_safetensors(folder / STATE_FILE, tensors, metadata)


def read_state(folder: Path) -> RunState | None:
    """Read what `write_state` wrote, or None where there is nothing; raises `CheckpointError`."""
    path = folder / STATE_FILE
    if not path.exists():
        return None
    groups: dict[str, dict[str, Tensor]] = {}
    try:
        with safe_open(path, framework="pt") as file:
            metadata = file.metadata()
            for key in file.keys():  # noqa: SIM118 (not a mapping)
                group, _, name = key.partition("/")
                groups.setdefault(group, {})[name] = file.get_tensor(key)
        step, config_json = int(metadata["step"]), metadata["run"]
        json.loads(config_json)
    except (OSError, SafetensorError, KeyError, TypeError, ValueError) as error:
        raise CheckpointError(
            f"{path}: not the state of a training run ({error!r}); delete it to start anew"
        ) from error
    return RunState(step=step, config_json=config_json, groups=groups)
