"""What each layer costs when it alone is integer, from a checkpoint's entry points: the ranked table."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from tinysam_mobile.contract.spec import Contract
from tinysam_mobile.modeling.entry_points import EntryPoint
from tinysam_mobile.quant.calibration import CalibrationSet
from tinysam_mobile.quant.graph import Layer
from tinysam_mobile.quant.planning import make_plan, trace_all
from tinysam_mobile.quant.recipe import QuantRecipe
from tinysam_mobile.quant.sensitivity import LayerCost, plan_cost, rank_layers

__all__ = ["layer_costs"]


def layer_costs(
    modules: Mapping[str, EntryPoint],
    contract: Contract,
    photos: CalibrationSet,
    recipe: QuantRecipe,
    *,
    method: str,
    progress: Callable[[str], None],
) -> tuple[LayerCost, list[LayerCost], dict[str, Layer]]:
    """Return the cost of all layers together, of each by rank, and the layers by name.

    `method` is how ranges of activations are chosen.  Raises as `make_plan` does.
    """
    graphs = trace_all(modules)
    plan = make_plan(recipe, graphs, photos, contract, method=method, progress=progress)
    whole = plan_cost(graphs, plan, photos, contract)
    ranked = rank_layers(graphs, plan, photos, contract, progress=progress)
    return whole, ranked, {layer.name: layer for graph in graphs.values() for layer in graph.layers.values()}
