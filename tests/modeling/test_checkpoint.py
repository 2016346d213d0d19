"""Checkpoints: good ones load as they are, bad ones are one clear line and never executed."""

from __future__ import annotations

import json
import pickle
from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file

from tinysam_mobile.errors import CheckpointError, UsageError
from tinysam_mobile.modeling.checkpoint import load_checkpoint
from tinysam_mobile.modeling.config import TINY_TEST
from tinysam_mobile.modeling.stand_in import stand_in_model


@pytest.fixture(scope="module")
def state() -> dict[str, torch.Tensor]:
    return dict(stand_in_model(TINY_TEST).state_dict())


def test_plain_state_dict_finds_its_configuration(tmp_path: Path, state: dict[str, torch.Tensor]) -> None:
    torch.save(state, tmp_path / "model.pth")
    checkpoint = load_checkpoint(tmp_path / "model.pth")
    assert checkpoint.model.config == TINY_TEST
    assert not checkpoint.model.training
    assert all(torch.equal(value, state[key]) for key, value in checkpoint.model.state_dict().items())
    assert checkpoint.sha256 is not None
    assert len(checkpoint.sha256) == 64


def test_safetensors_carry_their_configuration(tmp_path: Path, state: dict[str, torch.Tensor]) -> None:
    config = TINY_TEST.at_image_size(192)
    half = {key: value.half() if value.is_floating_point() else value for key, value in state.items()}
    save_file(half, tmp_path / "m.safetensors", metadata={"config": json.dumps(config.to_dict())})
    model = load_checkpoint(tmp_path / "m.safetensors").model
    assert model.config == config
    assert model.mask_decoder.iou_token.weight.dtype == torch.float32


def test_other_image_size_keeps_the_weights(tmp_path: Path, state: dict[str, torch.Tensor]) -> None:
    torch.save(state, tmp_path / "model.pth")
    model = load_checkpoint(tmp_path / "model.pth", image_size=256).model
    assert model.encode(torch.zeros(1, 3, 256, 256)).shape == (1, 64, 16, 16)
    with pytest.raises(UsageError, match="multiple of 64"):
        load_checkpoint(tmp_path / "model.pth", image_size=100)


def test_misfits_are_named(tmp_path: Path, state: dict[str, torch.Tensor]) -> None:
    broken = dict(state)
    del broken["mask_decoder.iou_token.weight"]
    broken["extra.weight"] = torch.zeros(1)
    broken["prompt_encoder.no_mask_embed.weight"] = torch.zeros(1, 7)
    torch.save(broken, tmp_path / "model.pth")
    with pytest.raises(CheckpointError) as caught:
        load_checkpoint(tmp_path / "model.pth")
    message = str(caught.value)
    assert "1 missing: mask_decoder.iou_token.weight" in message
    assert "1 unexpected: extra.weight" in message
    assert "prompt_encoder.no_mask_embed.weight is (1, 7) instead of (1, 64)" in message
    assert "\n" not in message


class Bomb:
    def __reduce__(self) -> tuple[object, tuple[str]]:
        return Path.touch, (Path("executed"),)


def test_pickled_objects_are_never_executed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    torch.save(Bomb(), tmp_path / "zip.pth")
    (tmp_path / "legacy.pth").write_bytes(pickle.dumps(Bomb()))
    torch.save(torch.nn.Linear(2, 2), tmp_path / "tinysam_w8a8.pth")
    for name in ("zip.pth", "legacy.pth", "tinysam_w8a8.pth"):
        with pytest.raises(CheckpointError, match="pickled Python object"):
            load_checkpoint(tmp_path / name)
    assert not (tmp_path / "executed").exists()


def damaged_files(state: dict[str, torch.Tensor], folder: Path) -> dict[str, str]:
    """Write one file per kind of damage; return its name → what the error must say."""
    torch.save(state, folder / "whole.pth")
    save_file(state, folder / "whole.safetensors")
    whole, tensors = (folder / "whole.pth").read_bytes(), (folder / "whole.safetensors").read_bytes()
    files = {
        "empty.pth": (b"", "empty"),
        "page.pth": (b"\n<!DOCTYPE html><html>404</html>", "web page"),
        "cut.pth": (whole[: len(whole) // 2], "truncated"),
        "noise.pth": (bytes(range(256)) * 8, "truncated or not|pickled"),
        "cut.safetensors": (tensors[: len(tensors) // 2], "damaged"),
        "huge-header.safetensors": (b"\xff" * 8 + b"{}", "damaged"),
    }
    for name, (data, _) in files.items():
        (folder / name).write_bytes(data)
    torch.save({"mine": state, "epoch": 3}, folder / "wrapped.pth")
    torch.save(torch.zeros(3), folder / "tensor.pth")
    return {name: says for name, (_, says) in files.items()} | {
        "wrapped.pth": "not tensors: mine, epoch",
        "tensor.pth": "Tensor",
    }


def test_damaged_files_are_one_clear_line(tmp_path: Path, state: dict[str, torch.Tensor]) -> None:
    for name, says in damaged_files(state, tmp_path).items():
        with pytest.raises(CheckpointError, match=says) as caught:
            load_checkpoint(tmp_path / name)
        assert name in str(caught.value)
        assert "\n" not in str(caught.value)


def test_folder_missing_file_and_nan(tmp_path: Path, state: dict[str, torch.Tensor]) -> None:
    with pytest.raises(CheckpointError, match="is a folder"):
        load_checkpoint(tmp_path)
    with pytest.raises(CheckpointError, match="cannot be read"):
        load_checkpoint(tmp_path / "none.pth")
    torch.save(
        {key: value * float("nan") if "iou_token" in key else value for key, value in state.items()},
        tmp_path / "nan.pth",
    )
    with pytest.raises(CheckpointError, match=r"NaN or infinite weights in mask_decoder\.iou_token\.weight"):
        load_checkpoint(tmp_path / "nan.pth")


def test_bad_configuration_in_metadata(tmp_path: Path, state: dict[str, torch.Tensor]) -> None:
    for text in ("{", "[]", '{"name": "x"}', json.dumps(TINY_TEST.to_dict() | {"image_size": 7})):
        save_file(state, tmp_path / "m.safetensors", metadata={"config": text})
        with pytest.raises(CheckpointError, match="no valid configuration"):
            load_checkpoint(tmp_path / "m.safetensors")


def test_unknown_stand_in_lists_what_exists() -> None:
    with pytest.raises(UsageError, match=r"choose one of: .*tinysam"):
        load_checkpoint("stand-in:sam3")
