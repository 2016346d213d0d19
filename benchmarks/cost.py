"""What a model costs on this machine: parameters, MACs, peak memory, latency and throughput.

    python -m benchmarks.cost                                     the shipped checkpoint
    python -m benchmarks.cost --quick                             fewer runs, everything mode with one grid
    python -m benchmarks.cost tinysam_42.3.pth bundle --grids 16,32,64 --threads 2

A checkpoint runs on torch, a bundle on each of its artifacts; each in a process of its own, since peak memory
is that of a process.  Times are on the wall clock after a warm-up, median and quarter points; everything mode
runs once without one.  `photo_50_boxes` is the survey's protocol.
"""

from __future__ import annotations

import json
import subprocess
import sys
from dataclasses import asdict
from pathlib import Path
from typing import Any

import click
import numpy as np

from benchmarks.record import save
from tinysam_mobile.bundle.folder import Bundle
from tinysam_mobile.evaluation.macs import model_cost
from tinysam_mobile.evaluation.models import ModelUnderTest, bundle_models, checkpoint_model, is_bundle
from tinysam_mobile.evaluation.speed import measure_everything_speed, measure_speed, peak_memory_bytes
from tinysam_mobile.segment.everything import EverythingConfig

ROOT = Path(__file__).parents[1]
PHOTO_SIZE = (600, 800)
SLOTS = 2
QUICK_RUNS, QUICK_GRIDS = 3, "16"


def photo() -> np.ndarray[Any, np.dtype[np.uint8]]:
    """Smooth noise with edges; what a network does takes the same time on any pixels."""
    rng = np.random.default_rng(0)
    coarse = rng.integers(0, 255, (PHOTO_SIZE[0] // 50, PHOTO_SIZE[1] // 50, 3), np.uint8)
    return np.kron(coarse, np.ones((50, 50, 1), np.uint8))


def variants(source: str) -> list[tuple[str, str | None, str | None]]:
    """(source, runtime, recipe) of a checkpoint, or of each artifact of a bundle."""
    if not is_bundle(source):
        return [(source, None, None)]
    artifacts = Bundle.open(Path(source)).manifest.artifacts
    return list(dict.fromkeys((source, a.runtime, a.recipe) for a in artifacts))


def opened(source: str, runtime: str | None, recipe: str | None, threads: int) -> ModelUnderTest:
    """The model of one variant."""
    if runtime is None:
        return checkpoint_model(source or None, slots=SLOTS, threads=threads)
    (model,) = bundle_models(Path(source), runtime=runtime, recipe=recipe, threads=threads)
    return model


def measured(model: ModelUnderTest, grids: tuple[int, ...], runs: int) -> dict[str, Any]:
    """Everything about one model, in this process."""
    before = peak_memory_bytes()
    backend = model.open()
    timings = measure_speed(backend, photo(), runs=runs)
    row: dict[str, Any] = {
        "model": model.name,
        "runtime": model.runtime,
        "recipe": model.recipe,
        "size_bytes": model.size_bytes,
        "peak_memory_bytes": peak_memory_bytes(),
        "peak_memory_before_bytes": before,
    }
    config = EverythingConfig(**model.everything)
    timings |= measure_everything_speed(backend, photo(), config, grids=grids)
    row["timings"] = {name: timing.to_json() for name, timing in timings.items()}
    if model.checkpoint:
        row |= asdict(model_cost(model.checkpoint.model))
    return row


def print_row(row: dict[str, Any]) -> None:
    """Print one model on a few lines."""
    name = f"{row['model']} {row['runtime']} {row['recipe']}"
    click.echo(f"{name}: {row['size_bytes'] / 1e6:.2f} MB, peak {row['peak_memory_bytes'] / 1e6:.0f} MB")
    if "encode_macs" in row:
        parameters = sum(row["parameters"].values()) / 1e6
        click.echo(
            f"  {parameters:.2f} M parameters, encode {row['encode_macs'] / 1e9:.3f} GMAC, "
            f"decode {row['decode_macs'] / 1e9:.3f} GMAC"
        )
    for timing, value in row["timings"].items():
        low, high = value["lower_quartile_ms"], value["upper_quartile_ms"]
        click.echo(
            f"  {timing}: {value['latency_ms']:.1f} ms ({low:.1f} … {high:.1f}), {value['per_s']:.2f}/s"
        )


@click.command()
@click.argument("sources", nargs=-1)
@click.option("--threads", type=int, default=1, show_default=True)
@click.option("--runs", type=int, default=5, show_default=True, help="Timed runs after one to warm up.")
@click.option("--grids", default="16,32,64", show_default=True, help="Grids of everything mode; empty: none.")
@click.option("--quick", is_flag=True, help=f"{QUICK_RUNS} runs, grid {QUICK_GRIDS}; for a busy machine.")
@click.option("--note", default="", help="What else the machine was doing, kept in the result.")
@click.option("--name", default="cost", show_default=True, help="Name of the result in benchmarks/results.")
@click.option("--worker", type=(str, str, str), hidden=True, default=None)
def main(
    sources: tuple[str, ...],
    threads: int,
    runs: int,
    grids: str,
    quick: bool,
    note: str,
    name: str,
    worker: tuple[str, str, str] | None,
) -> None:
    """Measure SOURCES (checkpoints, bundles; the shipped checkpoint by default) and save the figures."""
    if quick:
        runs, grids = QUICK_RUNS, QUICK_GRIDS
    sides = tuple(int(side) for side in grids.split(",") if side)
    if worker:
        source, runtime, recipe = worker
        model = opened(source, runtime or None, recipe or None, threads)
        click.echo(json.dumps(measured(model, sides, runs)))
        return
    rows = []
    for variant in [v for source in sources or ("",) for v in variants(source)]:
        options = ["--threads", str(threads), "--runs", str(runs), "--grids", grids]
        arguments = ["--worker", *(part or "" for part in variant)]
        command = [sys.executable, "-W", "ignore", "-m", "benchmarks.cost", *options, *arguments]
        done = subprocess.run(command, cwd=ROOT, stdout=subprocess.PIPE, text=True, check=True)
        rows.append(json.loads(done.stdout.splitlines()[-1]))
        print_row(rows[-1])
    result = {"note": note, "threads": threads, "photo_size": list(PHOTO_SIZE), "models": rows}
    click.echo(save(name, result))


if __name__ == "__main__":
    main()
