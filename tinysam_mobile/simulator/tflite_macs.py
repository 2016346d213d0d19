"""How many multiplications of a .tflite graph run on integers, counted from its tensors.

A multiplication counts as integer only if both factors are: int8 or int16 tensors, or int8 weights under a
float activation that the hybrid kernels of FULLY_CONNECTED and CONV_2D quantize as it comes.
"""

from __future__ import annotations

from dataclasses import dataclass
from math import prod

from tinysam_mobile.simulator.tflite_graph import TfliteOp, TfliteSubgraph

__all__ = ["MacCount", "count_macs"]

INTEGERS = ("INT8", "INT16")
HYBRID_OPS = ("FULLY_CONNECTED", "CONV_2D")


@dataclass(frozen=True, kw_only=True)
class MacCount:
    """Multiplications of one call of a graph, in all and on integers."""

    total: int
    integer: int

    @property
    def integer_share(self) -> float:
        """Share on integers, 0 to 1."""
        return self.integer / self.total if self.total else 0.0


def count_macs(graph: TfliteSubgraph) -> MacCount:
    """Count convolutions, fully connected layers and batched products; the rest is next to nothing."""
    total = integer = 0
    for op in graph.ops:
        macs = _macs(graph, op)
        total += macs
        if _on_integers(graph, op):
            integer += macs
    return MacCount(total=total, integer=integer)


def _macs(graph: TfliteSubgraph, op: TfliteOp) -> int:
    """Elements of the output times the terms of each."""
    outputs = prod(graph.tensors[op.outputs[0]].shape)
    first, second = (graph.tensors[i].shape for i in (*op.inputs, 0, 0)[:2])
    if op.name == "CONV_2D":
        return outputs * prod(second[1:])
    if op.name == "DEPTHWISE_CONV_2D":
        return outputs * second[1] * second[2]
    if op.name == "FULLY_CONNECTED":
        return outputs * second[1]
    return outputs * first[-1] if op.name == "BATCH_MATMUL" else 0


def _on_integers(graph: TfliteSubgraph, op: TfliteOp) -> bool:
    kinds = [graph.tensors[i].dtype for i in op.inputs[:2] if i >= 0]
    if len(kinds) < 2:
        return False
    is_hybrid = op.name in HYBRID_OPS and kinds == ["FLOAT32", "INT8"]
    return is_hybrid or all(kind in INTEGERS for kind in kinds)
