"""`tinysam-mobile validate`: every artifact against PyTorch, stage by stage, and a page to read."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import click

from tinysam_mobile.cli.bound_options import bound_options, given_bounds
from tinysam_mobile.cli.everything_options import given_settings, points_per_side_option
from tinysam_mobile.cli.options import (
    as_json_option,
    checkpoint_option,
    images_option,
    isolate_option,
    max_photos_option,
    out_option,
    own_prompts_option,
    prompts_option,
    recipe_option,
    runtime_option,
    seed_option,
    threads_option,
)
from tinysam_mobile.cli.output import command_errors, progress, warn
from tinysam_mobile.cli.parameter_types import BundleFolder, OutputFolder
from tinysam_mobile.contract.steps import Steps
from tinysam_mobile.simulator.registry import open_model

if TYPE_CHECKING:
    from tinysam_mobile.modeling.checkpoint import Checkpoint
    from tinysam_mobile.parity.photo_set import PhotoSet
    from tinysam_mobile.parity.report_data import ParityReport
    from tinysam_mobile.parity.sides import SideResult

__all__ = ["command"]

POINTS_PER_SIDE = 16
"""Grid of everything mode: a quarter of the official one, since both sides decode every point."""


@click.command()
@click.argument("bundle_path", metavar="BUNDLE", type=BundleFolder(or_mapping=True))
@images_option(required=True)
@checkpoint_option
@runtime_option(multiple=True, with_torch=False)
@recipe_option(multiple=True)
@prompts_option(default=20)
@own_prompts_option
@seed_option
@max_photos_option()
@click.option(
    "--everything-photos",
    type=click.IntRange(0),
    default=1,
    show_default=True,
    help="Number of photos on which everything mode is compared too; 0 for none.",
)
@points_per_side_option
@bound_options
@threads_option
@isolate_option(default=True)
@out_option(OutputFolder(), "Folder for report.html, report.json and junit.xml.", default="validation")
@as_json_option
@command_errors
def command(
    bundle_path: Path,
    images: Path,
    checkpoint: str | None,
    runtimes: tuple[str, ...],
    recipes: tuple[str, ...],
    prompts: int,
    own_prompts: Path | None,
    seed: int,
    max_photos: int | None,
    everything_photos: int,
    threads: int | None,
    isolate: bool,
    out: Path,
    as_json: bool,
) -> None:
    """Run every artifact of BUNDLE on photos and name the first stage that differs from PyTorch.

    BUNDLE is a folder that convert made, or a JSON file that says which tensor of a model converted elsewhere
    is which.  On a failure the classic mistakes are tried (x/y swapped, BGR, missing mean/std, no padding,
    stretched resize, threshold before upsampling, sigmoid twice, 0-1 against 0-255).

    \b
    Examples:
      tinysam-mobile validate bundle --images photos
      tinysam-mobile validate bundle --images photos --runtime tflite --prompts 50 --min-mask-iou 0.98
      tinysam-mobile validate by_hand.json --images photo.jpg --checkpoint tinysam_42.3.pth

    Everything mode is compared with 16 points per side unless --points-per-side says otherwise.

    Exit codes: 0 all passed; 1 something failed; 3 something was not run; 2 wrong usage or bad input.
    """
    from tinysam_mobile.cli.parity_output import finish
    from tinysam_mobile.cli.validate_inputs import open_converted, open_mapping
    from tinysam_mobile.parity.photo_set import PhotoSet
    from tinysam_mobile.parity.validation import validate
    from tinysam_mobile.segment.everything import EverythingConfig

    grid = {"points_per_side": POINTS_PER_SIDE} | given_settings()
    photos = PhotoSet.find(images, own_prompts, max_photos=max_photos, prompts=prompts, seed=seed)
    with progress() as say:
        say("loading the checkpoint")
        open_subject = open_mapping if bundle_path.is_file() else open_converted
        subject = open_subject(bundle_path, checkpoint, runtimes, recipes, given_bounds(), threads, isolate)
        results = validate(
            open_model(subject.checkpoint.model, subject.contract, num_threads=threads),
            subject.sides,
            photos.cases(subject.contract),
            everything=list(photos.cases(subject.contract, first=everything_photos)),
            everything_config=EverythingConfig(**{**subject.everything, **grid}),
            progress=Steps(say, (len(photos.paths) + everything_photos) * (1 + len(subject.sides))),
        )
    for reason in photos.damaged.values():
        warn(f"left out: {reason}")
    finish(report_of(bundle_path, subject.checkpoint, photos, results), out, as_json=as_json)


def report_of(
    subject: Path, checkpoint: Checkpoint, photos: PhotoSet, sides: Sequence[SideResult]
) -> ParityReport:
    """Return what was compared with what, on which prompts, and how it ended."""
    from tinysam_mobile.parity.report_data import ParityReport, environment

    return ParityReport(
        title=subject.name,
        reference={"name": checkpoint.name, "sha256": checkpoint.sha256},
        settings={
            "photos": len(photos.paths) - len(photos.damaged),
            "photos_left_out": photos.damaged,
            "prompts_per_photo": photos.prompts,
            "own_prompts": sum(map(len, photos.own.values())),
            "seed": photos.seed,
        },
        environment=environment(),
        sides=tuple(sides),
    )
