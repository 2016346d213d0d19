"""Convert the official 1024 configuration into every format: seconds, peak memory, sizes, SQNR.

    python -m benchmarks.conversion

The conversion runs as a user runs it, `tinysam-mobile convert`, one process for all formats.
"""

from __future__ import annotations

import json
import os
import resource
import subprocess
import sys
import tempfile
from pathlib import Path
from time import perf_counter

import click

from benchmarks.record import save


@click.command()
@click.option("--checkpoint", default="stand-in:tinysam", show_default=True)
@click.option("--recipe", "recipes", multiple=True, help="Recipes; fp32 and fp16 by default.")
@click.option("--threads", type=int, default=2, show_default=True)
def main(checkpoint: str, recipes: tuple[str, ...], threads: int) -> None:
    """Time `tinysam-mobile convert` on all three formats."""
    rows = []
    for recipe in recipes or ("fp32", "fp16"):
        with tempfile.TemporaryDirectory() as folder:
            command = [
                sys.executable,
                "-m",
                "tinysam_mobile",
                "convert",
                checkpoint,
                "--recipe",
                recipe,
                "--json",
            ]
            command += ["--threads", str(threads), "--out", str(Path(folder) / "bundle")]
            environment = {**os.environ, "OMP_NUM_THREADS": str(threads)}
            start = perf_counter()
            done = subprocess.run(command, env=environment, stdout=subprocess.PIPE, text=True, check=False)
            seconds = perf_counter() - start
        artifacts = json.loads(done.stdout)["artifacts"]
        peak = resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss * 1024
        rows.append({"recipe": recipe, "seconds": seconds, "peak_memory_bytes": peak, "artifacts": artifacts})
        converting = sum({a["runtime"]: a["details"]["conversion_seconds"] for a in artifacts}.values())
        click.echo(
            f"{recipe}: {seconds:.0f} s, {converting:.0f} s of it converting, peak so far {peak / 1e9:.2f} GB"
        )
        for a in artifacts:
            figures = ", ".join(
                f"{p['entry_point']} {p['sqnr_db'] or float('nan'):.1f} dB" for p in a["parity"]
            )
            lowering = a["details"].get("lowering_seconds")
            lowered = f", lowered in {lowering} s" if lowering else ""
            click.echo(f"  {a['path']}: {a['size_bytes'] / 1e6:.2f} MB, {a['verdict']}, {figures}{lowered}")
    click.echo(save("conversion", {"checkpoint": checkpoint, "threads": threads, "rows": rows}))


if __name__ == "__main__":
    main()
