"""What the scale search looks at of a layer: a few rows of its factors, so that any layer is a small product.

A convolution at one output position is a product of the patch under the kernel with the weights, so a handful
of positions stands for the whole map; of a product of two activations a few matrices are kept.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from tinysam_mobile.quant.graph import Layer, LayerKind

__all__ = ["Drawn", "RowSampler", "at_places", "multiply_rows"]

ROWS_PER_CALL = 96
MATRICES_PER_CALL = 2
MAX_SIDE = 64
"""Rows and columns kept of each matrix of a product."""


@dataclass(frozen=True, kw_only=True)
class Drawn:
    """Rows of one call.  `first` and `second`: (R, K) and None for linear layers and dense convolutions,
    (R, C, K) and None for depthwise ones, (P, M, K) and (P, K, N) for products.  `places` finds the same
    elements in the output."""

    first: Tensor
    second: Tensor | None
    places: tuple[Tensor, ...]


class RowSampler:
    """Draws rows of layers; the same seed draws the same."""

    def __init__(self, *, seed: int) -> None:
        self._rng = np.random.default_rng(seed)

    def draw(self, layer: Layer, factors: tuple[Tensor, ...]) -> Drawn:
        """Draw from one call of `layer`."""
        if layer.kind is LayerKind.PRODUCT:
            return self._draw_product(factors[0], factors[1])
        if layer.kind is LayerKind.LINEAR:
            x = factors[0].reshape(-1, factors[0].shape[-1])
            rows = self._choose(len(x), ROWS_PER_CALL)
            return Drawn(first=x[rows].clone(), second=None, places=(rows,))
        return self._draw_patches(layer, factors[0])

    def _draw_patches(self, layer: Layer, x: Tensor) -> Drawn:
        assert layer.weight is not None
        height, width = layer.node.meta["val"].shape[-2:]
        kernel = layer.weight.shape[-2:]
        stride, padding = _pair(layer, 3, 1), _pair(layer, 4, 0)
        cells = self._choose(height * width, ROWS_PER_CALL)
        rows, columns = cells // width, cells % width
        padded = F.pad(x[0], (padding[1], padding[1], padding[0], padding[0]))
        y = (rows * stride[0])[:, None, None] + torch.arange(kernel[0])[None, :, None]
        z = (columns * stride[1])[:, None, None] + torch.arange(kernel[1])[None, None, :]
        patches = padded[:, y, z].permute(1, 0, 2, 3)
        flat = patches.flatten(2) if layer.kind is LayerKind.DEPTHWISE else patches.flatten(1)
        return Drawn(first=flat.contiguous(), second=None, places=(rows, columns))

    def _draw_product(self, a: Tensor, b: Tensor) -> Drawn:
        batch = self._choose(len(a), MATRICES_PER_CALL)
        rows = self._choose(a.shape[1], MAX_SIDE)
        columns = self._choose(b.shape[2], MAX_SIDE)
        return Drawn(
            first=a[batch][:, rows].clone(),
            second=b[batch][:, :, columns].clone(),
            places=(batch, rows, columns),
        )

    def _choose(self, count: int, most: int) -> Tensor:
        if count <= most:
            return torch.arange(count)
        return torch.from_numpy(np.sort(self._rng.choice(count, most, replace=False)))


def at_places(layer: Layer, values: Tensor, drawn: Drawn) -> Tensor:
    """Return what a tensor of the output's shape holds at the drawn places, shaped as `multiply_rows`."""
    if layer.kind is LayerKind.PRODUCT:
        batch, rows, columns = drawn.places
        return values[batch][:, rows][:, :, columns]
    if layer.kind is LayerKind.LINEAR:
        return values.reshape(-1, values.shape[-1])[drawn.places[0]]
    rows, columns = drawn.places
    return values[0][:, rows, columns].T


def multiply_rows(layer: Layer, first: Tensor, second: Tensor) -> Tensor:
    """Multiply drawn rows: by weights to (R, outputs), or two activations to (P, M, N); without bias."""
    if layer.kind is LayerKind.PRODUCT:
        return torch.bmm(first, second)
    weight = second.flatten(1)
    if layer.kind is LayerKind.DEPTHWISE:
        return torch.einsum("rck,ck->rc", first, weight)
    return first @ weight.T


def _pair(layer: Layer, position: int, default: int) -> tuple[int, int]:
    """Return an argument of a convolution that is one number for both directions, or two."""
    args = layer.node.args
    value: Any = args[position] if len(args) > position else default
    return (value, value) if isinstance(value, int) else (int(value[0]), int(value[-1]))
