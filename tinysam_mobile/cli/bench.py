"""`tinysam-mobile bench`: latency, load time and memory of bundles on this machine, of phones from dumps."""

from __future__ import annotations

import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import click

from tinysam_mobile.bundle.folder import Bundle
from tinysam_mobile.cli.options import (
    as_json_option,
    fixtures_option,
    recipe_option,
    runtime_option,
    threads_option,
)
from tinysam_mobile.cli.output import command_errors, exit_code, print_json, print_table, progress
from tinysam_mobile.cli.parameter_types import BundleFolder, InputFile
from tinysam_mobile.contract.steps import Steps
from tinysam_mobile.device.dumps import DumpInfo, read_devices
from tinysam_mobile.errors import UsageError
from tinysam_mobile.evaluation.bench import (
    BenchRequest,
    BenchResult,
    host_machine,
    measurable,
    measure,
    summarise,
)
from tinysam_mobile.simulator.registry import runtime_named

__all__ = ["command"]

MAX_RUNS = 100_000
STEPS = ("encode", "decode", "decode_batch", "score_batch")


@click.command()
@click.argument("bundles", nargs=-1, type=BundleFolder())
@runtime_option(multiple=True, with_torch=False)
@recipe_option(multiple=True)
@threads_option
@click.option(
    "--runs",
    type=click.IntRange(1, MAX_RUNS),
    default=20,
    show_default=True,
    help="Number of calls that are counted, per entry point.",
)
@click.option(
    "--warm-up",
    type=click.IntRange(0, MAX_RUNS),
    default=3,
    show_default=True,
    help="Number of calls before those, which are not counted.",
)
@click.option(
    "--dump",
    "dumps",
    multiple=True,
    type=InputFile(suffixes=(".zip",), mend="an app writes it after replaying the fixtures"),
    help="Zip file that an app wrote on a phone; repeatable.",
)
@fixtures_option()
@as_json_option
@command_errors
def command(
    bundles: tuple[Path, ...],
    runtimes: tuple[str, ...],
    recipes: tuple[str, ...],
    threads: int | None,
    runs: int,
    warm_up: int,
    dumps: tuple[Path, ...],
    fixtures: Path | None,
    as_json: bool,
) -> None:
    """Measure BUNDLES on this machine, each runtime and recipe in a process of its own, side by side.

    The figures are the host's and say nothing of a phone; a phone's own come from the dumps that its app
    wrote (--dump).  The coreml runtime is our interpreter, which is slower than any Apple device.

    \b
    Examples:
      tinysam-mobile bench bundle
      tinysam-mobile bench bundle_512 bundle_1024 --runtime tflite --threads 2 --runs 50
      tinysam-mobile bench --dump dump.zip --fixtures fixtures --json
    """
    if not bundles and not dumps:
        raise UsageError("nothing to measure: name a BUNDLE, or a phone's --dump")
    requests = [
        BenchRequest(
            bundle=str(path), runtime=runtime, recipe=recipe, threads=threads, runs=runs, warm_up=warm_up
        )
        for path in bundles
        for runtime, recipe in measurable(Bundle.open(path), runtimes, recipes)
    ]
    devices = read_devices(dumps, fixtures or Path("fixtures"))
    with progress() as say:
        steps = Steps(say, len(requests))
        results = [announced(request, steps) for request in requests]
    if as_json:
        host = [{**asdict(result), "verdict": result.verdict} for result in results]
        print_json({"machine": host_machine(), "host": host, "devices": device_data(devices)})
    else:
        report(results, devices)
    sys.exit(exit_code([result.verdict for result in results]))


def announced(request: BenchRequest, say: Callable[[str], None]) -> BenchResult:
    """Measure one after saying so."""
    say(f"{request.bundle}: {request.runtime} {request.recipe}")
    return measure(request)


def device_data(devices: Mapping[Path, DumpInfo]) -> list[dict[str, Any]]:
    """Return the devices' figures as JSON data."""
    return [
        {
            "dump": str(path),
            **{key: value for key, value in asdict(info).items() if key != "latency_ms"},
            "latency": {step: asdict(summarise(f)) for step, f in info.latency_ms.items() if f},
        }
        for path, info in devices.items()
    ]


def report(results: Sequence[BenchResult], devices: Mapping[Path, DumpInfo]) -> None:
    """Print host and device figures in tables of their own."""
    if results:
        machine = host_machine()
        click.echo(
            f"host: {machine['system']}, {machine['cpus_allowed']} of {machine['cpus']} CPUs, load "
            f"{machine['load_average'] or 0:.1f}; these are not a phone's figures"
        )
        headers = [
            "bundle",
            "runtime on the host",
            "threads",
            "MB",
            "load ms",
            *STEPS,
            "peak MB",
            "libraries MB",
        ]
        print_table(headers, [_host_cells(result) for result in results], right=headers[2:])
        click.echo("MB: size of the files; latency: median / 90th percentile in ms")
    for result in results:
        reason = result.not_run or result.error
        if reason:
            click.echo(f"{result.request.bundle}: {result.request.runtime}: {result.verdict}: {reason}")
    if devices:
        headers = ["device", "runtime on the device", "thermal state", "load ms", *STEPS, "peak MB"]
        print_table(headers, [_device_cells(info) for info in devices.values()], right=headers[3:])


def _host_cells(result: BenchResult) -> list[str]:
    request = result.request
    latencies = [result.latency.get(step) for step in STEPS]
    return [
        request.bundle,
        f"{request.runtime} {request.recipe}",
        str(request.threads or "default"),
        f"{_size_bytes(request) / 1e6:.2f}",
        _figure(result.load_ms),
        *(f"{s.median_ms:.1f} / {s.p90_ms:.1f}" if s else "" for s in latencies),
        _megabytes(result.peak_memory_bytes),
        _megabytes(result.library_memory_bytes),
    ]


def _size_bytes(request: BenchRequest) -> int:
    """Size of the files that one runtime opens: encoder and decoders of a recipe."""
    format_name = runtime_named(request.runtime).artifact_runtime
    bundle = Bundle.open(Path(request.bundle))
    return sum(artifact.size_bytes for artifact in bundle.artifacts(format_name, request.recipe))


def _device_cells(info: DumpInfo) -> list[str]:
    summaries = [summarise(f) if (f := info.latency_ms.get(step)) else None for step in STEPS]
    return [
        f"{info.device_model}, {info.os}",
        f"{info.runtime} {info.recipe} on {info.compute_unit}",
        f"{info.thermal_before} → {info.thermal_after}",
        _figure(info.load_ms),
        *(f"{s.median_ms:.1f} / {s.p90_ms:.1f}" if s else "" for s in summaries),
        _megabytes(info.peak_memory_bytes),
    ]


def _figure(value: float | None) -> str:
    return "" if value is None else f"{value:.1f}"


def _megabytes(size_bytes: int | None) -> str:
    return "" if size_bytes is None else f"{size_bytes / 1e6:.0f}"
