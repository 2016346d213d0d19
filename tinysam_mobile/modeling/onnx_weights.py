"""The weights inside an ONNX file, read as data: neither onnx nor a runtime is needed, nothing is run.

An ONNX file is a protocol-buffers message (onnx.proto3); here only the graph's initialisers and the names of
its convolutions are read.  PyTorch's exporter folds batch norms into convolutions, whose weights lose their
names then; the name of the node's output still says which module it was.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from math import prod
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from tinysam_mobile.errors import CheckpointError
from tinysam_mobile.files import read_bytes

__all__ = ["read_onnx"]

MAX_BYTES = 2 << 30
"""No protocol-buffers message is longer."""
VARINT, FIXED64, BYTES, FIXED32 = 0, 1, 2, 5
"""Wire types."""
DTYPES = {1: "<f4", 7: "<i8", 10: "<f2", 11: "<f8"}
"""Element types of tensors that we keep."""
CONVOLUTIONS = ("Conv", "ConvTranspose")
MAX_RANK = 8


class _DamagedError(Exception):
    """The bytes are not the message that they should be."""


@dataclass
class _Node:
    op_type: str = ""
    inputs: list[str] = field(default_factory=list)
    outputs: list[str] = field(default_factory=list)


def read_onnx(path: Path) -> dict[str, Tensor]:
    """Return the weights of an ONNX file by name; folded convolutions get the name of their module.

    Raises `CheckpointError` for a file that is damaged, not ONNX, or keeps its weights in other files.
    """
    data = read_bytes(path, limit=MAX_BYTES, error=CheckpointError)
    try:
        tensors, nodes = _graph(memoryview(data))
    except (_DamagedError, UnicodeDecodeError, ValueError) as error:
        raise CheckpointError(
            f"{path}: is damaged or not an ONNX file ({error}); download it again"
        ) from error
    if not tensors:
        raise CheckpointError(f"{path}: holds no weights; an ONNX file with its weights inside is needed")
    return _named(tensors, nodes)


def _named(tensors: Mapping[str, Tensor], nodes: list[_Node]) -> dict[str, Tensor]:
    """Rename the weight and bias of each convolution after its module."""
    names: dict[str, str] = {}
    for node in nodes:
        if node.op_type in CONVOLUTIONS and node.outputs:
            module = _module_of(node.outputs[0])
            for part, source in zip(("weight", "bias"), node.inputs[1:3], strict=False):
                names[source] = f"{module}.{part}"
    return {names.get(name, name): value for name, value in tensors.items()}


def _module_of(output: str) -> str:
    """`/up_1/up_1.0/Conv_output_0` → `up_1.0`: a child of a list repeats its parent's name."""
    parts: list[str] = []
    for part in output.strip("/").split("/")[:-1]:
        if parts and part.startswith(parts[-1] + "."):
            parts.pop()
        parts.append(part)
    return ".".join(parts)


def _graph(data: memoryview) -> tuple[dict[str, Tensor], list[_Node]]:
    tensors: dict[str, Tensor] = {}
    nodes: list[_Node] = []
    graphs = [value for number, value in _fields(data) if number == 7 and isinstance(value, memoryview)]
    if len(graphs) != 1:
        raise _DamagedError("it has no graph")
    for number, value in _fields(graphs[0]):
        if number == 1:
            nodes.append(_node(_bytes(value)))
        elif number == 5:
            name, tensor = _tensor(_bytes(value))
            if tensor is not None:
                tensors[name] = tensor
    return tensors, nodes


def _node(data: memoryview) -> _Node:
    node = _Node()
    for number, value in _fields(data):
        if number == 1:
            node.inputs.append(_text(value))
        elif number == 2:
            node.outputs.append(_text(value))
        elif number == 4:
            node.op_type = _text(value)
    return node


def _tensor(data: memoryview) -> tuple[str, Tensor | None]:
    """Name and value of a TensorProto; None for a kind of element that is no weight."""
    name, kind, shape, raw = "", 0, [], memoryview(b"")
    for number, value in _fields(data):
        if number == 1:
            shape += _varints(value)
        elif number == 2 and isinstance(value, int):
            kind = value
        elif number == 8:
            name = _text(value)
        elif number in (4, 9):  # float_data, raw_data
            raw = _bytes(value)
        elif number == 13:
            raise _DamagedError("its weights are in other files")
    if kind not in DTYPES:
        return name, None
    dtype = np.dtype(DTYPES[kind])
    if len(shape) > MAX_RANK or prod(shape) * dtype.itemsize != len(raw):
        raise _DamagedError(f"{name or 'a tensor'} has {len(raw)} bytes for the shape {tuple(shape)}")
    return name, torch.from_numpy(np.frombuffer(raw, dtype).reshape(shape).copy())


def _fields(data: memoryview) -> Iterator[tuple[int, int | memoryview]]:
    """Number and value of each field of a message."""
    place = 0
    while place < len(data):
        key, place = _varint(data, place)
        wire = key & 7
        if wire == VARINT:
            value, place = _varint(data, place)
            yield key >> 3, value
            continue
        if wire == BYTES:
            length, place = _varint(data, place)
        elif wire in (FIXED64, FIXED32):
            length = 8 if wire == FIXED64 else 4
        else:
            raise _DamagedError("a field of unknown type")
        if length > len(data) - place:
            raise _DamagedError("it is cut off")
        yield key >> 3, data[place : place + length]
        place += length


def _varint(data: memoryview, place: int) -> tuple[int, int]:
    value = 0
    for shift in range(0, 70, 7):
        if place >= len(data):
            raise _DamagedError("it is cut off")
        byte = data[place]
        place += 1
        value |= (byte & 127) << shift
        if byte < 128:
            return value, place
    raise _DamagedError("a number is too long")


def _varints(value: int | memoryview) -> list[int]:
    """A repeated number, one by one or packed."""
    if isinstance(value, int):
        return [value]
    numbers, place = [], 0
    while place < len(value):
        number, place = _varint(value, place)
        numbers.append(number)
    return numbers


def _bytes(value: int | memoryview) -> memoryview:
    if isinstance(value, int):
        raise _DamagedError("a number where a message should be")
    return value


def _text(value: int | memoryview) -> str:
    return bytes(_bytes(value)).decode()
