"""The page in Chromium against LiteRT on the host: first mask of a photo, and masks while hovering.

    python -m benchmarks.web BUNDLE PHOTO.png

Needs chromium, node and `npm ci` in sample_apps/web.  One thread each: start it with `taskset -c N`.  On
a busy machine compare processor time, which is of all of Chromium's processes on the page's side.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path
from statistics import median
from time import perf_counter, process_time
from typing import Any

import click

from benchmarks.narrow_vectors import STATES, measured_with
from benchmarks.record import save
from tinysam_mobile.bundle.folder import Bundle
from tinysam_mobile.imaging.images import load_image
from tinysam_mobile.segment.predictor import Predictor
from tinysam_mobile.simulator.registry import open_bundle

WEB = Path(__file__).parents[1] / "sample_apps" / "web"
ROUNDS = 8
NARROW = """
import json, sys
from pathlib import Path
from benchmarks.web import on_the_host
print(json.dumps(on_the_host(Path(sys.argv[1]), sys.argv[2], Path(sys.argv[3]))))
"""


def on_the_host(bundle: Path, recipe: str, photo: Path) -> dict[str, float]:
    """Milliseconds from a file to its first mask: of the clock and of the processor, medians."""
    predictor = Predictor(open_bundle(Bundle.open(bundle), "tflite", recipe=recipe, num_threads=1))
    clock, processor = [], []
    for _ in range(ROUNDS):
        start, used = perf_counter(), process_time()
        image = load_image(photo)
        height, width = image.shape[:2]
        predictor.set_image(image)
        assert predictor.predict([[width / 2, height / 2]], [1]).best_mask.shape == (height, width)
        clock.append(1e3 * (perf_counter() - start))
        processor.append(1e3 * (process_time() - used))
    return {"clock_ms": median(clock[1:]), "processor_ms": median(processor[1:])}


def in_the_browser(bundle: Path, photo: Path) -> dict[str, Any]:
    """The same on the page that the real command serves, for the bundle's first recipe."""
    command = [sys.executable, "-m", "tinysam_mobile", "serve", str(bundle), "--port", "0"]
    with (
        tempfile.TemporaryDirectory() as folder,
        subprocess.Popen([*command, "--out", folder], stdout=subprocess.PIPE, text=True) as server,
    ):
        assert server.stdout is not None
        line = server.stdout.readline()
        driver = ["node", str(WEB / "browser" / "drive.js"), line.removeprefix("page: ").strip()]
        try:
            subprocess.run([*driver, str(photo), folder, "check", "bench"], check=True)
            seen = json.loads((Path(folder) / "seen.json").read_text())["bench"]
        finally:
            server.terminate()
    first = seen["first"][1:]
    steps = {key: median(run[key] for run in first) for key in first[0]}
    hover = seen["hover"]
    return {
        "clock_ms": steps.pop("total"),
        "processor_ms": steps.pop("processor"),
        "steps_clock_ms": steps,
        "masks_per_second": 1e3 * hover["masks"] / hover["total"],
        "masks_per_processor_second": 1e3 * hover["masks"] / hover["processor"],
    }


def on_narrow_hosts(bundle: Path, recipe: str, photo: Path) -> dict[str, dict[str, float]]:
    """As `on_the_host`, for a processor with narrower vectors, by their width."""
    measured = {}
    for name, state in STATES.items():
        with tempfile.TemporaryDirectory() as folder:
            arguments = [str(bundle), recipe, str(photo)]
            measured[name] = measured_with(state, NARROW, arguments, Path(folder))
    return measured


@click.command()
@click.argument("bundle", type=click.Path(exists=True, path_type=Path))
@click.argument("photo", type=click.Path(exists=True, path_type=Path))
def main(bundle: Path, photo: Path) -> None:
    """Measure, print the ratio, write benchmarks/results/web.json."""
    recipe = Bundle.open(bundle).artifacts("tflite")[0].recipe
    os.environ["PYTHONUNBUFFERED"] = "1"
    page, host = in_the_browser(bundle, photo), on_the_host(bundle, recipe, photo)
    narrow = on_narrow_hosts(bundle, recipe, photo)
    ratios = {key: page[key] / host[key] for key in ("clock_ms", "processor_ms")}
    click.echo(f"first mask, {recipe}: page {page['clock_ms']:.0f} ms, host {host['clock_ms']:.0f} ms")
    clock, processor = ratios["clock_ms"], ratios["processor_ms"]
    click.echo(f"page over host: {clock:.1f} by the clock, {processor:.1f} by the processor")
    for name, measured in narrow.items():
        like = page["processor_ms"] / measured["processor_ms"]
        click.echo(f"page over a host with vectors of {name}: {like:.1f} by the processor")
    click.echo(f"hovering: {page['masks_per_second']:.1f} masks a second")
    document = {"recipe": recipe, "page": page, "host": host, "narrow_hosts": narrow, "ratio": ratios}
    click.echo(f"written: {save('web', document)}")


if __name__ == "__main__":
    main()
