"""The paper's ablation of full-stage distillation, at our scale: five runs that add one part each.

    tinysam-mobile distill cache runs/store/ccp_train --out runs/ablation/cache
    python -m benchmarks.ablation --photos ../shared/data/ccp_train --seeds 1,2,3

Every run resumes where it was killed; a run that is done is only read.  mIoU is measured on the photos at
the end of the folder, which the photo store leaves out.
"""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from statistics import mean
from typing import Any

import click
import torch

from benchmarks.record import save
from tinysam_mobile.distill.config import TrainConfig, read_config
from tinysam_mobile.distill.networks import averaged_model
from tinysam_mobile.distill.run_state import read_state
from tinysam_mobile.distill.train import train
from tinysam_mobile.evaluation.coco import CocoDataset, read_coco
from tinysam_mobile.evaluation.miou import measure, summary
from tinysam_mobile.modeling.entry_points import contract_of
from tinysam_mobile.simulator.registry import open_model

RECIPE = Path(__file__).parents[1] / "tinysam_mobile/distill/recipes/ablation.toml"
FIGURES = ("miou_box", "miou_box_best", "miou_point", "miou_point_best")


def variants(base: TrainConfig) -> dict[str, TrainConfig]:
    """The five runs; each adds one part to the one before it."""
    output = base
    embedding = replace(output, losses=replace(output.losses, embedding=1.0))
    token = replace(embedding, losses=replace(embedding.losses, token=1.0))
    stages = tuple(replace(stage, refine_share=0.9, max_refinements=3) for stage in token.stages)
    prompts = replace(token, stages=stages)
    weighting = replace(prompts, losses=replace(prompts.losses, hard_mask_weighting=True))
    return {
        "output loss only": output,
        "+ embedding loss": embedding,
        "+ token loss": token,
        "+ online hard prompts": prompts,
        "+ hard mask weighting": weighting,
    }


def measured(config: TrainConfig, folder: Path, held_out: CocoDataset) -> dict[str, float]:
    """Train `config` in `folder`, if it is not done there, and measure it on the held-out photos."""
    train(config, folder)
    state = read_state(folder)
    assert state is not None
    model = averaged_model(state, config)
    table = summary(list(measure(open_model(model, contract_of(model, slots=2)), held_out)))
    return {name: table[name]["all"] for name in FIGURES}


@click.command()
@click.option("--photos", type=click.Path(path_type=Path), required=True, help="COCO-style folder.")
@click.option("--held-out", type=int, default=100, show_default=True, help="Photos at its end to measure on.")
@click.option("--seeds", default="1,2,3", show_default=True)
@click.option("--out", type=click.Path(path_type=Path), default=Path("runs/ablation"), show_default=True)
@click.option("--threads", type=int, default=2, show_default=True)
def main(photos: Path, held_out: int, seeds: str, out: Path, threads: int) -> None:
    """Train and measure every variant with every seed; print and save the table."""
    torch.set_num_threads(threads)
    data = read_coco(photos)
    last = CocoDataset(name=data.name, images=data.images[-held_out:])
    base = read_config(RECIPE)
    rows: dict[str, list[dict[str, Any]]] = {}
    for seed in (int(text) for text in seeds.split(",")):
        for number, (name, config) in enumerate(variants(replace(base, seed=seed)).items()):
            row = {"seed": seed, **measured(config, out / f"{number}_seed{seed}", last)}
            rows.setdefault(name, []).append(row)
            click.echo(f"{name}: {row}")
    for name, found in rows.items():
        figures = "  ".join(f"{figure} {mean(row[figure] for row in found):.4f}" for figure in FIGURES)
        click.echo(f"{name:24} {figures}  ({len(found)} seeds)")
    click.echo(save("ablation", {"photos": data.name, "held_out": held_out, "rows": rows}))


if __name__ == "__main__":
    main()
