"""`tinysam-mobile segment --everything`: files and summary of everything mode."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import click
from PIL import Image

from tinysam_mobile.cli.everything_options import given_settings
from tinysam_mobile.cli.model_source import ModelSource
from tinysam_mobile.cli.output import print_json, progress
from tinysam_mobile.errors import UsageError
from tinysam_mobile.files import check_writable, write_with
from tinysam_mobile.imaging.images import RGBImage, load_image
from tinysam_mobile.imaging.pictures import overlay_labels
from tinysam_mobile.segment.everything import (
    EverythingConfig,
    EverythingGenerator,
    EverythingResult,
    SegmentedObject,
)
from tinysam_mobile.segment.label_map import label_map
from tinysam_mobile.segment.output import coco_document

__all__ = [
    "FORMATS",
    "OutputChoice",
    "check_apart",
    "save_json",
    "segment_everything",
    "targets_of",
    "write_files",
]

FORMATS = ("overlay", "coco", "labels")


@dataclass(frozen=True, kw_only=True)
class OutputChoice:
    """--out, --format, --polygons and --json."""

    out: Path | None
    kind: str | None
    polygons: bool
    as_json: bool


def segment_everything(image: Path, source: ModelSource, wanted: OutputChoice) -> None:
    """Find every object of the photo `image` and write the files; `source` is the model that does it."""
    pixels = load_image(image)
    targets = targets_of(image, wanted)
    EverythingConfig(**given_settings())  # refuses what does not go together, before the model is loaded
    with progress() as say:
        say("loading the model")
        predictor, thresholds = source.predictor()
        config = EverythingConfig(**{**thresholds, **given_settings()})
        result = EverythingGenerator(predictor, config).generate(pixels, progress=say)
        say("writing")
        document = coco_document(result.objects, image.name, pixels.shape[:2], polygons=wanted.polygons)
        write_files(targets, pixels, result.objects, document)
    files = {name: str(target) for name, target in targets.items()}
    if wanted.as_json:
        cost = {"decoder_calls": result.decoder_calls, "points": len(result.points)}
        print_json({"files": files, **cost, "stopped_early": result.stopped_early, "coco": document})
        return
    _print_summary(result, config)
    for name, file in files.items():
        click.echo(f"{name}: {file}")


def _print_summary(result: EverythingResult, config: EverythingConfig) -> None:
    early = ", stopped early" if result.stopped_early else ""
    click.echo(
        f"{len(result.objects)} objects from {len(result.points)} points "
        f"in {result.decoder_calls} decoder calls{early}"
    )
    if not result.objects and not result.stopped_early:
        click.echo(
            f"no mask passed the thresholds (predicted IoU {config.pred_iou_thresh:g}, stability "
            f"{config.stability_score_thresh:g}): lower --pred-iou-thresh or --stability-score-thresh",
            err=True,
        )


def targets_of(image: Path, wanted: OutputChoice) -> dict[str, Path]:
    """Format → file that can be written: one if the user asked for one, else all three beside `--out`."""
    targets = _targets(image, wanted.out, wanted.kind)
    check_apart(image, *targets.values())
    return targets


def _targets(image: Path, out: Path | None, kind: str | None) -> dict[str, Path]:
    if kind is not None and kind not in FORMATS:
        raise UsageError(f"--format {kind} goes with a prompt; --everything writes {', '.join(FORMATS)}")
    if kind is None and out is not None and out.suffix == ".json":
        kind = "coco"
    # Joined, since with_suffix would take a dot inside the name for the beginning of a suffix.
    folder, stem = (out.parent, out.stem) if out else (Path(), f"{image.stem}_everything")
    all_targets = {
        "overlay": out or folder / f"{stem}.png",
        "coco": folder / f"{stem}.json",
        "labels": folder / f"{stem}_labels.png",
    }
    if kind is None:
        return all_targets
    return {kind: out or all_targets[kind]}


def write_files(
    targets: Mapping[str, Path],
    pixels: RGBImage,
    objects: Sequence[SegmentedObject],
    document: Mapping[str, Any],
) -> None:
    """Write the `objects` of a photo as each format of `targets`; `document` is their COCO document."""
    labels = label_map(objects, pixels.shape[:2])
    savers: dict[str, Callable[[Path], None]] = {
        "overlay": lambda path: overlay_labels(pixels, labels).save(path),
        "coco": lambda path: save_json(path, document),
        "labels": lambda path: Image.fromarray(labels).save(path),
    }
    for name, target in targets.items():
        write_with(target, savers[name])


def check_apart(photo: Path, *targets: Path) -> None:
    """Raise `UsageError` if one of `targets` is the photo itself, by whatever name."""
    for target in targets:
        if target.exists() and target.samefile(photo):
            raise UsageError(f"{target}: is the photo itself, which is not overwritten; choose another --out")
        check_writable(target, is_folder=False)


def save_json(path: Path, document: Any) -> None:
    """Write one JSON document in one line."""
    path.write_text(json.dumps(document) + "\n", encoding="utf-8")
