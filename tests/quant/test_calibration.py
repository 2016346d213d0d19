"""Calibration sets: photos in, prompts drawn, nothing kept."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from tinysam_mobile.contract.spec import Contract, Label
from tinysam_mobile.errors import TinySAMError
from tinysam_mobile.quant import calibration
from tinysam_mobile.quant.calibration import CalibrationSet
from tinysam_mobile.quant.observers import METHODS, RangeObserver, method_named, minmax_grid, mse_grid

CONTRACT = Contract(image_size=128, grid_size=8, mask_size=32, channels=64)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    rng = np.random.default_rng(0)
    for index in range(3):
        pixels = rng.integers(0, 256, (40 + index, 60, 3), np.uint8)
        Image.fromarray(pixels).save(tmp_path / f"{index}.png")
    (tmp_path / "notes.txt").write_text("no photo")
    return tmp_path


def test_samples_are_inputs_of_the_contract(folder: Path) -> None:
    samples = list(CalibrationSet.from_folder(folder).samples(CONTRACT))
    assert len(samples) == 3
    signatures = CONTRACT.signatures
    for sample in samples:
        for entry_point in ("encode", "decode_batch", "decode"):
            arrays = getattr(sample, entry_point)
            specs = {spec.name: spec for spec in signatures[entry_point].inputs}
            assert all(array.shape == specs[name].shape for name, array in arrays.items())
        labels = sample.decode_batch["point_labels"]
        assert {Label.FOREGROUND, Label.PAD, Label.BOX_TOP_LEFT, Label.UNUSED} <= set(labels.ravel())
        assert (labels[:, 0] != Label.UNUSED).all(), "every row of the batch asks something"


def test_the_seed_decides_the_prompts(folder: Path) -> None:
    def coords(seed: int) -> np.ndarray:
        chosen = CalibrationSet.from_folder(folder, seed=seed)
        return np.stack([s.decode_batch["point_coords"] for s in chosen.samples(CONTRACT)])

    np.testing.assert_array_equal(coords(1), coords(1))
    assert not np.array_equal(coords(1), coords(2))


def test_the_manifest_tells_the_set_and_no_path(folder: Path) -> None:
    told = CalibrationSet.from_folder(folder).to_json()
    assert told["photos"] == ["0.png", "1.png", "2.png"]
    assert str(folder) not in str(told)
    before = told["sha256"]
    Image.new("RGB", (9, 9)).save(folder / "1.png")
    assert CalibrationSet.from_folder(folder).to_json()["sha256"] != before


def test_few_photos_warn_and_none_is_an_error(folder: Path, tmp_path: Path) -> None:
    assert "fewer than 8" in (CalibrationSet.from_folder(folder).warning or "")
    assert CalibrationSet(photos=tuple(folder.glob("0.png")) * 8).warning is None
    empty = tmp_path / "empty"
    empty.mkdir()
    with pytest.raises(TinySAMError, match="holds no photo"):
        CalibrationSet.from_folder(empty)
    with pytest.raises(TinySAMError, match="is no folder"):
        CalibrationSet.from_folder(folder / "0.png")


def test_photos_are_read_one_at_a_time(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    read: list[str] = []
    original = calibration.load_image
    monkeypatch.setattr(calibration, "load_image", lambda path: read.append(path.name) or original(path))
    samples = CalibrationSet.from_folder(folder).samples(CONTRACT)
    next(samples)
    assert read == ["0.png"]


def test_an_observer_keeps_as_much_after_many_calls_as_after_one() -> None:
    import torch

    observer = RangeObserver()
    observer.see(torch.zeros(10))
    size = observer.values.size
    for value in range(20):
        observer.see(torch.full((100_000,), float(value)))
    assert observer.values.size == size
    assert (observer.low, observer.high) == (0.0, 19.0)
    # Each of 21 calls has the same weight: the mean of the values kept is about that of 0, 0, 1, … 19.
    assert observer.values.mean() == pytest.approx(190 / 21, abs=0.3)


def test_least_squares_gives_up_an_outlier_that_minmax_keeps() -> None:
    import torch

    observer = RangeObserver()
    x = torch.randn(100_000, generator=torch.Generator().manual_seed(0))
    for _ in range(20):
        observer.see(x)
    observer.see(torch.cat([x, torch.tensor([40.0])]))
    # One of two million values: to reach it, every other would be rounded more coarsely.
    assert minmax_grid(observer, 8).scale > 1.3 * mse_grid(observer, 8).scale


def test_unknown_method_lists_the_known() -> None:
    assert set(METHODS) == {"minmax", "percentile", "mse"}
    with pytest.raises(TinySAMError, match="minmax, percentile, mse"):
        method_named("kl")
