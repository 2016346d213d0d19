"""`tinysam-mobile segment`: one object of a photo, or everything, on any runtime; one photo or many."""

from __future__ import annotations

from pathlib import Path

import click

from tinysam_mobile.cli.everything_options import everything_options, given_flags
from tinysam_mobile.cli.model_source import ModelSource
from tinysam_mobile.cli.options import (
    as_json_option,
    boxes_option,
    bundle_option,
    checkpoint_option,
    everything_option,
    isolate_option,
    out_option,
    recipe_option,
    runtime_option,
    threads_option,
)
from tinysam_mobile.cli.output import command_errors
from tinysam_mobile.cli.parameter_types import OutputPath, Photos
from tinysam_mobile.cli.segment_boxes import segment_boxes
from tinysam_mobile.cli.segment_everything import segment_everything
from tinysam_mobile.cli.segment_object import segment_objects
from tinysam_mobile.cli.segment_prompt import read_prompt
from tinysam_mobile.cli.segment_targets import tasks_of
from tinysam_mobile.errors import UsageError

__all__ = ["command"]

FORMATS = ("overlay", "mask", "coco", "labels")


@click.command()
@click.argument("photos", metavar="PHOTO...", type=Photos(or_one=True), nargs=-1, required=True)
@click.option(
    "--point",
    "points",
    multiple=True,
    metavar="X,Y[,0|1]",
    help="Point in pixels of the photo; repeatable; 0 marks background.",
)
@click.option("--box", "boxes", multiple=True, metavar="X0,Y0,X1,Y1", help="Box in pixels of the photo.")
@checkpoint_option
@bundle_option
@runtime_option(default="the bundle's first format (torch if there is no bundle)")
@recipe_option()
@threads_option
@isolate_option(default=False)
@out_option(
    OutputPath(),
    "File to write, or for several photos the folder; by default names made of the photo's own in this "
    "folder, such as IMAGE_overlay.png.",
)
@click.option(
    "--format",
    "kind",
    type=click.Choice(FORMATS),
    help="What to write; coco if --out ends in .json, else overlay; with --everything all but mask.",
)
@everything_option
@boxes_option(
    "With --everything: one mask for each of these boxes and nothing else; a JSON list of x0, y0, x1, y1 in "
    "pixels, or COCO's results for one photo."
)
@everything_options
@click.option(
    "--polygons", is_flag=True, help="Everything mode: outlines instead of run lengths in the COCO file."
)
@as_json_option
@command_errors
def command(
    photos: tuple[Path, ...],
    points: tuple[str, ...],
    boxes: tuple[str, ...],
    checkpoint: str | None,
    bundle_path: Path | None,
    runtime: str | None,
    recipe: str | None,
    threads: int | None,
    isolate: bool,
    out: Path | None,
    kind: str | None,
    everything: bool,
    box_file: Path | None,
    polygons: bool,
    as_json: bool,
) -> None:
    """Segment the object that points and a box name in each PHOTO, or with --everything all objects.

    PHOTO is a file or a folder of photos.  Writes a picture with the mask laid over the photo (overlay), the
    mask alone (mask) or a COCO result with compressed RLE (coco); with --everything a coloured overlay, a
    COCO file and a label map (16-bit PNG of annotation numbers).  With --boxes every box of any detector gets
    one mask, as in MobileSAMv2: a checkpoint's token for single masks makes it, or a bundle of 'convert
    --single-mask'.  Coordinates are pixels of the upright photo, x to the right, y down.

    \b
    Examples:
      tinysam-mobile segment photo.jpg --point 320,240
      tinysam-mobile segment photo.jpg --box 10,20,300,400 --point 50,60,0 --out mask.png --format mask
      tinysam-mobile segment photo.jpg --point 320,240 --bundle bundle --runtime tflite --out object.json
      tinysam-mobile segment photo.jpg --everything --points-per-side 16 --budget-ms 2000
      tinysam-mobile segment photos/ --everything --out masks/
      tinysam-mobile segment photo.jpg --everything --boxes boxes.json
    """
    source = ModelSource(
        runtime=runtime,
        checkpoint=checkpoint,
        bundle=bundle_path,
        recipe=recipe,
        threads=threads,
        isolate=isolate,
        single_mask=box_file is not None,
    )
    source.check()
    if everything:
        if points or boxes:
            raise UsageError("--everything takes no prompt: leave out --point and --box")
        tasks = tasks_of(photos, out, kind, everything=True)
        if box_file is None:
            segment_everything(tasks, source, polygons=polygons, as_json=as_json)
        else:
            segment_boxes(tasks, box_file, source, polygons=polygons, as_json=as_json)
        return
    if flags := ["--boxes"] * (box_file is not None) + ["--polygons"] * polygons + given_flags():
        raise UsageError(f"{' '.join(flags)}: goes with everything mode only; add --everything")
    asked = read_prompt(points, boxes)
    segment_objects(tasks_of(photos, out, kind, everything=False), source, asked, as_json=as_json)
