"""`tinysam-mobile distill`: prepare photos, cache a teacher, train, export what was trained."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from pathlib import Path

import click

from tinysam_mobile.cli.options import last_option, out_option, threads_option
from tinysam_mobile.cli.output import command_errors, progress
from tinysam_mobile.cli.parameter_types import (
    CheckpointSource,
    InputFile,
    InputFolder,
    Number,
    OutputFile,
    OutputFolder,
)

__all__ = ["command"]

MAX_PHOTOS = 10**7
MAX_STEPS = 10**9
CHECKPOINT = (".safetensors",)


@click.group()
def command() -> None:
    """Train a small network, from masks alone or with a teacher (full-stage distillation).

    \b
    Examples:
      tinysam-mobile distill prepare photos_with_masks --out store/annotated
      tinysam-mobile distill prepare photos --cut-out --out store/plain
      tinysam-mobile distill cache store/plain --teacher sam_tiny.pth --out cache
      tinysam-mobile distill train run.toml --out runs/first
      torchrun --nproc-per-node 2 -m tinysam_mobile.cli distill train run.toml --out runs/first
      tinysam-mobile distill export runs/first --out student.safetensors
      tinysam-mobile distill thresholds student.safetensors photos_with_masks --last 100
    """


@command.command()
@click.argument("photos", type=InputFolder(mend="name a folder of photos, or one with instances.json"))
@out_option(OutputFolder(), "Folder of the photo store to write.")
@click.option(
    "--cut-out", is_flag=True, help="Also cut the object out of the middle of photos without masks."
)
@click.option(
    "--leave-out-last",
    type=click.IntRange(0, MAX_PHOTOS),
    default=0,
    show_default=True,
    help="Number of photos at the end that are kept out of the store, for validation.",
)
@command_errors
def prepare(photos: Path, out: Path, cut_out: bool, leave_out_last: int) -> None:
    """Decode PHOTOS and their masks into a memory-mapped store.

    A folder with instances.json keeps its annotated masks; in a plain folder of photos, masks are found by
    graph-based segmentation.
    """
    from tinysam_mobile.distill.photo_store import write_store
    from tinysam_mobile.distill.prepare import annotated_photos, unlabelled_photos
    from tinysam_mobile.evaluation.coco import CocoDataset, read_coco
    from tinysam_mobile.imaging.photo_files import photos_in

    if (photos / "instances.json").exists():
        data = read_coco(photos)
        kept = data.images[: len(data.images) - leave_out_last]
        found = annotated_photos(CocoDataset(name=data.name, images=kept))
    else:
        photos_in(photos)  # raises if there is none, before a store is begun
        found = unlabelled_photos(photos, cut_out=cut_out)
    click.echo(f"{write_store(found, out)} photos in {out}")


@command.command()
@click.argument(
    "stores",
    nargs=-1,
    required=True,
    type=InputFolder(mend="make a store with 'tinysam-mobile distill prepare'"),
)
@click.option(
    "--teacher", type=CheckpointSource(), help="Checkpoint of the teacher; the shipped one by default."
)
@out_option(OutputFolder(), "Folder of the shards to write; those that are there are kept.")
@command_errors
def cache(stores: tuple[Path, ...], teacher: str | None, out: Path) -> None:
    """Compute the teacher's image embeddings of STORES once; run it again to go on after a kill."""
    from tinysam_mobile.distill.cache import write_cache
    from tinysam_mobile.distill.photo_store import PhotoStore
    from tinysam_mobile.evaluation.processes import joined_processes
    from tinysam_mobile.modeling.checkpoint import load_checkpoint

    loaded = load_checkpoint(teacher)
    with joined_processes() as (rank, count), progress() as say:
        for folder in stores:
            written = write_cache(
                loaded,
                PhotoStore(folder),
                out,
                rank=rank,
                processes=count,
                progress=partial(_say_shard, say, folder),
            )
            click.echo(f"{folder}: {written} shards written by process {rank}")


def _say_shard(say: Callable[[str], None], folder: Path, done: int, total: int) -> None:
    say(f"{folder}: shard {done} of {total}")


@command.command()
@click.argument("config", type=InputFile(suffixes=(".toml",), mend="name a training recipe in TOML"))
@out_option(OutputFolder(), "Folder of the run to write; a run that is there goes on.")
@click.option(
    "--stop-after",
    type=click.IntRange(1, MAX_STEPS),
    help="Stop at this step and leave the rest for another time.",
)
@threads_option
@command_errors
def train(config: Path, out: Path, stop_after: int | None, threads: int | None) -> None:
    """Run the training that CONFIG (TOML) describes; losses go to losses.csv and curves.png in --out."""
    import torch

    from tinysam_mobile.distill.config import read_config
    from tinysam_mobile.distill.progress import plot_curves
    from tinysam_mobile.distill.train import train as run
    from tinysam_mobile.distill.validation import validator
    from tinysam_mobile.evaluation.processes import joined_processes

    if threads:
        torch.set_num_threads(threads)
    settings = read_config(config)
    with joined_processes() as (rank, _):
        run(settings, out, stop_after=stop_after, validate=validator(settings, out))
        if rank == 0:
            plot_curves(out, out / "curves.png")


@command.command()
@click.argument("run", type=InputFolder(mend="make a run with 'tinysam-mobile distill train'"))
@out_option(OutputFile(suffixes=CHECKPOINT), "Checkpoint to write, a .safetensors file.")
@command_errors
def export(run: Path, out: Path) -> None:
    """Write the averaged weights of RUN as a .safetensors checkpoint in fp16."""
    from tinysam_mobile.distill.export import write_run

    write_run(run, out)
    click.echo(f"{out}: {out.stat().st_size} bytes")


@command.command()
@click.argument(
    "checkpoint",
    type=InputFile(suffixes=CHECKPOINT, mend="only .safetensors holds thresholds; see distill export"),
)
@click.argument("photos", type=InputFolder(index="instances.json", mend="name an annotated data set"))
@last_option(default=100)
@click.option(
    "--count",
    type=click.IntRange(1, MAX_PHOTOS),
    default=30,
    show_default=True,
    help="Number of those photos to choose on, evenly spread.",
)
@click.option(
    "--max-masks",
    type=Number(1, 1e6),
    default=100.0,
    show_default=True,
    help="Number of masks per photo that the thresholds may let through on average.",
)
@out_option(OutputFile(suffixes=CHECKPOINT), "Checkpoint to write; CHECKPOINT itself by default.")
@threads_option
@command_errors
def thresholds(
    checkpoint: Path,
    photos: Path,
    last: int,
    count: int,
    max_masks: float,
    out: Path | None,
    threads: int | None,
) -> None:
    """Choose everything-mode thresholds on PHOTOS (with instances.json) and store them in CHECKPOINT."""
    from tinysam_mobile.distill.choose_thresholds import choose_for_checkpoint

    with progress() as say:
        best = choose_for_checkpoint(
            checkpoint,
            photos,
            last=last,
            count=count,
            max_masks=max_masks,
            out=out or checkpoint,
            threads=threads,
            progress=say,
        )
    click.echo(
        f"{out or checkpoint}: {best.settings()}: average recall {best.average_recall:.3f}, "
        f"{best.masks_per_photo:.1f} masks and {best.prompts_per_photo:.0f} prompts per photo"
    )
