"""`tinysam-mobile convert`: a checkpoint to a bundle, with a figure per artifact."""

from __future__ import annotations

import sys
from collections.abc import Callable, Sequence
from dataclasses import asdict
from pathlib import Path

import click

from tinysam_mobile.artifacts.formats import DEPLOYMENT_TARGETS, FORMATS
from tinysam_mobile.bundle.folder import MANIFEST_NAME, Bundle
from tinysam_mobile.cli.float_model import warn_about_stand_in
from tinysam_mobile.cli.options import (
    as_json_option,
    calibration_option,
    checkpoint_argument,
    image_size_option,
    out_option,
    overwrite_option,
    ranges_option,
    recipe_option,
    threads_option,
)
from tinysam_mobile.cli.output import command_errors, exit_code, print_json, print_table, progress, warn
from tinysam_mobile.cli.parameter_types import Number, OutputFolder
from tinysam_mobile.converters.options import (
    EXECUTORCH_BACKENDS,
    ConversionOptions,
)
from tinysam_mobile.device.bundle_card import write_card
from tinysam_mobile.parity.bundle_check import MeasuredArtifact, measure_bundle
from tinysam_mobile.quant.calibration import CalibrationSet
from tinysam_mobile.quant.recipe import RECIPES

__all__ = ["command"]


MAX_SLOTS = 64
MAX_BATCH = 256
MAX_JOBS = 64


@click.command()
@checkpoint_argument
@click.option(
    "--target",
    "targets",
    multiple=True,
    type=click.Choice(list(FORMATS)),
    help="Format to make; repeatable; all by default.",
)
@recipe_option(multiple=True, choices=list(RECIPES), default="fp32")
@out_option(OutputFolder(marker=MANIFEST_NAME), "Folder of the bundle to make.", default="bundle")
@image_size_option
@click.option(
    "--slots",
    type=click.IntRange(2, MAX_SLOTS),
    default=8,
    show_default=True,
    help="Number N of prompt slots per prompt: points, and two for a box.",
)
@click.option(
    "--batch",
    type=click.IntRange(1, MAX_BATCH),
    default=16,
    show_default=True,
    help="Number K of prompts that one decode_batch call takes.",
)
@click.option(
    "--score-batch",
    type=click.IntRange(1, MAX_BATCH),
    default=64,
    show_default=True,
    help="Number of prompts that one score_batch call takes.",
)
@click.option(
    "--single-mask",
    is_flag=True,
    help="Make the one mask of the decoder's token for single masks, trained for boxes and for several "
    "points, in place of the masks to choose from.",
)
@click.option(
    "--deployment-target",
    type=click.Choice(DEPLOYMENT_TARGETS),
    default="iOS18",
    show_default=True,
    help="Lowest iOS that the Core ML packages run on.",
)
@click.option(
    "--executorch-backend",
    type=click.Choice(EXECUTORCH_BACKENDS),
    default="xnnpack",
    show_default=True,
    help="Delegate of the ExecuTorch programs; only xnnpack runs here.",
)
@calibration_option()
@ranges_option
@click.option(
    "--auto-mixed",
    "min_mask_iou",
    type=Number(0, 1, min_open=True, max_open=True),
    help="Keep the most costly layers of static recipes in float until the mask IoU with the float model "
    "reaches this on the calibration photos.",
)
@click.option(
    "--jobs",
    type=click.IntRange(1, MAX_JOBS),
    help="Number of processes that convert at a time; as many as cores and memory allow by default.",
)
@threads_option
@overwrite_option
@as_json_option
@command_errors
def command(
    checkpoint: str | None,
    targets: tuple[str, ...],
    recipes: tuple[str, ...],
    out: Path,
    image_size: int | None,
    slots: int,
    batch: int,
    score_batch: int,
    single_mask: bool,
    deployment_target: str,
    executorch_backend: str,
    calibration: Path | None,
    ranges: str,
    min_mask_iou: float | None,
    jobs: int | None,
    threads: int | None,
    overwrite: bool,
    as_json: bool,
) -> None:
    """Turn CHECKPOINT (.pth, .pt, .safetensors; the shipped one by default) into mobile artifacts.

    Every artifact is then run here and compared with PyTorch on the same inputs; the SQNR of each entry
    point must reach its bound (fp32 90/80 dB, fp16 50/45 dB for encoder/decoder; ExecuTorch fp16 35/30).

    \b
    Examples:
      tinysam-mobile convert --out bundle
      tinysam-mobile convert tinysam_42.3.pth --target coreml --recipe fp16 --deployment-target iOS17
      tinysam-mobile convert mobile_sam.pt --image-size 512 --target tflite --target executorch
      tinysam-mobile convert --target tflite --recipe static_w8a8 --calibration photos
      tinysam-mobile convert mobile_sam.pt --target tflite --single-mask --out boxes_bundle
    """
    photos = CalibrationSet.from_folder(calibration) if calibration else None
    options = ConversionOptions(
        targets=targets or tuple(FORMATS),
        recipes=recipes or ("fp32",),
        slots=slots,
        batch=batch,
        score_batch=score_batch,
        deployment_target=deployment_target,
        executorch_backend=executorch_backend,
        calibration=photos,
        ranges=ranges,
        min_mask_iou=min_mask_iou,
        overwrite=overwrite,
        jobs=jobs,
    )
    options.check()
    if photos:
        warn(photos.warning)
    with progress() as say:
        bundle, rows = convert(checkpoint, image_size, single_mask, out, options, threads, say)
        write_card(bundle, rows)
    report(bundle, rows, as_json=as_json)
    sys.exit(exit_code([row.verdict for row in rows]))


def convert(
    source: str | None,
    image_size: int | None,
    single_mask: bool,
    out: Path,
    options: ConversionOptions,
    threads: int | None,
    say: Callable[[str], None],
) -> tuple[Bundle, list[MeasuredArtifact]]:
    """Convert a checkpoint by options that were checked, and run what came out."""
    from tinysam_mobile.converters.pipeline import convert_checkpoint
    from tinysam_mobile.modeling.checkpoint import load_checkpoint

    say("loading the checkpoint")
    loaded = load_checkpoint(source, image_size=image_size, single_mask=single_mask)
    warn_about_stand_in(loaded)
    bundle = convert_checkpoint(loaded, out, options, progress=say)
    return bundle, measure_bundle(bundle, loaded.model, threads, say)


def report(bundle: Bundle, rows: Sequence[MeasuredArtifact], *, as_json: bool) -> None:
    """Print the table or the JSON of a conversion."""
    if as_json:
        items = [
            {
                **asdict(r.artifact),
                "verdict": r.verdict,
                "reason": r.not_run,
                "parity": [asdict(p) for p in r.parity],
            }
            for r in rows
        ]
        print_json({"bundle": str(bundle.folder), "artifacts": items})
        return
    headers = ["file", "MB", "seconds", "SQNR against torch (dB)", "verdict"]
    print_table(headers, [_cells(row) for row in rows], right=("MB", "seconds"))
    for row in rows:
        for note in row.artifact.details.get("notes", []):
            click.echo(f"{row.artifact.path}: {note}")
        if row.not_run:
            click.echo(f"{row.artifact.path}: NOT_RUN: {row.not_run}")
    click.echo(f"bundle: {bundle.folder}")


def _cells(row: MeasuredArtifact) -> list[str]:
    return [
        row.artifact.path,
        f"{row.artifact.size_bytes / 1e6:.2f}",
        f"{row.artifact.details.get('conversion_seconds', 0):.1f}",
        ", ".join(f"{p.entry_point} {p.sqnr_db:.1f}" for p in row.parity),
        row.verdict,
    ]
