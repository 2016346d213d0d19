"""`tinysam-mobile validate`: every artifact against PyTorch, stage by stage, and a page to read."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import click

from tinysam_mobile.cli.bound_options import bound_options, given_bounds
from tinysam_mobile.cli.output import command_errors, progress
from tinysam_mobile.simulator.registry import RUNTIMES, open_model

if TYPE_CHECKING:
    from tinysam_mobile.modeling.checkpoint import Checkpoint
    from tinysam_mobile.parity.photo_set import PhotoSet
    from tinysam_mobile.parity.report_data import ParityReport
    from tinysam_mobile.parity.sides import SideResult

__all__ = ["command"]


@click.command()
@click.argument("bundle_path", metavar="BUNDLE", type=click.Path(path_type=Path))
@click.option(
    "--images", type=click.Path(path_type=Path), required=True, help="Folder of photos, or one photo."
)
@click.option("--checkpoint", help="The float model that BUNDLE was made from; the shipped one by default.")
@click.option(
    "--runtime", "runtimes", multiple=True, type=click.Choice(list(RUNTIMES)[1:]), help="Repeatable."
)
@click.option("--recipe", "recipes", multiple=True, help="Repeatable; all in the bundle by default.")
@click.option("--prompts", type=click.IntRange(1), default=20, show_default=True, help="Prompts per photo.")
@click.option("--own-prompts", type=click.Path(path_type=Path), help="JSON file of prompts by photo name.")
@click.option("--seed", type=click.IntRange(0), default=0, show_default=True, help="Of the prompts.")
@click.option("--max-photos", type=click.IntRange(1), help="Only the first photos, by name.")
@click.option(
    "--everything",
    type=click.IntRange(0),
    default=1,
    show_default=True,
    help="Photos for everything mode.",
)
@click.option(
    "--points-per-side",
    type=click.IntRange(4),
    default=16,
    show_default=True,
    help="Grid of everything mode.",
)
@bound_options
@click.option("--threads", type=click.IntRange(1), help="Threads of every runtime.")
@click.option(
    "--out",
    type=click.Path(path_type=Path),
    default=Path("validation"),
    show_default=True,
    help="Folder for report.html, report.json and junit.xml.",
)
@click.option("--json", "as_json", is_flag=True, help="Print report.json.")
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
    everything: int,
    points_per_side: int,
    threads: int | None,
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

    Exit codes: 0 all passed; 1 something failed; 3 something was not run; 2 wrong usage or bad input.
    """
    from tinysam_mobile.cli.parity_output import finish
    from tinysam_mobile.cli.validate_inputs import open_converted, open_mapping
    from tinysam_mobile.parity.photo_set import PhotoSet
    from tinysam_mobile.parity.validation import validate
    from tinysam_mobile.segment.everything import EverythingConfig

    photos = PhotoSet.find(images, own_prompts, max_photos=max_photos, prompts=prompts, seed=seed)
    with progress() as say:
        say("loading the checkpoint")
        open_subject = open_mapping if bundle_path.is_file() else open_converted
        subject = open_subject(bundle_path, checkpoint, runtimes, recipes, given_bounds(), threads)
        results = validate(
            open_model(subject.checkpoint.model, subject.contract, num_threads=threads),
            subject.sides,
            photos.cases(subject.contract),
            everything=list(photos.cases(subject.contract, first=everything)),
            everything_config=EverythingConfig(**subject.everything, points_per_side=points_per_side),
            progress=say,
        )
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
            "photos": len(photos.paths),
            "prompts_per_photo": photos.prompts,
            "own_prompts": sum(map(len, photos.own.values())),
            "seed": photos.seed,
        },
        environment=environment(),
        sides=tuple(sides),
    )
