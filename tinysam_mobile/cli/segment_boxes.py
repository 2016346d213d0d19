"""`tinysam-mobile segment --everything --boxes`: one mask for each box of a detector."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import click

from tinysam_mobile.cli.everything_options import given_flags
from tinysam_mobile.cli.model_source import ModelSource
from tinysam_mobile.cli.output import print_json, progress
from tinysam_mobile.cli.segment_everything import savers_of
from tinysam_mobile.cli.segment_targets import Photo, Task, write_targets
from tinysam_mobile.errors import UsageError
from tinysam_mobile.imaging.images import load_image
from tinysam_mobile.segment.from_boxes import objects_from_boxes, read_boxes_of
from tinysam_mobile.segment.output import coco_document
from tinysam_mobile.segment.predictor import Predictor

__all__ = ["segment_boxes"]


def segment_boxes(
    tasks: Sequence[Task], box_file: Path, source: ModelSource, *, polygons: bool, as_json: bool
) -> None:
    """Segment the object in each box of `box_file` and write the files that everything mode writes.

    Annotation i + 1 is that of box i.  Raises `UsageError` and `InputError` before the model is loaded.
    """
    if flags := given_flags():
        raise UsageError(f"--boxes gives one mask a box and filters nothing: leave out {', '.join(flags)}")
    if len(tasks) != 1:
        raise UsageError(f"--boxes are those of one photo, not of {len(tasks)}: run once for each photo")
    (task,) = tasks
    photo = Photo(path=task.photo, pixels=load_image(task.photo))
    size = photo.pixels.shape[0], photo.pixels.shape[1]
    boxes = read_boxes_of(box_file, size)
    with progress() as say:
        say("loading the model")
        predictor, _ = source.predictor()
        say(f"segmenting {len(boxes)} boxes")
        objects = objects_from_boxes(predictor, photo.pixels, boxes)
        say("writing")
        document = coco_document(objects, photo.path.name, size, polygons=polygons)
        written = write_targets(task.targets, savers_of(photo, objects, document))
    if as_json:
        files = {name: str(target) for name, target in task.targets.items()}
        print_json({"files": files, "masks_per_prompt": predictor.num_masks, "coco": document})
        return
    for line in (f"{len(objects)} objects from {len(boxes)} boxes{_choice(predictor)}", *written):
        click.echo(line)


def _choice(predictor: Predictor) -> str:
    """Say where the masks are not those of the token for single masks."""
    if predictor.num_masks == 1:
        return ""
    return (
        f", the best of {predictor.num_masks} masks each ('convert --single-mask' makes a bundle with the "
        "decoder's own choice)"
    )
