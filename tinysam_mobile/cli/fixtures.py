"""`tinysam-mobile fixtures`: photos, prompts and PyTorch's answers for an app to replay."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import click

from tinysam_mobile.bundle.folder import Bundle
from tinysam_mobile.cli.options import (
    as_json_option,
    bundle_argument,
    checkpoint_option,
    images_option,
    max_photos_option,
    out_option,
    overwrite_option,
    own_prompts_option,
    prompts_option,
    seed_option,
    threads_option,
)
from tinysam_mobile.cli.output import command_errors, print_json, progress, warn
from tinysam_mobile.cli.parameter_types import OutputFolder
from tinysam_mobile.contract.steps import Steps
from tinysam_mobile.device.answers import answered, drawn_cases
from tinysam_mobile.device.drawn_photos import SIZES as DRAWN_PHOTOS
from tinysam_mobile.device.fixtures import write_fixtures
from tinysam_mobile.device.layout import FIXTURES_INDEX
from tinysam_mobile.parity.float_model import checkpoint_of
from tinysam_mobile.parity.photo_set import PhotoSet
from tinysam_mobile.parity.stages import PhotoCase
from tinysam_mobile.simulator.registry import open_model

__all__ = ["command"]


@click.command()
@bundle_argument
@out_option(OutputFolder(marker=FIXTURES_INDEX), "Folder of fixtures to write.", default="fixtures")
@images_option(text="Folder of photos, or one photo; two photos that the command draws by default.")
@checkpoint_option
@prompts_option(default=8)
@own_prompts_option
@seed_option
@max_photos_option(default=2)
@threads_option
@overwrite_option
@as_json_option
@command_errors
def command(
    bundle_path: Path,
    out: Path,
    images: Path | None,
    checkpoint: str | None,
    prompts: int,
    own_prompts: Path | None,
    seed: int,
    max_photos: int,
    threads: int | None,
    overwrite: bool,
    as_json: bool,
) -> None:
    """Write inputs, prompts and expected outputs of every stage, for an app that runs BUNDLE to replay.

    Raw little-endian files and one JSON index that names them, read by Swift and Kotlin without a library.
    The app answers with a dump, which compare-dump judges.

    \b
    Examples:
      tinysam-mobile fixtures bundle -o fixtures
      tinysam-mobile fixtures bundle --images photos --max-photos 5 --prompts 20
    """
    bundle = Bundle.open(bundle_path)
    contract = bundle.manifest.contract
    cases: Iterator[PhotoCase]
    photos: PhotoSet | None = None
    if images is None:
        cases = drawn_cases(contract, count=prompts, seed=seed)
    else:
        photos = PhotoSet.find(images, own_prompts, max_photos=max_photos, prompts=prompts, seed=seed)
        cases = photos.cases(contract)
    with progress() as say:
        say("loading the checkpoint")
        reference = open_model(checkpoint_of(bundle, checkpoint).model, contract, num_threads=threads)
        steps = Steps(say, len(photos.paths) if photos else len(DRAWN_PHOTOS))
        identity = write_fixtures(
            out, bundle.manifest, answered(reference, cases, steps), overwrite=overwrite
        )
    for reason in photos.damaged.values() if photos else ():
        warn(f"left out: {reason}")
    files = [path for path in out.rglob("*") if path.is_file()]
    size_bytes = sum(path.stat().st_size for path in files)
    if as_json:
        print_json({"fixtures": str(out), "id": identity, "files": len(files), "size_bytes": size_bytes})
    else:
        click.echo(f"fixtures: {out}, {len(files)} files, {size_bytes / 1e6:.1f} MB, id {identity[:12]}")
