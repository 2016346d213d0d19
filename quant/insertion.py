"""Quantize and dequantize operations in an exported graph, at the layers and with the grids of a plan.

`quantized_decomposed` is PyTorch's own form of integers in a float graph; ExecuTorch's XNNPACK partitioner
turns the pattern around a layer into one integer kernel, and coremltools into `quantize`, `dequantize` and
`constexpr` weights.
"""

from __future__ import annotations

import operator
from typing import Any

import numpy as np
import torch

# Registers the operations; torch has no public module for it.
import torch.ao.quantization.fx._decomposed
from torch import Tensor, fx, nn

from tinysam_mobile.quant.graph import Layer, LayerGraph, LayerKind
from tinysam_mobile.quant.numerics import ActivationGrid, quantize_weight, weight_scales
from tinysam_mobile.quant.plan import LayerGrids, QuantPlan

__all__ = ["insert_dynamic", "insert_static"]

_Q = torch.ops.quantized_decomposed
INT8 = (-128, 127, torch.int8)
SMALLEST_SCALE = float(torch.finfo(torch.float32).eps)
"""Of a range that is measured while the model runs."""


def insert_static(graph: LayerGraph, plan: QuantPlan, *, quantize_outputs: bool) -> nn.Module:
    """Put the plan's grids into `graph`, which is changed, and return it as a module.

    Layers of the plan with 8-bit grids get integer weights and inputs and, with `quantize_outputs`, outputs;
    layers of the plan with wider grids, which neither format has, get integer weights only.  Products of two
    activations are integers only with `quantize_outputs`: Core ML, which leaves outputs float, has none.
    """
    writer = _Writer(graph)
    for layer in graph.layers.values():
        grids = plan.layers.get(layer.name)
        if grids is None or (layer.weight is None and not quantize_outputs):
            continue
        if layer.weight is not None:
            writer.quantize_weight(layer, grids)
        if grids.output.bits == 8:
            for position, grid in zip(layer.activations, grids.inputs, strict=True):
                writer.quantize_input(layer, position, grid)
            if quantize_outputs:
                writer.quantize_output(layer, grids.output)
    return writer.finish()


def insert_dynamic(graph: LayerGraph) -> nn.Module:
    """Give linear layers of `graph` (changed in place) int8 weights and inputs quantized as they come.

    Convolutions stay float: XNNPACK refuses dynamic ones when it runs (xnn_status_invalid_parameter).
    """
    writer = _Writer(graph)
    for layer in graph.layers.values():
        if layer.kind is LayerKind.LINEAR and layer.weight is not None:
            writer.quantize_weight(layer, None)
            writer.quantize_input_dynamically(layer)
    return writer.finish()


class _Writer:
    def __init__(self, graph: LayerGraph) -> None:
        self._module = graph.module
        self._graph = graph.module.graph
        self._integers: dict[tuple[fx.Node, ActivationGrid], fx.Node] = {}
        self._constants = 0

    def finish(self) -> nn.Module:
        self._graph.eliminate_dead_code()
        self._graph.lint()
        self._module.recompile()
        return self._module

    def quantize_weight(self, layer: Layer, grids: LayerGrids | None) -> None:
        assert layer.weight is not None
        weight = layer.weight.numpy()
        scales = weight_scales(weight, 0, clip=grids.clip if grids else 1.0)
        integers = quantize_weight(weight, scales, 0)
        with self._graph.inserting_before(layer.node):
            arguments = [
                self._constant(torch.from_numpy(array))
                for array in (integers, scales.astype(np.float32), np.zeros(len(scales), np.int64))
            ]
            factor = self._call(_Q.dequantize_per_channel.default, *arguments, 0, *INT8)
        layer.node.update_arg(1, factor)

    def quantize_input(self, layer: Layer, position: int, grid: ActivationGrid) -> None:
        source = layer.node.args[position]
        assert isinstance(source, fx.Node)
        if (source, grid) not in self._integers:
            with self._graph.inserting_after(source):
                self._integers[source, grid] = self._quantize(source, grid)
        # Each layer has a dequantize of its own: XNNPACK takes it into the layer's kernel, and whoever else
        # read it would find integers.
        with self._graph.inserting_before(layer.node):
            layer.node.update_arg(position, self._dequantize(self._integers[source, grid], grid))

    def quantize_output(self, layer: Layer, grid: ActivationGrid) -> None:
        readers = list(layer.output.users)
        with self._graph.inserting_after(layer.output):
            integers = self._quantize(layer.output, grid)
        with self._graph.inserting_after(integers):
            result = self._dequantize(integers, grid)
        for reader in readers:
            reader.replace_input_with(layer.output, result)
        # A layer that reads this one with the same grid needs no second rounding.
        self._integers[result, grid] = integers

    def quantize_input_dynamically(self, layer: Layer) -> None:
        source = layer.node.args[0]
        assert isinstance(source, fx.Node)
        with self._graph.inserting_before(layer.node):
            q_min, q_max, dtype = INT8
            chosen = self._call(_Q.choose_qparams.tensor, source, q_min, q_max, SMALLEST_SCALE, dtype)
            scale = self._call(operator.getitem, chosen, 0)
            zero_point = self._call(operator.getitem, chosen, 1)
            integers = self._call(_Q.quantize_per_tensor.tensor, source, scale, zero_point, *INT8)
            values = self._call(_Q.dequantize_per_tensor.tensor, integers, scale, zero_point, *INT8)
        layer.node.update_arg(0, values)

    def _quantize(self, source: fx.Node, grid: ActivationGrid) -> fx.Node:
        return self._call(_Q.quantize_per_tensor.default, source, grid.scale, grid.zero_point, *INT8)

    def _dequantize(self, integers: fx.Node, grid: ActivationGrid) -> fx.Node:
        return self._call(_Q.dequantize_per_tensor.default, integers, grid.scale, grid.zero_point, *INT8)

    def _call(self, target: Any, *args: Any) -> fx.Node:
        return self._graph.call_function(target, args)

    def _constant(self, tensor: Tensor) -> fx.Node:
        name = f"integer_{self._constants}"
        self._constants += 1
        self._module.register_buffer(name, tensor)
        return self._graph.get_attr(name)
