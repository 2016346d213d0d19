"""How many multiplications of a .tflite or .pte graph run on integers, counted from its tensors.

A multiplication counts as integer only if both factors are: int8 or int16 tensors (XNNPACK's activations that
are quantized as they come among them), or int8 weights under a float activation that TFLite's hybrid kernels
of FULLY_CONNECTED and CONV_2D quantize inside.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from math import prod

from tinysam_mobile.artifacts.graph import Graph, GraphOp
from tinysam_mobile.artifacts.tflite_graph import TfliteOp, TfliteSubgraph

__all__ = ["MacCount", "count_integer_macs"]

INTEGERS = ("int8", "int16")
HYBRID_OPS = ("FULLY_CONNECTED", "CONV_2D")
Shape = tuple[int, ...]


def _dense(_: Shape, weight: Shape) -> int:
    return prod(weight[1:])


def _depthwise(_: Shape, weight: Shape) -> int:
    return weight[1] * weight[2]


def _product(left: Shape, _: Shape) -> int:
    return left[-1]


TERMS: Mapping[str, Callable[[Shape, Shape], int]] = {
    "CONV_2D": _dense,
    "DEPTHWISE_CONV_2D": _depthwise,
    "FULLY_CONNECTED": _dense,
    "BATCH_MATMUL": _product,
    "XNNConv2d": _dense,
    "XNNDepthwiseConv2d": _depthwise,
    "XNNFullyConnected": _dense,
    "XNNBatchMatrixMultiply": _product,
}
"""Operation (TFLite's and XNNPACK's in a .pte) → products added up in each element of its output."""


@dataclass(frozen=True, kw_only=True)
class MacCount:
    """Multiplications of one call of a graph, in all and on integers."""

    total: int
    integer: int

    @property
    def integer_share(self) -> float:
        """Share on integers, 0 to 1."""
        return self.integer / self.total if self.total else 0.0


def count_integer_macs(graph: TfliteSubgraph | Graph) -> MacCount:
    """Count convolutions, fully connected layers and batched products; the rest is next to nothing."""
    total = integer = 0
    for op in graph.ops:
        if op.name not in TERMS:
            continue
        left, right = (graph.tensors[i].shape for i in op.inputs[:2])
        macs = prod(graph.tensors[op.outputs[0]].shape) * TERMS[op.name](left, right)
        total += macs
        if _on_integers(graph, op):
            integer += macs
    return MacCount(total=total, integer=integer)


def _on_integers(graph: TfliteSubgraph | Graph, op: TfliteOp | GraphOp) -> bool:
    kinds = [graph.tensors[i].dtype.lower() for i in op.inputs[:2]]
    is_hybrid = op.name in HYBRID_OPS and kinds == ["float32", "int8"]
    return is_hybrid or all(kind in INTEGERS for kind in kinds)
