"""`tinysam-mobile segment`: one object of a photo, or everything, on any runtime."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import click
import numpy as np
from numpy.typing import NDArray

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
from tinysam_mobile.cli.output import command_errors, print_json, progress
from tinysam_mobile.cli.parameter_types import InputFile, OutputFile
from tinysam_mobile.cli.segment_boxes import segment_boxes
from tinysam_mobile.cli.segment_everything import OutputChoice, check_apart, save_json, segment_everything
from tinysam_mobile.errors import UsageError
from tinysam_mobile.files import write_with
from tinysam_mobile.imaging.images import load_image
from tinysam_mobile.imaging.masks import RunLengths, mask_boxes
from tinysam_mobile.imaging.pictures import draw_prompts, mask_image, overlay
from tinysam_mobile.segment.predictor import Prediction

__all__ = ["command"]

FORMATS = ("overlay", "mask", "coco", "labels")
PICTURE_SUFFIXES = (".png", ".jpg", ".jpeg", ".webp", ".bmp", ".tif", ".tiff")
"""Of pictures that Pillow writes."""
MAX_DIGITS = 16
"""Of a photo's number that JavaScript and float64 hold exactly."""
Point = tuple[float, float, int]
Box = tuple[float, float, float, float]


def _numbers(text: str, option: str, counts: Sequence[int], example: str) -> list[float]:
    try:
        values = [float(part) for part in text.split(",")]
    except ValueError:
        values = []
    if len(values) not in counts or not np.isfinite(values).all():
        raise UsageError(f"{option} {text!r}: expected {example}")
    return values


def parse_point(text: str) -> Point:
    """`x,y` or `x,y,label` with label 1 (on the object, the default) or 0 (outside it)."""
    x, y, *rest = _numbers(text, "--point", (2, 3), "x,y or x,y,0 or x,y,1 in pixels, for example 320,240")
    label = rest[0] if rest else 1.0
    if label not in (0.0, 1.0):
        raise UsageError(f"--point {text!r}: the label is 1 (on the object) or 0 (outside it)")
    return x, y, int(label)


def parse_box(text: str) -> Box:
    """`x0,y0,x1,y1`."""
    x0, y0, x1, y1 = _numbers(text, "--box", (4,), "x0,y0,x1,y1 in pixels, for example 10,20,300,400")
    return x0, y0, x1, y1


@click.command()
@click.argument("image", type=InputFile())
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
@runtime_option(default="torch")
@recipe_option()
@threads_option
@isolate_option(default=False)
@out_option(
    OutputFile(suffixes=(*PICTURE_SUFFIXES, ".json")),
    "File to write; by default IMAGE_overlay.png in this folder, with --everything IMAGE_everything.png, "
    ".json and _labels.png.",
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
    image: Path,
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
    """Segment the object in IMAGE that the points and the box name, or with --everything all of them.

    Writes a picture with the mask laid over the photo (overlay), the mask alone (mask) or a COCO annotation
    with compressed RLE (coco); with --everything a coloured overlay, a COCO file and a label map (16-bit PNG
    of annotation numbers).  With --boxes every box of any detector gets one mask, as in MobileSAMv2: a
    checkpoint's token for single masks makes it, or a bundle of 'convert --single-mask'.  Coordinates are
    pixels of the upright photo, x to the right, y down.

    \b
    Examples:
      tinysam-mobile segment photo.jpg --point 320,240
      tinysam-mobile segment photo.jpg --box 10,20,300,400 --point 50,60,0 --out mask.png --format mask
      tinysam-mobile segment photo.jpg --point 320,240 --bundle bundle --runtime tflite --out object.json
      tinysam-mobile segment photo.jpg --everything --points-per-side 16 --budget-ms 2000
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
        wanted = OutputChoice(out=out, kind=kind, polygons=polygons, as_json=as_json)
        if box_file is None:
            segment_everything(image, source, wanted)
        else:
            segment_boxes(image, box_file, source, wanted)
        return
    alone = ["--boxes"] * (box_file is not None) + ["--polygons"] * polygons + given_flags()
    if alone:
        raise UsageError(f"options of everything mode without --everything: {', '.join(alone)}")
    segment_object(image, source, points, boxes, out=out, kind=kind, as_json=as_json)


def segment_object(
    image: Path,
    source: ModelSource,
    points: Sequence[str],
    boxes: Sequence[str],
    *,
    out: Path | None,
    kind: str | None,
    as_json: bool,
) -> None:
    """Segment the object of one prompt, whose `points` and at most one of `boxes` are still text."""
    prompt_points = [parse_point(text) for text in points]
    if len(boxes) > 1:
        raise UsageError(f"--box was given {len(boxes)} times, and a prompt has one: run once for each box")
    prompt_box = parse_box(boxes[0]) if boxes else None
    if not prompt_points and prompt_box is None:
        raise UsageError(
            "nothing to segment: give --point x,y or --box x0,y0,x1,y1 in pixels of the photo, "
            "or --everything for all objects"
        )
    if kind == "labels":
        raise UsageError("--format labels goes with --everything")
    target = out or Path(f"{image.stem}_overlay.png")
    check_apart(image, target)
    photo = load_image(image)
    kind = kind or ("coco" if target.suffix == ".json" else "overlay")
    with progress() as say:
        say(f"loading {source.runtime_name}")
        predictor, _ = source.predictor()
        say("encoding the photo")
        predictor.set_image(photo)
        say("decoding the prompt")
        prediction = predictor.predict(
            point_coords=[point[:2] for point in prompt_points] or None,
            point_labels=[point[2] for point in prompt_points] or None,
            box=prompt_box,
        )
    annotation = coco_annotation(prediction, image.name)
    _write(target, kind, photo, prediction, prompt_points, prompt_box, annotation)
    if as_json:
        print_json({"runtime": source.runtime_name, "out": str(target), "annotation": annotation})
    else:
        share = 100 * annotation["area"] / prediction.best_mask.size
        click.echo(
            f"predicted IoU {annotation['score']:.3f}, {annotation['area']} px ({share:.1f} % of the photo)"
        )
        click.echo(f"{kind}: {target}")


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


def _write(
    target: Path,
    kind: str,
    photo: NDArray[np.uint8],
    prediction: Prediction,
    points: Sequence[Point],
    box: Box | None,
    annotation: dict[str, Any],
) -> None:
    savers: dict[str, Callable[[Path], None]] = {
        # A list is what COCO's tools take for results.
        "coco": lambda path: save_json(path, [annotation]),
        "mask": lambda path: mask_image(prediction.best_mask).save(path),
        "overlay": lambda path: draw_prompts(
            overlay(photo, prediction.best_mask), points=points, box=box
        ).save(path),
    }
    write_with(target, savers[kind])
