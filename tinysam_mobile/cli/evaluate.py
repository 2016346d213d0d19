"""`tinysam-mobile evaluate`: annotations in COCO's or LVIS's format → mIoU, AP and AR of models."""

from __future__ import annotations

from pathlib import Path

import click

from tinysam_mobile.cli.everything_options import everything_options
from tinysam_mobile.cli.model_source import ModelSource
from tinysam_mobile.cli.options import (
    as_json_option,
    boxes_option,
    bundle_option,
    checkpoint_option,
    everything_option,
    image_size_option,
    images_option,
    isolate_option,
    last_option,
    out_option,
    recipe_option,
    runtime_option,
    seed_option,
    threads_option,
)
from tinysam_mobile.cli.output import command_errors, warn
from tinysam_mobile.cli.parameter_types import InputFile, ModelSourceName, OutputFolder
from tinysam_mobile.errors import UsageError
from tinysam_mobile.evaluation.average_precision import METRIC_RULES
from tinysam_mobile.evaluation.baselines import BASELINES, measure_baseline
from tinysam_mobile.evaluation.comparison import published_rows
from tinysam_mobile.evaluation.miou import summary
from tinysam_mobile.evaluation.prompt_kinds import KINDS

__all__ = ["command"]

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
@click.option(
    "--annotations",
    type=InputFile(suffixes=(".json",), mend="name a JSON file of COCO's or LVIS's format"),
    help="Annotation file, in place of DATASET; goes with --images.",
)
@images_option(only_folder=True, text="Folder of the photos that --annotations is about.")
@click.option(
    "--dataset",
    "rules",
    type=click.Choice(list(METRIC_RULES)),
    default="coco",
    show_default=True,
    help="Data set whose rules AP follows.",
)
@boxes_option("Boxes of a detector in COCO's results format; adds AP.")
@click.option(
    "--prompt-kind",
    "kinds",
    type=click.Choice(KINDS),
    multiple=True,
    help="Kind of prompt for mIoU; repeatable; box and point by default.",
)
@seed_option
@everything_option
@everything_options
@checkpoint_option
@bundle_option
@runtime_option(default="the bundle's first format (torch if there is no bundle)")
@recipe_option()
@image_size_option
@click.option("--compare", is_flag=True, help="Measure each MODEL (checkpoint or bundle), side by side.")
@click.option(
    "--report",
    type=OutputFolder(),
    help="With --compare: folder for comparison.md, .json, .csv and .png.",
)
@last_option()
@click.option(
    "--baseline",
    type=click.Choice(list(BASELINES)),
    multiple=True,
    help="Also measure this way to guess a mask without a network; repeatable.",
)
@out_option(OutputFolder(), "Folder for results per photo, from which a killed run goes on; none by default.")
@threads_option
@isolate_option(default=False)
@as_json_option
@command_errors
def command(
    paths: tuple[str, ...],
    annotations: Path | None,
    images: Path | None,
    rules: str,
    box_file: Path | None,
    kinds: tuple[str, ...],
    seed: int,
    everything: bool,
    checkpoint: str | None,
    bundle_path: Path | None,
    runtime: str | None,
    recipe: str | None,
    image_size: int | None,
    compare: bool,
    report: Path | None,
    last: int | None,
    baseline: tuple[str, ...],
    out: Path | None,
    threads: int | None,
    isolate: bool,
    as_json: bool,
) -> None:
    from tinysam_mobile.cli.evaluate_inputs import PlanChoice
    from tinysam_mobile.cli.evaluate_output import baseline_row, comparison_row, show, show_comparison
    from tinysam_mobile.cli.evaluate_run import measure_models
    from tinysam_mobile.evaluation.data_choice import DataChoice

    with_folder = annotations is None and bool(paths)
    folder = Path(paths[0]) if with_folder else None
    sources = paths[1:] if with_folder else paths
    if bool(sources) != compare:
        raise UsageError("models after DATASET and --compare go together: evaluate DATASET --compare A B")
    data = DataChoice(folder=folder, annotations=annotations, images=images, rules=rules, last=last)
    plan = PlanChoice(prompts=kinds or DEFAULT_PROMPTS, seed=seed, boxes=box_file, everything=everything)
    choice = ModelSource(
        checkpoint=checkpoint,
        bundle=bundle_path,
        runtime=runtime,
        recipe=recipe,
        image_size=image_size,
        threads=threads,
        isolate=isolate,
    )
    sources = tuple(ModelSourceName()(source) for source in sources)
    if not compare:
        choice.check()
    dataset = data.read()
    warn(_about_areas(data.file, dataset.without_area))
    models = choice.named(sources, slots=plan.slots) if compare else [choice.model(slots=plan.slots)]
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


def _about_areas(file: Path, count: int) -> str | None:
    if not count:
        return None
    return f"{file}: {count} annotations tell no area (none, null or 0); the area of their masks is taken"
