"""`tinysam-mobile validate`: every artifact against PyTorch, stage by stage, and a page to read."""

from __future__ import annotations

import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from tinysam_mobile.bundle import Bundle
from tinysam_mobile.cli.bound_options import bound_options, given_bounds
from tinysam_mobile.cli.float_model import checkpoint_of, load_float_model
from tinysam_mobile.cli.output import command_errors, exit_code, print_json, print_table, progress
from tinysam_mobile.errors import UsageError
from tinysam_mobile.everything import EverythingConfig
from tinysam_mobile.parity.bounds import bounds_for
from tinysam_mobile.parity.hand_converted import open_hand_converted, read_mapping
from tinysam_mobile.parity.photo_set import PhotoSet
from tinysam_mobile.parity.report import ParityReport, environment, report_data, write_report
from tinysam_mobile.parity.sides import SideResult
from tinysam_mobile.parity.stages import Stage
from tinysam_mobile.parity.validation import HostSide, bundle_sides, validate
from tinysam_mobile.simulator.registry import RUNTIMES, open_model
from tinysam_mobile.spec import Contract

if TYPE_CHECKING:
    from tinysam_mobile.modeling.checkpoint import Checkpoint

__all__ = ["command", "print_sides"]


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
    finish(bundle_path, subject.checkpoint, photos, results, out, as_json=as_json)


@dataclass(frozen=True, kw_only=True)
class Subject:
    """What is compared with what; `everything` are the checkpoint's thresholds of everything mode."""

    checkpoint: Checkpoint
    contract: Contract
    sides: list[HostSide]
    everything: Mapping[str, Any]


def open_converted(
    folder: Path,
    checkpoint: str | None,
    runtimes: Sequence[str],
    recipes: Sequence[str],
    limits: Mapping[str, float],
    threads: int | None,
) -> Subject:
    """Open a bundle and the float model that it was made from; raises `UsageError` for another one."""
    bundle = Bundle.open(folder)
    sides = bundle_sides(bundle, runtimes=runtimes, recipes=recipes, overrides=limits, num_threads=threads)
    return Subject(
        checkpoint=checkpoint_of(bundle, checkpoint),
        contract=bundle.manifest.contract,
        sides=sides,
        everything=_thresholds(bundle.manifest.everything),
    )


def open_mapping(
    path: Path,
    checkpoint: str | None,
    runtimes: Sequence[str],
    recipes: Sequence[str],
    limits: Mapping[str, float],
    threads: int | None,
) -> Subject:
    """Read the mapping of a model converted elsewhere; it says runtime and recipe itself."""
    if runtimes or recipes:
        raise UsageError(f"{path}: says runtime and recipe itself: leave out --runtime and --recipe")
    mapping = read_mapping(path)
    loaded, contract = load_float_model(checkpoint, slots=mapping.slots)
    known = SideResult(
        name=f"{mapping.runtime} {mapping.recipe}, converted by hand",
        runtime=mapping.runtime,
        recipe=mapping.recipe,
        bounds=bounds_for(mapping.runtime, mapping.recipe, limits),
    )
    side = HostSide(known=known, open=lambda: open_hand_converted(mapping, contract, num_threads=threads))
    return Subject(
        checkpoint=loaded, contract=contract, sides=[side], everything=_thresholds(loaded.everything)
    )


def _thresholds(everything: Mapping[str, Any]) -> dict[str, Any]:
    """The grid is the command's own option."""
    return {name: value for name, value in everything.items() if name != "points_per_side"}


def finish(
    subject: Path,
    checkpoint: Checkpoint,
    photos: PhotoSet,
    sides: Sequence[SideResult],
    out: Path,
    *,
    as_json: bool,
) -> None:
    """Write and print the report, and exit with the code of its verdict."""
    report = ParityReport(
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
    paths = write_report(report, out)
    if as_json:
        print_json(report_data(report))
    else:
        print_sides(sides)
        click.echo(f"report: {paths['report.html']}")
    sys.exit(exit_code([side.verdict for side in sides]))


def print_sides(sides: Sequence[SideResult]) -> None:
    """Print one line per side, and what is wrong with those that did not pass."""
    headers = ["side", "embedding dB", "logits dB", "lowest mask IoU", "mask IoU", "other mask", "verdict"]
    print_table(headers, [_cells(side) for side in sides], right=headers[1:-1])
    for side in sides:
        if side.verdict != "PASSED":
            click.echo(f"{side.name}: {side.answer}")
        if side.explanation is not None:
            click.echo(f"{side.name}: {side.explanation.advice}")


def _cells(side: SideResult) -> list[str]:
    prompts = [prompt for photo in side.photos for prompt in photo.prompts]
    ious = [prompt.mask_iou for prompt in prompts]
    stages = side.stages
    figures = [
        f"{stages[stage].sqnr_db:.1f}" if stage in stages else ""
        for stage in (Stage.EMBEDDING, Stage.LOW_RES_LOGITS)
    ]
    flips = sum(not prompt.argmax_agrees for prompt in prompts)
    shares = (
        [f"{min(ious):.4f}", f"{sum(ious) / len(ious):.4f}", f"{flips} of {len(ious)}"] if ious else [""] * 3
    )
    return [side.name, *figures, *shares, side.verdict]
