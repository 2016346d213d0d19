"""`tinysam-mobile validate`: every artifact against PyTorch, stage by stage, and a page to read."""

from __future__ import annotations

from pathlib import Path

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

__all__ = ["command"]


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
    from tinysam_mobile.parity.photo_set import PhotoSet
    from tinysam_mobile.parity.subject import Asked
    from tinysam_mobile.parity.validate import EVERYTHING_GRID, validate_photos

    photos = PhotoSet.find(images, own_prompts, max_photos=max_photos, prompts=prompts, seed=seed)
    asked = Asked(
        checkpoint=checkpoint,
        runtimes=runtimes,
        recipes=recipes,
        bounds=given_bounds(),
        threads=threads,
        isolate=isolate,
    )
    with progress() as say:
        report = validate_photos(
            bundle_path,
            asked,
            photos,
            everything_photos=everything_photos,
            everything=EVERYTHING_GRID | given_settings(),
            progress=say,
        )
    for reason in photos.damaged.values():
        warn(f"left out: {reason}")
    finish(report, out, as_json=as_json)
