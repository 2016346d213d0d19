"""One-op ML Programs, written as protobuf: any op, any opset, any element type, in a millisecond.

No part of coremltools but its proto classes is used, so that what the tests compare with is torch's and
numpy's answer, not coremltools'.
"""

from __future__ import annotations

import warnings
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from tinysam_mobile.mil import MilModel

with warnings.catch_warnings():
    # coremltools imports executorch and parts of torch that warn of their own deprecations.
    warnings.simplefilter("ignore")
    import coremltools as ct
    from coremltools.proto import Model_pb2

__all__ = ["Const", "Program", "ct", "doubled", "run", "set_tensor"]

OPSETS = {"ios15": "CoreML5", "ios16": "CoreML6", "ios17": "CoreML7", "ios18": "CoreML8"}
TYPES = {
    "bool": 1, "float16": 10, "float32": 11, "int8": 21, "int16": 22, "int32": 23, "int64": 24, "int4": 25,
    "uint8": 31, "uint16": 32, "uint32": 33, "uint4": 35, "uint2": 36, "uint1": 37, "uint6": 38, "uint3": 39,
}  # fmt: skip
_FIELDS = {
    "bool": "bools", "float32": "floats", "int16": "ints", "int32": "ints", "uint16": "ints",
    "int64": "longInts",
}  # fmt: skip
BITS = {"int4": 4, "uint4": 4, "uint2": 2, "uint1": 1, "uint6": 6, "uint3": 3}


@dataclass(frozen=True)
class Const:
    """An array that goes into the program; dtype names a type that numpy lacks, such as uint4."""

    value: Any
    dtype: str = ""


def _set_type(kind: Any, dtype: int, shape: tuple[int | None, ...]) -> None:
    kind.tensorType.dataType = dtype
    kind.tensorType.rank = len(shape)
    for size in shape:
        dimension = kind.tensorType.dimensions.add()
        if size is None:
            dimension.unknown.variadic = False
        else:
            dimension.constant.size = size


def set_tensor(value: Any, array: np.ndarray, dtype: str = "") -> None:
    """Fill a proto Value with an immediate tensor."""
    name = dtype or array.dtype.name
    _set_type(value.type, TYPES[name], array.shape)
    tensor = value.immediateValue.tensor
    if name in BITS:
        bits = (array.reshape(-1, 1).astype(np.int64) >> np.arange(BITS[name])) & 1
        tensor.bytes.values = np.packbits(bits.astype(np.uint8).reshape(-1), bitorder="little").tobytes()
    elif name in _FIELDS:
        getattr(tensor, _FIELDS[name]).values.extend(array.reshape(-1).tolist())
    else:
        tensor.bytes.values = np.ascontiguousarray(array).tobytes()


def _set_literal(value: Any, item: Any) -> None:
    if isinstance(item, str):
        _set_type(value.type, 2, ())
        value.immediateValue.tensor.strings.values.append(item)
        return
    dtype = item.dtype if isinstance(item, Const) else ""
    array = np.asarray(item.value if isinstance(item, Const) else item)
    if array.dtype == np.float64:
        array = array.astype(np.float32)
    if array.dtype == np.int64 and dtype != "int64":
        array = array.astype(np.int32)
    set_tensor(value, array, dtype)


class Program:
    """A program with one function; arrays are its inputs, everything else is constant."""

    def __init__(self, opset: str = "ios17") -> None:
        self.spec = Model_pb2.Model()
        self.spec.specificationVersion = 8
        self.name = OPSETS[opset]
        self.function = self.spec.mlProgram.functions["main"]
        self.function.opset = self.name
        self.block = self.function.block_specializations[self.name]
        self.data: dict[str, np.ndarray] = {}

    def add_input(self, name: str, array: np.ndarray, shape: tuple[int | None, ...] | None = None) -> str:
        """Declare an input like `array`, of unknown shape where `shape` says None."""
        named = self.function.inputs.add(name=name)
        _set_type(named.type, TYPES[array.dtype.name], array.shape if shape is None else shape)
        described = self.spec.description.input.add(name=name)
        kind = described.type.multiArrayType
        kind.dataType = 65568 if array.dtype.kind == "f" else 131104
        if shape is None:
            kind.shape.extend(array.shape or (1,))
        # Core ML takes no other integers than int32; those of the program are made from them.
        self.data[name] = array if array.dtype.kind == "f" else array.astype(np.int32)
        return name

    def add_op(
        self, op_type: str, arguments: Mapping[str, Any], outputs: tuple[str, ...], dtype: int = 0,
        shape: tuple[int | None, ...] | None = None,
    ) -> Any:  # fmt: skip
        """Append an op whose results have the MIL type `dtype` (0: nothing is declared) and `shape` (any).

        A str that names an input or a former output, prefixed with %, refers to it.
        """
        operation = self.block.operations.add(type=op_type)
        _set_literal(operation.attributes["name"], outputs[0] if outputs else op_type)
        for key, item in arguments.items():
            for part in item if isinstance(item, tuple) else (item,):
                binding = operation.inputs[key].arguments.add()
                if isinstance(part, str) and part.startswith("%"):
                    binding.name = part[1:]
                else:
                    _set_literal(binding.value, part)
        for name in outputs:
            kind = operation.outputs.add(name=name).type
            _set_type(kind, dtype, shape or ())
            kind.tensorType.rank = -1 if shape is None else len(shape)
        return operation

    def returns(self, *names: str) -> None:
        """Make values outputs."""
        self.block.outputs.extend(names)
        for name in names:
            self.spec.description.output.add(name=name).type.multiArrayType.SetInParent()

    def load(self, **options: Any) -> MilModel:
        """Load the program."""
        return MilModel.load(self.spec, **options)

    def run(self, **options: Any) -> tuple[np.ndarray, ...]:
        """Predict on the arrays that the inputs were declared with."""
        return tuple(self.load(**options).predict(self.data).values())


def run(
    op_type: str,
    *,
    opset: str = "ios17",
    outputs: int = 1,
    precision: str = "declared",
    dtype: int = 0,
    **arguments: Any,
) -> Any:
    """The result (or results) of one op: arrays are inputs, the rest (Const, numbers, str) constants.

    A tuple is a variadic argument.  Results are arrays in the interpreter's own types.
    """
    program = Program(opset)
    bound: dict[str, Any] = {}
    for key, item in arguments.items():
        parts = [
            "%" + program.add_input(f"{key}_{i}", part) if isinstance(part, np.ndarray) else part
            for i, part in enumerate(item if isinstance(item, tuple) else (item,))
        ]
        bound[key] = tuple(parts)
    if not program.data:
        program.add_input("unused", np.zeros(1, np.float32))
    names = tuple(f"out_{i}" for i in range(outputs))
    program.add_op(op_type, bound, names, dtype)
    program.returns(*names)
    results = program.run(precision=precision)
    return results[0] if outputs == 1 else results


def doubled(x: Any, **shapes: Any) -> Program:
    """The program y = 2 x."""
    program = Program()
    program.add_input("x", x, **shapes)
    program.add_op("mul", {"x": "%x", "y": 2.0}, ("y",), 11, shapes.get("shape", x.shape))
    program.returns("y")
    return program
