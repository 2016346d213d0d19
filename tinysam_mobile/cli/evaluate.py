"""`tinysam-mobile evaluate`: annotations in COCO's format → mIoU."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import click

from tinysam_mobile.cli.output import command_errors, print_json, print_table, progress
from tinysam_mobile.errors import DatasetError, UsageError
from tinysam_mobile.evaluation.baselines import BASELINES, measure_baseline
from tinysam_mobile.evaluation.coco import CocoDataset, read_coco
from tinysam_mobile.evaluation.miou import measure, summary
from tinysam_mobile.exportable import contract_of
from tinysam_mobile.modeling.checkpoint import load_checkpoint
from tinysam_mobile.simulator.registry import open_model

__all__ = ["command"]

GROUPS = ("small", "medium", "large", "medium_large", "all")
Table = Mapping[str, Mapping[str, float]]


@click.command()
@click.argument("dataset", type=click.Path(path_type=Path))
@click.option("--checkpoint", help="Checkpoint to measure; the shipped one by default.")
@click.option(
    "--image-size", type=int, help="Side of the model's input in pixels; the checkpoint's by default."
)
@click.option("--last", type=int, help="Measure only this many photos from the end (for a validation split).")
@click.option(
    "--baseline", type=click.Choice(list(BASELINES)), multiple=True, help="Also measure this; repeatable."
)
@click.option("--threads", type=int, help="Threads of torch.")
@click.option("--json", "as_json", is_flag=True, help="Print the figures as JSON.")
@command_errors
def command(
    dataset: Path,
    checkpoint: str | None,
    image_size: int | None,
    last: int | None,
    baseline: tuple[str, ...],
    threads: int | None,
    as_json: bool,
) -> None:
    """Measure mIoU on DATASET, a folder with instances.json (COCO's format) and images/.

    Every instance that is no crowd and has at least 100 px counts once, at the photo's own resolution;
    miou_box is from its tight box, miou_point from the point farthest from its border, by the mask with the
    highest predicted IoU; _best by the best of the three masks.

    \b
    Examples:
      tinysam-mobile evaluate coco_dev
      tinysam-mobile evaluate coco_dev --checkpoint mobile_sam.pt --baseline filled_box --json
    """
    data = _last(read_coco(dataset), last)
    loaded = load_checkpoint(checkpoint, image_size=image_size)
    backend = open_model(loaded.model, contract_of(loaded.model, slots=2), num_threads=threads)
    results: dict[str, Table] = {}
    with progress() as say:
        measured = measure(backend, data, progress=lambda done, total: say(f"photo {done} of {total}"))
        results[loaded.name] = summary(list(measured))
        for name in baseline:
            say(f"baseline {name}")
            results[name] = summary(list(measure_baseline(name, data)))
    if as_json:
        print_json({"dataset": data.name, "photos": len(data.images), "results": results})
    else:
        _print(results)


def _last(data: CocoDataset, count: int | None) -> CocoDataset:
    if count is not None and count < 1:
        raise UsageError(f"--last must be at least 1, not {count}")
    images = data.images if count is None else data.images[-count:]
    if not images:
        raise DatasetError(f"{data.name}: has no images to measure on")
    return CocoDataset(name=data.name, images=images)


def _print(results: Mapping[str, Table]) -> None:
    rows = [
        [model, figure, *(f"{row[group]:.4g}" if group in row else "" for group in GROUPS)]
        for model, table in results.items()
        for figure, row in table.items()
        if figure != "spearman"
    ]
    print_table(["model", "figure", *GROUPS], rows, right=GROUPS)
    for model, table in results.items():
        for prompt, value in table.get("spearman", {}).items():
            click.echo(f"{model}: Spearman of predicted and real IoU, {prompt} prompts: {value:.3f}")
