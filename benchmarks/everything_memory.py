"""Memory of everything mode on a photo of 12 megapixels with 64 x 64 points, over the model's own.

    python -m benchmarks.everything_memory

Each mode runs in a process of its own: peak resident memory after the run, less the peak after the model was
loaded and has segmented a small photo from one prompt.
"""

from __future__ import annotations

import json
import resource
import subprocess
import sys
from pathlib import Path
from typing import Any

import click
import numpy as np
from PIL import Image

from benchmarks.everything_fast import everything_predictor
from benchmarks.record import save
from tinysam_mobile.imaging.images import RGBImage
from tinysam_mobile.modeling.checkpoint import load_checkpoint
from tinysam_mobile.segment.everything import EverythingConfig, EverythingGenerator
from tinysam_mobile.segment.prompts import make_prompt

SIZE = (3072, 4096)
POINTS_PER_SIDE = 64
LIMIT_BYTES = 1.5e9
MODES = ("fast", "exact")


def drawn_photo() -> RGBImage:
    """A photo of `SIZE` with smooth shapes of several scales, the same for every run."""
    rng = np.random.default_rng(0)
    layers = [rng.uniform(0, 255, (SIZE[0] // step, SIZE[1] // step, 3)) for step in (512, 128, 32)]
    resized = [
        Image.fromarray(layer.astype(np.uint8)).resize(SIZE[::-1], Image.Resampling.BICUBIC)
        for layer in layers
    ]
    return np.mean([np.asarray(layer, np.float32) for layer in resized], axis=0).astype(np.uint8)


def peak_bytes() -> int:
    """The highest resident memory of this process so far."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024


def run_here(mode: str, checkpoint: str | None) -> dict[str, Any]:
    """One mode in this process."""
    photo = drawn_photo()
    loaded = load_checkpoint(checkpoint)
    predictor = everything_predictor(loaded, threads=1)
    predictor.set_image(photo[::8, ::8])
    list(predictor.decode_many([make_prompt([(i, i)], [1]) for i in range(predictor.batch)]))
    settings = {**loaded.everything, "points_per_side": POINTS_PER_SIDE}
    before = peak_bytes()
    config = EverythingConfig(**settings, mode=mode, hierarchical=False)
    result = EverythingGenerator(predictor, config).generate(photo)
    return {
        "extra_bytes": peak_bytes() - before,
        "model_bytes": before,
        "points": len(result.points),
        "objects": len(result.objects),
    }


@click.command()
@click.option("--checkpoint", help="Checkpoint; the shipped one by default.")
@click.option("--mode", type=click.Choice(MODES), hidden=True)
def main(checkpoint: str | None, mode: str | None) -> None:
    """Print each run's memory and save it."""
    if mode:
        click.echo(json.dumps(run_here(mode, checkpoint)))
        return
    rows = {}
    for name in MODES:
        command = [sys.executable, "-m", "benchmarks.everything_memory", "--mode", name]
        command += ["--checkpoint", checkpoint] if checkpoint else []
        root = Path(__file__).parents[1]
        done = subprocess.run(command, cwd=root, stdout=subprocess.PIPE, text=True, check=True)
        rows[name] = row = json.loads(done.stdout.splitlines()[-1])
        extra, own = row["extra_bytes"] / 1e9, row["model_bytes"] / 1e9
        click.echo(
            f"{name}: {extra:.2f} GB over the model's {own:.2f} "
            f"({row['objects']} objects from {row['points']} points; limit {LIMIT_BYTES / 1e9})"
        )
    click.echo(save("everything_memory", {"size": SIZE, "limit_bytes": LIMIT_BYTES, "runs": rows}))


if __name__ == "__main__":
    main()
