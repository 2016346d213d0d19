"""What XNNPACK makes of the TFLite files: pieces, operations left out, latency against torch eager.

    python -m benchmarks.tflite

Both sides run in turn in one process, so that a busy machine slows both; the fastest run of each counts.
"""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import Any

import click
import torch

from benchmarks.record import save
from benchmarks.timing import fastest_ms
from tinysam_mobile.artifacts.tflite_delegates import delegation
from tinysam_mobile.converters.base import ConversionRequest
from tinysam_mobile.converters.tflite import convert
from tinysam_mobile.modeling.config import CONFIGS, config_named
from tinysam_mobile.modeling.entry_points import EntryPoint, contract_of, entry_points, example_inputs
from tinysam_mobile.modeling.stand_in import stand_in_model
from tinysam_mobile.parity.metrics import sqnr_db
from tinysam_mobile.quant.recipe import RECIPES
from tinysam_mobile.simulator.tflite import open_session


def noisy_example(entry: EntryPoint) -> tuple[torch.Tensor, ...]:
    """Return the inputs that conversion traces with, noise added to those that are float."""
    generator = torch.Generator().manual_seed(0)
    return tuple(
        tensor + torch.rand(tensor.shape, generator=generator) if tensor.is_floating_point() else tensor
        for tensor in example_inputs(entry.signature)
    )


@torch.inference_mode()
def measure(path: Path, entry: EntryPoint, rounds: int, threads: int) -> dict[str, Any]:
    """Measure one entry point of a converted file."""
    signature, name = entry.signature, entry.signature.name
    session = open_session(path, signatures={name: signature}, entry_points={name: name}, num_threads=threads)
    tensors = noisy_example(entry)
    inputs = {spec.name: tensor.numpy() for spec, tensor in zip(signature.inputs, tensors, strict=True)}
    outputs = entry.module(*tensors)
    expected = outputs if isinstance(outputs, tuple) else (outputs,)
    actual = session.run(name, inputs)
    pairs = zip(signature.outputs, expected, strict=True)
    division = delegation(path, name)
    best = fastest_ms(
        {"torch_ms": lambda: entry.module(*tensors), "tflite_ms": lambda: session.run(name, inputs)},
        rounds,
    )
    return {
        "entry_point": name,
        "sqnr_db": {spec.name: sqnr_db(tensor.numpy(), actual[spec.name]) for spec, tensor in pairs},
        "xnnpack_partitions": division.partitions,
        "outside_xnnpack": list(division.outside),
        **best,
        "ratio": best["torch_ms"] / best["tflite_ms"],
    }


def report(row: dict[str, Any]) -> str:
    """One line of the printed result."""
    figures = ", ".join(f"{key} {value:.1f} dB" for key, value in row["sqnr_db"].items())
    return (
        f"  {row['entry_point']}: {figures}; {row['xnnpack_partitions']} pieces in XNNPACK, "
        f"{len(row['outside_xnnpack'])} operations outside; torch {row['torch_ms']:.0f} ms, "
        f"TFLite {row['tflite_ms']:.0f} ms, ratio {row['ratio']:.2f}"
    )


@click.command()
@click.option("--config", default="tinysam", show_default=True, type=click.Choice(sorted(CONFIGS)))
@click.option("--recipe", "recipes", multiple=True, help="Recipes; fp32 and fp16 by default.")
@click.option("--rounds", type=int, default=5, show_default=True)
@click.option("--threads", type=int, default=2, show_default=True)
def main(config: str, recipes: tuple[str, ...], rounds: int, threads: int) -> None:
    """Convert stand-in weights of one configuration, then measure every entry point of every recipe."""
    torch.set_num_threads(threads)
    model = stand_in_model(config_named(config))
    entries = entry_points(model, contract_of(model))
    rows = []
    for recipe in recipes or ("fp32", "fp16"):
        with tempfile.TemporaryDirectory() as folder:
            request = ConversionRequest(
                entry_points=entries, recipe=RECIPES[recipe], contract={}, folder=Path(folder)
            )
            for file in convert(request):
                size, constants = file.path.stat().st_size, file.details["constant_bytes"]
                click.echo(f"{recipe} {file.path.name}: {size / 1e6:.2f} MB, constants {constants}")
                for name in file.entry_points:
                    row = {"recipe": recipe, "file_bytes": size}
                    row |= measure(file.path, entries[name], rounds, threads)
                    rows.append(row)
                    click.echo(report(row))
    click.echo(save("tflite", {"config": config, "threads": threads, "rows": rows}))


if __name__ == "__main__":
    main()
