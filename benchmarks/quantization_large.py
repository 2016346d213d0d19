"""int8 against float32 for an encoder of full size: calibration's memory, file size, speed, integer share.

    python -m benchmarks.quantization_large --calibration photos

Calibration comes first, so that the peak after each photo is its own: it must not grow with their number.
Then the encoder alone is converted to TFLite and ExecuTorch, and both files of a format run in turns.
"""

from __future__ import annotations

import tempfile
from collections.abc import Mapping
from dataclasses import replace
from functools import partial
from importlib import import_module
from pathlib import Path
from typing import Any

import click
import numpy as np
import torch

from benchmarks.record import save
from benchmarks.timing import fastest_ms
from tinysam_mobile.artifacts.formats import FORMATS
from tinysam_mobile.artifacts.integer_macs import count_integer_macs
from tinysam_mobile.contract.backend import Session
from tinysam_mobile.contract.spec import Contract
from tinysam_mobile.converters.base import ConversionRequest, ConvertedFile
from tinysam_mobile.evaluation.speed import peak_memory_bytes
from tinysam_mobile.modeling.checkpoint import load_checkpoint
from tinysam_mobile.modeling.entry_points import EntryPoint, contract_of, entry_points
from tinysam_mobile.parity.compare import probe_inputs
from tinysam_mobile.parity.metrics import sqnr_db
from tinysam_mobile.quant.calibration import CalibrationSet
from tinysam_mobile.quant.plan import QuantPlan
from tinysam_mobile.quant.planning import make_plan, trace_all
from tinysam_mobile.quant.recipe import RECIPES

TARGETS = ("tflite", "executorch")
FLOAT, INTEGER = "fp32", "static_w8a8"


def calibrate(
    entries: Mapping[str, EntryPoint], photos: CalibrationSet, contract: Contract
) -> tuple[QuantPlan, list[int]]:
    """Return the plan, and the process's peak memory in bytes before each photo and after the last."""
    peaks: list[int] = []

    def note(text: str) -> None:
        peaks.append(peak_memory_bytes())
        click.echo(f"{text}: peak so far {peaks[-1] / 1e9:.2f} GB", err=True)

    plan = make_plan(RECIPES[INTEGER], trace_all(entries), photos, contract, progress=note)
    note("calibrated")
    return plan, peaks


def convert(
    target: str, recipe: str, encoder: Mapping[str, EntryPoint], plan: QuantPlan, folder: Path
) -> ConvertedFile:
    """Convert the encoder alone."""
    place = folder / f"{target}_{recipe}"
    place.mkdir()
    request = ConversionRequest(
        entry_points=encoder, recipe=RECIPES[recipe], contract={}, folder=place, plan=plan
    )
    click.echo(f"converting to {target} {recipe}", err=True)
    (file,) = import_module(FORMATS[target].converter).convert(request)
    found: ConvertedFile = file
    return found


def opened(target: str, file: ConvertedFile, entry: EntryPoint, threads: int) -> Session:
    """Open a converted encoder."""
    session: Session = import_module(f"tinysam_mobile.simulator.{target}").open_session(
        file.path,
        signatures={"encode": entry.signature},
        entry_points=file.entry_points,
        num_threads=threads,
    )
    return session


def integer_share(target: str, path: Path) -> float:
    """Return the share of the encoder's multiplications on integers, from the file's graph."""
    if target == "tflite":
        from tinysam_mobile.artifacts.tflite_graph import read_graph

        return count_integer_macs(read_graph(path).subgraph_of("encode")).integer_share
    from tinysam_mobile.artifacts.executorch_facts import read_facts

    return count_integer_macs(read_facts(path).graphs["encode"]).integer_share


def compare(
    target: str, entry: EntryPoint, plan: QuantPlan, contract: Contract, rounds: int, threads: int
) -> dict[str, Any]:
    """Convert the encoder both ways and run both in turns."""
    inputs = probe_inputs(contract, None)["encode"]
    with tempfile.TemporaryDirectory() as folder:
        files = {r: convert(target, r, {"encode": entry}, plan, Path(folder)) for r in (FLOAT, INTEGER)}
        sessions = {r: opened(target, file, entry, threads) for r, file in files.items()}
        outputs = {r: s.run("encode", inputs)["image_embeddings"] for r, s in sessions.items()}
        times = fastest_ms({r: partial(s.run, "encode", inputs) for r, s in sessions.items()}, rounds)
        return {
            "target": target,
            "size_bytes": {recipe: file.path.stat().st_size for recipe, file in files.items()},
            "encode_ms": times,
            "integer_share": integer_share(target, files[INTEGER].path),
            "sqnr_db": sqnr_db(*(np.asarray(outputs[recipe]) for recipe in (FLOAT, INTEGER))),
        }


@click.command()
@click.option("--checkpoint", default="stand-in:tinysam", show_default=True)
@click.option("--calibration", type=click.Path(path_type=Path), required=True, help="Folder of photos.")
@click.option("--photos", type=int, default=32, show_default=True, help="Of the folder, from its start.")
@click.option("--target", "targets", multiple=True, type=click.Choice(TARGETS))
@click.option("--rounds", type=int, default=5, show_default=True, help="Timed runs; the fastest counts.")
@click.option("--threads", type=int, default=1, show_default=True)
def main(
    checkpoint: str, calibration: Path, photos: int, targets: tuple[str, ...], rounds: int, threads: int
) -> None:
    """Print and save ratios of int8 to float32, and the memory of calibration."""
    torch.set_num_threads(threads)
    model = load_checkpoint(checkpoint).model
    contract = contract_of(model)
    entries = entry_points(model, contract)
    listed = CalibrationSet.from_folder(calibration)
    plan, peaks = calibrate(entries, replace(listed, photos=listed.photos[:photos]), contract)
    click.echo(f"calibrating on {len(peaks) - 1} photos: peak memory {peaks[-1] / 1e9:.2f} GB")
    rows = []
    for target in targets or TARGETS:
        rows.append(compare(target, entries["encode"], plan, contract, rounds, threads))
        size, times = rows[-1]["size_bytes"], rows[-1]["encode_ms"]
        click.echo(
            f"{target}: {size[INTEGER] / 1e6:.2f} of {size[FLOAT] / 1e6:.2f} MB "
            f"({size[INTEGER] / size[FLOAT]:.3f}), "
            f"{times[INTEGER]:.0f} of {times[FLOAT]:.0f} ms ({times[INTEGER] / times[FLOAT]:.2f}), "
            f"integer share {100 * rows[-1]['integer_share']:.1f} %, SQNR {rows[-1]['sqnr_db']:.1f} dB"
        )
    result = {"checkpoint": checkpoint, "threads": threads, "peak_memory_bytes": peaks, "rows": rows}
    click.echo(save("quantization_large", result))


if __name__ == "__main__":
    main()
