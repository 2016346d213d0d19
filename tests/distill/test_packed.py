"""A packed store holds what the store holds: layers exactly, photos as WebP keeps them."""

from __future__ import annotations

import zipfile
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner
from PIL import Image

from tinysam_mobile.cli.distill import command
from tinysam_mobile.distill import packed
from tinysam_mobile.distill.packed import pack, unpacked
from tinysam_mobile.distill.photo_store import Photo, PhotoStore, write_store
from tinysam_mobile.errors import DatasetError, UsageError

LEAST_PSNR_DB = 30
"""Of WebP at quality 90 on a smooth picture; its own documentation speaks of 35 to 45 dB."""


@pytest.fixture
def store(tmp_path: Path) -> PhotoStore:
    rng = np.random.default_rng(0)
    photos = []
    for i, (height, width) in enumerate([(60, 90), (120, 40), (33, 33)]):
        coarse = Image.fromarray(rng.integers(0, 256, (4, 4, 3), np.uint8))
        pixels = np.asarray(coarse.resize((width, height), Image.Resampling.BICUBIC))
        layers = rng.integers(0, 256, (i + 1, height, width), np.uint8)
        photos.append(
            Photo(
                name=f"{i} ü.png", source="noise", pixels=pixels, layers=layers, kinds=("object",) * (i + 1)
            )
        )
    write_store(photos, tmp_path / "store")
    return PhotoStore(tmp_path / "store")


@pytest.mark.parametrize("workers", [1, 2])
def test_what_is_packed_comes_out(store: PhotoStore, tmp_path: Path, workers: int) -> None:
    assert pack([store, store], tmp_path / "all.zip", side=256, quality=90) == 6
    for i, got in enumerate(unpacked(tmp_path / "all.zip", workers=workers)):
        wanted = store[i % 3]
        assert (got.key, got.kinds) == (wanted.key, wanted.kinds)
        assert np.array_equal(got.layers, wanted.layers)
        error = np.mean((got.pixels.astype(float) - wanted.pixels) ** 2)
        assert 10 * np.log10(255**2 / error) > LEAST_PSNR_DB


def test_photos_are_no_longer_than_asked_for(store: PhotoStore, tmp_path: Path) -> None:
    result = CliRunner().invoke(
        command, ["pack", str(store.folder), "--out", str(tmp_path / "p.zip"), "--side", "32"]
    )
    assert result.exit_code == 0, result.output
    arguments = ["unpack", str(tmp_path / "p.zip"), "--out", str(tmp_path / "again")]
    result = CliRunner().invoke(command, arguments)
    assert result.exit_code == 0, result.output
    again = PhotoStore(tmp_path / "again")
    assert [max(again[i].pixels.shape) for i in range(3)] == [32, 32, 32]
    assert again[1].layers.shape == (2, *again[1].pixels.shape[:2])


def test_too_large_a_file_is_refused_and_not_left(
    store: PhotoStore, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(packed, "MAX_PACKED_BYTES", 1000)
    with pytest.raises(UsageError, match="take a smaller --side"):
        pack([store], tmp_path / "all.zip", side=256, quality=90)
    assert not (tmp_path / "all.zip").exists()


@pytest.mark.parametrize("content", ["text", "empty zip", "photo missing", "list of numbers"])
def test_what_is_no_packed_store_is_one_line(tmp_path: Path, content: str) -> None:
    path = tmp_path / "p.zip"
    if content == "text":
        path.write_text("no zip")
    else:
        with zipfile.ZipFile(path, "w") as file:
            if content == "photo missing":
                file.writestr("index.json", '[{"name": "a", "source": "b", "kinds": ["object"]}]')
            elif content == "list of numbers":
                file.writestr("index.json", "[1, 2]")
    with pytest.raises(DatasetError, match="not a packed photo store"):
        list(unpacked(path))
