"""Write integers into a TFLite model in memory: weights only, hybrid kernels, or static grids of a plan.

Only convolutions, fully connected layers and batched products become integers; what lies between them stays
float, so that XNNPACK keeps the graph in one piece, and inputs and outputs of the model stay float32.
Schema and kernels: tensorflow/compiler/mlir/lite/schema, "TensorFlow Lite 8-bit quantization specification".
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from ai_edge_litert import schema_py_generated as schema
from numpy.typing import NDArray

from tinysam_mobile.converters.tflite_passes import (
    builtin_of,
    drop_unused,
    name_of,
    new_tensor,
    opcode_of,
    shape_of,
)
from tinysam_mobile.errors import ConversionError
from tinysam_mobile.quant.numerics import ActivationGrid, quantize_weight, weight_scales
from tinysam_mobile.quant.plan import LayerGrids, QuantPlan
from tinysam_mobile.quant.recipe import QuantRecipe, Scheme

__all__ = ["quantize_model"]

_OPS = schema.BuiltinOperator
FLOAT_ENTRY_POINTS = ("score_batch",)
"""Integer weights, float arithmetic: their graphs fold layers together, so no range is known of them."""
LAYER_OPS: Mapping[int, int | None] = {
    _OPS.CONV_2D: 0,
    _OPS.DEPTHWISE_CONV_2D: 3,
    _OPS.FULLY_CONNECTED: 0,
    _OPS.BATCH_MATMUL: None,
}
"""Operation → the axis of its weights that has a scale of its own."""
HYBRID_OPS = (_OPS.CONV_2D, _OPS.FULLY_CONNECTED)
"""Operations that XNNPACK runs with int8 weights and activations quantized as they come."""
MIN_ELEMENTS = 1024
"""Smaller weights stay float32, the matrix of the Fourier features among them: kilobytes in all."""
MIN_ADDED_ELEMENTS = 2**12
"""Constants of an ADD that are larger are stored as int8: attention biases and positional encoding."""
TYPES = {8: (schema.TensorType.INT8, np.int8), 16: (schema.TensorType.INT16, np.int16)}
STATIC_VERSIONS = {_OPS.CONV_2D: 3, _OPS.DEPTHWISE_CONV_2D: 3, _OPS.FULLY_CONNECTED: 12, _OPS.BATCH_MATMUL: 4}


@dataclass
class _Writer:
    """One graph being rewritten: `before` holds the operations to put in front of the current one."""

    model: Any
    graph: Any
    weights: dict[tuple[int, int | None, bytes], tuple[int, NDArray[np.float32]]]
    quantized: dict[tuple[int, float, int, int], int] = field(default_factory=dict)
    widened: dict[int, int] = field(default_factory=dict)
    sources: dict[int, int] = field(default_factory=dict)
    operators: list[Any] = field(default_factory=list)


def quantize_model(model: Any, recipe: QuantRecipe, plan: QuantPlan | None = None) -> dict[str, list[str]]:
    """Quantize the subgraph of every signature in place; returns the layers left in float, by signature.

    A static recipe finds the grids of its layers in `plan`.  Raises `ConversionError` if a subgraph has other
    layers than the plan.
    """
    weights: dict[tuple[int, int | None, bytes], tuple[int, NDArray[np.float32]]] = {}
    left: dict[str, list[str]] = {}
    for signature in model.signatureDefs:
        entry_point = signature.signatureKey.decode()
        graph = model.subgraphs[signature.subgraphIndex]
        order = plan.order[entry_point] if plan and entry_point not in FLOAT_ENTRY_POINTS else None
        named = _layer_names(model, graph, order)
        writer = _Writer(model=model, graph=graph, weights=weights)
        left[entry_point] = [
            named[id(op)] for op in graph.operators if not _rewrite(writer, op, named, recipe, plan)
        ]
        graph.operators = writer.operators
        # A layer whose integers the next one takes as they are is widened for nobody.
        drop_unused(graph)
        _shorten_names(graph)
    _drop_unused_buffers(model)
    return left


def _layer_names(model: Any, graph: Any, order: Sequence[str] | None) -> dict[int, str]:
    """Name the graph's layers after the model's, which come in the same order; without them by tensor."""
    layers = [op for op in graph.operators if builtin_of(model, op) in LAYER_OPS]
    if order is None:
        return {id(op): name_of(graph, int(op.outputs[0])) for op in layers}
    if len(layers) != len(order):
        raise ConversionError(
            f"the TFLite graph has {len(layers)} layers where the model has {len(order)}; "
            "report a bug with the versions that `tinysam-mobile doctor` prints"
        )
    return {id(op): name for op, name in zip(layers, order, strict=True)}


def _rewrite(
    writer: _Writer, op: Any, named: Mapping[int, str], recipe: QuantRecipe, plan: QuantPlan | None
) -> bool:
    """Append `op`, quantized where the recipe says so; returns False for a layer that computes in float."""
    if id(op) not in named:
        if builtin_of(writer.model, op) == _OPS.ADD:
            _shrink_constants(writer, op)
        writer.operators.append(op)
        return True
    grids = plan.layers.get(named[id(op)]) if plan is not None else None
    builtin = builtin_of(writer.model, op)
    if grids is not None and (builtin != _OPS.BATCH_MATMUL or len(grids.inputs) == 2):
        _write_static(writer, op, builtin, grids)
        return True
    if recipe.scheme is Scheme.DYNAMIC and builtin in HYBRID_OPS and _is_large_constant(writer, op.inputs[1]):
        _write_hybrid(writer, op, builtin)
        return True
    _write_weight_only(writer, op, builtin)
    return False


def _is_large_constant(writer: _Writer, tensor: int, *, least: int = MIN_ELEMENTS) -> bool:
    """Whether the tensor is a float32 constant worth quantizing."""
    found = writer.graph.tensors[tensor]
    data = writer.model.buffers[found.buffer].data
    return (
        found.type == schema.TensorType.FLOAT32
        and data is not None
        and int(np.prod(shape_of(writer.graph, tensor))) >= least
    )


def _shrink_constants(writer: _Writer, op: Any) -> None:
    """Store what an ADD adds as int8: attention biases by head, the dense positional encoding by position.

    Spread out over all pairs of window positions, the biases are larger than all weights together.
    """
    op.inputs = np.array(op.inputs, np.int32)
    for position, tensor in enumerate(op.inputs.tolist()):
        if _is_large_constant(writer, tensor, least=MIN_ADDED_ELEMENTS):
            axis = next(i for i, side in enumerate(shape_of(writer.graph, tensor)) if side > 1)
            op.inputs[position] = _widened(writer, tensor, axis)


def _widened(writer: _Writer, tensor: int, axis: int | None) -> int:
    """Return a float tensor with the values of a constant that is stored as int8."""
    if tensor not in writer.widened:
        small, _ = _int8_weight(writer, tensor, axis, 1.0)
        wide = _new_tensor_like(writer, tensor)
        writer.operators.append(_dequantize_op(writer, small, wide))
        writer.widened[tensor] = wide
    return writer.widened[tensor]


def _write_weight_only(writer: _Writer, op: Any, builtin: int) -> None:
    op.inputs = np.array(op.inputs, np.int32)
    for position in (0, 1):
        tensor = int(op.inputs[position])
        if _is_large_constant(writer, tensor):
            op.inputs[position] = _widened(writer, tensor, LAYER_OPS[builtin] if position else None)
    writer.operators.append(op)


def _write_hybrid(writer: _Writer, op: Any, builtin: int) -> None:
    op.inputs = np.array(op.inputs, np.int32)
    op.inputs[1], _ = _int8_weight(writer, int(op.inputs[1]), LAYER_OPS[builtin], 1.0)
    if builtin == _OPS.FULLY_CONNECTED:
        op.builtinOptions.asymmetricQuantizeInputs = True
    op.opcodeIndex = _opcode_of_version(writer.model, builtin, {_OPS.CONV_2D: 5}.get(builtin, 12))
    writer.operators.append(op)


def _write_static(writer: _Writer, op: Any, builtin: int, grids: LayerGrids) -> None:
    """QUANTIZE the inputs, run `op` on integers, DEQUANTIZE its output."""
    source = _quantized(writer, int(op.inputs[0]), grids.inputs[0])
    inputs = [source]
    if len(grids.inputs) == 2:
        inputs.append(_quantized(writer, int(op.inputs[1]), grids.inputs[1]))
    else:
        weight, scales = _int8_weight(writer, int(op.inputs[1]), LAYER_OPS[builtin], grids.clip)
        inputs.append(weight)
        if len(op.inputs) > 2 and op.inputs[2] >= 0:
            inputs.append(_integer_bias(writer, int(op.inputs[2]), grids.inputs[0], scales))
    result = int(op.outputs[0])
    narrow = _new_tensor_like(writer, result)
    _set_grid(writer.graph.tensors[narrow], grids.output)
    op.inputs, op.outputs = np.array(inputs, np.int32), np.array([narrow], np.int32)
    op.opcodeIndex = _opcode_of_version(writer.model, builtin, STATIC_VERSIONS[builtin])
    writer.operators += [op, _dequantize_op(writer, narrow, result)]
    writer.sources[result] = narrow


def _quantized(writer: _Writer, tensor: int, grid: ActivationGrid) -> int:
    """Return the integer form of a float tensor, by a QUANTIZE that layers with equal grids share."""
    key = (tensor, grid.scale, grid.zero_point, grid.bits)
    if tensor in writer.sources and _has_grid(writer.graph.tensors[writer.sources[tensor]], grid):
        return writer.sources[tensor]
    if key not in writer.quantized:
        narrow = _new_tensor_like(writer, tensor)
        _set_grid(writer.graph.tensors[narrow], grid)
        writer.operators.append(
            schema.OperatorT(
                opcodeIndex=_opcode_of_version(writer.model, _OPS.QUANTIZE, 2),
                inputs=np.array([tensor], np.int32),
                outputs=np.array([narrow], np.int32),
                builtinOptionsType=schema.BuiltinOptions.QuantizeOptions,
                builtinOptions=schema.QuantizeOptionsT(),
            )
        )
        writer.quantized[key] = narrow
    return writer.quantized[key]


def _new_tensor_like(writer: _Writer, like: int) -> int:
    """Add a tensor of the shape of `like`; a short name, because long ones would be a tenth of the file."""
    number = new_tensor(writer.graph, like, shape_of(writer.graph, like), suffix="")
    writer.graph.tensors[number].name = f"quantized_{number}"
    return number


def _set_grid(tensor: Any, grid: ActivationGrid) -> None:
    tensor.type = TYPES[grid.bits][0]
    tensor.quantization = schema.QuantizationParametersT(
        scale=np.array([grid.scale], np.float32), zeroPoint=np.array([grid.zero_point], np.int64)
    )


def _has_grid(tensor: Any, grid: ActivationGrid) -> bool:
    held = tensor.quantization
    same = np.float32(grid.scale) == held.scale[0] and grid.zero_point == held.zeroPoint[0]
    return bool(same) and tensor.type == TYPES[grid.bits][0]


def _dequantize_op(writer: _Writer, narrow: int, wide: int) -> Any:
    return schema.OperatorT(
        opcodeIndex=_opcode_of_version(writer.model, _OPS.DEQUANTIZE, 5),
        inputs=np.array([narrow], np.int32),
        outputs=np.array([wide], np.int32),
        builtinOptionsType=schema.BuiltinOptions.DequantizeOptions,
        builtinOptions=schema.DequantizeOptionsT(),
    )


def _int8_weight(
    writer: _Writer, tensor: int, axis: int | None, clip: NDArray[np.float64] | float
) -> tuple[int, NDArray[np.float32]]:
    """Add the int8 form of a constant; subgraphs that share the constant share its bytes."""
    found = writer.graph.tensors[tensor]
    key = (int(found.buffer), axis, np.asarray(clip, np.float64).tobytes())
    if key not in writer.weights:
        data = writer.model.buffers[found.buffer].data
        values = np.frombuffer(bytes(data), np.float32).reshape(shape_of(writer.graph, tensor))
        scales = weight_scales(values, axis, clip=clip)
        integers = quantize_weight(values, scales, axis)
        writer.model.buffers.append(schema.BufferT(data=np.frombuffer(integers.tobytes(), np.uint8)))
        writer.weights[key] = (len(writer.model.buffers) - 1, scales)
    buffer, scales = writer.weights[key]
    return _constant(writer, tensor, buffer, schema.TensorType.INT8, scales, axis or 0), scales


def _integer_bias(writer: _Writer, tensor: int, grid: ActivationGrid, scales: NDArray[np.float32]) -> int:
    """Add the bias in steps of input scale times weight scale: int32, or int64 under 16-bit inputs."""
    data = writer.model.buffers[writer.graph.tensors[tensor].buffer].data
    steps = np.float32(grid.scale) * scales
    wide = grid.bits == 16
    limit = np.iinfo(np.int64 if wide else np.int32)
    values = np.rint(np.frombuffer(bytes(data), np.float32) / steps.astype(np.float64))
    integers = np.clip(values, limit.min, limit.max).astype(limit.dtype)
    writer.model.buffers.append(schema.BufferT(data=np.frombuffer(integers.tobytes(), np.uint8)))
    kind = schema.TensorType.INT64 if wide else schema.TensorType.INT32
    return _constant(writer, tensor, len(writer.model.buffers) - 1, kind, steps, 0)


def _constant(
    writer: _Writer, like: int, buffer: int, kind: int, scales: NDArray[np.float32], axis: int
) -> int:
    shape = writer.graph.tensors[like].shape
    writer.graph.tensors.append(
        schema.TensorT(
            name=f"quantized_{len(writer.graph.tensors)}",
            shape=shape,
            type=kind,
            buffer=buffer,
            hasRank=True,
            quantization=schema.QuantizationParametersT(
                scale=scales, zeroPoint=np.zeros(len(scales), np.int64), quantizedDimension=axis
            ),
        )
    )
    return len(writer.graph.tensors) - 1


def _opcode_of_version(model: Any, builtin: int, version: int) -> int:
    """Return the number of a builtin's code, whose version is raised to `version` where it is lower."""
    number = opcode_of(model, builtin)
    model.operatorCodes[number].version = max(model.operatorCodes[number].version, version)
    return number


def _shorten_names(graph: Any) -> None:
    """Cut `package.module.Outer_a/package.module.Inner_b;1` to `Inner_b;1`, but for inputs and outputs.

    The full names of all tensors are a third of a small decoder with int8 weights.
    """
    kept = {int(i) for i in (*graph.inputs, *graph.outputs)}
    for index, tensor in enumerate(graph.tensors):
        if index not in kept and tensor.name:
            tensor.name = name_of(graph, index).rsplit("/", 1)[-1].rsplit(".", 1)[-1]


def _drop_unused_buffers(model: Any) -> None:
    """Empty the buffers of float constants that nothing reads any more, and forget those tensors."""
    for graph in model.subgraphs:
        used = {int(i) for op in graph.operators for i in (*op.inputs, *op.outputs) if i >= 0}
        used |= {int(i) for i in (*graph.inputs, *graph.outputs)}
        for index, tensor in enumerate(graph.tensors):
            if index not in used:
                # Taking it out would renumber all others; without a name it takes a few bytes.
                tensor.buffer, tensor.name = 0, b""
    read = {int(tensor.buffer) for graph in model.subgraphs for tensor in graph.tensors}
    read |= {int(entry.buffer) for entry in model.metadata or ()}
    for number, buffer in enumerate(model.buffers):
        if number not in read:
            buffer.data = None
