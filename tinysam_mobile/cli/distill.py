"""`tinysam-mobile distill`: prepare photos, cache a teacher, train, export what was trained."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

import click

from tinysam_mobile.cli.options import image_size_option, last_option, out_option, threads_option
from tinysam_mobile.cli.output import command_errors, progress
from tinysam_mobile.cli.parameter_types import (
    CheckpointSource,
    InputFile,
    InputFolder,
    Number,
    OutputFile,
    OutputFolder,
)
from tinysam_mobile.errors import UsageError

if TYPE_CHECKING:
    from tinysam_mobile.distill.prepare import ObjectFinder

__all__ = ["command"]

MAX_PHOTOS = 10**7
MAX_STEPS = 10**9
MAX_WORKERS = 256
CHECKPOINT = (".safetensors",)

workers_option = click.option(
    "--workers",
    type=click.IntRange(0, MAX_WORKERS),
    default=0,
    show_default=True,
    help="Processes that read and compose photos; 0 does it without any.",
)


@click.group()
def command() -> None:
    """Train a small network, from masks alone or with a teacher (full-stage distillation).

    \b
    Examples:
      tinysam-mobile distill prepare photos_with_masks --out store/annotated
      tinysam-mobile distill prepare photos --cut-out --out store/plain
      tinysam-mobile distill cutouts /usr/share/openclipart/png --out store/clip_art
      tinysam-mobile distill cache store/plain --teacher sam_tiny.pth --out cache
      tinysam-mobile distill train run.toml --out runs/first
      torchrun --nproc-per-node 2 -m tinysam_mobile distill train run.toml --out runs/first
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
@click.option(
    "--salient",
    type=InputFile(suffixes=(".onnx",), mend="see distill/salient.py for where it comes from"),
    help="ONNX file of IS-Net, which finds the main object of photos without masks (see distill/salient.py).",
)
@click.option(
    "--hold-back-every",
    type=click.IntRange(0, MAX_PHOTOS),
    default=0,
    help="Leave every N-th photo without masks for validation.",
)
@click.option(
    "--only-held-back", is_flag=True, help="Store just the photos left out by the two options above."
)
@command_errors
def prepare(
    photos: Path,
    out: Path,
    cut_out: bool,
    leave_out_last: int,
    salient: Path | None,
    hold_back_every: int,
    only_held_back: bool,
) -> None:
    """Decode PHOTOS and their masks into a memory-mapped store.

    A folder with instances.json keeps its annotated masks; in a plain folder of photos, masks are found by
    graph-based segmentation.
    """
    from tinysam_mobile.distill.photo_store import write_store
    from tinysam_mobile.distill.prepare import annotated_photos, plain_photos, unlabelled_photos
    from tinysam_mobile.evaluation.coco import CocoDataset, read_coco

    if (photos / "instances.json").exists():
        data = read_coco(photos)
        border = len(data.images) - leave_out_last
        kept = data.images[border:] if only_held_back else data.images[:border]
        found = annotated_photos(CocoDataset(name=data.name, images=kept))
    else:
        # Raises if there is no photo, before a store is begun.
        paths = plain_photos(photos, hold_back_every=hold_back_every, held_back=only_held_back)
        found = unlabelled_photos(paths, source=photos.name, find_objects=_object_finder(cut_out, salient))
    click.echo(f"{write_store(found, out)} photos in {out}")


@command.command()
@click.argument("source", type=click.Path(path_type=Path, exists=True))
@out_option(OutputFolder(), "Folder of the store of things to write.")
@command_errors
def cutouts(source: Path, out: Path) -> None:
    """Store things to paste into scenes: the clip art below folder SOURCE, or the emoji of font SOURCE."""
    from tinysam_mobile.distill.cutouts import clip_art, emoji
    from tinysam_mobile.distill.photo_store import write_store

    found = clip_art(source) if source.is_dir() else emoji(source)
    click.echo(f"{write_store(found, out)} things in {out}")


@command.command()
@click.argument(
    "stores", nargs=-1, required=True, type=InputFolder(index="index.json", mend="make a store with prepare")
)
@out_option(OutputFile(suffixes=(".zip",)), "Packed store to write, a .zip file of at most 64 MiB.")
@click.option(
    "--side",
    type=click.IntRange(32, 4096),
    default=256,
    show_default=True,
    help="Longest side of a packed photo, in pixels.",
)
@click.option(
    "--quality",
    type=click.IntRange(1, 100),
    default=75,
    show_default=True,
    help="Quality of the photos, as WebP's.",
)
@command_errors
def pack(stores: tuple[Path, ...], out: Path, side: int, quality: int) -> None:
    """Pack photo STORES into one small file, to train on a machine that is lent for minutes.

    \b
    Example, the second and third commands on the other machine:
      tinysam-mobile distill pack runs/store/photos --out photos.zip
      tinysam-mobile distill unpack photos.zip --out runs/store/photos --workers 8
      tinysam-mobile distill train run.toml --out runs/long --device cuda --workers 8 --minutes 9
    """
    from tinysam_mobile.distill.packed import pack as write
    from tinysam_mobile.distill.photo_store import PhotoStore

    count = write([PhotoStore(folder) for folder in stores], out, side=side, quality=quality)
    click.echo(f"{count} photos in {out} ({out.stat().st_size / 2**20:.1f} MiB)")


@command.command()
@click.argument(
    "packed", type=InputFile(suffixes=(".zip",), mend="make one with 'tinysam-mobile distill pack'")
)
@out_option(OutputFolder(), "Folder of the photo store to write.")
@workers_option
@command_errors
def unpack(packed: Path, out: Path, workers: int) -> None:
    """Turn a file that `distill pack` wrote into a photo store again."""
    from tinysam_mobile.distill.packed import unpacked
    from tinysam_mobile.distill.photo_store import write_store

    click.echo(f"{write_store(unpacked(packed, workers=max(workers, 1)), out)} photos in {out}")


def _object_finder(cut_out: bool, salient: Path | None) -> ObjectFinder | None:
    if salient:
        from tinysam_mobile.distill.salient import SalientObjects, separate_objects

        network = SalientObjects(salient)
        return lambda pixels: separate_objects(network.probabilities(pixels))
    if cut_out:
        from tinysam_mobile.distill.regions import centred_object

        return centred_object
    return None


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
@click.option(
    "--device",
    type=click.Choice(["cpu", "cuda"]),
    default="cpu",
    show_default=True,
    help="Where to train: cpu, or one accelerator.",
)
@click.option(
    "--minutes",
    type=Number(min=0, min_open=True),
    help="End after so many minutes, the learning rate falling with the clock (for a borrowed machine).",
)
@workers_option
@command_errors
def train(
    config: Path,
    out: Path,
    stop_after: int | None,
    threads: int | None,
    device: str,
    minutes: float | None,
    workers: int,
) -> None:
    """Run the training that CONFIG (TOML) describes; losses go to losses.csv and curves.png in --out."""
    import torch

    from tinysam_mobile.distill.config import read_config
    from tinysam_mobile.distill.progress import plot_curves
    from tinysam_mobile.distill.train import train as run
    from tinysam_mobile.distill.validation import validator
    from tinysam_mobile.evaluation.processes import joined_processes

    if threads:
        torch.set_num_threads(threads)
    if device == "cuda" and not torch.cuda.is_available():
        raise UsageError("--device cuda: torch finds no CUDA here; install a CUDA build of torch or use cpu")
    settings = read_config(config)
    with joined_processes() as (rank, _):
        check = validator(settings, out)
        run(
            settings,
            out,
            stop_after=stop_after,
            minutes=minutes,
            workers=workers,
            validate=check,
            device=torch.device(device),
        )
        if rank == 0:
            plot_curves(out, out / "curves.png")


@command.command()
@click.argument("checkpoint", type=InputFile(suffixes=CHECKPOINT, mend="name a .safetensors checkpoint"))
@click.argument("config", type=InputFile(suffixes=(".toml",), mend="name a training recipe in TOML"))
@image_size_option
@command_errors
def score(checkpoint: Path, config: Path, image_size: int | None) -> None:
    """Measure CHECKPOINT on the held-back scenes of the run that CONFIG (TOML) describes."""
    from tinysam_mobile.distill.config import read_config
    from tinysam_mobile.distill.scene_validation import figures_of, held_back_scenes
    from tinysam_mobile.modeling.checkpoint import load_checkpoint

    model = load_checkpoint(checkpoint, image_size=image_size).model
    scenes = held_back_scenes(read_config(config), model.config.image_size)
    for name, value in figures_of(model, scenes).items():
        click.echo(f"{name:24} {value:.3f}")


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
