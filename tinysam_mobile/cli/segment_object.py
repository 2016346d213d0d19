"""`tinysam-mobile segment` with a prompt: one object of each photo, as a picture, a mask or a COCO result."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import click

from tinysam_mobile.cli.model_source import ModelSource
from tinysam_mobile.cli.output import print_json, progress
from tinysam_mobile.cli.segment_everything import save_json
from tinysam_mobile.cli.segment_prompt import AskedPrompt
from tinysam_mobile.cli.segment_targets import Photo, Task, each_photo, write_targets
from tinysam_mobile.imaging.images import load_image
from tinysam_mobile.imaging.masks import RunLengths, mask_boxes
from tinysam_mobile.imaging.pictures import draw_prompts, mask_image, overlay
from tinysam_mobile.segment.predictor import Prediction, Predictor

__all__ = ["coco_annotation", "segment_objects"]

MAX_DIGITS = 16
"""Of a photo's number that JavaScript and float64 hold exactly."""


def segment_objects(tasks: Sequence[Task], source: ModelSource, asked: AskedPrompt, *, as_json: bool) -> None:
    """Segment what `asked` names on every photo of `tasks`."""
    if len(tasks) == 1:
        # The photo is at hand at once, the model takes seconds: a prompt that misses is told first.
        asked.check(load_image(tasks[0].photo).shape[:2])
    lines: list[str] = []
    results: list[dict[str, Any]] = []
    with progress() as say:
        say(f"loading {source.runtime_name}")
        predictor, _ = source.predictor()
        for task, photo in each_photo(tasks, say):
            prediction = _predict(predictor, photo, asked, say)
            annotation = coco_annotation(prediction, photo.path.name)
            written = write_targets(task.targets, _savers(photo, prediction, asked, annotation))
            lines += [_summary(annotation, prediction), *written]
            results += [_result(source, task, annotation)]
    if as_json:
        print_json(results[0] if len(tasks) == 1 else results)
        return
    for line in lines:
        click.echo(line)


def _predict(
    predictor: Predictor, photo: Photo, asked: AskedPrompt, say: Callable[[str], None]
) -> Prediction:
    say("encoding the photo")
    predictor.set_image(photo.pixels)
    say("decoding the prompt")
    return predictor.predict(**asked.arguments())


def _summary(annotation: dict[str, Any], prediction: Prediction) -> str:
    share = 100 * annotation["area"] / prediction.best_mask.size
    area = f"{annotation['area']} px ({share:.1f} % of the photo)"
    return f"predicted IoU {annotation['score']:.3f}, {area}"


def _result(source: ModelSource, task: Task, annotation: dict[str, Any]) -> dict[str, Any]:
    (out,) = task.targets.values()
    return {"runtime": source.runtime_name, "out": str(out), "annotation": annotation}


def coco_annotation(prediction: Prediction, file_name: str) -> dict[str, Any]:
    """The best mask as one of COCO's results: compressed RLE, bbox xywh and area in pixels."""
    mask = prediction.best_mask
    x0, y0, x1, y1 = (int(value) for value in mask_boxes(mask[None])[0])
    runs = RunLengths.encode(mask)
    name = Path(file_name).stem
    return {
        "file_name": file_name,
        # COCO's photos are called by their numbers.
        "image_id": int(name) if name.isascii() and name.isdigit() and len(name) < MAX_DIGITS else 1,
        "category_id": 1,
        "segmentation": runs.to_coco(),
        "bbox": [x0, y0, x1 - x0 + 1, y1 - y0 + 1] if runs.area else [0, 0, 0, 0],
        "area": runs.area,
        "score": float(prediction.scores[prediction.best]),
        "scores": [float(score) for score in prediction.scores],
        "mask_index": prediction.best,
        **({} if prediction.object_score is None else {"object_score": prediction.object_score}),
    }


def _savers(
    photo: Photo, prediction: Prediction, asked: AskedPrompt, annotation: dict[str, Any]
) -> dict[str, Callable[[Path], None]]:
    picture = overlay(photo.pixels, prediction.best_mask)
    return {
        # A list is what COCO's tools take for results.
        "coco": lambda path: save_json(path, [annotation]),
        "mask": lambda path: mask_image(prediction.best_mask).save(path),
        "overlay": lambda path: draw_prompts(picture, points=asked.points, box=asked.box).save(path),
    }
