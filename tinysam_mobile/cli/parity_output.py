"""How `validate` and `compare-dump` end: the report's files, a table of the sides, an exit code."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path

import click

from tinysam_mobile.cli.output import exit_code, print_json, print_table
from tinysam_mobile.device.dumps import DumpInfo
from tinysam_mobile.evaluation.bench import summarise
from tinysam_mobile.parity.report import write_report
from tinysam_mobile.parity.report_data import ParityReport, report_data
from tinysam_mobile.parity.sides import SideResult
from tinysam_mobile.parity.stages import Stage

__all__ = ["finish"]


def finish(report: ParityReport, out: Path, *, device: DumpInfo | None = None, as_json: bool) -> None:
    """Write and print the report, and exit with the code of its verdict."""
    paths = write_report(report, out)
    if as_json:
        print_json(report_data(report))
    else:
        if device is not None:
            print_device(device)
        print_sides(report.sides)
        click.echo(f"report: {paths['report.html']}")
    sys.exit(exit_code([side.verdict for side in report.sides]))


def print_device(info: DumpInfo) -> None:
    """Print what the device says of itself and of its speed."""
    click.echo(f"device: {info.device_model}, {info.os}, {info.runtime} {info.recipe} on {info.compute_unit}")
    click.echo(f"thermal state: {info.thermal_before} before, {info.thermal_after} after")
    steps = [(step, summarise(figures)) for step, figures in info.latency_ms.items() if figures]
    if steps:
        rows = [[step, str(s.runs), f"{s.median_ms:.1f}", f"{s.p90_ms:.1f}"] for step, s in steps]
        headers = ["step on the device", "runs", "median ms", "p90 ms"]
        print_table(headers, rows, right=headers[1:])


def print_sides(sides: Sequence[SideResult]) -> None:
    """Print one line per side, and what is wrong with those that did not pass."""
    headers = [
        "runtime and recipe",
        "embedding dB",
        "logits dB",
        "lowest mask IoU",
        "mask IoU",
        "other mask",
        "verdict",
    ]
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
