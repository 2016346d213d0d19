"""Min-max, percentile, least squares and the paper's search at equal granularity, and METHOD's table redone.

    python -m benchmarks.quantization_methods --calibration photos --dataset ccp_train --last 100

Everything is simulated in PyTorch with all layers rounded, products of two activations too, as the paper
does.  Each row is a recipe, a method and a seed, which draws 8 photos of the folder and the prompts; it is
kept as a file in OUT, so a run that was killed goes on.  The ranking lists what each layer costs alone.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from functools import partial
from itertools import product
from pathlib import Path
from statistics import mean, pstdev
from typing import Any

import click
import numpy as np
import torch

from benchmarks.quantization import FIGURES, kept
from benchmarks.record import save
from tinysam_mobile.evaluation.coco import CocoDataset, read_coco
from tinysam_mobile.evaluation.miou import measure, summary
from tinysam_mobile.exportable import contract_of, entry_points
from tinysam_mobile.modeling.checkpoint import load_checkpoint
from tinysam_mobile.quant.calibration import CalibrationSet
from tinysam_mobile.quant.graph import LayerGraph
from tinysam_mobile.quant.observers import METHODS
from tinysam_mobile.quant.plan import QuantPlan
from tinysam_mobile.quant.planning import SEARCH, SEARCH_TWO_SCALES, make_plan, trace_all
from tinysam_mobile.quant.recipe import RECIPES
from tinysam_mobile.quant.sensitivity import rank_layers
from tinysam_mobile.quant.simulation import SimulatedModel, simulated
from tinysam_mobile.spec import Contract

RECIPE_IDS = ("static_w8a8", "static_w6a6")
COMPARED = (*METHODS, SEARCH, SEARCH_TWO_SCALES)
PHOTOS = 8


def drawn(photos: CalibrationSet, seed: int) -> CalibrationSet:
    """Return `PHOTOS` photos of the set and another seed for the prompts."""
    chosen = np.random.default_rng(seed).permutation(len(photos.photos))[:PHOTOS]
    return replace(photos, photos=tuple(photos.photos[i] for i in sorted(chosen)), seed=seed)


def simulate(graphs: Mapping[str, LayerGraph], plan: QuantPlan | None, contract: Contract) -> SimulatedModel:
    """Return the model under a plan; the float one without."""
    bits = plan.recipe.weight_bits if plan else 8
    layers = plan.layers if plan else {}
    return SimulatedModel(contract=contract, graphs=graphs, visit=simulated(layers, weight_bits=bits))


def accuracy(model: SimulatedModel, data: CocoDataset) -> dict[str, float]:
    """Return mIoU over all objects of the data set."""
    table = summary(list(measure(model, data)))
    return {figure: table[figure]["all"] for figure in FIGURES}


def report(rows: list[dict[str, Any]], base: Mapping[str, float]) -> None:
    """Print mean and spread of the drop in points of mIoU."""
    for recipe in RECIPE_IDS:
        for method in COMPARED:
            found = [row for row in rows if (row["recipe"], row["method"]) == (recipe, method)]
            drops = {f: [100 * (row[f] - base[f]) for row in found] for f in FIGURES}
            text = "  ".join(f"{f} {mean(d):+.2f} ± {pstdev(d):.2f}" for f, d in drops.items())
            click.echo(f"{recipe:12} {method:18} {text}  ({len(found)} seeds)")


@dataclass(frozen=True, kw_only=True)
class Study:
    """What every row shares; layers are ranked for the rows of `ranked_seed`."""

    graphs: Mapping[str, LayerGraph]
    contract: Contract
    data: CocoDataset
    photos: CalibrationSet
    ranked_seed: int | None

    def row(self, recipe: str, method: str, seed: int) -> dict[str, Any]:
        """Plan, simulate and measure."""
        chosen = drawn(self.photos, seed)
        plan = make_plan(
            RECIPES[recipe], self.graphs, chosen, self.contract, method=method, with_products=True
        )
        figures = accuracy(simulate(self.graphs, plan, self.contract), self.data)
        ranking = []
        if seed == self.ranked_seed:
            ranking = [asdict(cost) for cost in rank_layers(self.graphs, plan, chosen, self.contract)]
        return {"recipe": recipe, "method": method, "seed": seed, **figures, "ranking": ranking}


@click.command()
@click.option("--checkpoint", help="Checkpoint; the shipped one by default.")
@click.option("--calibration", type=click.Path(path_type=Path), required=True, help="Folder of photos.")
@click.option("--dataset", type=click.Path(path_type=Path), required=True, help="COCO-style folder.")
@click.option("--last", type=int, default=100, show_default=True, help="Photos at its end to measure on.")
@click.option("--seeds", default="1,2,3", show_default=True)
@click.option("--rank/--no-rank", default=True, show_default=True, help="Rank the layers under each method.")
@click.option("--threads", type=int, default=2, show_default=True)
@click.option("--out", type=click.Path(path_type=Path), default=Path("runs/quantization_methods"))
def main(
    checkpoint: str | None,
    calibration: Path,
    dataset: Path,
    last: int,
    seeds: str,
    rank: bool,
    threads: int,
    out: Path,
) -> None:
    """Measure every recipe, method and seed; print and save the table."""
    torch.set_num_threads(threads)
    out.mkdir(parents=True, exist_ok=True)
    read = read_coco(dataset)
    data = CocoDataset(name=read.name, images=read.images[-last:])
    model = load_checkpoint(checkpoint).model
    contract = contract_of(model)
    graphs = trace_all(entry_points(model, contract))
    numbers = [int(text) for text in seeds.split(",")]
    study = Study(
        graphs=graphs,
        contract=contract,
        data=data,
        photos=CalibrationSet.from_folder(calibration),
        ranked_seed=numbers[0] if rank else None,
    )
    base = kept(out / "float.json", lambda: accuracy(simulate(graphs, None, contract), data))
    rows = []
    for seed, recipe, method in product(numbers, RECIPE_IDS, COMPARED):
        path = out / f"{recipe}_{method}_{seed}.json"
        rows.append(kept(path, partial(study.row, recipe, method, seed)))
        click.echo(f"{path.stem}: " + ", ".join(f"{f} {rows[-1][f]:.4f}" for f in FIGURES))
    report(rows, base)
    result = {"dataset": data.name, "photos": len(data.images), "float": base, "rows": rows}
    click.echo(save("quantization_methods", result))


if __name__ == "__main__":
    main()
