"""mIoU on held-out photos during a run, as rows of `validation.csv`."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from tinysam_mobile.distill.config import TrainConfig
from tinysam_mobile.distill.progress import append_row
from tinysam_mobile.distill.scene_validation import figures_of, held_back_scenes
from tinysam_mobile.evaluation.coco import CocoDataset, read_coco
from tinysam_mobile.evaluation.miou import measure, summary
from tinysam_mobile.modeling.entry_points import contract_of
from tinysam_mobile.modeling.sam import TinySAM
from tinysam_mobile.simulator.registry import open_model

__all__ = ["validator"]


def validator(config: TrainConfig, folder: Path) -> Callable[[TinySAM, int], None] | None:
    """Return what measures a model on the run's validation photos and adds a CSV row; None if it has none."""
    if config.validation_stores:
        return _scene_validator(config, folder)
    if not config.validation:
        return None
    data = read_coco(Path(config.validation))
    held_out = CocoDataset(name=data.name, images=data.images[-config.validation_photos :])

    def validate(model: TinySAM, step: int) -> None:
        backend = open_model(model, contract_of(model, slots=2))
        table = summary(list(measure(backend, held_out)))
        row = {"step": str(step)} | {
            name: f"{table[name]['all']:.4f}" for name in table if name.startswith("miou")
        }
        append_row(folder / "validation.csv", row)

    return validate


def _scene_validator(config: TrainConfig, folder: Path) -> Callable[[TinySAM, int], None]:
    def validate(model: TinySAM, step: int) -> None:
        size = model.config.image_size
        table = figures_of(model, held_back_scenes(config, size))
        row = {"step": str(step), "image_size": str(size)}
        append_row(folder / "validation.csv", row | {name: f"{table[name]:.4f}" for name in table})

    return validate
