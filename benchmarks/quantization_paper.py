"""TinySAM's table of quantization (arXiv 2312.13789), redone with a checkpoint of ours: AP and MACs.

    python -m benchmarks.quantization_paper --calibration photos --dataset coco_dev

Simulated in PyTorch with every layer and product rounded, as the paper's own model is.  AP is that of masks
for the annotated boxes, since there is no detector here.  MACs of one image and one prompt, those of rounded
layers by bits/32.  The paper does not say how it counts; this fits both of its figures, 20.28 and 18.45 G, if
69 % of its 42.0 G are rounded.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import click
import torch

from benchmarks.quantization_methods import simulate
from benchmarks.record import save
from tinysam_mobile.evaluation.coco import CocoDataset, read_coco
from tinysam_mobile.evaluation.detections import read_boxes
from tinysam_mobile.evaluation.ideal_prompts import tight_box
from tinysam_mobile.evaluation.photo import EvaluationPlan
from tinysam_mobile.evaluation.results import open_results
from tinysam_mobile.evaluation.run import figures, measure_photos, plain
from tinysam_mobile.modeling.checkpoint import load_checkpoint
from tinysam_mobile.modeling.entry_points import contract_of, entry_points
from tinysam_mobile.quant.calibration import CalibrationSet
from tinysam_mobile.quant.graph import LayerGraph
from tinysam_mobile.quant.observers import DEFAULT_METHOD
from tinysam_mobile.quant.plan import QuantPlan
from tinysam_mobile.quant.planning import SEARCH_TWO_SCALES, make_plan, trace_all
from tinysam_mobile.quant.recipe import RECIPES

FLOAT_BITS = 32
RANGES = {"float": None, "static_w8a8": DEFAULT_METHOD, "static_w6a6": SEARCH_TWO_SCALES}
"""Recipe → the way to choose ranges that loses least under it: docs/quantization_methods.md."""
PUBLISHED = (
    {"model": "TinySAM, published", "recipe": "float", "ap": 0.423, "gmacs": 42.0},
    {"model": "TinySAM, published", "recipe": "static_w8a8", "ap": 0.414, "gmacs": 20.28},
    {"model": "TinySAM, published", "recipe": "static_w6a6", "ap": 0.390, "gmacs": 18.45},
    {"model": "MobileSAM, published", "recipe": "float", "ap": 0.410},
    {"model": "MobileSAM, published", "recipe": "static_w8a8", "ap": 0.398},
    {"model": "MobileSAM, published", "recipe": "static_w6a6", "ap": 0.363},
)


def annotated_boxes(data: CocoDataset) -> Iterator[dict[str, Any]]:
    """Yield the boxes around annotated masks as a detector's results, all with the same score."""
    for image in data.images:
        for instance in image.instances:
            mask = image.mask(instance)
            if instance.is_crowd or not mask.any():
                continue
            x0, y0, x1, y1 = tight_box(mask)
            box = [x0, y0, x1 - x0, y1 - y0]
            yield {"image_id": image.id, "category_id": instance.category_id, "bbox": box, "score": 1.0}


def effective_gmacs(graphs: dict[str, LayerGraph], plan: QuantPlan | None) -> float:
    """Return GMACs of `encode` and `decode`, those of the plan's layers weighed by bits/32."""
    weight = plan.recipe.weight_bits / FLOAT_BITS if plan else 1.0
    rounded = plan.layers if plan else {}
    layers = [layer for name in ("encode", "decode") for layer in graphs[name].layers.values()]
    return sum(layer.macs * (weight if layer.name in rounded else 1.0) for layer in layers) / 1e9


@click.command()
@click.option("--checkpoint", help="Checkpoint; the shipped one by default.")
@click.option("--calibration", type=click.Path(path_type=Path), required=True, help="Folder of photos.")
@click.option("--dataset", type=click.Path(path_type=Path), required=True, help="COCO-style folder.")
@click.option("--threads", type=int, default=1, show_default=True)
@click.option("--out", type=click.Path(path_type=Path), default=Path("runs/quantization_paper"))
def main(checkpoint: str | None, calibration: Path, dataset: Path, threads: int, out: Path) -> None:
    """Measure the float model, W8A8 and W6A6; print and save the table."""
    torch.set_num_threads(threads)
    out.mkdir(parents=True, exist_ok=True)
    data, loaded = read_coco(dataset), load_checkpoint(checkpoint)
    contract = contract_of(loaded.model)
    graphs = trace_all(entry_points(loaded.model, contract))
    photos = CalibrationSet.from_folder(calibration)
    boxes = out / "boxes.json"
    boxes.write_text(json.dumps([*annotated_boxes(data)]), encoding="utf-8")
    evaluation = EvaluationPlan(prompts=("box", "point"), boxes=read_boxes(boxes))
    rows: list[dict[str, Any]] = []
    for recipe, ranges in RANGES.items():
        plan = None
        if ranges:
            plan = make_plan(RECIPES[recipe], graphs, photos, contract, method=ranges, with_products=True)
        about = {"recipe": recipe, "ranges": ranges, "dataset": data.name, "photos": photos.to_json()}
        results = open_results(out, f"{loaded.name}_{recipe}", about)
        measure_photos(simulate(graphs, plan, contract), data, evaluation, results)
        ap = plain(figures(data, evaluation, results))["AP"]
        gmacs = effective_gmacs(graphs, plan)
        rows.append({"model": loaded.name, "recipe": recipe, "ranges": ranges, "ap": ap, "gmacs": gmacs})
        click.echo(f"{recipe:12} AP {100 * ap:.1f}  {gmacs:.2f} GMACs")
    about_table = {"dataset": data.name, "photos": len(data.images)}
    save("quantization_paper", {**about_table, "rows": [*rows, *PUBLISHED]})


if __name__ == "__main__":
    main()
