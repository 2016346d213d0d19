"""A network that converts in seconds, and ways to damage what was converted, shared by the validate tests."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import skimage.data
import torch
from numpy.typing import NDArray

from tinysam_mobile.bundle.folder import Bundle, hash_path
from tinysam_mobile.contract.spec import Contract
from tinysam_mobile.imaging.images import RGBImage
from tinysam_mobile.modeling.checkpoint import Checkpoint
from tinysam_mobile.modeling.config import DecoderConfig, TinySAMConfig
from tinysam_mobile.modeling.encoders.tiny_vit import TinyViTConfig
from tinysam_mobile.modeling.entry_points import contract_of, entry_points
from tinysam_mobile.modeling.stand_in import stand_in_model
from tinysam_mobile.parity.prompt_sampling import make_case
from tinysam_mobile.parity.stages import PhotoCase
from tinysam_mobile.simulator.registry import LoadedModel, open_model

BATCH = 2
PROMPTS = 8
MODEL = stand_in_model(
    TinySAMConfig(
        name="micro",
        image_size=128,
        encoder=TinyViTConfig(
            embed_dims=(8, 16, 16, 24), depths=(1, 1, 1, 1), num_heads=(1, 2, 2, 3), window_sizes=(7, 7, 5, 7)
        ),
        decoder=DecoderConfig(dim=32, depth=1, num_heads=2, mlp_dim=64, iou_head_hidden_dim=32),
    )
)
CHECKPOINT = Checkpoint(model=MODEL, name="micro", sha256=None)

Array = NDArray[Any]


def contract() -> Contract:
    return contract_of(MODEL, batch=BATCH)


def reference() -> LoadedModel:
    return open_model(MODEL, contract(), num_threads=1)


def photos() -> dict[str, RGBImage]:
    """Two colourful photos that are not square: one wide, one tall."""
    coffee = skimage.data.coffee()[::3, ::3]
    chelsea = skimage.data.chelsea()[:, 80:260]
    return {"coffee.png": np.ascontiguousarray(coffee), "chelsea.png": np.ascontiguousarray(chelsea)}


def cases() -> list[PhotoCase]:
    return [make_case(name, pixels, contract(), count=PROMPTS, seed=0) for name, pixels in photos().items()]


def weights_of(entry_point: str, key: str) -> NDArray[np.float32]:
    """The values of a parameter as they lie in the converted files: batch norms fused, C order."""
    state = entry_points(MODEL, contract())[entry_point].module.state_dict()
    value: NDArray[np.float32] = state[key].numpy()
    return value


def damage_weights(
    bundle: Bundle, folder: Path, runtime: str, entry_point: str, key: str, change: Callable[[Array], Array]
) -> Bundle:
    """Copy `bundle` to `folder` with one parameter changed in one format's file, and hashes that fit."""
    shutil.copytree(bundle.folder, folder)
    before = weights_of(entry_point, key)
    after = change(before.copy()).astype("<f4")
    assert after.shape == before.shape
    path = next(folder / a.path for a in bundle.artifacts(runtime) if entry_point in a.entry_points)
    files = [member for member in path.rglob("*") if member.is_file()] if path.is_dir() else [path]
    found = 0
    for file in files:
        data = file.read_bytes()
        found += data.count(before.astype("<f4").tobytes())
        file.write_bytes(data.replace(before.astype("<f4").tobytes(), after.tobytes()))
    assert found, f"{key} is not in {path}"
    rehash(folder)
    return Bundle.open(folder)


def rehash(folder: Path) -> None:
    """Make the manifest's hashes those of the files, as a converter with this fault would have."""
    manifest = json.loads((folder / "manifest.json").read_text())
    for artifact in manifest["artifacts"]:
        artifact["sha256"] = hash_path(folder / artifact["path"])
    (folder / "manifest.json").write_text(json.dumps(manifest))


def module_of(entry_point: str) -> torch.nn.Module:
    return entry_points(MODEL, contract())[entry_point].module
