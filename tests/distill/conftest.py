"""A photo store of noise and a short run on it, for whole runs of a tiny network."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from tinysam_mobile.distill.config import (
    OptimiserSettings,
    TrainConfig,
    TrainingStage,
)
from tinysam_mobile.distill.photo_store import Photo, write_store


@pytest.fixture
def store(tmp_path: Path) -> Path:
    """Three photos of noise with a rectangle and a disc as masks."""
    rng = np.random.default_rng(0)
    y, x = np.mgrid[:80, :100]
    rectangle, disc = (y > 20) & (y < 60) & (x > 10) & (x < 50), (y - 40) ** 2 + (x - 70) ** 2 < 400
    layers = np.stack([rectangle, disc])
    photos = [
        Photo(
            name=f"{i}.png",
            source="noise",
            pixels=rng.integers(0, 256, (80, 100, 3), np.uint8),
            layers=layers.astype(np.uint8),
            kinds=("object", "region"),
        )
        for i in range(3)
    ]
    write_store(photos, tmp_path / "store")
    return tmp_path / "store"


@pytest.fixture
def config(store: Path) -> TrainConfig:
    """Seven steps in two stages, with hard prompts."""
    stages = (
        TrainingStage(steps=2, image_size=64, photos=1, prompts=3, use_image=False),
        TrainingStage(steps=5, image_size=128, photos=2, prompts=2, refine_share=0.5, max_refinements=2),
    )
    return TrainConfig(
        model="tiny-test",
        stores=(str(store),),
        stages=stages,
        optimiser=OptimiserSettings(warm_up_steps=2),
        checkpoint_every_steps=2,
    )
