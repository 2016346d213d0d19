"""The MIL interpreter against torch eager on the 1024 encoder: seconds and peak memory of each.

    python -m benchmarks.bench_mil

Each is run in a process of its own, in turns, so that a busy machine slows both alike; the malloc settings
are those under which torch eager is at its best (see docs/mil.md).
"""

from __future__ import annotations

import json
import os
import statistics
import subprocess
import sys
import tempfile
from pathlib import Path
from time import perf_counter, process_time
from typing import Any

import click
import numpy as np
import torch

from benchmarks.record import save

MALLOC = {
    "MALLOC_MMAP_THRESHOLD_": "4294967296",
    "MALLOC_TRIM_THRESHOLD_": "8589934592",
    "MALLOC_TOP_PAD_": "1073741824",
}
VARIANTS = ("torch", "fp32", "fp16")


def _encoder(config: str) -> tuple[torch.nn.Module, tuple[torch.Tensor, ...], list[str]]:
    from tinysam_mobile.modeling.config import config_named
    from tinysam_mobile.modeling.entry_points import contract_of, entry_points, example_inputs
    from tinysam_mobile.modeling.sam import TinySAM

    torch.manual_seed(0)
    model = TinySAM(config_named(config)).eval()
    entry = entry_points(model, contract_of(model))["encode"]
    names = [spec.name for spec in entry.signature.inputs]
    return entry.module, example_inputs(entry.signature), names


def _convert(config: str, package: Path) -> None:
    import coremltools as ct

    module, inputs, _ = _encoder(config)
    program = torch.export.export(module, inputs).run_decompositions({})
    model = ct.convert(
        program, minimum_deployment_target=ct.target.iOS17, compute_precision=ct.precision.FLOAT16
    )
    model.save(str(package))


def _peak_bytes() -> int:
    status = Path("/proc/self/status").read_text()
    line = next(row for row in status.splitlines() if row.startswith("VmHWM"))
    return int(line.split()[1]) * 1024


def _work(variant: str, config: str, package: Path, threads: int) -> dict[str, Any]:
    """One warm-up and three timed runs of `variant` in this process."""
    torch.set_num_threads(threads)
    module, inputs, names = _encoder(config)
    if variant == "torch":

        def run() -> Any:
            with torch.inference_mode():
                return module(*inputs).numpy()

    else:
        from tinysam_mobile.mil import MilModel

        del module
        model = MilModel.load(package, precision=variant)
        data = {name: value.numpy() for name, value in zip(names, inputs, strict=True)}

        def run() -> Any:
            return next(iter(model.predict(data).values()))

    first = run()
    seconds, cpu_seconds = [], []
    for _ in range(3):
        start, cpu_start = perf_counter(), process_time()
        run()
        seconds.append(perf_counter() - start)
        cpu_seconds.append(process_time() - cpu_start)
    np.save(package.with_name(f"{variant}.npy"), first)
    return {"seconds": seconds, "cpu_seconds": cpu_seconds, "peak_memory_bytes": _peak_bytes()}


@click.command()
@click.option("--config", default="tinysam", show_default=True)
@click.option("--rounds", default=3, show_default=True, help="Processes of each variant, in turns.")
@click.option("--threads", default=2, show_default=True)
@click.option("--worker", hidden=True)
@click.option("--package", type=Path, hidden=True)
def main(config: str, rounds: int, threads: int, worker: str | None, package: Path | None) -> None:
    """Print and save the comparison."""
    if worker is not None and package is not None:
        click.echo(json.dumps(_work(worker, config, package, threads)))
        return
    with tempfile.TemporaryDirectory() as folder:
        package = Path(folder) / "encoder.mlpackage"
        _convert(config, package)
        runs: dict[str, list[dict[str, Any]]] = {variant: [] for variant in VARIANTS}
        for _ in range(rounds):
            for variant in VARIANTS:
                runs[variant].append(_spawn(variant, config, package, threads))
        expected = np.load(package.with_name("torch.npy"))
        rows = {name: _summary(done) for name, done in runs.items()}
        for name in VARIANTS[1:]:
            rows[name]["sqnr_db"] = _sqnr_db(expected, np.load(package.with_name(f"{name}.npy")))
    for name, row in rows.items():
        click.echo(
            f"{name}: {row['seconds']:.2f} s ({row['seconds'] / rows['torch']['seconds']:.2f}x), "
            f"CPU {row['cpu_seconds']:.2f} s ({row['cpu_seconds'] / rows['torch']['cpu_seconds']:.2f}x), "
            f"peak {row['peak_memory_bytes'] / 1e9:.2f} GB, SQNR {row.get('sqnr_db', float('inf')):.1f} dB"
        )
    click.echo(save("mil", {"config": config, "threads": threads, "variants": rows}))


def _spawn(variant: str, config: str, package: Path, threads: int) -> dict[str, Any]:
    command = [sys.executable, "-W", "ignore", "-m", "benchmarks.bench_mil", "--config", config]
    command += ["--worker", variant, "--package", str(package), "--threads", str(threads)]
    environment = {**os.environ, **MALLOC, "OMP_NUM_THREADS": str(threads)}
    done = subprocess.run(command, env=environment, stdout=subprocess.PIPE, text=True, check=True)
    result: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return result


def _summary(runs: list[dict[str, Any]]) -> dict[str, float]:
    return {
        "seconds": statistics.median(s for run in runs for s in run["seconds"]),
        "cpu_seconds": statistics.median(s for run in runs for s in run["cpu_seconds"]),
        "peak_memory_bytes": max(run["peak_memory_bytes"] for run in runs),
    }


def _sqnr_db(expected: np.ndarray[Any, Any], actual: np.ndarray[Any, Any]) -> float:
    noise = np.square(expected.astype(np.float64) - actual).mean()
    return float(10 * np.log10(np.square(expected.astype(np.float64)).mean() / noise))


if __name__ == "__main__":
    main()
