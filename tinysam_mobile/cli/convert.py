"""`tinysam-mobile convert`: a checkpoint to a bundle, with a figure per artifact."""

from __future__ import annotations

import sys
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import click

from tinysam_mobile.artifacts.formats import FORMATS
from tinysam_mobile.bundle.folder import Bundle
from tinysam_mobile.bundle.manifest import Artifact
from tinysam_mobile.cli.float_model import warn_about_stand_in
from tinysam_mobile.cli.output import command_errors, exit_code, print_json, print_table, progress, warn
from tinysam_mobile.converters.options import (
    DEPLOYMENT_TARGETS,
    EXECUTORCH_BACKENDS,
    ConversionOptions,
)
from tinysam_mobile.errors import RuntimeUnavailableError
from tinysam_mobile.parity.compare import EntryPointParity, compare_backends
from tinysam_mobile.quant.calibration import CalibrationSet
from tinysam_mobile.quant.observers import DEFAULT_METHOD, RANGE_METHODS
from tinysam_mobile.quant.recipe import RECIPES, recipe_named
from tinysam_mobile.simulator.registry import open_bundle, open_model

if TYPE_CHECKING:
    from tinysam_mobile.modeling.checkpoint import Checkpoint

__all__ = ["command"]


@dataclass(frozen=True, kw_only=True)
class Row:
    """One artifact's line of the table."""

    artifact: Artifact
    parity: Sequence[EntryPointParity]
    not_run: str | None

    @property
    def verdict(self) -> str:
        if self.not_run:
            return "NOT_RUN"
        return "PASSED" if all(p.passed for p in self.parity) else "FAILED"


@click.command()
@click.argument("checkpoint", required=False)
@click.option(
    "--target",
    "targets",
    multiple=True,
    type=click.Choice(list(FORMATS)),
    help="Format; repeatable; all by default.",
)
@click.option(
    "--recipe",
    "recipes",
    multiple=True,
    type=click.Choice(list(RECIPES)),
    help="Number format; repeatable; fp32 by default.  docs/recipes.md says which format has which.",
)
@click.option(
    "--out",
    type=click.Path(path_type=Path),
    default=Path("bundle"),
    show_default=True,
    help="Folder of the bundle.",
)
@click.option("--image-size", type=int, help="Input side S, a multiple of 64; the checkpoint's by default.")
@click.option("--slots", type=int, default=8, show_default=True, help="Prompt slots N per prompt.")
@click.option("--batch", type=int, default=16, show_default=True, help="Prompts K per decode_batch call.")
@click.option(
    "--deployment-target",
    type=click.Choice(DEPLOYMENT_TARGETS),
    default="iOS18",
    show_default=True,
    help="Lowest iOS for Core ML.",
)
@click.option(
    "--executorch-backend",
    type=click.Choice(EXECUTORCH_BACKENDS),
    default="xnnpack",
    show_default=True,
    help="Delegate of the .pte; only xnnpack runs here.",
)
@click.option(
    "--calibration",
    type=click.Path(path_type=Path),
    help="Folder of photos that static recipes take their ranges from; 8 or more.",
)
@click.option(
    "--ranges",
    type=click.Choice(RANGE_METHODS),
    default=DEFAULT_METHOD,
    show_default=True,
    help="How static recipes choose the ranges of activations; search is TinySAM's, minutes per recipe.",
)
@click.option(
    "--auto-mixed",
    "min_mask_iou",
    type=float,
    help="Keep the most costly layers of static recipes in float until the mask IoU with the float model "
    "reaches this on the calibration photos.",
)
@click.option("--threads", type=int, default=None, help="Threads of the check against torch.")
@click.option("--overwrite", is_flag=True, help="Replace an existing bundle.")
@click.option("--json", "as_json", is_flag=True, help="Print the result as JSON.")
@command_errors
def command(
    checkpoint: str | None,
    targets: tuple[str, ...],
    recipes: tuple[str, ...],
    out: Path,
    image_size: int | None,
    slots: int,
    batch: int,
    deployment_target: str,
    executorch_backend: str,
    calibration: Path | None,
    ranges: str,
    min_mask_iou: float | None,
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
    """
    photos = CalibrationSet.from_folder(calibration) if calibration else None
    options = ConversionOptions(
        targets=targets or tuple(FORMATS),
        recipes=recipes or ("fp32",),
        slots=slots,
        batch=batch,
        deployment_target=deployment_target,
        executorch_backend=executorch_backend,
        calibration=photos,
        ranges=ranges,
        min_mask_iou=min_mask_iou,
        overwrite=overwrite,
    )
    options.check()
    if photos:
        warn(photos.warning)
    with progress() as say:
        bundle, rows = convert(checkpoint, image_size, out, options, threads, say)
    report(bundle, rows, as_json=as_json)
    sys.exit(exit_code([row.verdict for row in rows]))


def convert(
    source: str | None,
    image_size: int | None,
    out: Path,
    options: ConversionOptions,
    threads: int | None,
    say: Callable[[str], None],
) -> tuple[Bundle, list[Row]]:
    """Convert a checkpoint by options that were checked, and run what came out."""
    from tinysam_mobile.converters.pipeline import convert_checkpoint
    from tinysam_mobile.modeling.checkpoint import load_checkpoint

    say("loading the checkpoint")
    loaded = load_checkpoint(source, image_size=image_size)
    warn_about_stand_in(loaded)
    bundle = convert_checkpoint(loaded, out, options, progress=say)
    return bundle, measure(bundle, loaded, threads, say)


def measure(
    bundle: Bundle, checkpoint: Checkpoint, threads: int | None, say: Callable[[str], None]
) -> list[Row]:
    """Run each format and recipe of the bundle against torch; one row per artifact."""
    reference = open_model(checkpoint.model, bundle.manifest.contract, num_threads=threads)
    rows: list[Row] = []
    groups = dict.fromkeys((a.runtime, a.recipe) for a in bundle.manifest.artifacts)
    for runtime, recipe in groups:
        say(f"{runtime} {recipe}: running against torch")
        parity: list[EntryPointParity] = []
        reason = None
        try:
            backend = open_bundle(bundle, runtime, recipe=recipe, num_threads=threads)
            parity = compare_backends(reference, backend, runtime=runtime, recipe=recipe_named(recipe))
        except RuntimeUnavailableError as error:
            reason = str(error)
        for artifact in bundle.artifacts(runtime, recipe):
            own = [p for p in parity if p.entry_point in artifact.entry_points]
            rows.append(Row(artifact=artifact, parity=own, not_run=reason))
    return rows


def report(bundle: Bundle, rows: Sequence[Row], *, as_json: bool) -> None:
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


def _cells(row: Row) -> list[str]:
    return [
        row.artifact.path,
        f"{row.artifact.size_bytes / 1e6:.2f}",
        f"{row.artifact.details.get('conversion_seconds', 0):.1f}",
        ", ".join(f"{p.entry_point} {p.sqnr_db:.1f}" for p in row.parity),
        row.verdict,
    ]
