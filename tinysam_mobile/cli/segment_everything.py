"""`tinysam-mobile segment --everything`: files and summary of everything mode."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import click
from PIL import Image

from tinysam_mobile.cli.everything_options import given_settings
from tinysam_mobile.cli.model_source import ModelSource
from tinysam_mobile.cli.output import print_json, progress, warn
from tinysam_mobile.cli.segment_targets import Photo, Task, each_photo, write_targets
from tinysam_mobile.imaging.pictures import overlay_labels
from tinysam_mobile.segment.everything import (
    EverythingConfig,
    EverythingGenerator,
    EverythingResult,
    SegmentedObject,
)
from tinysam_mobile.segment.label_map import label_map
from tinysam_mobile.segment.output import coco_document

__all__ = ["save_json", "savers_of", "segment_everything"]


def segment_everything(tasks: Sequence[Task], source: ModelSource, *, polygons: bool, as_json: bool) -> None:
    """Find every object of each photo and write the files; `source` is the model that does it."""
    EverythingConfig(**given_settings())  # refuses what does not go together, before the model is loaded
    lines: list[str] = []
    documents: list[dict[str, Any]] = []
    with progress() as say:
        say("loading the model")
        predictor, thresholds = source.predictor()
        config = EverythingConfig(**{**thresholds, **given_settings()})
        generator = EverythingGenerator(predictor, config)
        for task, photo in each_photo(tasks, say):
            result = generator.generate(photo.pixels, progress=say)
            coco = coco_document(result.objects, photo.path.name, _size(photo), polygons=polygons)
            written = write_targets(task.targets, savers_of(photo, result.objects, coco))
            lines += [_summary(result), *written]
            warn(_advice(result, config))
            documents += [_result(task, result, coco)]
    if as_json:
        print_json(documents[0] if len(tasks) == 1 else documents)
        return
    for line in lines:
        click.echo(line)


def _result(task: Task, result: EverythingResult, coco: dict[str, Any]) -> dict[str, Any]:
    return {
        "files": {name: str(target) for name, target in task.targets.items()},
        "decoder_calls": result.decoder_calls,
        "points": len(result.points),
        "stopped_early": result.stopped_early,
        "coco": coco,
    }


def _summary(result: EverythingResult) -> str:
    early = ", stopped early" if result.stopped_early else ""
    return (
        f"{len(result.objects)} objects from {len(result.points)} points "
        f"in {result.decoder_calls} decoder calls{early}"
    )


def _advice(result: EverythingResult, config: EverythingConfig) -> str | None:
    if result.objects or result.stopped_early:
        return None
    return (
        f"no mask passed the thresholds (predicted IoU {config.pred_iou_thresh:g}, stability "
        f"{config.stability_score_thresh:g}): lower --pred-iou-thresh or --stability-score-thresh"
    )


def _size(photo: Photo) -> tuple[int, int]:
    return photo.pixels.shape[0], photo.pixels.shape[1]


def savers_of(
    photo: Photo, objects: Sequence[SegmentedObject], document: Mapping[str, Any]
) -> dict[str, Callable[[Path], None]]:
    """What writes the `objects` of a photo in each format; `document` is their COCO document."""
    labels = label_map(objects, _size(photo))
    return {
        "overlay": lambda path: overlay_labels(photo.pixels, labels).save(path),
        "coco": lambda path: save_json(path, document),
        "labels": lambda path: Image.fromarray(labels).save(path),
    }


def save_json(path: Path, document: Any) -> None:
    """Write one JSON document in one line."""
    path.write_text(json.dumps(document) + "\n", encoding="utf-8")
