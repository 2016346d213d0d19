"""What a .tflite file holds: signatures, operations, tensors, constants; read for tests, `inspect` and lint.

Nothing is executed.  The flatbuffer is verified by LiteRT itself before a field of it is read, and every
index in it is checked, so that a truncated or hostile file is a `BundleError` and never a crash.
Fields are those of TFLite's schema (tensorflow/compiler/mlir/lite/schema/schema.fbs).
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property
from math import prod
from pathlib import Path
from typing import Any

from tinysam_mobile.contract.spec import Signature
from tinysam_mobile.errors import BundleError, RuntimeUnavailableError
from tinysam_mobile.files import read_bytes
from tinysam_mobile.version import install_command

__all__ = [
    "FLEX_PREFIX",
    "TfliteGraph",
    "TfliteOp",
    "TfliteSignature",
    "TfliteSubgraph",
    "TfliteTensor",
    "parse_graph",
    "read_graph",
    "read_model_bytes",
]

FILE_IDENTIFIER = b"TFL3"
ONLY_SIGNATURE = "serving_default"
"""What TensorFlow calls the one signature of a file, and what one without any is called here."""
MAX_MODEL_BYTES = 2**31 - 1
"""A flatbuffer has 32-bit offsets, so none is larger."""
FLEX_PREFIX = "Flex"
"""Custom operations with this prefix are TensorFlow kernels, which no phone has by default."""
ITEM_BITS = {
    "FLOAT32": 32, "FLOAT16": 16, "INT32": 32, "UINT8": 8, "INT64": 64, "BOOL": 8, "INT16": 16, "INT8": 8,
    "FLOAT64": 64, "UINT64": 64, "UINT32": 32, "UINT16": 16, "INT4": 4, "INT2": 2, "BFLOAT16": 16,
}  # fmt: skip
"""Bits of one element; string, resource, variant and complex tensors are not ours and count as 0."""
NO_TENSOR = -1
"""Index of an optional input that is left out."""


@dataclass(frozen=True, kw_only=True)
class TfliteTensor:
    """One tensor; `dtype` is a `TensorType` of the schema, `constant` the bytes that the file holds for it.

    `buffer` numbers the file's buffers: tensors with equal numbers share their bytes.
    """

    name: str
    shape: tuple[int, ...]
    dtype: str
    is_dynamic: bool
    is_quantized: bool
    buffer: int
    constant: memoryview | None

    @property
    def rank(self) -> int:
        """Number of axes."""
        return len(self.shape)


@dataclass(frozen=True, kw_only=True)
class TfliteOp:
    """`name` is a `BuiltinOperator` or the custom code, `inputs` and `outputs` tensor numbers."""

    name: str
    is_custom: bool
    inputs: tuple[int, ...]
    outputs: tuple[int, ...]


@dataclass(frozen=True, kw_only=True)
class TfliteSubgraph:
    """One graph of the file, operations in execution order."""

    name: str
    tensors: tuple[TfliteTensor, ...]
    ops: tuple[TfliteOp, ...]
    inputs: tuple[int, ...]
    outputs: tuple[int, ...]

    @property
    def histogram(self) -> Counter[str]:
        """Number of operations of each name."""
        return Counter(op.name for op in self.ops)

    @property
    def max_rank(self) -> int:
        """Largest rank of any tensor."""
        return max((tensor.rank for tensor in self.tensors), default=0)

    def ops_with_computed_weights(self) -> list[TfliteOp]:
        """Return the fully connected layers whose weights are not constants; XNNPACK leaves these out."""
        return [
            op
            for op in self.ops
            if op.name == "FULLY_CONNECTED" and op.inputs[1] not in self._constants_through_casts
        ]

    @cached_property
    def _constants_through_casts(self) -> frozenset[int]:
        known = {i for i, tensor in enumerate(self.tensors) if tensor.constant is not None}
        known.update(op.outputs[0] for op in self.ops if op.name == "DEQUANTIZE" and op.inputs[0] in known)
        return frozenset(known)


@dataclass(frozen=True, kw_only=True)
class TfliteSignature:
    """A named entry point: the subgraph that answers it, and tensor numbers by input and output name."""

    name: str
    subgraph: int
    inputs: Mapping[str, int]
    outputs: Mapping[str, int]


@dataclass(frozen=True, kw_only=True)
class TfliteGraph:
    """A whole file.  `metadata` holds the bytes of each metadata entry by name."""

    path: Path
    size_bytes: int
    subgraphs: tuple[TfliteSubgraph, ...]
    signatures: Mapping[str, TfliteSignature]
    metadata: Mapping[str, bytes]

    @property
    def max_rank(self) -> int:
        """Largest rank of any tensor of any subgraph."""
        return max((graph.max_rank for graph in self.subgraphs), default=0)

    @property
    def custom_ops(self) -> tuple[str, ...]:
        """Names of custom operations (Flex ones among them), sorted; none of them runs on a stock phone."""
        return tuple(sorted({op.name for graph in self.subgraphs for op in graph.ops if op.is_custom}))

    @property
    def dynamic_tensors(self) -> tuple[str, ...]:
        """Names of tensors with a dimension that is not fixed."""
        return tuple(tensor.name for tensor in self._tensors() if tensor.is_dynamic)

    @property
    def constant_bytes(self) -> dict[str, int]:
        """Bytes of the constants by dtype, shared ones counted once."""
        unique = {t.buffer: t for t in self._tensors() if t.constant is not None}
        totals: Counter[str] = Counter()
        for tensor in unique.values():
            assert tensor.constant is not None
            totals[tensor.dtype] += len(tensor.constant)
        return dict(totals)

    def check_signature(self, name: str, signature: Signature) -> None:
        """Raise `BundleError` unless the file's signature `name` has the tensors of `signature`.

        Outputs in float16 are as good as in float32, since whoever reads them widens them.
        """
        if name not in self.signatures:
            known = ", ".join(self.signatures) or "none"
            raise BundleError(
                f"{self.path}: no signature {name!r} (it has: {known}); convert the checkpoint again"
            )
        found, tensors = self.signatures[name], self.subgraph_of(name).tensors
        for kind, specs, numbers in (
            ("inputs", signature.inputs, found.inputs),
            ("outputs", signature.outputs, found.outputs),
        ):
            expected = {spec.name: (spec.shape, spec.dtype.upper()) for spec in specs}
            actual = {key: (tensors[i].shape, tensors[i].dtype) for key, i in numbers.items()}
            taken = {
                key: (shape, "FLOAT32" if kind == "outputs" and dtype == "FLOAT16" else dtype)
                for key, (shape, dtype) in actual.items()
            }
            if taken != expected:
                raise BundleError(
                    f"{self.path}: {kind} of signature {name!r} are {_listing(actual)}; the contract has "
                    f"{_listing(expected)}; convert the checkpoint again"
                )

    def subgraph_of(self, signature: str) -> TfliteSubgraph:
        """Return the subgraph of a signature."""
        return self.subgraphs[self.signatures[signature].subgraph]

    def _tensors(self) -> Iterator[TfliteTensor]:
        for graph in self.subgraphs:
            yield from graph.tensors


def read_graph(path: Path) -> TfliteGraph:
    """Read the .tflite file at `path`.

    Raises `BundleError` for a missing, truncated, damaged or inconsistent file and
    `RuntimeUnavailableError` where ai-edge-litert is not installed.
    """
    return parse_graph(read_model_bytes(path), path)


def read_model_bytes(path: Path) -> bytes:
    """Return the bytes of the file at `path`, verified as a TFLite flatbuffer; errors as `read_graph`."""
    data = read_bytes(path, limit=MAX_MODEL_BYTES, error=BundleError, mend="convert the checkpoint again")
    if data[4:8] != FILE_IDENTIFIER:
        raise BundleError(f"{path}: not a TFLite model (the identifier TFL3 is missing); pass a .tflite file")
    try:
        from ai_edge_litert.interpreter import Interpreter
    except ImportError as error:
        raise RuntimeUnavailableError(
            f"reading {path.name} needs ai-edge-litert ({error}); {install_command('tflite')}"
        ) from error
    try:
        # Building an interpreter runs the flatbuffer verifier and plans nothing yet.
        Interpreter(model_content=data)
    except (ValueError, RuntimeError) as error:
        raise BundleError(
            f"{path}: damaged or truncated TFLite model ({error}); convert the checkpoint again"
        ) from error
    return data


def parse_graph(data: bytes, path: Path) -> TfliteGraph:
    """Return what verified bytes hold; `path` is for messages.  Raises `BundleError`."""
    from ai_edge_litert import schema_py_generated as schema

    model = schema.ModelT.InitFromObj(schema.Model.GetRootAs(data, 0))
    try:
        subgraphs = tuple(_subgraph(model, graph, schema) for graph in model.subgraphs or ())
        signatures = {s.name: s for s in (_signature(d, subgraphs) for d in model.signatureDefs or ())}
        if not signatures and subgraphs:
            signatures = {ONLY_SIGNATURE: _unnamed(subgraphs[0])}
        metadata = {
            _text(entry.name): bytes(_constant(model, entry.buffer) or b"") for entry in model.metadata or ()
        }
    except (IndexError, TypeError, KeyError) as error:
        raise BundleError(
            f"{path}: inconsistent TFLite model ({error}); convert the checkpoint again"
        ) from error
    return TfliteGraph(
        path=path, size_bytes=len(data), subgraphs=subgraphs, signatures=signatures, metadata=metadata
    )


def _listing(tensors: Mapping[str, tuple[tuple[int, ...], str]]) -> str:
    return ", ".join(
        f"{name} {dtype.lower()}{list(shape)}" for name, (shape, dtype) in sorted(tensors.items())
    )


def _text(value: bytes | str | None) -> str:
    return value.decode(errors="replace") if isinstance(value, bytes) else value or ""


def _names(enum: type[Any]) -> dict[int, str]:
    return {value: key for key, value in vars(enum).items() if isinstance(value, int)}


def _integers(values: Any) -> tuple[int, ...]:
    return () if values is None else tuple(int(value) for value in values)


def _indices(values: Any, count: int, what: str, *, lowest: int = 0) -> tuple[int, ...]:
    """Return `values`, each at least `lowest` and below `count`; raises `IndexError`."""
    numbers = _integers(values)
    for number in numbers:
        if not lowest <= number < count:
            raise IndexError(f"{what} {number} of {count}")
    return numbers


def _constant(model: Any, buffer: int) -> memoryview | None:
    if not 0 <= buffer < len(model.buffers):
        raise IndexError(f"buffer {buffer} of {len(model.buffers)}")
    data = model.buffers[buffer].data
    return None if data is None or len(data) == 0 else memoryview(data)


def _tensor(model: Any, tensor: Any, dtypes: Mapping[int, str]) -> TfliteTensor:
    shape, dtype = _integers(tensor.shape), dtypes[tensor.type]
    constant = _constant(model, tensor.buffer)
    expected = (prod(shape) * ITEM_BITS.get(dtype, 0) + 7) // 8
    if constant is not None and dtype in ITEM_BITS and len(constant) != expected:
        raise IndexError(f"tensor {_text(tensor.name)!r} of {expected} bytes holds {len(constant)}")
    quantization = tensor.quantization
    return TfliteTensor(
        name=_text(tensor.name),
        shape=shape,
        dtype=dtype,
        is_dynamic=any(side < 0 for side in (*shape, *_integers(tensor.shapeSignature))),
        is_quantized=quantization is not None
        and quantization.scale is not None
        and len(quantization.scale) > 0,
        buffer=int(tensor.buffer),
        constant=constant,
    )


def _subgraph(model: Any, graph: Any, schema: Any) -> TfliteSubgraph:
    dtypes, builtins = _names(schema.TensorType), _names(schema.BuiltinOperator)
    tensors = tuple(_tensor(model, tensor, dtypes) for tensor in graph.tensors or ())
    ops = []
    for op in graph.operators or ():
        (code,) = _indices([op.opcodeIndex], len(model.operatorCodes or ()), "operator code")
        entry = model.operatorCodes[code]
        # Old files keep the code in an int8 field; readers take the larger of both.
        builtin = builtins[max(entry.builtinCode, entry.deprecatedBuiltinCode)]
        is_custom = builtin == "CUSTOM"
        ops.append(
            TfliteOp(
                name=_text(entry.customCode) if is_custom else builtin,
                is_custom=is_custom,
                inputs=_indices(op.inputs, len(tensors), "input tensor", lowest=NO_TENSOR),
                outputs=_indices(op.outputs, len(tensors), "output tensor"),
            )
        )
    return TfliteSubgraph(
        name=_text(graph.name),
        tensors=tensors,
        ops=tuple(ops),
        inputs=_indices(graph.inputs, len(tensors), "graph input"),
        outputs=_indices(graph.outputs, len(tensors), "graph output"),
    )


def _unnamed(graph: TfliteSubgraph) -> TfliteSignature:
    """The first graph of a file without signatures, by the names of its tensors."""
    names = [
        {graph.tensors[number].name: number for number in numbers}
        for numbers in (graph.inputs, graph.outputs)
    ]
    return TfliteSignature(name=ONLY_SIGNATURE, subgraph=0, inputs=names[0], outputs=names[1])


def _signature(definition: Any, subgraphs: tuple[TfliteSubgraph, ...]) -> TfliteSignature:
    (number,) = _indices([definition.subgraphIndex], len(subgraphs), "subgraph")
    count = len(subgraphs[number].tensors)

    def tensors(entries: Any) -> dict[str, int]:
        numbers = _indices([entry.tensorIndex for entry in entries or ()], count, "signature tensor")
        return {_text(entry.name): index for entry, index in zip(entries or (), numbers, strict=True)}

    return TfliteSignature(
        name=_text(definition.signatureKey),
        subgraph=number,
        inputs=tensors(definition.inputs),
        outputs=tensors(definition.outputs),
    )
