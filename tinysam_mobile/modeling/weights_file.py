"""Weights from files that nobody vouches for, in every form in which people publish them.

A file is read as data only (`weights_only`, safetensors, ONNX initialisers): nothing in it is ever executed.
"""

from __future__ import annotations

import warnings
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from torch import Tensor

from tinysam_mobile.errors import CheckpointError
from tinysam_mobile.modeling.onnx_weights import read_onnx

__all__ = ["SUFFIXES", "WeightsFile", "listing", "read_weights"]

SUFFIXES = (".pth", ".pt", ".safetensors", ".onnx")
MAX_NAMED_KEYS = 5
NESTED = ("model", "state_dict", "model_state_dict", "ema", "ema_state_dict")
"""Keys under which training scripts keep the state dict; the first that is there counts."""
PARTS = {"PromtEncoder": "prompt_encoder.", "MaskDecoder": "mask_decoder."}
"""MobileSAMv2 keeps two parts under keys of its own, one of them misspelt."""
WRAPPERS = ("module.", "_orig_mod.")
"""What DataParallel and torch.compile put before a module's keys."""


@dataclass(frozen=True, kw_only=True)
class WeightsFile:
    """`state` has float tensors in float32 under the keys of the published form, without wrappers."""

    state: Mapping[str, Tensor]
    metadata: Mapping[str, str] = field(default_factory=dict)


def read_weights(path: Path) -> WeightsFile:
    """Read a .pth, .pt, .safetensors or .onnx file; raises `CheckpointError` if it cannot be used."""
    _check_head(path)
    metadata: dict[str, str] = {}
    if path.suffix == ".safetensors":
        state, metadata = _read_safetensors(path)
    elif path.suffix == ".onnx":
        state = read_onnx(path)
    else:
        state = _state_in(path, _read_torch(path))
    state = {_unwrapped(key): _widened(value) for key, value in state.items()}
    _check_finite(path, state)
    return WeightsFile(state=state, metadata=metadata)


def listing(keys: Iterable[str]) -> str:
    """The first few of `keys`, and how many more there are."""
    names = list(keys)
    more = f" and {len(names) - MAX_NAMED_KEYS} more" if len(names) > MAX_NAMED_KEYS else ""
    return ", ".join(names[:MAX_NAMED_KEYS]) + more


def _check_head(path: Path) -> None:
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
    if head.startswith(b"version https://git-lfs"):
        raise CheckpointError(f"{path}: is a Git LFS pointer, not the file; run 'git lfs pull' there")


def _read_safetensors(path: Path) -> tuple[dict[str, Tensor], dict[str, str]]:
    try:
        with safe_open(path, framework="pt") as file:
            # safetensors objects are not iterable, though they have keys().
            state = {key: file.get_tensor(key) for key in file.keys()}  # noqa: SIM118
            return state, dict(file.metadata() or {})
    except (SafetensorError, OSError, ValueError) as error:
        raise CheckpointError(
            f"{path}: is damaged or not a safetensors file ({error}); download it again"
        ) from error


def _read_torch(path: Path) -> Any:
    try:
        with warnings.catch_warnings():
            # torch warns about odd archives before it refuses them; the refusal is what counts.
            warnings.simplefilter("ignore")
            return torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:  # whatever a hostile file makes the reader raise, it is one kind of error here
        raise CheckpointError(f"{path}: {_torch_reason(str(error))}") from error


def _torch_reason(message: str) -> str:
    if "TorchScript" in message:
        return "is a TorchScript program, which is not run; take the file with the state dict (.pt, .pth)"
    if "Unsupported global" in message or "weights_only" in message or "Weights only" in message:
        return (
            "is a pickled Python object (like tinysam_w8a8.pth or SlimSAM-77.pth) or no checkpoint at all; "
            "it is not opened, since unpickling runs code from the file. Save model.state_dict() where you "
            "trust it, or take a published state dict (tinysam_42.3.pth, SlimSAM-77-uniform.pth)"
        )
    return "is truncated or not a PyTorch checkpoint; download it again"


def _state_in(path: Path, data: Any) -> dict[str, Tensor]:
    """The state dict in what torch read, which may lie beside an optimizer and the like."""
    if not isinstance(data, dict):
        raise CheckpointError(
            f"{path}: holds a {type(data).__name__}, not a state dict; save model.state_dict()"
        )
    if any(isinstance(data.get(part), dict) for part in PARTS):
        parts = ((prefix, data.get(part)) for part, prefix in PARTS.items())
        data = {
            prefix + str(k): v for prefix, part in parts if isinstance(part, dict) for k, v in part.items()
        }
    for key in NESTED:
        if isinstance(data.get(key), dict):
            data = data[key]
            break
    odd = [
        str(key) for key, value in data.items() if not (isinstance(key, str) and isinstance(value, Tensor))
    ]
    if odd:
        raise CheckpointError(
            f"{path}: entries that are not tensors: {listing(odd)}; save the plain state dict alone"
        )
    return dict(data)


def _unwrapped(key: str) -> str:
    for wrapper in WRAPPERS:
        key = key.removeprefix(wrapper).replace(f".{wrapper}", ".")
    return key


def _widened(tensor: Tensor) -> Tensor:
    return tensor.float() if tensor.is_floating_point() else tensor


def _check_finite(path: Path, state: Mapping[str, Tensor]) -> None:
    bad = [key for key, value in state.items() if not torch.isfinite(value).all()]
    if bad:
        raise CheckpointError(f"{path}: NaN or infinite weights in {listing(bad)}; the file is damaged")
