"""A network of every kind of layer, small enough to convert in seconds, and a plan for it."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from tinysam_mobile.contract.spec import Component, Signature, TensorSpec
from tinysam_mobile.modeling.entry_points import EntryPoint
from tinysam_mobile.quant.graph import Layer, LayerGraph, trace_layers
from tinysam_mobile.quant.observers import RangeObserver
from tinysam_mobile.quant.plan import LayerGrids, QuantPlan
from tinysam_mobile.quant.planning import LayerObservers, has_kernel, layer_grids
from tinysam_mobile.quant.recipe import RECIPES

SIDE, WIDTH = 16, 32
SIGNATURE = Signature(
    name="encode",
    component=Component.ENCODER,
    inputs=(TensorSpec(name="image", shape=(1, 3, 2 * SIDE, 2 * SIDE)),),
    outputs=(TensorSpec(name="image_embeddings", shape=(1, WIDTH, SIDE, SIDE)),),
)


class Attention(nn.Module):
    """A product of two activations, as in attention, called `attn` like all of ours."""

    def __init__(self) -> None:
        super().__init__()
        self.qkv = nn.Linear(WIDTH, 2 * WIDTH)

    def forward(self, x: Tensor) -> Tensor:
        # ExecuTorch leaves a slice right between two integer grids outside; ours has other work in between.
        query, value = (self.qkv(x) * 0.5).split(WIDTH, dim=-1)
        weights = torch.softmax(torch.bmm(query, query.transpose(1, 2)) / 2, dim=-1)
        return torch.bmm(weights, value)


class Net(nn.Module):
    """Convolutions dense and depthwise, a residual, layer norm, linear layers with GELU and ReLU."""

    def __init__(self) -> None:
        super().__init__()
        self.stem = nn.Conv2d(3, WIDTH, 3, stride=2, padding=1)
        self.local = nn.Conv2d(WIDTH, WIDTH, 3, padding=1, groups=WIDTH)
        self.mix = nn.Conv2d(WIDTH, WIDTH, 1)
        self.norm = nn.LayerNorm(WIDTH)
        self.up = nn.Linear(WIDTH, 2 * WIDTH)
        self.down = nn.Linear(2 * WIDTH, WIDTH)
        self.attn = Attention()

    def forward(self, image: Tensor) -> Tensor:
        x = self.stem(image)
        x = x + self.mix(F.gelu(self.local(F.gelu(x))))
        rows = x.flatten(2).transpose(1, 2)
        rows = rows + self.down(F.relu(self.up(self.norm(rows))))
        rows = rows + self.attn(rows)
        return rows.transpose(1, 2).reshape(1, WIDTH, SIDE, SIDE)


class PaddedPool(nn.Module):
    """A layer's integers, padded and pooled on the way to the next layer, as at the start of a ResNet."""

    def __init__(self) -> None:
        super().__init__()
        self.stem = nn.Conv2d(3, WIDTH, 3, stride=2, padding=1)
        self.mix = nn.Conv2d(WIDTH, WIDTH, 1)

    def forward(self, image: Tensor) -> Tensor:
        out: Tensor = self.mix(F.max_pool2d(F.pad(F.relu(self.stem(image)), (1, 1, 1, 1)), 3, 1))
        return out


def entry_point(net: type[nn.Module] = Net) -> EntryPoint:
    """A network with seeded weights."""
    torch.manual_seed(0)
    return EntryPoint(signature=SIGNATURE, module=net().eval().requires_grad_(False))


def images(count: int) -> list[Tensor]:
    """Seeded inputs."""
    rng = np.random.default_rng(1)
    shape = SIGNATURE.inputs[0].shape
    return [torch.from_numpy(rng.normal(0, 1, shape).astype(np.float32)) for _ in range(count)]


def observed(graph: LayerGraph) -> dict[str, LayerObservers]:
    """What is seen of each layer over four inputs."""
    seen: dict[str, LayerObservers] = {}

    def visit(layer: Layer, factors: tuple[Tensor, ...], multiply: Callable[..., Tensor]) -> Tensor:
        watched = seen.setdefault(layer.name, LayerObservers())
        for position in layer.activations:
            watched.inputs.setdefault(position, RangeObserver()).see(factors[position])
        out = multiply(*factors)
        watched.output.see(torch.relu(out) if layer.output is not layer.node else out)
        return out

    for image in images(4):
        graph.run((image,), visit)
    return seen


def plan_of(recipe: str, method: str = "minmax", net: type[nn.Module] = Net) -> tuple[LayerGraph, QuantPlan]:
    """The layer graph, and a plan of what the formats compute in integers."""
    graph = trace_layers(entry_point(net))
    layers = {layer.name: layer for layer in graph.layers.values()}
    grids: dict[str, LayerGrids] = {
        name: layer_grids(layers[name], watched, RECIPES[recipe], method)
        for name, watched in observed(graph).items()
        if has_kernel(layers[name], RECIPES[recipe], in_encoder=True)
    }
    order = {"encode": graph.order}
    return graph, QuantPlan(recipe=RECIPES[recipe], method=method, layers=grids, order=order)
