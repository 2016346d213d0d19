"""The paper's table of everything mode with our checkpoint: flat, hierarchical, fast, sweeps of τ and grid.

    python -m benchmarks.everything_table --recall-data ../shared/data/bsds_dev \\
        --miou-data ../shared/data/coco_dev --count 30

AR of all masks (COCO's rules, no classes) on the first data set; on the second, mIoU of the best mask for
each annotated object.  Every point is decoded once per photo and its answer kept, so that a row costs its
post-processing only; prompts are counted as if each row had decoded them.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import click
import numpy as np
import torch
from numpy.typing import NDArray

from benchmarks.record import save
from tinysam_mobile.contract.backend import Arrays, Backend
from tinysam_mobile.evaluation.average_recall import RecallCount, average_recall, count_recall
from tinysam_mobile.evaluation.coco import CocoImage, read_coco
from tinysam_mobile.evaluation.miou import targets_of
from tinysam_mobile.imaging.images import load_image
from tinysam_mobile.imaging.masks import RunLengths
from tinysam_mobile.imaging.overlaps import mask_ious
from tinysam_mobile.modeling.checkpoint import load_checkpoint
from tinysam_mobile.modeling.entry_points import contract_of
from tinysam_mobile.segment.everything import EverythingConfig, EverythingGenerator, EverythingResult
from tinysam_mobile.segment.predictor import Predictor
from tinysam_mobile.simulator.registry import open_model

TAUS = (0.0, 0.2, 0.8, 8.5)
"""Mask logits, beside the checkpoint's own: from any pixel of a mask to the paper's."""
GRIDS = (16, 32)


class RememberingBackend:
    """A backend that decodes a point of an image once and keeps the answer, logits in float16."""

    def __init__(self, backend: Backend) -> None:
        self.contract = backend.contract
        self._backend = backend
        self._image: Arrays = {}
        self._photo: bytes = b""
        self._answers: dict[bytes, tuple[NDArray[np.float16], NDArray[np.float32]]] = {}

    def run(self, entry_point: str, inputs: Mapping[str, NDArray[Any]]) -> Arrays:
        """Answer `encode` and `decode_batch`; raises what the backend raises."""
        if entry_point == "encode":
            photo = inputs["image"].tobytes()
            if photo != self._photo:
                self._photo, self._answers = photo, {}
                self._image = self._backend.run(entry_point, inputs)
            return self._image
        keys = [row.tobytes() for row in inputs["point_coords"]]
        new = [i for i, key in enumerate(keys) if key not in self._answers]
        if new:
            answer = self._backend.run(entry_point, inputs)
            for i in new:
                logits = answer["low_res_masks"][i].astype(np.float16)
                self._answers[keys[i]] = (logits, answer["iou_predictions"][i])
        rows = [self._answers[key] for key in keys]
        return {
            "low_res_masks": np.stack([row[0] for row in rows]).astype(np.float32),
            "iou_predictions": np.stack([row[1] for row in rows]),
        }


@dataclass
class RowFigures:
    """What a row of the table adds up over photos."""

    recalls: list[RecallCount] = field(default_factory=list)
    best_ious: list[float] = field(default_factory=list)
    prompts: list[int] = field(default_factory=list)
    masks: list[int] = field(default_factory=list)

    def figures(self) -> dict[str, float]:
        """The row: AR and mIoU 0 to 1, prompts and masks per photo."""
        return {
            "average_recall": average_recall(self.recalls)["AR@1000"],
            "miou": float(np.mean(self.best_ious)) if self.best_ious else float("nan"),
            "prompts_per_photo": float(np.mean(self.prompts)),
            "masks_per_photo": float(np.mean(self.masks)),
        }


def table_rows(settings: Mapping[str, Any]) -> dict[str, EverythingConfig]:
    """Name of a row → its configuration."""
    hierarchical = EverythingConfig(**settings, mode="exact")
    rows = {
        "flat": replace(hierarchical, hierarchical=False),
        "hierarchical": hierarchical,
        "hierarchical, fast": replace(hierarchical, mode="fast"),
    }
    for tau in TAUS:
        rows[f"hierarchical, τ {tau:g}"] = replace(hierarchical, high_score_thresh=tau)
    for side in GRIDS:
        if side != hierarchical.points_per_side:
            rows[f"flat, {side} x {side}"] = replace(hierarchical, hierarchical=False, points_per_side=side)
            rows[f"hierarchical, {side} x {side}"] = replace(hierarchical, points_per_side=side)
    return rows


def best_ious(image: CocoImage, result: EverythingResult) -> list[float]:
    """For each annotated object that counts, the IoU of the mask that fits it best."""
    truth = [RunLengths.encode(target.mask) for target in targets_of(image)]
    ious = mask_ious(truth, [found.runs for found in result.objects])
    best: list[float] = ious.max(axis=1, initial=0.0).tolist()
    return best


def add_photo(
    image: CocoImage,
    kind: str,
    predictor: Predictor,
    rows: Mapping[str, EverythingConfig],
    totals: dict[str, RowFigures],
) -> None:
    """Run every row on one photo; `kind` says which of the two figures the photo is for."""
    photo = load_image(image.path)
    for name, config in rows.items():
        result = EverythingGenerator(predictor, config).generate(photo)
        row = totals[name]
        row.prompts.append(len(result.points))
        row.masks.append(len(result.objects))
        if kind == "miou":
            row.best_ious += best_ious(image, result)
        else:
            masks = [found.runs for found in result.objects]
            row.recalls.append(count_recall(image, masks, [found.score for found in result.objects]))


@click.command()
@click.option("--recall-data", type=click.Path(path_type=Path, exists=True), required=True)
@click.option("--miou-data", type=click.Path(path_type=Path, exists=True), required=True)
@click.option("--count", type=int, default=30, show_default=True, help="Photos of each, evenly spread.")
@click.option("--checkpoint", help="Checkpoint; the shipped one by default.")
@click.option("--threads", type=int, default=1, show_default=True)
def main(recall_data: Path, miou_data: Path, count: int, checkpoint: str | None, threads: int) -> None:
    """Measure every row, print the table and save it."""
    torch.set_num_threads(threads)
    loaded = load_checkpoint(checkpoint)
    backend = open_model(loaded.model, contract_of(loaded.model, slots=2), num_threads=threads)
    predictor = Predictor(RememberingBackend(backend))
    rows = table_rows(loaded.everything)
    totals = {name: RowFigures() for name in rows}
    for kind, folder in (("recall", recall_data), ("miou", miou_data)):
        images = list(read_coco(folder).images)
        for i, image in enumerate(images[:: max(len(images) // count, 1)][:count], start=1):
            click.echo(f"{folder.name} {i} of {count}", err=True)
            add_photo(image, kind, predictor, rows, totals)
    figures = {name: row.figures() for name, row in totals.items()}
    flat = figures["flat"]["prompts_per_photo"]
    for name, row in figures.items():
        click.echo(
            f"{name:24s} AR {100 * row['average_recall']:5.2f}  mIoU {100 * row['miou']:5.2f}  prompts "
            f"{row['prompts_per_photo']:6.1f} ({100 * row['prompts_per_photo'] / flat:3.0f} %)  "
            f"masks {row['masks_per_photo']:5.1f}"
        )
    result = {
        "checkpoint": {"name": loaded.name, "sha256": loaded.sha256},
        "settings": dict(loaded.everything),
    }
    click.echo(save("everything_table", {**result, "photos_of_each": count, "rows": figures}))


if __name__ == "__main__":
    main()
