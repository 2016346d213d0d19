"""What TFLite's GPU delegate and Apple's Neural Engine are known to refuse, with the source of each rule.

Neither can be asked on this machine, and Apple publishes no list: a finding from here is a reason to look at
the device's own report (the delegate's log, Xcode's performance report), not a proof.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from math import prod

from tinysam_mobile.artifacts.graph import Graph, GraphOp

__all__ = ["MAX_RANK", "gpu_delegate_refusals", "neural_engine_refusals"]

MAX_RANK = 4
"""Axes that the GPU delegate's (B, H, W, C) tensors and the Neural Engine have."""

GPU_DELEGATE_OPS = {
    "ABS", "ADD", "ADD_N", "ATAN2", "AVERAGE_POOL_2D", "BATCH_MATMUL", "CAST", "CEIL", "CONCATENATION",
    "CONV_2D", "COS", "CUMSUM", "DENSIFY", "DEPTH_TO_SPACE", "DEPTHWISE_CONV_2D", "DEQUANTIZE", "DIV",
    "DYNAMIC_UPDATE_SLICE", "ELU", "EMBEDDING_LOOKUP", "EQUAL", "EXP", "FLOOR", "FLOOR_DIV", "FLOOR_MOD",
    "FULLY_CONNECTED", "GATHER", "GELU", "GREATER", "GREATER_EQUAL", "HARD_SWISH", "LEAKY_RELU", "LESS",
    "LESS_EQUAL", "LOG", "LOGICAL_AND", "LOGISTIC", "LSTM", "MAX_POOL_2D", "MAXIMUM", "MEAN", "MINIMUM",
    "MIRROR_PAD", "MUL", "NEG", "NOT_EQUAL", "ONE_HOT", "PACK", "PAD", "PADV2", "POW", "PRELU",
    "QUANTIZE", "REDUCE_MAX", "REDUCE_MIN", "REDUCE_PROD", "RELU", "RELU6", "RELU_N1_TO_1", "RESHAPE",
    "RESIZE_BILINEAR", "RESIZE_NEAREST_NEIGHBOR", "RSQRT", "SELECT", "SELECT_V2", "SIGN", "SIN", "SLICE",
    "SOFTMAX", "SPACE_TO_DEPTH", "SPLIT", "SPLIT_V", "SQRT", "SQUARE", "SQUARED_DIFFERENCE",
    "STABLEHLO_CLAMP", "STRIDED_SLICE", "SUB", "SUM", "TANH", "TILE", "TRANSPOSE", "TRANSPOSE_CONV",
}  # fmt: skip
"""Operations of `CheckGpuDelegateCompatibility` (tensorflow/lite/tools/versioning/gpu_compatibility.cc)."""

NEURAL_ENGINE_REFUSED: Mapping[str, str] = {
    **dict.fromkeys(("lstm", "gru", "rnn"), "recurrent cells have no hardware path"),
    **dict.fromkeys(
        ("scatter", "scatter_nd", "scatter_along_axis"), "the scatter family has no hardware path"
    ),
    **dict.fromkeys(("while_loop", "cond"), "control flow runs on the CPU"),
    "reduce_prod": "reduce_prod has no hardware path",
    "gather_nd": "a gather by computed indices leaves the Neural Engine",
    "gather_along_axis": "a gather by computed indices leaves the Neural Engine",
    "non_maximum_suppression": "runs on the CPU",
    "non_zero": "its output has no fixed shape",
    "argsort": "sorting leaves the Neural Engine on some chips",
}
"""MIL operation → reason (ane-guide, "Capability surface"; hollance/neural-engine, `unsupported-layers`)."""
NEURAL_ENGINE_MAX_SIDE = 16384
"""Longest side of a tensor (hollance/neural-engine; ane-guide, Appendix A)."""


def gpu_delegate_refusals(graph: Graph) -> dict[str, str]:
    """Return operation → why TFLite's GPU delegate leaves it to the CPU."""
    refused: dict[str, str] = {}
    for op in graph.ops:
        reason = _gpu_reason(graph, op)
        if reason and not op.is_custom:
            refused.setdefault(op.name, reason)
    return refused


def _gpu_reason(graph: Graph, op: GraphOp) -> str | None:
    if op.name not in GPU_DELEGATE_OPS:
        return "not among its operations"
    check = GPU_SHAPE_RULES.get(op.name)
    shapes = [graph.tensors[i].shape for i in op.inputs]
    return check(graph, op, shapes) if check else None


Shapes = list[tuple[int, ...]]


def _slice_rule(graph: Graph, op: GraphOp, shapes: Shapes) -> str | None:  # noqa: ARG001
    rank = len(shapes[0])
    return None if rank in (3, 4) else f"takes tensors of rank 3 or 4, not {rank}"


def _mul_rule(graph: Graph, op: GraphOp, shapes: Shapes) -> str | None:  # noqa: ARG001
    a, b = shapes
    if len(a) != len(b):
        return _broadcast_reason(a, b)
    sides = list(zip(a, b, strict=True))
    if any(x < y for x, y in sides) and any(y < x for x, y in sides):
        return "neither operand is as large as the result in every axis"
    return None


def _add_rule(graph: Graph, op: GraphOp, shapes: Shapes) -> str | None:  # noqa: ARG001
    a, b = shapes
    return None if len(a) == len(b) else _broadcast_reason(a, b)


def _broadcast_reason(a: tuple[int, ...], b: tuple[int, ...]) -> str | None:
    """It broadcasts tensors of other rank in three ways only: 3, (1, 1) and (B, C) to 4 axes."""
    longer, shorter = sorted((a, b), key=len, reverse=True)
    if len(shorter) < 2:
        return None
    known = len(longer) == 4 and (
        (len(shorter) == 3 and longer[0] == 1)
        or (len(shorter) == 2 and longer[0] == 1 and shorter == (1, 1))
        or (len(shorter) == 2 and (longer[0], longer[3]) == shorter)
    )
    return None if known else f"broadcasts {list(shorter)} to {list(longer)}"


def _select_rule(graph: Graph, op: GraphOp, shapes: Shapes) -> str | None:
    if any(not graph.tensors[i].dtype.startswith("float") for i in op.inputs[1:]):
        return "selects between tensors that are not float"
    output = graph.tensors[op.outputs[0]].shape
    if any(shape != output and prod(shape) > 1 for shape in shapes[1:]):
        return "selects between tensors of another shape than its result"
    return None


def _gather_rule(graph: Graph, op: GraphOp, shapes: Shapes) -> str | None:
    if len(shapes[1]) != 1:
        return "gathers by indices that are not one row"
    return "gathers integers" if graph.tensors[op.inputs[0]].dtype == "int32" else None


GPU_SHAPE_RULES: Mapping[str, Callable[[Graph, GraphOp, Shapes], str | None]] = {
    "SLICE": _slice_rule,
    "STRIDED_SLICE": _slice_rule,
    "MUL": _mul_rule,
    "ADD": _add_rule,
    "SELECT": _select_rule,
    "SELECT_V2": _select_rule,
    "GATHER": _gather_rule,
}
"""Conditions of the same source that can be told from shapes and dtypes."""


def neural_engine_refusals(graph: Graph) -> dict[str, str]:
    """Return operation → why the Neural Engine leaves it to the GPU or CPU."""
    refused = {
        op.name: NEURAL_ENGINE_REFUSED[op.name] for op in graph.ops if op.name in NEURAL_ENGINE_REFUSED
    }
    for op in graph.ops:
        sides = [side for i in op.outputs for side in graph.tensors[i].shape]
        if max(sides, default=0) > NEURAL_ENGINE_MAX_SIDE:
            refused.setdefault(op.name, f"a side of {max(sides)} is longer than {NEURAL_ENGINE_MAX_SIDE}")
    return refused
