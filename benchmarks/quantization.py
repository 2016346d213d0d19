"""The table of recipes: size, mIoU, everything mode, SQNR, latency and share of integer multiplications.

    python -m benchmarks.quantization --calibration photos --dataset coco_dev --out runs/quantization

One row is one recipe in one format, converted, run on this machine and kept as OUT/FORMAT_RECIPE.json: a run
that was killed goes on with the rows that are missing.  Choose nothing by the data set that is reported:
choose on the end of another one (`--dataset ccp_train --last 100`).
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import click
import numpy as np

from benchmarks.record import save
from benchmarks.timing import fastest_ms
from tinysam_mobile.bundle import Bundle
from tinysam_mobile.converters.pipeline import CONVERTERS, ConversionOptions, convert_checkpoint
from tinysam_mobile.evaluation.coco import CocoDataset, read_coco
from tinysam_mobile.evaluation.miou import measure, summary
from tinysam_mobile.everything import EverythingConfig
from tinysam_mobile.exportable import contract_of
from tinysam_mobile.images import load_image
from tinysam_mobile.modeling.checkpoint import Checkpoint, load_checkpoint
from tinysam_mobile.parity.compare import compare_backends, probe_inputs
from tinysam_mobile.parity.everything_parity import compare_everything
from tinysam_mobile.quant.capability import CAPABILITIES
from tinysam_mobile.quant.recipe import RECIPES
from tinysam_mobile.simulator.base import Backend
from tinysam_mobile.simulator.integer_macs import count_macs
from tinysam_mobile.simulator.registry import open_bundle, open_model

FLOAT = "fp32"
FIGURES = ("miou_box", "miou_point")


@dataclass(frozen=True, kw_only=True)
class Settings:
    """What every row is measured with."""

    checkpoint: Checkpoint
    dataset: CocoDataset
    calibration: Path
    out: Path
    threads: int
    rounds: int
    everything_photos: int
    points_per_side: int


def run_row(settings: Settings, target: str, recipe: str) -> dict[str, Any]:
    """Convert one recipe to one format and measure it; every figure is against the float model in torch."""
    bundle = bundle_of(settings, target, recipe)
    contract = bundle.manifest.contract
    backend = open_bundle(bundle, target, recipe=recipe, num_threads=settings.threads)
    reference = open_model(settings.checkpoint.model, contract, num_threads=settings.threads)
    parity = compare_backends(reference, backend, runtime=target, recipe=RECIPES[recipe])
    return {
        "target": target,
        "recipe": recipe,
        "size_bytes": {a.component.value: a.size_bytes for a in bundle.artifacts(target, recipe)},
        "sqnr_db": {p.entry_point: p.sqnr_db for p in parity},
        "integer_share": integer_shares(bundle, target, recipe),
        **accuracy(settings, backend),
        **everything(settings, reference, backend),
        "latency_ms": latencies(settings, target, backend),
    }


def bundle_of(settings: Settings, target: str, recipe: str) -> Bundle:
    """Return the bundle of one row, converted unless it is there."""
    folder = settings.out / "bundles" / f"{target}_{recipe}"
    if folder.exists():
        return Bundle.open(folder)
    options = ConversionOptions(
        targets=(target,),
        recipes=(recipe,),
        calibration=settings.calibration if RECIPES[recipe].needs_calibration else None,
    )
    return convert_checkpoint(
        settings.checkpoint, folder, options, progress=lambda text: click.echo(text, err=True)
    )


def accuracy(settings: Settings, backend: Backend) -> dict[str, float]:
    """Return mIoU from the box and from the centre point over all objects."""
    table = summary(list(measure(backend, settings.dataset)))
    return {figure: table[figure]["all"] for figure in FIGURES}


def everything(settings: Settings, reference: Backend, backend: Backend) -> dict[str, float]:
    """Return the mean matched IoU of everything mode with the float model's objects."""
    config = EverythingConfig(points_per_side=settings.points_per_side)
    photos = settings.dataset.images[: settings.everything_photos]
    found = [compare_everything(reference, backend, load_image(p.path), config).mean_iou for p in photos]
    return {"everything_iou": float(np.mean(found))} if found else {}


def integer_shares(bundle: Bundle, target: str, recipe: str) -> dict[str, float]:
    """Return the share of integer multiplications by entry point; empty for Core ML, whose device decides."""
    shares: dict[str, float] = {}
    for artifact in bundle.artifacts(target, recipe):
        path = bundle.path_of(artifact)
        if target == "tflite":
            from tinysam_mobile.simulator.tflite_graph import read_graph

            graph = read_graph(path)
            shares |= {n: count_macs(graph.subgraph_of(n)).integer_share for n in graph.signatures}
        elif target == "executorch":
            from tinysam_mobile.simulator.executorch_facts import read_facts

            shares |= {n: count_macs(g).integer_share for n, g in read_facts(path).graphs.items()}
    return {name: share for name, share in shares.items() if name in artifact_entry_points(bundle)}


def artifact_entry_points(bundle: Bundle) -> set[str]:
    """Names of the contract's entry points that the bundle answers."""
    return {name for artifact in bundle.manifest.artifacts for name in artifact.entry_points}


def latencies(settings: Settings, target: str, backend: Backend) -> dict[str, dict[str, float]]:
    """Return milliseconds of the fastest run, of this row and in turn with it of the format's float32."""
    base = bundle_of(settings, target, FLOAT)
    other = open_bundle(base, target, recipe=FLOAT, num_threads=settings.threads)
    contract = base.manifest.contract
    grid = (1, contract.channels, contract.grid_size, contract.grid_size)
    embeddings = np.random.default_rng(0).normal(0, 1, grid).astype(np.float32)
    inputs = probe_inputs(contract, embeddings)
    return {
        name: fastest_ms(
            {"row": lambda: backend.run(name, inputs[name]), "fp32": lambda: other.run(name, inputs[name])},  # noqa: B023
            settings.rounds,
        )
        for name in ("encode", "decode")
    }


def kept(path: Path, make: Callable[[], dict[str, Any]]) -> dict[str, Any]:
    """Return what `path` holds, made and written first if it is not there."""
    if not path.exists():
        text = json.dumps(make(), indent=2) + "\n"
        part = path.with_suffix(".part")
        part.write_text(text)
        part.replace(path)
    found: dict[str, Any] = json.loads(path.read_text())
    return found


def line(row: Mapping[str, Any], base: Mapping[str, float]) -> str:
    """One printed line of the table."""
    drops = "  ".join(f"{f} {row[f]:.4f} ({100 * (row[f] - base[f]):+.2f})" for f in FIGURES)
    size = sum(row["size_bytes"].values()) / 1e6
    times = row["latency_ms"]["encode"]
    share = row["integer_share"].get("encode", float("nan"))
    return (
        f"{row['target']:10} {row['recipe']:22} {size:6.2f} MB  {drops}  "
        f"everything {row.get('everything_iou', float('nan')):.3f}  SQNR {row['sqnr_db']['encode']:5.1f} / "
        f"{row['sqnr_db']['decode']:5.1f} dB  encode {times['row']:.0f} ms of fp32's {times['fp32']:.0f}  "
        f"integer {100 * share:.0f} %"
    )


def row_names(targets: tuple[str, ...], recipes: tuple[str, ...]) -> list[tuple[str, str]]:
    """The rows that can be made of those asked for, format by format."""
    return [
        (target, recipe)
        for target in targets or tuple(CONVERTERS)
        for recipe in recipes or tuple(RECIPES)
        if CAPABILITIES[target][recipe].nearest is None
    ]


@click.command()
@click.option("--checkpoint", help="Checkpoint; the shipped one by default.")
@click.option("--image-size", type=int, help="Input side; the checkpoint's by default.")
@click.option("--calibration", type=click.Path(path_type=Path), required=True, help="Folder of photos.")
@click.option("--dataset", type=click.Path(path_type=Path), required=True, help="COCO-style folder.")
@click.option("--last", type=int, help="Measure only on this many photos at the end of the data set.")
@click.option("--target", "targets", multiple=True, type=click.Choice(list(CONVERTERS)))
@click.option("--recipe", "recipes", multiple=True, type=click.Choice(list(RECIPES)))
@click.option("--everything-photos", type=int, default=5, show_default=True)
@click.option("--points-per-side", type=int, default=16, show_default=True, help="Of everything mode.")
@click.option("--rounds", type=int, default=5, show_default=True, help="Timed runs; the fastest counts.")
@click.option("--threads", type=int, default=2, show_default=True)
@click.option("--out", type=click.Path(path_type=Path), default=Path("runs/quantization"), show_default=True)
def main(
    checkpoint: str | None,
    image_size: int | None,
    calibration: Path,
    dataset: Path,
    last: int | None,
    targets: tuple[str, ...],
    recipes: tuple[str, ...],
    everything_photos: int,
    points_per_side: int,
    rounds: int,
    threads: int,
    out: Path,
) -> None:
    """Measure every recipe in every format that has it; print each row as it is done, then save the table."""
    data = read_coco(dataset)
    images = data.images[-last:] if last else data.images
    settings = Settings(
        checkpoint=load_checkpoint(checkpoint, image_size=image_size),
        dataset=CocoDataset(name=data.name, images=images),
        calibration=calibration,
        out=out,
        threads=threads,
        rounds=rounds,
        everything_photos=everything_photos,
        points_per_side=points_per_side,
    )
    out.mkdir(parents=True, exist_ok=True)
    model = settings.checkpoint.model
    base = kept(
        out / "torch_fp32.json",
        lambda: accuracy(settings, open_model(model, contract_of(model), num_threads=threads)),
    )
    rows = []
    for target, recipe in row_names(targets, recipes):
        path = out / f"{target}_{recipe}.json"
        rows.append(kept(path, lambda t=target, r=recipe: run_row(settings, t, r)))  # type: ignore[misc]
        click.echo(line(rows[-1], base))
    result = {"dataset": data.name, "photos": len(images), "threads": threads, "torch": base, "rows": rows}
    click.echo(save("quantization", result))


if __name__ == "__main__":
    main()
