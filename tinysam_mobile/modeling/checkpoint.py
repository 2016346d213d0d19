"""Checkpoints: read weights from files that nobody vouches for, and say exactly what does not fit.

A file is read as data only (`weights_only`, safetensors): nothing in it is ever executed.  The network's
configuration comes from the file's metadata (safetensors) or from the named configuration whose keys and
shapes the file has.
"""

from __future__ import annotations

import hashlib
import json
import warnings
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from torch import Tensor

from tinysam_mobile.contract.everything_settings import (
    EVERYTHING_DEFAULTS,
    EVERYTHING_KEY,
    everything_settings,
)
from tinysam_mobile.errors import CheckpointError, InputError, UsageError
from tinysam_mobile.modeling.config import CONFIGS, TINYSAM, TinySAMConfig, config_from_dict, config_named
from tinysam_mobile.modeling.sam import TinySAM
from tinysam_mobile.modeling.stand_in import STAND_IN_NAME, stand_in_model

__all__ = ["Checkpoint", "load_checkpoint", "shipped_checkpoint", "state_dict_problems"]

SHIPPED_NAME = "tinysam-nano.safetensors"
CONFIG_KEY = "config"
MAX_NAMED_KEYS = 5


@dataclass(frozen=True, kw_only=True)
class Checkpoint:
    """A model in evaluation mode and where it came from.

    `sha256` is that of the file, or None for stand-in weights; `metadata` is the file's own text metadata;
    `everything` the thresholds of everything mode that suit the model, for `EverythingConfig(**everything)`:
    the paper's unless the metadata hold others.
    """

    model: TinySAM
    name: str
    sha256: str | None
    metadata: Mapping[str, str] = field(default_factory=dict)
    everything: Mapping[str, Any] = field(default_factory=lambda: dict(EVERYTHING_DEFAULTS))

    @property
    def is_stand_in(self) -> bool:
        """True if the weights are pseudo-random, so that masks are noise."""
        return self.sha256 is None


def shipped_checkpoint() -> Path | None:
    """Return the path of the checkpoint inside the installed package, or None if it has none."""
    path = Path(__file__).parents[1] / "checkpoints" / SHIPPED_NAME
    return path if path.is_file() else None


def load_checkpoint(source: str | Path | None = None, *, image_size: int | None = None) -> Checkpoint:
    """Load a checkpoint in evaluation mode.

    `source` is a file (.pth, .pt or .safetensors), `stand-in` or `stand-in:CONFIG` for pseudo-random
    weights, or None for the shipped checkpoint.  `image_size` S replaces the configuration's (a multiple
    of 64).  Raises `CheckpointError` if the file cannot be used and `UsageError` for a wrong size or name.
    """
    if source is None:
        source = shipped_checkpoint() or STAND_IN_NAME
    kind, _, config_name = str(source).partition(":")
    if kind == STAND_IN_NAME:
        config = _sized(config_named(config_name) if config_name else TINYSAM, image_size)
        return Checkpoint(model=stand_in_model(config), name=f"{STAND_IN_NAME}:{config.name}", sha256=None)
    path = Path(source)
    state, metadata = _read_file(path)
    config = _sized(_config_of(path, state, metadata), image_size)
    model = TinySAM(config)
    if problems := state_dict_problems(state, model.state_dict()):
        raise CheckpointError(f"{path}: does not fit the {config.name} network: {problems}")
    _check_finite(path, state)
    model.load_state_dict(state)
    return Checkpoint(
        model=model.eval(),
        name=path.stem,
        sha256=_sha256(path),
        metadata=metadata,
        everything=_everything_of(path, metadata),
    )


def state_dict_problems(state: Mapping[str, Tensor], expected: Mapping[str, Tensor]) -> str:
    """Name the missing, unexpected and misshapen keys of `state`, or return '' if it fits."""
    wrong = [
        f"{key} is {tuple(state[key].shape)} instead of {tuple(expected[key].shape)}"
        for key in expected
        if key in state and state[key].shape != expected[key].shape
    ]
    groups = {
        "missing": [key for key in expected if key not in state],
        "unexpected": [key for key in state if key not in expected],
        "misshapen": wrong,
    }
    return "; ".join(f"{len(keys)} {kind}: {_listing(keys)}" for kind, keys in groups.items() if keys)


def _listing(keys: list[str]) -> str:
    more = f" and {len(keys) - MAX_NAMED_KEYS} more" if len(keys) > MAX_NAMED_KEYS else ""
    return ", ".join(keys[:MAX_NAMED_KEYS]) + more


def _sized(config: TinySAMConfig, image_size: int | None) -> TinySAMConfig:
    return config if image_size is None else config.at_image_size(image_size)


def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _read_file(path: Path) -> tuple[dict[str, Tensor], dict[str, str]]:
    if path.is_dir():
        raise CheckpointError(f"{path}: is a folder; name the checkpoint file inside it")
    try:
        with path.open("rb") as file:
            head = file.read(512)
    except OSError as error:
        raise CheckpointError(f"{path}: cannot be read ({error.strerror}); check the path") from error
    if not head:
        raise CheckpointError(f"{path}: is empty; download it again")
    if head.lstrip().lower().startswith((b"<!doctype", b"<html", b"<?xml")):
        raise CheckpointError(
            f"{path}: is a web page, not a checkpoint; download the file itself (the raw link)"
        )
    return _read_safetensors(path) if path.suffix == ".safetensors" else (_read_torch(path), {})


def _read_safetensors(path: Path) -> tuple[dict[str, Tensor], dict[str, str]]:
    try:
        with safe_open(path, framework="pt") as file:
            # safetensors objects are not iterable, though they have keys().
            state = {key: _widened(file.get_tensor(key)) for key in file.keys()}  # noqa: SIM118
            return state, dict(file.metadata() or {})
    except (SafetensorError, OSError, ValueError) as error:
        raise CheckpointError(
            f"{path}: is damaged or not a safetensors file ({error}); download it again"
        ) from error


def _read_torch(path: Path) -> dict[str, Tensor]:
    try:
        with warnings.catch_warnings():
            # torch warns about odd archives before it refuses them; the refusal is what counts.
            warnings.simplefilter("ignore")
            data = torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:  # whatever a hostile file makes the reader raise, it is one kind of error here
        raise CheckpointError(f"{path}: {_torch_reason(str(error))}") from error
    if not isinstance(data, dict):
        raise CheckpointError(
            f"{path}: holds a {type(data).__name__}, not a state dict; save model.state_dict()"
        )
    odd = [
        str(key) for key, value in data.items() if not isinstance(key, str) or not isinstance(value, Tensor)
    ]
    if odd:
        raise CheckpointError(
            f"{path}: entries that are not tensors: {_listing(odd)}; save the plain state dict alone"
        )
    return {key: _widened(value) for key, value in data.items()}


def _torch_reason(message: str) -> str:
    if "Unsupported global" in message or "weights_only" in message or "Weights only" in message:
        return (
            "is a pickled Python object (like tinysam_w8a8.pth) or no checkpoint at all; it is not opened, "
            "since unpickling runs code from the file. Save model.state_dict() where you trust it, or use "
            "tinysam_42.3.pth"
        )
    return "is truncated or not a PyTorch checkpoint; download it again"


def _widened(tensor: Tensor) -> Tensor:
    return tensor.float() if tensor.is_floating_point() else tensor


def _check_finite(path: Path, state: Mapping[str, Tensor]) -> None:
    bad = [key for key, value in state.items() if not torch.isfinite(value).all()]
    if bad:
        raise CheckpointError(f"{path}: NaN or infinite weights in {_listing(bad)}; the file is damaged")


def _config_of(path: Path, state: Mapping[str, Tensor], metadata: Mapping[str, str]) -> TinySAMConfig:
    if CONFIG_KEY in metadata:
        try:
            data: Any = json.loads(metadata[CONFIG_KEY])
            return config_from_dict(data)
        except (json.JSONDecodeError, UsageError, RecursionError) as error:
            raise CheckpointError(f"{path}: its metadata holds no valid configuration ({error})") from error
    return max(CONFIGS.values(), key=lambda config: _agreement(state, config))


def _everything_of(path: Path, metadata: Mapping[str, str]) -> dict[str, Any]:
    try:
        return everything_settings(json.loads(metadata.get(EVERYTHING_KEY, "{}")))
    except (json.JSONDecodeError, InputError, RecursionError) as error:
        raise CheckpointError(f"{path}: its metadata hold no valid thresholds ({error})") from error


def _agreement(state: Mapping[str, Tensor], config: TinySAMConfig) -> int:
    with torch.device("meta"):
        expected = TinySAM(config).state_dict()
    return sum(key in state and state[key].shape == value.shape for key, value in expected.items())
