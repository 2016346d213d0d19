"""Weights from files that nobody vouches for, in every form in which people publish them.

A file is read as data only (`weights_only`, safetensors, ONNX initialisers): nothing in it is ever executed.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from torch import Tensor

from tinysam_mobile.errors import CheckpointError
from tinysam_mobile.files import open_regular
from tinysam_mobile.modeling.not_weights import what_it_is_instead
from tinysam_mobile.modeling.onnx_weights import read_onnx
from tinysam_mobile.modeling.torch_file import read_torch
from tinysam_mobile.modeling.weights_kind import HEAD_BYTES, kind_of_bytes

__all__ = ["WeightsFile", "listing", "read_weights"]

MAX_NAMED_KEYS = 5
NESTED = (
    *("model", "state_dict", "model_state_dict", "ema", "ema_state_dict", "model_ema", "params_ema"),
    *("params", "net", "network", "weights"),
)
"""Keys under which training scripts keep the state dict, one in another at times; the first there counts."""
MAX_NESTED = 4
PARTS = {"PromtEncoder": "prompt_encoder.", "MaskDecoder": "mask_decoder."}
"""MobileSAMv2 keeps two parts under keys of its own, one of them misspelt."""
WRAPPERS = ("module.", "_orig_mod.")
"""What DataParallel and torch.compile put before a module's keys, at the beginning or inside."""
OWNERS = ("model.", "net.", "network.", "sam.", "ema.")
"""What Lightning and the like put before every key of the one module that they train."""
WEIGHT_DTYPES = (torch.float32, torch.float16, torch.bfloat16, torch.float64)
COUNTER_DTYPES = (torch.int64, torch.int32, torch.bool)
"""Of counters, indices and masks that modules keep beside their weights."""
MAX_REPEATS = 4
"""Times that tensors together may be larger than their file; tied weights share their bytes."""


@dataclass(frozen=True, kw_only=True)
class WeightsFile:
    """`state` has float tensors in float32 under the keys of the published form, without wrappers."""

    state: Mapping[str, Tensor]
    metadata: Mapping[str, str] = field(default_factory=dict)


def read_weights(path: Path) -> WeightsFile:
    """Read PyTorch's, safetensors' or ONNX's weights; raises `CheckpointError` if they cannot be used."""
    kind, size = _kind_and_size(path)
    metadata: dict[str, str] = {}
    if kind == "safetensors":
        state, metadata = _read_safetensors(path)
    elif kind == "onnx":
        state = read_onnx(path)
    else:
        state = _state_in(path, read_torch(path))
    _check_tensors(path, state, size)
    state = {key: _widened(value) for key, value in _unwrapped(state).items()}
    _check_finite(path, state)
    return WeightsFile(state=state, metadata=metadata)


def listing(keys: Iterable[str]) -> str:
    """The first few of `keys`, and how many more there are."""
    names = list(keys)
    more = f" and {len(names) - MAX_NAMED_KEYS} more" if len(names) > MAX_NAMED_KEYS else ""
    return ", ".join(names[:MAX_NAMED_KEYS]) + more


def _kind_and_size(path: Path) -> tuple[str | None, int]:
    """What to read a file as, and its bytes; raises `CheckpointError` for what is no checkpoint."""
    if path.is_dir():
        raise CheckpointError(f"{path}: is a folder; name the checkpoint file inside it")
    with open_regular(path, error=CheckpointError, mend="check the path") as file:
        head = file.read(HEAD_BYTES)
        size = file.seek(0, 2)
    if not head:
        raise CheckpointError(f"{path}: is empty; download it again")
    if instead := what_it_is_instead(head):
        raise CheckpointError(f"{path}: {instead}")
    return kind_of_bytes(path, head, size), size


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
    for _ in range(MAX_NESTED):
        inner = next((data[key] for key in NESTED if isinstance(data.get(key), dict)), None)
        if inner is None:
            break
        data = inner
    odd = [
        str(key) for key, value in data.items() if not (isinstance(key, str) and isinstance(value, Tensor))
    ]
    if odd:
        raise CheckpointError(
            f"{path}: entries that are not tensors: {listing(odd)}; save the plain state dict alone"
        )
    return dict(data)


def _unwrapped(state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    for owner in OWNERS:
        if state and all(key.startswith(owner) for key in state):
            state = {key.removeprefix(owner): value for key, value in state.items()}
    return {_plain(key): value for key, value in state.items()}


def _plain(key: str) -> str:
    for wrapper in WRAPPERS:
        key = key.removeprefix(wrapper).replace(f".{wrapper}", ".")
    return key


def _check_tensors(path: Path, state: Mapping[str, Tensor], size_bytes: int) -> None:
    """Raise `CheckpointError` for tensors that are no plain numbers, before they are computed with."""
    total = 0
    for key, value in state.items():
        if value.is_nested or value.layout is not torch.strided or value.is_quantized or value.is_meta:
            raise CheckpointError(
                f"{path}: {key} is a {_form(value)} tensor, which holds no plain weights; "
                "save the float model's state dict"
            )
        if value.dtype not in WEIGHT_DTYPES + COUNTER_DTYPES:
            name = str(value.dtype).removeprefix("torch.")
            raise CheckpointError(
                f"{path}: {key} has the type {name}, which is no weight's; save the float model's state dict"
            )
        total += value.numel() * value.element_size()
    if total > MAX_REPEATS * size_bytes:
        raise CheckpointError(
            f"{path}: its tensors would take {total} bytes, but the file has {size_bytes}; download it again"
        )


def _form(tensor: Tensor) -> str:
    if tensor.is_nested:
        return "nested"
    if tensor.is_quantized:
        return "quantized"
    return "meta" if tensor.is_meta else "sparse"


def _widened(tensor: Tensor) -> Tensor:
    return tensor.float() if tensor.is_floating_point() else tensor


def _check_finite(path: Path, state: Mapping[str, Tensor]) -> None:
    bad = [key for key, value in state.items() if not torch.isfinite(value).all()]
    if bad:
        raise CheckpointError(f"{path}: NaN or infinite weights in {listing(bad)}; the file is damaged")
