"""A plan: for each layer of the network the grids that calibration or the search chose, as plain data.

Layers have the names that `graph.layers_of` gives them, the same in every entry point that runs them; what a
plan does not name stays float.  Every translator reads the same plan.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tinysam_mobile.quant.numerics import ActivationGrid
from tinysam_mobile.quant.recipe import QuantRecipe
from tinysam_mobile.quant.two_scales import TwoScales

__all__ = ["LayerGrids", "QuantPlan"]


@dataclass(frozen=True, kw_only=True)
class LayerGrids:
    """Grids of one layer's inputs (a product of two activations has two) and of its output.

    `weight_clip`: for each output channel the fraction of its largest |weight| that its grid spans; empty
    means all of it.  `two_scales`: the paper's grid of the first input, which only the simulation knows; the
    formats take `inputs`.
    """

    inputs: tuple[ActivationGrid, ...]
    output: ActivationGrid
    weight_clip: tuple[float, ...] = ()
    two_scales: TwoScales | None = None

    @property
    def clip(self) -> NDArray[np.float64] | float:
        """`weight_clip` as `numerics.weight_scales` takes it."""
        return np.array(self.weight_clip) if self.weight_clip else 1.0


@dataclass(frozen=True, kw_only=True)
class QuantPlan:
    """What a static recipe fixes; `method` is the observer or search that made it.

    `order`: for each entry point the names of all its layers, also those left in float, as they execute.
    `float_layers`: layers that mixed precision took out: the family's own, then the most costly first.
    """

    recipe: QuantRecipe
    method: str
    layers: Mapping[str, LayerGrids]
    order: Mapping[str, tuple[str, ...]]
    float_layers: tuple[str, ...] = ()

    def to_json(self) -> dict[str, Any]:
        """Return plain JSON data for the manifest."""
        return {
            "recipe": self.recipe.id,
            "method": self.method,
            "float_layers": list(self.float_layers),
            "layers": {name: asdict(grids) for name, grids in sorted(self.layers.items())},
        }
