"""`tinysam-mobile evaluate`: annotations in COCO's or LVIS's format → mIoU, AP and AR of models."""

from __future__ import annotations

from pathlib import Path

import click

from tinysam_mobile.cli.everything_options import everything_options
from tinysam_mobile.cli.output import command_errors
from tinysam_mobile.errors import UsageError
from tinysam_mobile.evaluation.average_precision import METRIC_RULES
from tinysam_mobile.evaluation.baselines import BASELINES, measure_baseline
from tinysam_mobile.evaluation.comparison import published_rows
from tinysam_mobile.evaluation.miou import summary
from tinysam_mobile.evaluation.prompt_kinds import KINDS
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
    from tinysam_mobile.cli.evaluate_inputs import DataChoice, ModelChoice, PlanChoice
    from tinysam_mobile.cli.evaluate_output import baseline_row, comparison_row, show, show_comparison
    from tinysam_mobile.cli.evaluate_run import measure_models

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
    tables = measure_models(models, dataset, data, plan, out)
    if tables is None:
        return
    baselines = {name: summary(measure_baseline(name, dataset)) for name in baseline}
    if compare:
        rows = [comparison_row(model, table, dataset) for model, table in zip(models, tables, strict=True)]
        rows += [baseline_row(name, table) for name, table in baselines.items()]
        show_comparison(rows + published_rows(rules), dataset, report, as_json)
    else:
        show({models[0].name: tables[0]} | baselines, dataset, as_json)
