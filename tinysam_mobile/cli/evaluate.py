"""`tinysam-mobile evaluate`: annotations in COCO's or LVIS's format → mIoU, AP and AR of models."""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import click

from tinysam_mobile.cli.distill import joined_processes
from tinysam_mobile.cli.evaluate_inputs import DataChoice, ModelChoice, PlanChoice
from tinysam_mobile.cli.output import command_errors, print_json, print_table, progress
from tinysam_mobile.cli.segment_everything import everything_options
from tinysam_mobile.errors import UsageError
from tinysam_mobile.evaluation.average_precision import METRIC_RULES
from tinysam_mobile.evaluation.baselines import BASELINES, measure_baseline
from tinysam_mobile.evaluation.coco import CocoDataset
from tinysam_mobile.evaluation.comparison import ComparedModel, comparison_files, published_rows
from tinysam_mobile.evaluation.miou import GROUPS, summary
from tinysam_mobile.evaluation.models import ModelUnderTest
from tinysam_mobile.evaluation.prompt_kinds import KINDS
from tinysam_mobile.evaluation.results import open_results
from tinysam_mobile.evaluation.run import Table, figures, measure_photos, plain, wait_for_all
from tinysam_mobile.evaluation.speed import measure_speed
from tinysam_mobile.images import load_image
from tinysam_mobile.simulator.registry import RUNTIMES

__all__ = ["command"]

FOLDER = click.Path(path_type=Path, file_okay=False)
FILE = click.Path(path_type=Path, dir_okay=False)
DEFAULT_PROMPTS = ("box", "point")
HELP = """Measure a model on DATASET, a folder with instances.json (COCO's format) and images/.

Every instance that is no crowd and has at least 100 px counts once, at the photo's own resolution;
miou_box is from its tight box, miou_point from the point farthest from its border, by the mask with the
highest predicted IoU; _best by the best of the three masks.  AP takes that mask for each of --boxes, with
the detector's score.

\b
Examples:
  tinysam-mobile evaluate coco_dev
  tinysam-mobile evaluate coco_dev --checkpoint mobile_sam.pt --baseline filled_box --json
  tinysam-mobile evaluate --annotations instances_val2017.json --images val2017 --boxes vitdet.json
  tinysam-mobile evaluate coco_dev --bundle bundle --runtime tflite --recipe fp16
  tinysam-mobile evaluate coco_dev --compare tinysam_42.3.pth bundle --report comparison
  torchrun --nproc-per-node 4 -m tinysam_mobile evaluate coco_dev --out results
"""


@click.command(help=HELP)
@click.argument("paths", nargs=-1, metavar="[DATASET] [MODEL]...")
@click.option("--annotations", type=FILE, help="Annotation file, in place of DATASET; with --images.")
@click.option("--images", type=FOLDER, help="Folder of the photos.")
@click.option(
    "--dataset",
    "rules",
    type=click.Choice(list(METRIC_RULES)),
    default="coco",
    show_default=True,
    help="Whose rules AP follows.",
)
@click.option("--boxes", type=FILE, help="A detector's boxes (COCO's results JSON): adds AP.")
@click.option(
    "--prompts",
    type=click.Choice(KINDS),
    multiple=True,
    help="Prompts for mIoU; repeatable; box and point by default.",
)
@click.option("--seed", type=int, default=0, show_default=True, help="Seed of random points.")
@click.option("--everything", is_flag=True, help="Also AR and mIoU of everything mode.")
@everything_options
@click.option("--checkpoint", help="Checkpoint to measure; the shipped one by default.")
@click.option("--bundle", type=FOLDER, help="Bundle whose artifacts --runtime runs.")
@click.option("--runtime", type=click.Choice(list(RUNTIMES)), help="What runs the model; torch by default.")
@click.option("--recipe", help="Recipe in the bundle; the first one by default.")
@click.option(
    "--image-size", type=int, help="Side of the model's input in pixels; the checkpoint's by default."
)
@click.option("--compare", is_flag=True, help="Measure each MODEL (checkpoint or bundle), side by side.")
@click.option("--report", type=FOLDER, help="Compare: folder for comparison.md, .json, .csv and .png.")
@click.option("--last", type=int, help="Measure only this many photos from the end (for a validation split).")
@click.option(
    "--baseline", type=click.Choice(list(BASELINES)), multiple=True, help="Also measure this; repeatable."
)
@click.option("--out", type=FOLDER, help="Folder for results per photo; a killed run goes on from there.")
@click.option("--threads", type=int, help="Threads of the runtime.")
@click.option("--json", "as_json", is_flag=True, help="Print the figures as JSON.")
@command_errors
def command(
    paths: tuple[str, ...],
    annotations: Path | None,
    images: Path | None,
    rules: str,
    boxes: Path | None,
    prompts: tuple[str, ...],
    seed: int,
    everything: bool,
    checkpoint: str | None,
    bundle: Path | None,
    runtime: str | None,
    recipe: str | None,
    image_size: int | None,
    compare: bool,
    report: Path | None,
    last: int | None,
    baseline: tuple[str, ...],
    out: Path | None,
    threads: int | None,
    as_json: bool,
) -> None:
    with_folder = annotations is None and bool(paths)
    folder = Path(paths[0]) if with_folder else None
    sources = paths[1:] if with_folder else paths
    if bool(sources) != compare:
        raise UsageError("models after DATASET and --compare go together: evaluate DATASET --compare A B")
    data = DataChoice(folder=folder, annotations=annotations, images=images, rules=rules, last=last)
    plan = PlanChoice(prompts=prompts or DEFAULT_PROMPTS, seed=seed, boxes=boxes, everything=everything)
    choice = ModelChoice(
        checkpoint=checkpoint,
        bundle=bundle,
        runtime=runtime,
        recipe=recipe,
        image_size=image_size,
        threads=threads,
    )
    dataset = data.read()
    models = choice.named(sources, plan.prompts) if compare else [choice.one(plan.prompts)]
    with joined_processes() as (rank, processes), _results_folder(out, processes) as folder_of_results:
        split = _Split(out=folder_of_results, rank=rank, processes=processes)
        tables = [_measure(model, dataset, data, plan, split) for model in models]
    if rank:
        return
    baselines = {name: summary(measure_baseline(name, dataset)) for name in baseline}
    if compare:
        rows = [_row(model, table, dataset) for model, table in zip(models, tables, strict=True)]
        rows += [_baseline_row(name, table) for name, table in baselines.items()]
        _show_comparison(rows + published_rows(rules), dataset, report, as_json)
    else:
        _show({models[0].name: tables[0]} | baselines, dataset, as_json)


@dataclass(frozen=True, kw_only=True)
class _Split:
    """Where the results go, and which of the photos are this process's."""

    out: Path
    rank: int
    processes: int


@contextmanager
def _results_folder(out: Path | None, processes: int) -> Iterator[Path]:
    """--out, or for one process a folder that goes when the command ends."""
    if out is not None:
        yield out
        return
    if processes > 1:
        raise UsageError("several processes need --out, a folder that all of them see")
    with tempfile.TemporaryDirectory() as folder:
        yield Path(folder)


def _measure(
    model: ModelUnderTest, dataset: CocoDataset, data: DataChoice, choice: PlanChoice, split: _Split
) -> Table:
    """The figures of one model on the first process; nothing on the others."""
    plan = choice.plan(data.rules, model.everything)
    results = open_results(split.out, model.name, choice.describe(data, model, plan))
    with progress() as say:
        measure_photos(
            model.open(),
            dataset,
            plan,
            results,
            rank=split.rank,
            processes=split.processes,
            progress=partial(_say_photo, say, model),
        )
    wait_for_all()
    return figures(dataset, plan, results) if split.rank == 0 else {}


def _say_photo(say: Callable[[str], None], model: ModelUnderTest, done: int, total: int) -> None:
    say(f"{model.name} {model.runtime} {model.recipe}: photo {done} of {total}")


def _row(model: ModelUnderTest, table: Table, dataset: CocoDataset) -> ComparedModel:
    """Accuracy and cost; the times are those of the first photo, on this machine as it is now."""
    from tinysam_mobile.evaluation.macs import model_cost

    timings = measure_speed(model.open(), load_image(dataset.images[0].path), runs=3)
    values = plain(table) | {f"{name}_ms": timing.latency_ms for name, timing in timings.items()}
    values["size_mb"] = model.size_bytes / 1e6
    if model.checkpoint:
        cost = model_cost(model.checkpoint.model)
        values |= {"macs_g": cost.macs / 1e9, "parameters_m": sum(cost.parameters.values()) / 1e6}
    return ComparedModel(name=model.name, runtime=model.runtime, recipe=model.recipe, figures=values)


def _baseline_row(name: str, table: Table) -> ComparedModel:
    return ComparedModel(name=name, runtime="baseline", recipe="", figures=plain(table))


def _show_comparison(
    rows: list[ComparedModel], dataset: CocoDataset, report: Path | None, as_json: bool
) -> None:
    about = {"dataset": dataset.name, "photos": len(dataset.images)}
    files = []
    if report:
        title = f"Models on {dataset.name}, {len(dataset.images)} photos"
        files = comparison_files(rows, report, title=title, about=about)
    if as_json:
        entries = [
            {"model": r.name, "runtime": r.runtime, "recipe": r.recipe, "source": r.source, **r.figures}
            for r in rows
        ]
        print_json({**about, "rows": entries, "files": [str(file) for file in files]})
        return
    # Published times of everything mode stay in the report and in JSON.
    shown = ("miou_box", "miou_point", "AP", "AR@1000", "encode_ms", "decode_ms", "size_mb", "macs_g")
    cells = [
        [r.name, r.runtime, r.recipe, *(f"{r.figures[c]:.4g}" if c in r.figures else "" for c in shown)]
        for r in rows
        if not r.figures.keys().isdisjoint(shown)
    ]
    print_table(["model", "runtime", "recipe", *shown], cells, right=shown)
    for file in files:
        click.echo(str(file))


def _show(results: Mapping[str, Table], dataset: CocoDataset, as_json: bool) -> None:
    if as_json:
        print_json({"dataset": dataset.name, "photos": len(dataset.images), "results": results})
        return
    rows = [
        [model, figure, *(f"{row[group]:.4g}" if group in row else "" for group in GROUPS)]
        for model, table in results.items()
        for figure, row in table.items()
        if figure != "spearman"
    ]
    print_table(["model", "figure", *GROUPS], rows, right=list(GROUPS))
    for model, table in results.items():
        for prompt, value in table.get("spearman", {}).items():
            click.echo(f"{model}: Spearman of predicted and real IoU, {prompt} prompts: {value:.3f}")
