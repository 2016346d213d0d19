"""Files of every published form find their network; others are one line that says what is wrong."""

from __future__ import annotations

import json
import struct
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import save_file
from torch import Tensor, nn

from tests.small_families import DECODER, SMALL
from tinysam_mobile.contract.spec import PIXEL_MEAN, PIXEL_STD
from tinysam_mobile.errors import CheckpointError, UsageError
from tinysam_mobile.modeling import config as configurations
from tinysam_mobile.modeling.checkpoint import load_checkpoint
from tinysam_mobile.modeling.config import TinySAMConfig, config_from_dict
from tinysam_mobile.modeling.encoders.kind import PREFIX, EncoderKind
from tinysam_mobile.modeling.encoders.registry import ENCODERS
from tinysam_mobile.modeling.entry_points import contract_of, entry_points
from tinysam_mobile.modeling.families import FAMILIES, family_of
from tinysam_mobile.modeling.sam import TinySAM
from tinysam_mobile.modeling.stand_in import stand_in_model

State = dict[str, Tensor]
SAME = 1e-5
"""Folding and unfolding a batch norm costs a few roundings of float32."""


@pytest.fixture(autouse=True)
def small_configurations(monkeypatch: pytest.MonkeyPatch) -> None:
    """The small networks are the only ones that exist."""
    for name in list(configurations.CONFIGS):
        monkeypatch.delitem(configurations.CONFIGS, name)
    for name, config in SMALL.items():
        monkeypatch.setitem(configurations.CONFIGS, name, config)


def state_of(name: str) -> State:
    return dict(stand_in_model(SMALL[name]).state_dict())


def image_of(config: TinySAMConfig) -> Tensor:
    side = config.image_size
    return torch.from_numpy(np.random.RandomState(0).standard_normal((1, 3, side, side)).astype(np.float32))


def loads_as(path: str | Path, name: str) -> None:
    """The file has the network `name` and gives its embedding."""
    loaded = load_checkpoint(path).model
    assert replace(loaded.config, name=name) == SMALL[name]
    with torch.inference_mode():
        expected = stand_in_model(SMALL[name]).encode(image_of(SMALL[name]))
        actual = loaded.encode(image_of(SMALL[name]))
    torch.testing.assert_close(actual, expected, rtol=SAME, atol=SAME * float(expected.abs().max()))


WRAPPINGS: dict[str, Callable[[State], object]] = {
    "flat": lambda state: state,
    "model": lambda state: {"model": state, "optimizer": {"step": 3}, "epoch": 2},
    "state_dict": lambda state: {"state_dict": state},
    "ema": lambda state: {"ema": state, "args": "text"},
    "module": lambda state: {f"module.{key}": value for key, value in state.items()},
    "encoder_module": lambda state: {
        key.replace("image_encoder.", "image_encoder.module."): value for key, value in state.items()
    },
    "half": lambda state: {
        k: v.half().float().half() if v.is_floating_point() else v for k, v in state.items()
    },
}


@pytest.mark.parametrize("wrapping", WRAPPINGS)
@pytest.mark.parametrize("name", SMALL)
def test_every_nesting_loads(name: str, wrapping: str, tmp_path: Path) -> None:
    torch.save(WRAPPINGS[wrapping](state_of(name)), tmp_path / "file.pth")
    loaded = load_checkpoint(tmp_path / "file.pth").model
    assert loaded.config.encoder == SMALL[name].encoder
    assert all(value.dtype != torch.float16 for value in loaded.state_dict().values())


def test_families_have_the_configurations_that_exist(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.undo()
    named = [name for family in FAMILIES.values() for name in family.configs]
    assert set(configurations.CONFIGS) <= set(named)
    assert len(named) == len(set(named))
    assert all(family_of(c).name == f.name for f in FAMILIES.values() for c in _configs_of(f.configs))


def _configs_of(names: tuple[str, ...]) -> Iterator[TinySAMConfig]:
    return (configurations.CONFIGS[name] for name in names if name in configurations.CONFIGS)


def merged_by_hand(state: State, *, branch_norm: bool) -> State:
    """EdgeSAM's and RepViT's own `fuse()`, written with running statistics instead of modules."""
    folded: State = {}
    for key in (key for key in state if key.endswith(".c.weight")):
        folded[key.removesuffix("c.weight")] = _fold(state, key)[0]
        folded[key.removesuffix("c.weight") + "bias"] = _fold(state, key)[1]
    out = {k: v for k, v in state.items() if not (".bn." in k or ".c." in k or ".token_mixer.0.conv1." in k)}
    for name in (n for n in folded if not n.endswith("bias") and ".token_mixer.0.conv" not in n):
        out[f"{name}weight"], out[f"{name}bias"] = folded[name], folded[f"{name}bias"]
    for name in (n for n in folded if n.endswith(".token_mixer.0.conv.")):
        block = name.removesuffix("conv.")
        weight, bias = folded[name].clone(), folded[f"{name}bias"].clone()
        point = folded[f"{block}conv1."] if branch_norm else state[f"{block}conv1.weight"]
        weight[:, :, 1, 1] += point[:, :, 0, 0] + 1
        bias += folded[f"{block}conv1.bias"] if branch_norm else state[f"{block}conv1.bias"]
        if not branch_norm:
            weight, bias = _normed(state, f"{block}bn.", weight, bias)
        out[f"{block}weight"], out[f"{block}bias"] = weight, bias
    return out


def _fold(state: State, key: str) -> tuple[Tensor, Tensor]:
    return _normed(state, key.removesuffix("c.weight") + "bn.", state[key], torch.zeros(len(state[key])))


def _normed(state: State, norm: str, weight: Tensor, bias: Tensor) -> tuple[Tensor, Tensor]:
    scale = state[f"{norm}weight"] / (state[f"{norm}running_var"] + 1e-5).sqrt()
    shifted = (bias - state[f"{norm}running_mean"]) * scale + state[f"{norm}bias"]
    return weight * scale.view(-1, 1, 1, 1), shifted


@pytest.mark.parametrize("name", ["small-edgesam", "small-repvit-sam"])
def test_a_merged_repvit_loads(name: str, tmp_path: Path) -> None:
    merged = merged_by_hand(state_of(name), branch_norm=name == "small-edgesam")
    assert not any(".bn." in key for key in merged)
    torch.save(merged, tmp_path / "merged.pth")
    loads_as(tmp_path / "merged.pth", name)


@pytest.mark.parametrize("name", SMALL)
def test_the_exported_form_gives_the_same_answers(name: str) -> None:
    """Folding for export (norms, branches, phases, constants) changes a few roundings only."""
    model = stand_in_model(SMALL[name])
    point = entry_points(model, contract_of(model))["encode"]
    side = SMALL[name].image_size
    pixels = torch.from_numpy(np.random.RandomState(1).uniform(0, 255, (1, 3, side, side)).astype(np.float32))
    mean, std = (torch.tensor(values).view(1, 3, 1, 1) for values in (PIXEL_MEAN, PIXEL_STD))
    with torch.inference_mode():
        expected = model.features((pixels - mean) / std)
        actual = point.module(pixels, torch.tensor([side, side], dtype=torch.int32))
    actual = actual if isinstance(actual, tuple) else (actual,)
    assert [tuple(part.shape) for part in actual] == [spec.shape for spec in point.signature.outputs]
    for ours, theirs in zip(actual, expected, strict=True):
        torch.testing.assert_close(ours, theirs, rtol=SAME, atol=10 * SAME * float(theirs.abs().max()))


def test_separate_queries_keys_and_values_load(tmp_path: Path) -> None:
    state = state_of("small-slimsam")
    for key in [key for key in state if ".attn.qkv." in key]:
        for name, part in zip("qkv", state.pop(key).chunk(3), strict=True):
            state[key.replace("qkv", name)] = part
    torch.save(state, tmp_path / "slim.pth")
    loads_as(tmp_path / "slim.pth", "small-slimsam")


def test_widths_that_no_configuration_has_are_read_from_the_shapes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    wider = replace(SMALL["small-slimsam"].encoder, inner_dims=(28, 20, 24), mlp_dims=(72, 40, 56))
    model = stand_in_model(configurations.TinySAMConfig(name="x", image_size=128, encoder=wider))
    monkeypatch.delitem(configurations.CONFIGS, "small-slimsam")
    torch.save(model.state_dict(), tmp_path / "pruned.pth")
    loaded = load_checkpoint(tmp_path / "pruned.pth").model.config
    assert (loaded.name, loaded.encoder, loaded.image_size) == ("sam-vit-pruned", wider, 128)


def nanosam_parts(folder: Path) -> tuple[Path, Path]:
    """NanoSAM's two files: the encoder without a prefix, and MobileSAM's with another encoder in it."""
    state = state_of("small-nanosam")
    encoder = {k.removeprefix(PREFIX): v for k, v in state.items() if k.startswith(PREFIX)}
    other = {k: v for k, v in state.items() if not k.startswith(PREFIX)}
    other |= {
        "image_encoder.patch_embed.seq.0.c.weight": torch.zeros(2, 3, 3, 3),
        "image_encoder.head.bias": torch.zeros(5),
    }
    torch.save({"model": encoder, "optimizer": {}, "epoch": 1}, folder / "checkpoint.pth")
    torch.save(other, folder / "mobile_sam.pt")
    return folder / "checkpoint.pth", folder / "mobile_sam.pt"


def test_a_model_in_two_files(tmp_path: Path) -> None:
    encoder, decoder = nanosam_parts(tmp_path)
    loads_as(f"{encoder}+{decoder}", "small-nanosam")
    with pytest.raises(CheckpointError, match=r"encoder only: join it .*FILE\+mobile_sam.pt"):
        load_checkpoint(encoder)


def varint(value: int) -> bytes:
    out = b""
    while value > 127:
        out, value = out + bytes([value & 127 | 128]), value >> 7
    return out + bytes([value])


def field(number: int, data: bytes | int) -> bytes:
    if isinstance(data, int):
        return varint(number << 3) + varint(data)
    return varint(number << 3 | 2) + varint(len(data)) + data


def onnx_tensor(name: str, value: Tensor) -> bytes:
    dims = b"".join(field(1, size) for size in value.shape)
    return dims + field(2, 1) + field(8, name.encode()) + field(9, value.numpy().astype("<f4").tobytes())


def onnx_file(state: State) -> bytes:
    """NanoSAM's encoder as PyTorch exports it: backbone convolutions folded, their weights anonymous."""
    parts, number = [], 100
    for key in (k for k in state if k.endswith("weight") and ".bn" not in k and "downsample.1" not in k):
        module, bias = key.removesuffix(".weight"), state.get(key.removesuffix("weight") + "bias")
        weight, names = state[key], [key, f"{module}.bias"]
        if key.startswith("backbone."):
            stem, last = module.rsplit(".", 1)
            norm = f"{stem}.1." if last == "0" else f"{stem}.bn{last[-1]}."
            weight, bias = _normed(state, norm, weight, torch.zeros(len(weight)))
            names, number = [f"onnx::Conv_{number}", f"onnx::Conv_{number + 1}"], number + 2
        assert bias is not None
        parts += [field(5, onnx_tensor(n, t)) for n, t in zip(names, (weight, bias), strict=True)]
        node = b"".join(field(1, n.encode()) for n in ("x", *names)) + field(2, _output(module).encode())
        parts.append(field(1, node + field(4, b"Conv")))
    parts.append(field(5, onnx_tensor("pos_embedding", state["pos_embedding"])))
    return field(1, 8) + field(7, b"".join(parts))


def _output(module: str) -> str:
    """`backbone.layer1.0.conv1` → `/backbone/layer1/layer1.0/conv1/Conv_output_0`, as torch writes it."""
    names: list[str] = []
    for part in module.split("."):
        names.append(f"{names[-1]}.{part}" if part.isdigit() else part)
    return "/" + "/".join([*names, "Conv_output_0"])


def test_weights_from_onnx_initialisers(tmp_path: Path) -> None:
    state = state_of("small-nanosam")
    encoder = {k.removeprefix(PREFIX): v for k, v in state.items() if k.startswith(PREFIX)}
    (tmp_path / "encoder.onnx").write_bytes(onnx_file(encoder))
    _, decoder = nanosam_parts(tmp_path)
    loads_as(f"{tmp_path / 'encoder.onnx'}+{decoder}", "small-nanosam")


def test_damaged_onnx_files_are_one_line(tmp_path: Path) -> None:
    state = state_of("small-nanosam")
    whole = onnx_file({k.removeprefix(PREFIX): v for k, v in state.items() if k.startswith(PREFIX)})
    rng = np.random.RandomState(0)
    path = tmp_path / "encoder.onnx"
    for length in (1, 7, len(whole) // 3, len(whole) - 9):
        path.write_bytes(whole[:length])
        assert_one_line(path)
    for _ in range(40):
        broken = bytearray(whole)
        for place in rng.randint(0, len(broken), 3):
            broken[place] = rng.randint(256)
        # The head decides what follows, so that half of the damage is there.
        broken[rng.randint(0, 60)] = rng.randint(256)
        path.write_bytes(bytes(broken))
        assert_one_line(path)
    path.write_bytes(field(7, field(5, onnx_tensor("a.weight", torch.zeros(2, 2)))))
    assert_one_line(path)
    path.write_bytes(struct.pack("<Q", 2**63) * 4)
    assert_one_line(path)


def assert_one_line(path: str | Path) -> None:
    with pytest.raises(CheckpointError) as caught:
        load_checkpoint(path)
    assert "\n" not in str(caught.value)
    assert Path(str(path)).name in str(caught.value)


def test_mixed_up_files_are_one_line_that_names_the_nearest(tmp_path: Path) -> None:
    """A family's keys with another's shapes, files cut short, keys left out: 60 of them."""
    rng = np.random.RandomState(0)
    states = {name: state_of(name) for name in SMALL}
    path = tmp_path / "mixed.pth"
    for name, state in states.items():
        for _ in range(12):
            broken = dict(state)
            keys = sorted(broken)
            for key in rng.choice(keys, rng.randint(1, 6), replace=False):
                if rng.randint(2):
                    del broken[key]
                else:
                    broken[key] = torch.zeros(*broken[key].shape, 3)
            torch.save(broken, path)
            assert_one_line(path)
            with pytest.raises(CheckpointError, match="nearest"):
                load_checkpoint(path)
        torch.save(state, path)
        whole = path.read_bytes()
        path.write_bytes(whole[: len(whole) * 2 // 3])
        assert_one_line(path)
        assert name in SMALL
    encoder = {k: v for k, v in states["small-edgesam"].items() if k.startswith(PREFIX)}
    torch.save({**states["small-slimsam"], **encoder}, path)
    assert_one_line(path)


def test_weights_that_hold_for_one_size_say_so(tmp_path: Path) -> None:
    torch.save(state_of("small-nanosam"), tmp_path / "nano.pth")
    with pytest.raises(UsageError, match="128 pixels only"):
        load_checkpoint(tmp_path / "nano.pth", image_size=256)
    torch.save(state_of("small-repvit-sam"), tmp_path / "repvit.pth")
    assert load_checkpoint(tmp_path / "repvit.pth", image_size=256).model.config.grid_size == 16


def test_configurations_survive_json(tmp_path: Path) -> None:
    for name, config in SMALL.items():
        data = json.dumps(config.to_dict())
        assert config_from_dict(json.loads(data)) == config
        save_file(state_of(name), tmp_path / "m.safetensors", metadata={"config": data})
        assert load_checkpoint(tmp_path / "m.safetensors").model.config == config


@dataclass(frozen=True, kw_only=True)
class ToyConfig:
    """A family whose encoder is one convolution."""

    stride: int = 16


class Toy(nn.Module):
    def __init__(self, config: ToyConfig, *, image_size: int, out_channels: int) -> None:
        super().__init__()
        assert image_size % config.stride == 0
        self.conv = nn.Conv2d(3, out_channels, config.stride, config.stride)
        self.classifier = nn.Linear(out_channels, 10)

    def forward(self, image: Tensor) -> Tensor:
        out: Tensor = self.conv(image)
        return out


TOY = EncoderKind(
    name="toy", config=ToyConfig, build=Toy, mark=f"{PREFIX}conv.weight", unused=("classifier",)
)


def test_a_new_family_is_one_record_and_its_own_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    config = TinySAMConfig(
        name="toy", image_size=128, encoder=SMALL["small-edgesam"].encoder, decoder=DECODER
    )
    monkeypatch.setitem(ENCODERS, "toy", TOY)
    config = replace(config, encoder=ToyConfig())
    monkeypatch.setitem(configurations.CONFIGS, "toy", config)
    torch.save(stand_in_model(config).state_dict(), tmp_path / "toy.pth")
    loaded = load_checkpoint(tmp_path / "toy.pth")
    assert loaded.model.config == config
    assert loaded.licence == "unknown"
    assert config_from_dict(json.loads(json.dumps(config.to_dict()))) == config
    points = entry_points(loaded.model, contract_of(loaded.model))
    assert not any("classifier" in key for key in points["encode"].module.state_dict())


def test_no_parameter_of_an_encoder_is_idle() -> None:
    """Every weight that is exported changes the embedding, which has the contract's shape."""
    for name, config in SMALL.items():
        model = TinySAM(config).train()
        embedding, *skips = model.features(image_of(config).repeat(2, 1, 1, 1))
        assert embedding.shape == (2, DECODER.dim, config.grid_size, config.grid_size), name
        sum((part.square().sum() for part in skips), embedding.square().sum()).backward()
        idle = [k for k, v in model.image_encoder.named_parameters() if v.grad is None]
        assert not idle, name
