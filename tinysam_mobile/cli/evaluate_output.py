"""What `tinysam-mobile evaluate` prints and writes: the figures of models, alone or side by side."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import click

from tinysam_mobile.cli.output import print_json, print_table
from tinysam_mobile.evaluation.coco import CocoDataset
from tinysam_mobile.evaluation.comparison import ComparedModel, comparison_files
from tinysam_mobile.evaluation.miou import GROUPS
from tinysam_mobile.evaluation.models import ModelUnderTest
from tinysam_mobile.evaluation.run import Table, plain
from tinysam_mobile.evaluation.speed import measure_speed
from tinysam_mobile.imaging.images import load_image

__all__ = ["baseline_row", "comparison_row", "show", "show_comparison"]


def comparison_row(model: ModelUnderTest, table: Table, dataset: CocoDataset) -> ComparedModel:
    """Accuracy and cost; the times are those of the first photo, on this machine as it is now."""
    from tinysam_mobile.evaluation.macs import model_cost

    timings = measure_speed(model.open(), load_image(dataset.images[0].path), runs=3)
    values = plain(table) | {f"{name}_ms": timing.latency_ms for name, timing in timings.items()}
    values["size_mb"] = model.size_bytes / 1e6
    if model.checkpoint:
        cost = model_cost(model.checkpoint.model)
        values |= {"macs_g": cost.macs / 1e9, "parameters_m": sum(cost.parameters.values()) / 1e6}
    return ComparedModel(name=model.name, runtime=model.runtime, recipe=model.recipe, figures=values)


def baseline_row(name: str, table: Table) -> ComparedModel:
    """What a baseline reaches; it costs no network."""
    return ComparedModel(name=name, runtime="baseline", recipe="", figures=plain(table))


def show_comparison(
    rows: list[ComparedModel], dataset: CocoDataset, report: Path | None, as_json: bool
) -> None:
    """Print models side by side, and write the files of --report."""
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


def show(results: Mapping[str, Table], dataset: CocoDataset, as_json: bool) -> None:
    """Print the figures of each model by size of the instances."""
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
