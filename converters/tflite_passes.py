"""Rewrites of a TFLite model in memory: what the float converter leaves undone, exact or to half precision.

A model is LiteRT's object form of the flatbuffer (`ModelT`); each pass changes it in place.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import flatbuffers
import numpy as np
from ai_edge_litert import schema_py_generated as schema

__all__ = [
    "add_metadata",
    "builtin_of",
    "drop_unused",
    "fold_transposes",
    "load_model",
    "name_of",
    "new_tensor",
    "opcode_of",
    "save_model",
    "shape_of",
    "store_constants_as_float16",
    "use_batch_matmul",
]

BUFFER_ALIGNMENT = 16
"""`force_align` of Buffer.data in the schema: kernels map the weights where they lie in the file."""
FLOAT16_MIN_ELEMENTS = 1024
"""Smaller constants stay float32.  They are a few kilobytes in all, and among them is the matrix of the
Fourier features, whose rounding would turn the phase of every coordinate."""
FLOAT16_MAX = float(np.finfo(np.float16).max)


class _AlignedBuffer(schema.BufferT):  # type: ignore[misc]
    """A buffer whose bytes start at a multiple of 16; the generated code aligns to one byte."""

    def Pack(self, builder: flatbuffers.Builder) -> int:  # noqa: N802
        if self.data is not None:
            builder.Prep(BUFFER_ALIGNMENT, len(self.data))
        return int(super().Pack(builder))


def load_model(data: bytes) -> Any:
    """Return the object form of a flatbuffer."""
    return schema.ModelT.InitFromObj(schema.Model.GetRootAs(data, 0))


def save_model(model: Any) -> bytes:
    """Return the flatbuffer of `model`, constants aligned as the schema demands."""
    model.buffers = [_AlignedBuffer(data=buffer.data) for buffer in model.buffers]
    builder = flatbuffers.Builder(1 << 20)
    builder.Finish(model.Pack(builder), file_identifier=b"TFL3")
    return bytes(builder.Output())


def add_metadata(model: Any, name: str, content: bytes) -> None:
    """Add the metadata entry `name`."""
    entry = schema.MetadataT(name=name, buffer=_add_buffer(model, np.frombuffer(content, np.uint8)))
    model.metadata = [*(model.metadata or []), entry]


def use_batch_matmul(model: Any) -> int:
    """Spell products of two computed tensors as BATCH_MATMUL; returns how many were respelled.

    litert-torch writes x·yᵀ of one batch as RESHAPE(y to rank 2) and FULLY_CONNECTED with y as weights.
    Neither XNNPACK nor the GPU delegates take a FULLY_CONNECTED whose weights are computed, so that each
    one splits the graph.  x (…, T, D) and y (P, D) give (…, T, P) either way.
    """
    return sum(_use_batch_matmul(model, graph) for graph in model.subgraphs)


def _use_batch_matmul(model: Any, graph: Any) -> int:
    makers = {int(op.outputs[0]): op for op in graph.operators}
    operators = []
    changed = 0
    for op in graph.operators:
        if _is_computed_product(model, op, makers):
            operators += _as_batch_matmul(model, graph, op, makers)
            changed += 1
        else:
            operators.append(op)
    graph.operators = operators
    drop_unused(graph)
    return changed


def fold_transposes(model: Any) -> int:
    """Let a BATCH_MATMUL read its second factor as it lies: x·transpose(y) becomes one operation.

    litert-torch leaves a TRANSPOSE that serves two products; it copies all of y.  Returns how many were
    folded.
    """
    folded = 0
    for graph in model.subgraphs:
        makers = {int(op.outputs[0]): op for op in graph.operators}
        for op in graph.operators:
            if builtin_of(model, op) != schema.BuiltinOperator.BATCH_MATMUL or op.builtinOptions.adjY:
                continue
            maker = makers.get(int(op.inputs[1]))
            if maker is not None and _swaps_last_axes(model, graph, maker):
                op.inputs = np.array([op.inputs[0], maker.inputs[0]], np.int32)
                op.builtinOptions.adjY = True
                folded += 1
        drop_unused(graph)
    return folded


def _swaps_last_axes(model: Any, graph: Any, op: Any) -> bool:
    if builtin_of(model, op) != schema.BuiltinOperator.TRANSPOSE:
        return False
    data = model.buffers[graph.tensors[op.inputs[1]].buffer].data
    if data is None:
        return False
    order: list[int] = np.frombuffer(bytes(data), np.int32).tolist()
    axes = list(range(len(order)))
    return order == [*axes[:-2], axes[-1], axes[-2]]


def drop_unused(graph: Any) -> None:
    """Take out operations whose result nothing reads."""
    used = {int(i) for op in graph.operators for i in op.inputs} | {int(i) for i in graph.outputs}
    graph.operators = [op for op in graph.operators if int(op.outputs[0]) in used]


def _is_computed_product(model: Any, op: Any, makers: Mapping[int, Any]) -> bool:
    if builtin_of(model, op) != schema.BuiltinOperator.FULLY_CONNECTED:
        return False
    has_bias = len(op.inputs) > 2 and op.inputs[2] >= 0
    operands_are_computed = op.inputs[0] in makers and op.inputs[1] in makers
    return operands_are_computed and not has_bias and not op.builtinOptions.fusedActivationFunction


def _as_batch_matmul(model: Any, graph: Any, op: Any, makers: Mapping[int, Any]) -> list[Any]:
    """Turn the FULLY_CONNECTED `op` into a BATCH_MATMUL; returns it among the reshapes that it needs.

    XNNPACK takes a BATCH_MATMUL of rank 3 and above only.
    """
    before: list[Any] = []
    after: list[Any] = []
    x, y = (_with_batch_axis(model, graph, int(tensor), makers, before) for tensor in op.inputs[:2])
    result = int(op.outputs[0])
    shape = (*shape_of(graph, x)[:-1], shape_of(graph, y)[-2])
    if shape != shape_of(graph, result):
        product = new_tensor(graph, result, shape, suffix="product")
        after.append(_reshape(model, graph, product, result))
        op.outputs = np.array([product], np.int32)
    op.inputs = np.array([x, y], np.int32)
    op.opcodeIndex = opcode_of(model, schema.BuiltinOperator.BATCH_MATMUL)
    op.builtinOptionsType = schema.BuiltinOptions.BatchMatMulOptions
    op.builtinOptions = schema.BatchMatMulOptionsT(adjX=False, adjY=True)
    return [*before, op, *after]


def _with_batch_axis(model: Any, graph: Any, tensor: int, makers: Mapping[int, Any], ops: list[Any]) -> int:
    """Return a tensor of rank 3 or more that holds `tensor`; a RESHAPE that it needs is appended to `ops`."""
    shape = shape_of(graph, tensor)
    if len(shape) > 2:
        return tensor
    batched = (1, *shape)
    maker = makers[tensor]
    if (
        builtin_of(model, maker) == schema.BuiltinOperator.RESHAPE
        and shape_of(graph, maker.inputs[0]) == batched
    ):
        return int(maker.inputs[0])
    wide = new_tensor(graph, tensor, batched, suffix="batch")
    ops.append(_reshape(model, graph, tensor, wide))
    return wide


def store_constants_as_float16(model: Any) -> int:
    """Store large float32 constants as float16, each widened by a DEQUANTIZE; returns how many.

    This is TFLite's own form of half-precision weights: XNNPACK and the GPU delegates fold the DEQUANTIZE
    when they prepare the graph, other kernels run it once.  Constants of fewer than
    `FLOAT16_MIN_ELEMENTS` elements, or that float16 cannot hold, stay as they are.
    """
    halves = {
        number: values.astype(np.float16)
        for number, values in _float32_constants(model).items()
        if values.size >= FLOAT16_MIN_ELEMENTS and np.abs(values).max() <= FLOAT16_MAX
    }
    for number, half in halves.items():
        model.buffers[number].data = np.frombuffer(half.tobytes(), np.uint8)
    for graph in model.subgraphs:
        _widen(model, graph, halves)
    return len(halves)


def _float32_constants(model: Any) -> dict[int, Any]:
    """Return the values of the float32 constants by buffer number; outputs of a graph are left out."""
    constants = {}
    for graph in model.subgraphs:
        outputs = set(graph.outputs.tolist())
        for index, tensor in enumerate(graph.tensors):
            data = model.buffers[tensor.buffer].data
            if (
                tensor.type == schema.TensorType.FLOAT32
                and data is not None
                and len(data)
                and index not in outputs
            ):
                constants[tensor.buffer] = np.frombuffer(bytes(data), np.float32)
    return constants


def _widen(model: Any, graph: Any, halves: dict[int, Any]) -> None:
    replaced, widenings = {}, []
    for index in range(len(graph.tensors)):
        tensor = graph.tensors[index]
        if tensor.buffer not in halves or tensor.type != schema.TensorType.FLOAT32:
            continue
        wide = new_tensor(graph, index, shape_of(graph, index), suffix="float32")
        tensor.type = schema.TensorType.FLOAT16
        replaced[index] = wide
        widenings.append(
            schema.OperatorT(
                opcodeIndex=opcode_of(model, schema.BuiltinOperator.DEQUANTIZE),
                inputs=np.array([index], np.int32),
                outputs=np.array([wide], np.int32),
                builtinOptionsType=schema.BuiltinOptions.DequantizeOptions,
                builtinOptions=schema.DequantizeOptionsT(),
            )
        )
    for op in graph.operators:
        op.inputs = np.array([replaced.get(i, i) for i in op.inputs.tolist()], np.int32)
    graph.operators = [*widenings, *graph.operators]


def builtin_of(model: Any, op: Any) -> int:
    """Return an operation's number in the schema's `BuiltinOperator`."""
    code = model.operatorCodes[op.opcodeIndex]
    return max(int(code.builtinCode), int(code.deprecatedBuiltinCode))


def opcode_of(model: Any, builtin: int) -> int:
    """Return the number of a builtin operator's code, added where it is new."""
    for number, code in enumerate(model.operatorCodes):
        if max(int(code.builtinCode), int(code.deprecatedBuiltinCode)) == builtin:
            return number
    version = {schema.BuiltinOperator.DEQUANTIZE: 3}.get(builtin, 1)
    model.operatorCodes.append(
        schema.OperatorCodeT(builtinCode=builtin, deprecatedBuiltinCode=min(builtin, 127), version=version)
    )
    return len(model.operatorCodes) - 1


def shape_of(graph: Any, tensor: int) -> tuple[int, ...]:
    """Return the shape of tensor number `tensor`."""
    shape = graph.tensors[tensor].shape
    return () if shape is None else tuple(int(side) for side in shape)


def _add_buffer(model: Any, data: Any) -> int:
    model.buffers.append(schema.BufferT(data=data))
    return len(model.buffers) - 1


def name_of(graph: Any, tensor: int) -> str:
    """Return the name of tensor number `tensor`."""
    name = graph.tensors[tensor].name
    return name.decode() if isinstance(name, bytes) else str(name)


def new_tensor(graph: Any, like: int, shape: tuple[int, ...], *, suffix: str) -> int:
    """Add a computed float32 tensor named after tensor `like`; returns its number."""
    graph.tensors.append(
        schema.TensorT(
            name=f"{name_of(graph, like)};{suffix}",
            shape=np.array(shape, np.int32),
            type=schema.TensorType.FLOAT32,
            buffer=0,
            hasRank=True,
        )
    )
    return len(graph.tensors) - 1


def _reshape(model: Any, graph: Any, source: int, target: int) -> Any:
    """Return a RESHAPE of tensor `source` into tensor `target`."""
    shape = np.array(shape_of(graph, target), np.int32)
    graph.tensors.append(
        schema.TensorT(
            name=f"{name_of(graph, target)};shape",
            shape=np.array([len(shape)], np.int32),
            type=schema.TensorType.INT32,
            buffer=_add_buffer(model, np.frombuffer(shape.tobytes(), np.uint8)),
            hasRank=True,
        )
    )
    return schema.OperatorT(
        opcodeIndex=opcode_of(model, schema.BuiltinOperator.RESHAPE),
        inputs=np.array([source, len(graph.tensors) - 1], np.int32),
        outputs=np.array([target], np.int32),
        builtinOptionsType=schema.BuiltinOptions.ReshapeOptions,
        builtinOptions=schema.ReshapeOptionsT(newShape=shape),
    )
