"""`tinysam-mobile sensitivity`: which layers a static recipe costs accuracy, before anything is converted."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING

import click

from tinysam_mobile.cli.options import (
    as_json_option,
    calibration_option,
    checkpoint_argument,
    image_size_option,
    ranges_option,
    recipe_option,
)
from tinysam_mobile.cli.output import command_errors, print_json, print_table, progress, warn
from tinysam_mobile.parity.float_model import load_float_model
from tinysam_mobile.quant.calibration import CalibrationSet
from tinysam_mobile.quant.recipe import RECIPES

if TYPE_CHECKING:
    from tinysam_mobile.quant.graph import Layer
    from tinysam_mobile.quant.sensitivity import LayerCost

__all__ = ["command"]

STATIC_RECIPES = [name for name, recipe in RECIPES.items() if recipe.needs_calibration]


@click.command()
@checkpoint_argument
@calibration_option(required=True)
@recipe_option(choices=STATIC_RECIPES, default="static_w8a8")
@ranges_option
@image_size_option
@click.option(
    "--top", type=click.IntRange(1), default=20, show_default=True, help="Number of layers to print."
)
@as_json_option
@command_errors
def command(
    checkpoint: str | None,
    calibration: Path,
    recipe: str,
    ranges: str,
    image_size: int | None,
    top: int,
    as_json: bool,
) -> None:
    """Rank the layers of CHECKPOINT (the shipped one by default) by what each costs when it alone is integer.

    A layer's figures compare the model in which only that layer is rounded with the float model, on the
    photos themselves, so no annotation is needed: SQNR of the mask logits, and the mean IoU of the masks.
    The costliest layers come first; `convert --auto-mixed` keeps the fewest of them in float.

    \b
    Examples:
      tinysam-mobile sensitivity --calibration photos
      tinysam-mobile sensitivity mobile_sam.pt --calibration photos --recipe static_w6a6 --json
    """
    from tinysam_mobile.modeling.entry_points import entry_points
    from tinysam_mobile.quant.layer_costs import layer_costs

    photos = CalibrationSet.from_folder(calibration)
    warn(photos.warning)
    with progress() as say:
        say("loading the checkpoint")
        loaded, contract = load_float_model(checkpoint, image_size=image_size)
        modules = entry_points(loaded.model, contract)
        whole, ranked, layers = layer_costs(
            modules, contract, photos, RECIPES[recipe], method=ranges, progress=say
        )
    if as_json:
        print_json(
            {"recipe": recipe, "ranges": ranges, "all": asdict(whole), "layers": [*map(asdict, ranked)]}
        )
        return
    report(whole, ranked[:top], layers)


def report(whole: LayerCost, ranked: list[LayerCost], layers: Mapping[str, Layer]) -> None:
    """Print the ranked table."""
    rows = [["", "all layers together", "", *_figures(whole)]]
    rows += [
        [str(place), cost.name, layers[cost.name].kind.value, *_figures(cost)]
        for place, cost in enumerate(ranked, start=1)
    ]
    headers = ["", "layer", "kind", "mask IoU", "SQNR dB"]
    print_table(headers, rows, right=("", "mask IoU", "SQNR dB"))


def _figures(cost: LayerCost) -> list[str]:
    return [f"{cost.mask_iou:.4f}", f"{cost.sqnr_db:.1f}"]
