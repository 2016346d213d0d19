"""A plan simulated in PyTorch: each layer's factors are rounded to their grids, the arithmetic stays float.

It is what a plan costs before any SDK sees it, and all that recipes without integer kernels have.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from tinysam_mobile.contract.backend import Arrays, check_inputs
from tinysam_mobile.contract.spec import Contract
from tinysam_mobile.errors import UnknownNameError
from tinysam_mobile.quant.graph import Layer, LayerGraph, Visit
from tinysam_mobile.quant.numerics import ActivationGrid, weight_scales
from tinysam_mobile.quant.plan import LayerGrids
from tinysam_mobile.quant.two_scales import round_two_scales

__all__ = ["SimulatedModel", "round_activation", "round_weight", "simulated"]


def round_activation(x: Tensor, grid: ActivationGrid) -> Tensor:
    """Return `x` rounded to `grid`; gradients pass where it does not clip."""
    return torch.fake_quantize_per_tensor_affine(x, grid.scale, grid.zero_point, grid.q_min, grid.q_max)


def round_weight(weight: Tensor, clip: NDArray[np.float64] | float, bits: int) -> Tensor:
    """Return `weight`, output channels first, rounded to a symmetric grid per channel."""
    scales = torch.from_numpy(weight_scales(weight.numpy(), 0, bits=bits, clip=clip))
    limit = 2 ** (bits - 1) - 1
    zeros = torch.zeros(len(scales), dtype=torch.int32)
    return torch.fake_quantize_per_channel_affine(weight, scales, zeros, 0, -limit, limit)


def simulated(layers: Mapping[str, LayerGrids], *, weight_bits: int, round_outputs: bool = False) -> Visit:
    """Return a `Visit` that rounds the factors of the layers in `layers`, and outputs too if asked.

    Rounded outputs are what TFLite and XNNPACK do; the paper and Core ML leave outputs float.
    """
    weights: dict[str, Tensor] = {}

    def visit(layer: Layer, factors: tuple[Tensor, ...], multiply: Callable[..., Tensor]) -> Tensor:
        grids = layers.get(layer.name)
        if grids is None:
            return multiply(*factors)
        rounded = list(factors)
        for position, grid in zip(layer.activations, grids.inputs, strict=True):
            rounded[position] = round_activation(factors[position], grid)
        if grids.two_scales is not None:
            rounded[0] = round_two_scales(factors[0], grids.two_scales)
        if layer.weight is not None:
            if layer.name not in weights:
                weights[layer.name] = round_weight(layer.weight, grids.clip, weight_bits)
            rounded[1] = weights[layer.name]
        out = multiply(*rounded)
        if not round_outputs:
            return out
        # A grid after a ReLU begins at 0, so that rounding before the ReLU does both.
        return round_activation(out, grids.output)

    return visit


@dataclass(frozen=True, kw_only=True)
class SimulatedModel:
    """A `Backend` that answers entry points through their layer graphs and one `Visit`."""

    contract: Contract
    graphs: Mapping[str, LayerGraph]
    visit: Visit

    @torch.no_grad()
    def run(self, entry_point: str, inputs: Mapping[str, NDArray[np.generic]]) -> Arrays:
        """Run one entry point; raises `UsageError` for inputs that do not fit its signature."""
        if entry_point not in self.graphs:
            raise UnknownNameError("entry point", entry_point, self.graphs)
        signature = self.contract.signatures[entry_point]
        arrays = check_inputs(signature, inputs)
        tensors = tuple(torch.from_numpy(np.require(a, requirements="W")) for a in arrays.values())
        outputs = self.graphs[entry_point].run(tensors, self.visit)
        return {s.name: out.numpy().copy() for s, out in zip(signature.outputs, outputs, strict=True)}
