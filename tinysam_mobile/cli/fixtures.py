"""`tinysam-mobile fixtures`: photos, prompts and PyTorch's answers for an app to replay."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import click

from tinysam_mobile.bundle.folder import Bundle
from tinysam_mobile.cli.float_model import checkpoint_of
from tinysam_mobile.cli.output import command_errors, print_json, progress
from tinysam_mobile.contract.backend import Backend
from tinysam_mobile.contract.spec import Contract
from tinysam_mobile.device.drawn_photos import drawn_photos
from tinysam_mobile.device.fixtures import write_fixtures
from tinysam_mobile.parity.photo_set import PhotoSet
from tinysam_mobile.parity.prompt_sampling import make_case
from tinysam_mobile.parity.record import record_photo
from tinysam_mobile.parity.stages import PhotoCase, Recording
from tinysam_mobile.simulator.registry import open_model

__all__ = ["command"]


@click.command()
@click.argument("bundle_path", metavar="BUNDLE", type=click.Path(path_type=Path))
@click.option(
    "-o",
    "--out",
    type=click.Path(path_type=Path),
    default=Path("fixtures"),
    show_default=True,
    help="Folder.",
)
@click.option("--images", type=click.Path(path_type=Path), help="Photos; two drawn ones by default.")
@click.option("--checkpoint", help="The float model that BUNDLE was made from; the shipped one by default.")
@click.option("--prompts", type=click.IntRange(1, 1000), default=8, show_default=True, help="Per photo.")
@click.option("--own-prompts", type=click.Path(path_type=Path), help="JSON file of prompts by photo name.")
@click.option("--seed", type=click.IntRange(0), default=0, show_default=True, help="Of the prompts.")
@click.option("--max-photos", type=click.IntRange(1, 1000), default=2, show_default=True, help="By name.")
@click.option("--threads", type=click.IntRange(1), help="Threads of PyTorch.")
@click.option("--overwrite", is_flag=True, help="Replace older fixtures.")
@click.option("--json", "as_json", is_flag=True, help="Print the result as JSON.")
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

    Raw little-endian files and one JSON index, read by Swift and Kotlin without a library; see
    docs/device_loop.md.  The app answers with a dump, which compare-dump judges.

    \b
    Examples:
      tinysam-mobile fixtures bundle -o fixtures
      tinysam-mobile fixtures bundle --images photos --max-photos 5 --prompts 20
    """
    bundle = Bundle.open(bundle_path)
    contract = bundle.manifest.contract
    cases: Iterator[PhotoCase]
    if images is None:
        cases = drawn_cases(contract, count=prompts, seed=seed)
    else:
        photos = PhotoSet.find(images, own_prompts, max_photos=max_photos, prompts=prompts, seed=seed)
        cases = photos.cases(contract)
    with progress() as say:
        say("loading the checkpoint")
        reference = open_model(checkpoint_of(bundle, checkpoint).model, contract, num_threads=threads)
        identity = write_fixtures(out, bundle.manifest, answered(reference, cases, say), overwrite=overwrite)
    files = [path for path in out.rglob("*") if path.is_file()]
    size_bytes = sum(path.stat().st_size for path in files)
    if as_json:
        print_json({"fixtures": str(out), "id": identity, "files": len(files), "size_bytes": size_bytes})
    else:
        click.echo(f"fixtures: {out}, {len(files)} files, {size_bytes / 1e6:.1f} MB, id {identity[:12]}")


def drawn_cases(contract: Contract, *, count: int, seed: int) -> Iterator[PhotoCase]:
    """Yield the drawn photos with `count` prompts each."""
    for name, pixels in drawn_photos().items():
        yield make_case(name, pixels, contract, count=count, seed=seed)


def answered(
    reference: Backend, cases: Iterator[PhotoCase], say: Callable[[str], None]
) -> Iterator[tuple[PhotoCase, Recording]]:
    """Yield each photo with the float model's recording."""
    for case in cases:
        say(f"{case.name}: torch")
        yield case, record_photo(reference, case)
