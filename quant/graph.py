"""The layers of an entry point as a graph: which operations multiply, with what, and how to watch them run.

One torch.export of the module gives the graph; convolutions, linear layers and batched products are its
layers.  A layer is named after its module (`image_encoder.layers.1.blocks.0.attn.qkv`) or, where a module
multiplies by itself, after module and operation (`image_encoder.layers.1.blocks.0.attn:bmm_1`), so that the
same layer has the same name in `decode` and `decode_batch`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

import torch
from torch import Tensor, fx

from tinysam_mobile.modeling.entry_points import EntryPoint, example_inputs

__all__ = ["Layer", "LayerGraph", "LayerKind", "Visit", "trace_layers"]

_A = torch.ops.aten


class LayerKind(StrEnum):
    """What a layer multiplies."""

    CONV = "conv"
    DEPTHWISE = "depthwise"
    LINEAR = "linear"
    PRODUCT = "product"
    """Two activations, or an activation and weights head by head."""
    POSITION = "position"
    """Coordinates or label flags by a fixed table: never quantized, a phase needs all its digits."""


_KINDS = {
    _A.conv2d.default: LayerKind.CONV,
    _A.linear.default: LayerKind.LINEAR,
    _A.bmm.default: LayerKind.PRODUCT,
    _A.matmul.default: LayerKind.POSITION,
}
ATTENTION = "attn"
"""Part of the name of every attention module, encoder and decoder alike."""


@dataclass(frozen=True, kw_only=True)
class Layer:
    """One multiplication.

    `weight` is the constant second factor, output channels first; None for a product, some of which have a
    constant factor too, one matrix for each head.  `activations` are the positions of the factors that are
    not constant; `output` is the ReLU after the layer, if that alone reads it, or the layer's own node;
    `macs` are the multiplications of one call.
    """

    name: str
    node: fx.Node
    output: fx.Node
    kind: LayerKind
    weight: Tensor | None
    activations: tuple[int, ...]
    macs: int

    @property
    def in_attention(self) -> bool:
        """Whether the layer belongs to an attention module."""
        return ATTENTION in self.name

    @property
    def is_quantizable(self) -> bool:
        """Whether integer kernels exist for it in some format."""
        return self.kind is not LayerKind.POSITION


Visit = Callable[[Layer, tuple[Tensor, ...], Callable[..., Tensor]], Tensor]
"""`visit(layer, factors, multiply)`: called in place of a layer; returns its output.  `multiply` takes
the two factors."""


@dataclass(frozen=True, kw_only=True)
class LayerGraph:
    """An entry point's graph and its layers in execution order, by node name."""

    entry_point: str
    module: fx.GraphModule
    layers: Mapping[str, Layer]

    @property
    def order(self) -> tuple[str, ...]:
        """Names of the layers in execution order."""
        return tuple(layer.name for layer in self.layers.values())

    @property
    def num_inputs(self) -> int:
        """Inputs of the entry point."""
        return sum(node.op == "placeholder" for node in self.module.graph.nodes)

    def run(self, inputs: tuple[Tensor, ...], visit: Visit) -> tuple[Tensor, ...]:
        """Run the graph with `visit` in place of each quantizable layer; returns the outputs in order."""
        out = _Watched(self, visit).run(*inputs)
        return out if isinstance(out, tuple) else (out,)


class _Watched(fx.Interpreter):
    """fx's interpreter, which frees each value after its last use: memory stays that of one run."""

    def __init__(self, graph: LayerGraph, visit: Visit) -> None:
        super().__init__(graph.module)
        self._layers = {name: layer for name, layer in graph.layers.items() if layer.is_quantizable}
        self._visit = visit

    def run_node(self, n: fx.Node) -> Any:
        layer = self._layers.get(n.name)
        if layer is None:
            return super().run_node(n)
        args, kwargs = self.fetch_args_kwargs_from_env(n)
        rest = args[2:]
        target: Any = n.target
        return self._visit(layer, tuple(args[:2]), lambda a, b: target(a, b, *rest, **kwargs))


def trace_layers(entry: EntryPoint) -> LayerGraph:
    """Export `entry` and find its layers."""
    program = torch.export.export(entry.module, example_inputs(entry.signature))
    module = program.module(check_guards=False)
    assert isinstance(module, fx.GraphModule)
    constants = _Constants(module)
    counts: dict[str, int] = {}
    layers = {}
    for node in module.graph.nodes:
        if node.op == "call_function" and node.target in _KINDS:
            layer = _layer(node, constants, counts)
            # A product of constants, such as a resized position embedding, is made once by every converter.
            if layer.activations:
                layers[node.name] = layer
    return LayerGraph(entry_point=entry.signature.name, module=module, layers=layers)


def _layer(node: fx.Node, constants: _Constants, counts: dict[str, int]) -> Layer:
    target: Any = node.target
    kind = _KINDS[target]
    constant = [constants.value(factor) for factor in node.all_input_nodes[:2]]
    weight = constant[1]
    if kind is LayerKind.CONV and weight is not None and weight.shape[1] == 1 and weight.shape[0] > 1:
        kind = LayerKind.DEPTHWISE
    if kind is LayerKind.PRODUCT:
        weight = None
    shape = node.meta["val"].shape
    terms = node.args[0].meta["val"].shape[-1]  # type: ignore[union-attr]
    if weight is not None and kind in (LayerKind.CONV, LayerKind.DEPTHWISE):
        terms = weight[0].numel()
    return Layer(
        name=_name(node, counts),
        node=node,
        output=_activated(node),
        kind=kind,
        weight=weight,
        activations=tuple(i for i, value in enumerate(constant) if value is None),
        macs=int(shape.numel() * terms),
    )


def _name(node: fx.Node, counts: dict[str, int]) -> str:
    """Name a layer after its module if it is all that the module does, else after module and operation."""
    stack = [path for path, _ in node.meta.get("nn_module_stack", {}).values()]
    path = stack[-1] if stack else ""
    second = node.args[1]
    if isinstance(second, fx.Node) and second.op == "get_attr" and second.target == f"{path}.weight":
        return path
    key = f"{path}:{node.target.__name__.split('.')[0]}"  # type: ignore[union-attr]
    counts[key] = counts.get(key, -1) + 1
    return f"{key}_{counts[key]}"


def _activated(node: fx.Node) -> fx.Node:
    """Return the ReLU that is a layer's only reader, which integer kernels include, else the layer."""
    users = list(node.users)
    return users[0] if len(users) == 1 and users[0].target is _A.relu.default else node


class _Constants:
    """Values that depend on parameters and buffers alone."""

    def __init__(self, module: fx.GraphModule) -> None:
        self._module = module
        self._known: dict[fx.Node, Any] = {}

    def value(self, node: fx.Node) -> Tensor | None:
        """Return the value of `node`, or None if it depends on an input."""
        found = self._evaluate(node)
        return found if isinstance(found, Tensor) else None

    def _evaluate(self, node: fx.Node) -> Any:
        if node not in self._known:
            self._known[node] = self._compute(node)
        return self._known[node]

    def _compute(self, node: fx.Node) -> Any:
        if node.op == "get_attr":
            owner: Any = self._module
            for part in str(node.target).split("."):
                owner = getattr(owner, part)
            return owner.detach()
        if node.op != "call_function":
            return None
        if any(self._evaluate(source) is None for source in node.all_input_nodes):
            return None
        target: Any = node.target
        with torch.no_grad():
            return target(
                *fx.node.map_arg(node.args, self._evaluate), **fx.node.map_arg(node.kwargs, self._evaluate)
            )
