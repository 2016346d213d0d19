"""`tinysam-mobile segment`: one object of a photo, on any runtime."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import click
import numpy as np
from numpy.typing import NDArray

from tinysam_mobile.bundle import Bundle
from tinysam_mobile.cli.convert import warn_about_stand_in
from tinysam_mobile.cli.output import command_errors, print_json, progress
from tinysam_mobile.errors import UsageError
from tinysam_mobile.exportable import contract_of
from tinysam_mobile.images import load_image
from tinysam_mobile.masks import RunLengths, mask_boxes
from tinysam_mobile.modeling.checkpoint import load_checkpoint
from tinysam_mobile.pictures import draw_prompts, mask_image, overlay
from tinysam_mobile.predictor import Prediction, Predictor
from tinysam_mobile.simulator.base import Backend
from tinysam_mobile.simulator.registry import RUNTIMES, open_bundle, open_model

__all__ = ["command"]

FORMATS = ("overlay", "mask", "coco")
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
@click.argument("image", type=click.Path(path_type=Path))
@click.option(
    "--point",
    "points",
    multiple=True,
    metavar="X,Y[,0|1]",
    help="Point in pixels; repeatable; 0 marks background.",
)
@click.option("--box", metavar="X0,Y0,X1,Y1", help="Box in pixels.")
@click.option("--checkpoint", help="Checkpoint for --runtime torch; the shipped one by default.")
@click.option(
    "--bundle", "bundle_path", type=click.Path(path_type=Path), help="Bundle whose artifacts --runtime runs."
)
@click.option(
    "--runtime",
    type=click.Choice(list(RUNTIMES)),
    default="torch",
    show_default=True,
    help="What runs the model.",
)
@click.option("--recipe", help="Recipe in the bundle; the first one by default.")
@click.option("--threads", type=int, help="Threads of the runtime.")
@click.option(
    "--out", type=click.Path(path_type=Path), help="File to write; IMAGE_overlay.png here by default."
)
@click.option(
    "--format",
    "kind",
    type=click.Choice(FORMATS),
    help="What to write; coco for a .json --out, else overlay.",
)
@click.option("--json", "as_json", is_flag=True, help="Print the result as JSON, with the mask as COCO RLE.")
@command_errors
def command(
    image: Path,
    points: tuple[str, ...],
    box: str | None,
    checkpoint: str | None,
    bundle_path: Path | None,
    runtime: str,
    recipe: str | None,
    threads: int | None,
    out: Path | None,
    kind: str | None,
    as_json: bool,
) -> None:
    """Segment the object in IMAGE that the points and the box name; all belong to one prompt.

    Writes a picture with the mask laid over the photo (overlay), the mask alone (mask) or a COCO annotation
    with compressed RLE (coco).  Coordinates are pixels of the upright photo, x to the right, y down.

    \b
    Examples:
      tinysam-mobile segment photo.jpg --point 320,240
      tinysam-mobile segment photo.jpg --box 10,20,300,400 --point 50,60,0 --out mask.png --format mask
      tinysam-mobile segment photo.jpg --point 320,240 --bundle bundle --runtime tflite --out object.json
    """
    prompt_points = [parse_point(text) for text in points]
    prompt_box = parse_box(box) if box else None
    if not prompt_points and prompt_box is None:
        raise UsageError("nothing to segment: give --point x,y or --box x0,y0,x1,y1 in pixels of the photo")
    photo = load_image(image)
    target = out or Path(f"{image.stem}_overlay.png")
    kind = kind or ("coco" if target.suffix == ".json" else "overlay")
    with progress() as say:
        say(f"loading {runtime}")
        predictor = Predictor(_backend(runtime, checkpoint, bundle_path, recipe, threads))
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
        print_json({"runtime": runtime, "out": str(target), "annotation": annotation})
    else:
        share = 100 * annotation["area"] / prediction.best_mask.size
        click.echo(
            f"predicted IoU {annotation['score']:.3f}, {annotation['area']} px ({share:.1f} % of the photo)"
        )
        click.echo(f"{kind}: {target}")


def _backend(
    runtime: str, checkpoint: str | None, bundle_path: Path | None, recipe: str | None, threads: int | None
) -> Backend:
    if runtime == "torch":
        if bundle_path is not None:
            raise UsageError("--bundle holds no torch model: pass --checkpoint, or another --runtime")
        loaded = load_checkpoint(checkpoint)
        warn_about_stand_in(loaded)
        return open_model(loaded.model, contract_of(loaded.model), num_threads=threads)
    if checkpoint is not None:
        raise UsageError(f"--checkpoint goes with --runtime torch; {runtime} runs a bundle: pass --bundle")
    if bundle_path is None:
        target = RUNTIMES[runtime].artifact_runtime
        raise UsageError(
            f"--runtime {runtime} runs a converted bundle: make one with "
            f"'tinysam-mobile convert --target {target} --out bundle' and pass --bundle bundle"
        )
    return open_bundle(Bundle.open(bundle_path), runtime, recipe=recipe, num_threads=threads)


def coco_annotation(prediction: Prediction, file_name: str) -> dict[str, Any]:
    """The best mask as a COCO-style annotation: compressed RLE, bbox xywh and area in pixels."""
    mask = prediction.best_mask
    x0, y0, x1, y1 = (int(value) for value in mask_boxes(mask[None])[0])
    runs = RunLengths.encode(mask)
    return {
        "file_name": file_name,
        "segmentation": runs.to_coco(),
        "bbox": [x0, y0, x1 - x0 + 1, y1 - y0 + 1] if runs.area else [0, 0, 0, 0],
        "area": runs.area,
        "score": float(prediction.scores[prediction.best]),
        "scores": [float(score) for score in prediction.scores],
        "mask_index": prediction.best,
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
    try:
        if kind == "coco":
            target.write_text(json.dumps(annotation) + "\n", encoding="utf-8")
        elif kind == "mask":
            mask_image(prediction.best_mask).save(target)
        else:
            draw_prompts(overlay(photo, prediction.best_mask), points=points, box=box).save(target)
    except (OSError, ValueError) as error:
        raise UsageError(f"--out {target}: cannot be written ({error})") from error
