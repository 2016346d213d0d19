"""A hundred damaged or mixed-up checkpoints of every family: each is one clear line, or loads what it is.

The generator is seeded, so that a failure is found again by the number of its case.
"""

from __future__ import annotations

import io
import pickle
import random
from collections.abc import Callable
from functools import cache
from pathlib import Path

import pytest
import torch
from safetensors.torch import save
from torch import Tensor

from tests.modeling.test_families import field, onnx_tensor
from tests.small_families import SMALL
from tinysam_mobile.errors import CheckpointError, InputError, UsageError
from tinysam_mobile.modeling import config as configurations
from tinysam_mobile.modeling.checkpoint import load_checkpoint
from tinysam_mobile.modeling.stand_in import stand_in_model

State = dict[str, Tensor]
CASES = 120
MAX_LINE = 1500
"""Characters of a message: a line that names keys, not a state dict."""


@pytest.fixture(autouse=True)
def small_configurations(monkeypatch: pytest.MonkeyPatch) -> None:
    """The small networks are the only ones that exist."""
    for name in list(configurations.CONFIGS):
        monkeypatch.delitem(configurations.CONFIGS, name)
    for name, config in SMALL.items():
        monkeypatch.setitem(configurations.CONFIGS, name, config)


@cache
def whole(name: str) -> State:
    return dict(stand_in_model(SMALL[name]).state_dict())


def torch_file(data: object) -> bytes:
    file = io.BytesIO()
    torch.save(data, file)
    return file.getvalue()


def onnx_of(state: State) -> bytes:
    """An ONNX file of these initialisers and no node."""
    tensors = [field(5, onnx_tensor(name, value)) for name, value in state.items()]
    return field(7, b"".join(tensors))


def keys_of_one_with_shapes_of_another(rng: random.Random, state: State, other: State) -> bytes:
    shapes = rng.sample([value.shape for value in other.values() if value.ndim], 9)
    chosen = rng.sample([key for key, value in state.items() if value.ndim], len(shapes))
    changed = {key: torch.zeros(*shape) for key, shape in zip(chosen, shapes, strict=True)}
    # At least one differs, whatever was drawn.
    first = chosen[0]
    changed[first] = torch.zeros(*state[first].shape, 2)
    return torch_file({**state, **changed})


def encoder_of_one_decoder_of_another(rng: random.Random, state: State, other: State) -> bytes:
    mine = {key: value for key, value in state.items() if key.startswith("image_encoder.")}
    theirs = {key: value for key, value in other.items() if not key.startswith("image_encoder.")}
    theirs.pop(rng.choice(sorted(theirs)))
    return torch_file({**theirs, **mine})


def two_encoders(rng: random.Random, state: State, other: State) -> bytes:
    extra = {key: value for key, value in other.items() if key not in state}
    kept = rng.sample(sorted(extra), max(1, len(extra) // 2)) if extra else []
    mixed = {**state, **{key: extra[key] for key in kept}}
    mixed.pop(rng.choice(sorted(state)))
    return torch_file(mixed)


def keys_left_out(rng: random.Random, state: State, _: State) -> bytes:
    gone = set(rng.sample(sorted(state), rng.randint(1, len(state) - 1)))
    return torch_file({key: value for key, value in state.items() if key not in gone})


def cut_off(rng: random.Random, state: State, _: State) -> bytes:
    data = torch_file({"model": state})
    return data[: rng.randint(1, len(data) - 1)]


def cut_off_safetensors(rng: random.Random, state: State, _: State) -> bytes:
    data = save({key: value.contiguous() for key, value in state.items()})
    return data[: rng.randint(1, len(data) - 1)]


def onnx_of_something_else(rng: random.Random, _: State, other: State) -> bytes:
    chosen = rng.sample(sorted(other), 5)
    return onnx_of({f"layer{i}.{key}": other[key].float() for i, key in enumerate(chosen)})


def cut_off_onnx(rng: random.Random, state: State, _: State) -> bytes:
    data = onnx_of({key: value.float() for key, value in state.items()})
    return data[: rng.randint(1, len(data) - 1)]


def not_numbers(rng: random.Random, state: State, _: State) -> bytes:
    key = rng.choice(sorted(key for key, value in state.items() if value.is_floating_point() and value.ndim))
    broken = state[key].clone()
    broken.view(-1)[rng.randrange(broken.numel())] = rng.choice([float("nan"), float("inf")])
    return torch_file({**state, key: broken})


def transposed(rng: random.Random, state: State, _: State) -> bytes:
    """As a framework with channels last would have them."""
    odd = [key for key, value in state.items() if value.ndim > 1 and value.shape[0] != value.shape[-1]]
    chosen = rng.sample(sorted(odd), min(20, len(odd)))
    return torch_file({**state, **{key: state[key].transpose(0, -1).contiguous() for key in chosen}})


def odd_entries(rng: random.Random, state: State, _: State) -> bytes:
    things: list[object] = [3, "text", None, [1.0], {"a": 1}, torch.zeros(2).numpy().tolist()]
    return torch_file({**state, rng.choice(sorted(state)): rng.choice(things)})


def other_pickles(rng: random.Random, state: State, _: State) -> bytes:
    return rng.choice([pickle.dumps(sorted(state)), torch_file(list(state.values())[:2]), torch_file(7)])


MAKERS: dict[Callable[[random.Random, State, State], bytes], str] = {
    keys_of_one_with_shapes_of_another: ".pth",
    encoder_of_one_decoder_of_another: ".pt",
    two_encoders: ".pth",
    keys_left_out: ".pth",
    cut_off: ".pth",
    cut_off_safetensors: ".safetensors",
    onnx_of_something_else: ".onnx",
    cut_off_onnx: ".onnx",
    not_numbers: ".pth",
    transposed: ".pth",
    odd_entries: ".pth",
    other_pickles: ".pth",
}


@pytest.mark.parametrize("number", range(CASES))
def test_damaged_or_mixed_up_files_are_one_line(number: int, tmp_path: Path) -> None:
    rng = random.Random(number)
    # Every maker meets every family as the numbers go on.
    make, suffix = list(MAKERS.items())[number % len(MAKERS)]
    names = list(SMALL)
    name = names[number // len(MAKERS) % len(names)]
    other = rng.choice([n for n in names if n != name])
    path = tmp_path / f"model{suffix}"
    path.write_bytes(make(rng, whole(name), whole(other)))
    with pytest.raises((CheckpointError, InputError, UsageError)) as caught:
        load_checkpoint(path)
    message = str(caught.value)
    assert str(path) in message
    assert "\n" not in message
    assert len(message) < MAX_LINE, message
