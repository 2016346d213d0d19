"""`tinysam-mobile segment --everything --boxes`: one mask for each box of a detector."""

from __future__ import annotations

from pathlib import Path

import click

from tinysam_mobile.cli.everything_options import given_flags
from tinysam_mobile.cli.model_source import ModelSource
from tinysam_mobile.cli.output import print_json, progress
from tinysam_mobile.cli.segment_everything import OutputChoice, targets_of, write_files
from tinysam_mobile.errors import UsageError
from tinysam_mobile.imaging.images import load_image
from tinysam_mobile.segment.from_boxes import objects_from_boxes, read_boxes_of
from tinysam_mobile.segment.output import coco_document
from tinysam_mobile.segment.predictor import Predictor

__all__ = ["segment_boxes"]


def segment_boxes(image: Path, box_file: Path, source: ModelSource, wanted: OutputChoice) -> None:
    """Segment the object in each box of `box_file` and write the files that everything mode writes.

    Annotation i + 1 is that of box i.  Raises `UsageError` and `InputError` before the model is loaded.
    """
    if flags := given_flags():
        raise UsageError(f"--boxes gives one mask a box and filters nothing: leave out {', '.join(flags)}")
    targets = targets_of(image, wanted)
    pixels = load_image(image)
    boxes = read_boxes_of(box_file, pixels.shape[:2])
    with progress() as say:
        say("loading the model")
        predictor, _ = source.predictor()
        say(f"segmenting {len(boxes)} boxes")
        objects = objects_from_boxes(predictor, pixels, boxes)
        say("writing")
        document = coco_document(objects, image.name, pixels.shape[:2], polygons=wanted.polygons)
        write_files(targets, pixels, objects, document)
    files = {name: str(target) for name, target in targets.items()}
    if wanted.as_json:
        print_json({"files": files, "masks_per_prompt": predictor.num_masks, "coco": document})
        return
    click.echo(f"{len(objects)} objects from {len(boxes)} boxes{_choice(predictor)}")
    for name, file in files.items():
        click.echo(f"{name}: {file}")


def _choice(predictor: Predictor) -> str:
    """Say where the masks are not those of the token for single masks."""
    if predictor.num_masks == 1:
        return ""
    return (
        f", the best of {predictor.num_masks} masks each ('convert --single-mask' makes a bundle with the "
        "decoder's own choice)"
    )
