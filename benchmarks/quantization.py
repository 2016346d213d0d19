"""The table of recipes: size, mIoU, everything mode, SQNR, latency and share of integer multiplications.

    python -m benchmarks.quantization --calibration photos --dataset coco_dev --out runs/quantization

One row is one recipe in one format, converted, run on this machine and kept as OUT/FORMAT_RECIPE.json; masks
are judged photo by photo into OUT/results, where `tinysam-mobile evaluate coco_dev --compare … --out
OUT/results` finds them again.  A run that was killed goes on with what is missing.  Choose nothing by the
data set that is reported: choose on the end of another one.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

import click
import numpy as np

from benchmarks.quantization_table import drops, line, markdown
from benchmarks.record import save
from benchmarks.timing import fastest_ms
from tinysam_mobile.artifacts.formats import FORMATS
from tinysam_mobile.artifacts.integer_macs import count_integer_macs
from tinysam_mobile.bundle.folder import Bundle
from tinysam_mobile.cli.evaluate_inputs import PlanChoice
from tinysam_mobile.contract.backend import Backend
from tinysam_mobile.converters.options import ConversionOptions
from tinysam_mobile.converters.pipeline import convert_checkpoint
from tinysam_mobile.evaluation.coco import CocoDataset
from tinysam_mobile.evaluation.data_choice import DataChoice
from tinysam_mobile.evaluation.models import ModelUnderTest, bundle_models, checkpoint_model
from tinysam_mobile.evaluation.results import open_results
from tinysam_mobile.evaluation.run import figures, measure_photos, plain
from tinysam_mobile.imaging.images import load_image
from tinysam_mobile.modeling.checkpoint import Checkpoint, load_checkpoint
from tinysam_mobile.parity.compare import compare_backends, probe_inputs
from tinysam_mobile.parity.everything_parity import compare_everything
from tinysam_mobile.quant.calibration import CalibrationSet
from tinysam_mobile.quant.recipe import RECIPES
from tinysam_mobile.segment.everything import EverythingConfig
from tinysam_mobile.simulator.registry import open_bundle, open_model

FLOAT = "fp32"
FIGURES = ("miou_box", "miou_point")
SLOW_RECIPES = {"coreml": tuple(RECIPES), "tflite": ("static_w8a8_attn16",), "executorch": ()}
"""Format → recipes that take seconds a photo: our interpreter, and TFLite's 16-bit reference kernels."""


@dataclass(frozen=True, kw_only=True)
class Settings:
    """What every row is measured with; `photos` and `slow_photos` are counts from the start of the set."""

    checkpoint: Checkpoint
    source: str | None
    data: DataChoice
    dataset: CocoDataset
    calibration: Path
    out: Path
    threads: int
    rounds: int
    photos: int
    slow_photos: int
    everything_photos: int
    points_per_side: int

    def count(self, target: str, recipe: str) -> int:
        """Photos that a row is measured on."""
        is_slow = recipe in SLOW_RECIPES[target]
        return min(self.slow_photos if is_slow else self.photos, len(self.dataset.images))


def run_row(settings: Settings, target: str, recipe: str) -> dict[str, Any]:
    """Convert one recipe to one format and measure it; every figure is against the float model in torch."""
    bundle = bundle_of(settings, target, recipe)
    (model,) = bundle_models(bundle.folder, runtime=target, recipe=recipe, threads=settings.threads)
    backend = model.open()
    reference = open_model(settings.checkpoint.model, bundle.manifest.contract, num_threads=settings.threads)
    parity = compare_backends(reference, backend, runtime=target, recipe=RECIPES[recipe])
    return {
        "target": target,
        "recipe": recipe,
        "photos": settings.count(target, recipe),
        "size_bytes": {a.component.value: a.size_bytes for a in bundle.artifacts(target, recipe)},
        "sqnr_db": {p.entry_point: p.sqnr_db for p in parity},
        "integer_share": integer_shares(bundle, target, recipe),
        "latency_ms": latencies(settings, target, backend),
        **accuracy(settings, model, settings.count(target, recipe)),
        **everything(settings, reference, backend),
    }


def bundle_of(settings: Settings, target: str, recipe: str) -> Bundle:
    """Return the bundle of one row, converted unless it is there."""
    folder = settings.out / "bundles" / f"{target}_{recipe}"
    if folder.exists():
        return Bundle.open(folder)
    options = ConversionOptions(
        targets=(target,),
        recipes=(recipe,),
        calibration=(
            CalibrationSet.from_folder(settings.calibration) if RECIPES[recipe].needs_calibration else None
        ),
    )
    return convert_checkpoint(
        settings.checkpoint, folder, options, progress=lambda text: click.echo(text, err=True)
    )


def accuracy(settings: Settings, model: ModelUnderTest, count: int) -> dict[str, float]:
    """Return mIoU over the first `count` photos, as `tinysam-mobile evaluate` measures and stores it."""
    choice = PlanChoice(prompts=("box", "point"), seed=0, boxes=None, everything=False)
    plan = choice.plan(settings.data.rules, model.everything)
    results = open_results(settings.out / "results", model.name, choice.describe(settings.data, model, plan))
    first = replace(settings.dataset, images=settings.dataset.images[:count])
    measure_photos(model.open(), first, plan, results)
    return {figure: plain(figures(first, plan, results))[figure] for figure in FIGURES}


def everything(settings: Settings, reference: Backend, backend: Backend) -> dict[str, float]:
    """Return the mean matched IoU of everything mode with the float model's objects."""
    stored = settings.checkpoint.everything
    config = EverythingConfig(**{**stored, "points_per_side": settings.points_per_side})
    photos = settings.dataset.images[: settings.everything_photos]
    found = [compare_everything(reference, backend, load_image(p.path), config).mean_iou for p in photos]
    return {"everything_iou": float(np.mean(found))} if found else {}


def integer_shares(bundle: Bundle, target: str, recipe: str) -> dict[str, float]:
    """Return the share of integer multiplications by entry point; empty for Core ML, whose device decides."""
    shares: dict[str, float] = {}
    for artifact in bundle.artifacts(target, recipe):
        path = bundle.path_of(artifact)
        if target == "tflite":
            from tinysam_mobile.artifacts.tflite_graph import read_graph

            graph = read_graph(path)
            shares |= {n: count_integer_macs(graph.subgraph_of(n)).integer_share for n in graph.signatures}
        elif target == "executorch":
            from tinysam_mobile.artifacts.executorch_facts import read_facts

            shares |= {n: count_integer_macs(g).integer_share for n, g in read_facts(path).graphs.items()}
    return {name: share for name, share in shares.items() if name in artifact_entry_points(bundle)}


def artifact_entry_points(bundle: Bundle) -> set[str]:
    """Names of the contract's entry points that the bundle answers."""
    return {name for artifact in bundle.manifest.artifacts for name in artifact.entry_points}


def latencies(settings: Settings, target: str, backend: Backend) -> dict[str, dict[str, float]]:
    """Return milliseconds of the fastest run, of this row and in turn with it of the format's float32."""
    base = bundle_of(settings, target, FLOAT)
    other = open_bundle(base, target, recipe=FLOAT, num_threads=settings.threads)
    contract = base.manifest.contract
    rng = np.random.default_rng(0)
    features = {o.name: rng.normal(0, 1, o.shape).astype(np.float32) for o in contract.encoder_outputs}
    inputs = probe_inputs(contract, features)
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


def row_names(targets: tuple[str, ...], recipes: tuple[str, ...]) -> list[tuple[str, str]]:
    """The rows that can be made of those asked for, in the order asked."""
    return [
        (target, recipe)
        for target in targets or ("tflite", "executorch", "coreml")
        for recipe in recipes or tuple(RECIPES)
        if FORMATS[target].recipes[recipe].nearest is None
    ]


def save_table(settings: Settings, report: Path | None) -> list[str]:
    """Save every row measured so far as JSON and, with `report`, as Markdown; returns a line for each."""
    files = [settings.out / f"{target}_{recipe}.json" for target, recipe in row_names((), ())]
    rows = [json.loads(file.read_text()) for file in files if file.exists()]
    torch_model = checkpoint_model(settings.source, slots=2, threads=settings.threads)
    counts = sorted({settings.photos, *(int(row["photos"]) for row in rows)})
    base = {str(count): accuracy(settings, torch_model, count) for count in counts}
    about: Mapping[str, Any] = {
        "checkpoint": settings.checkpoint.name,
        "dataset": settings.dataset.name,
        "threads": settings.threads,
        "everything_photos": settings.everything_photos,
        "points_per_side": settings.points_per_side,
    }
    result = {**about, "torch": base, "rows": [{**row, "drop_points": drops(row, base)} for row in rows]}
    if report:
        report.write_text(markdown(result), encoding="utf-8")
    save("quantization", result)
    return [line(row) for row in result["rows"]]


@click.command()
@click.option("--checkpoint", help="Checkpoint; the shipped one by default.")
@click.option("--calibration", type=click.Path(path_type=Path), required=True, help="Folder of photos.")
@click.option("--dataset", type=click.Path(path_type=Path), required=True, help="COCO-style folder.")
@click.option("--photos", type=int, default=100, show_default=True, help="From its start.")
@click.option("--slow-photos", type=int, default=100, show_default=True, help="The same for slow rows.")
@click.option("--target", "targets", multiple=True, type=click.Choice(list(FORMATS)))
@click.option("--recipe", "recipes", multiple=True, type=click.Choice(list(RECIPES)))
@click.option("--everything-photos", type=int, default=5, show_default=True)
@click.option("--points-per-side", type=int, default=16, show_default=True, help="Of everything mode.")
@click.option("--rounds", type=int, default=3, show_default=True, help="Timed runs; the fastest counts.")
@click.option("--threads", type=int, default=1, show_default=True)
@click.option("--out", type=click.Path(path_type=Path), default=Path("runs/quantization"), show_default=True)
@click.option("--report", type=click.Path(path_type=Path), help="Also write the table as Markdown.")
def main(
    checkpoint: str | None,
    calibration: Path,
    dataset: Path,
    photos: int,
    slow_photos: int,
    targets: tuple[str, ...],
    recipes: tuple[str, ...],
    everything_photos: int,
    points_per_side: int,
    rounds: int,
    threads: int,
    out: Path,
    report: Path | None,
) -> None:
    """Measure every recipe in every format that has it; save and print each row as it is done."""
    data = DataChoice(folder=dataset, annotations=None, images=None, rules="coco", last=None)
    settings = Settings(
        checkpoint=load_checkpoint(checkpoint),
        source=checkpoint,
        data=data,
        dataset=data.read(),
        calibration=calibration,
        out=out,
        threads=threads,
        rounds=rounds,
        photos=photos,
        slow_photos=slow_photos,
        everything_photos=everything_photos,
        points_per_side=points_per_side,
    )
    out.mkdir(parents=True, exist_ok=True)
    for target, recipe in row_names(targets, recipes):
        path = out / f"{target}_{recipe}.json"
        kept(path, partial(run_row, settings, target, recipe))
        click.echo(f"done: {target} {recipe}", err=True)
    for text in save_table(settings, report):
        click.echo(text)


if __name__ == "__main__":
    main()
