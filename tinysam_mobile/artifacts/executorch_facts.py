"""A .pte file as `ArtifactFacts`: kernel calls, and what lies inside XNNPACK's pieces.

XNNPACK's pieces are flatbuffers of their own (executorch `backends/xnnpack/serialization/schema.fbs`, behind
a header `XH00`); ExecuTorch's flatc turns them into JSON.  Pieces of other backends are closed.
"""

from __future__ import annotations

import json
import re
import struct
from collections import Counter
from collections.abc import Mapping
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from tinysam_mobile.artifacts.executorch_graph import CONTRACT_METHOD, check_header, read_graphs
from tinysam_mobile.artifacts.executorch_sdk import quiet
from tinysam_mobile.artifacts.graph import ArtifactFacts, Graph, GraphOp, GraphTensor
from tinysam_mobile.errors import BundleError

__all__ = ["describe", "read_facts"]

XNNPACK = "XnnpackBackend"
XNNPACK_HEADER = struct.Struct("<4x4sHIIIQ")
"""Magic, header length, then offset and size of the flatbuffer and of the constants behind it."""
XNNPACK_MAGIC = b"XH00"
XNNPACK_ALIASES = {"XNNStaticReshape", "XNNCopy"}
NO_VALUE = 2**32 - 1
XNNPACK_TYPES: Mapping[str, tuple[str, int]] = {
    "fp32": ("float32", 32), "pfp32": ("float32", 32), "fp16": ("float16", 16), "bf16": ("bfloat16", 16),
    "qint8": ("int8", 8), "quint8": ("uint8", 8), "qcint8": ("int8", 8), "qdint8": ("int8", 8),
    "qpint8": ("int8", 8), "qint32": ("int32", 32), "qcint32": ("int32", 32), "int32": ("int32", 32),
    "qcint4": ("int4", 4), "qbint4": ("int4", 4),
}  # fmt: skip
"""XNNPACK's element types, without `xnn_datatype_` → dtype and bits."""
SCALAR_TYPES: Mapping[str, tuple[str, int]] = {
    "HALF": ("float16", 16), "FLOAT": ("float32", 32), "DOUBLE": ("float64", 64), "BOOL": ("bool", 8),
    "BFLOAT16": ("bfloat16", 16), "BYTE": ("uint8", 8), "CHAR": ("int8", 8), "SHORT": ("int16", 16),
    "UINT16": ("uint16", 16), "INT": ("int32", 32), "UINT32": ("uint32", 32), "LONG": ("int64", 64),
    "UINT64": ("uint64", 64),
}  # fmt: skip
"""ExecuTorch's element types → dtype and bits."""
OTHER_TYPE = ("other", 0)
STOCK_NAMESPACES = {"aten", "prim", "dim_order_ops", "executorch_prim", "et_copy", "quantized_decomposed"}
"""Operators that ExecuTorch's own kernel libraries register; any other namespace is the app's to link."""
KERNEL_ALIASES = {"aten::view_copy", "executorch_prim::et_view"}


def read_facts(path: Path) -> ArtifactFacts:
    """Read the file at `path`; raises `BundleError` for a damaged one."""
    with quiet():
        from executorch.exir._serialize._program import deserialize_pte_binary

    check_header(path)
    try:
        file = deserialize_pte_binary(path.read_bytes())
        reader = _ProgramReader(file)
        graphs = {plan.name: reader.read(plan) for plan in file.program.execution_plan if _runs(plan)}
        return ArtifactFacts(
            graphs=graphs, constant_bytes=reader.constant_bytes(), contract_json=_contract_json(file.program)
        )
    except Exception as error:  # whatever damaged bytes make the readers raise is one kind of error here
        kind = type(error).__name__
        raise BundleError(f"{path}: is damaged ({kind}: {error}); convert it again") from error


def _runs(plan: Any) -> bool:
    return any(chain.instructions for chain in plan.chains)


def _contract_json(program: Any) -> str | None:
    for plan in program.execution_plan:
        if plan.name == CONTRACT_METHOD:
            return str(plan.values[plan.outputs[0]].val.string_val)
    return None


class _ProgramReader:
    """Collects the methods of a program; `_constants` maps what identifies a constant to dtype and bytes."""

    def __init__(self, file: Any) -> None:
        from executorch.exir import schema

        self._program = file.program
        self._tensor_type = schema.Tensor
        self._constants: dict[Any, tuple[str, int]] = {}

    def constant_bytes(self) -> dict[str, int]:
        """Bytes of all constants by dtype."""
        totals: Counter[str] = Counter()
        for dtype, size in self._constants.values():
            totals[dtype] += size
        return dict(totals)

    def read(self, plan: Any) -> Graph:
        """Return one method, each XNNPACK piece unfolded into its operations."""
        tensors = [self._tensor(value.val) for value in plan.values]
        ops: list[GraphOp] = []
        outside: Counter[str] = Counter()
        pieces = 0
        for chain in plan.chains:
            for instruction in chain.instructions:
                call = instruction.instr_args
                if hasattr(call, "delegate_index"):
                    pieces += 1
                    self._unfold(plan.delegates[call.delegate_index], call.args, tensors, ops)
                elif hasattr(call, "op_index"):
                    operator = plan.operators[call.op_index]
                    outside[operator.name] += 1
                    ops.append(self._kernel(operator.name, call.args, plan))
        return Graph(
            name=plan.name,
            tensors=tuple(tensors),
            ops=tuple(ops),
            inputs=tuple(plan.inputs),
            outputs=tuple(plan.outputs),
            pieces=pieces,
            outside=outside,
        )

    def _tensor(self, value: Any) -> GraphTensor:
        """A value of the plan; numbers and lists, which operators take as arguments, have no bytes."""
        if not isinstance(value, self._tensor_type):
            return GraphTensor(name="", shape=(), dtype="other", bits=0, is_constant=True)
        dtype, bits = SCALAR_TYPES.get(value.scalar_type.name, OTHER_TYPE)
        tensor = GraphTensor(
            name="",
            shape=tuple(value.sizes),
            dtype=dtype,
            bits=bits,
            is_constant=value.data_buffer_idx > 0,
            is_dynamic=value.shape_dynamism.name != "STATIC",
        )
        if tensor.is_constant:
            self._constants["buffer", value.data_buffer_idx] = (dtype, tensor.size_bytes)
        return tensor

    def _kernel(self, name: str, arguments: list[int], plan: Any) -> GraphOp:
        """A kernel call.  An out variant takes its result last, and lists it twice."""
        values = [i for i in arguments if isinstance(plan.values[i].val, self._tensor_type)]
        return GraphOp(
            name=name,
            inputs=tuple(values[:-1]),
            outputs=tuple(values[-1:]),
            is_custom=name.partition("::")[0] not in STOCK_NAMESPACES,
            aliases=name in KERNEL_ALIASES,
        )

    def _unfold(
        self, delegate: Any, arguments: list[int], tensors: list[GraphTensor], ops: list[GraphOp]
    ) -> None:
        if delegate.id != XNNPACK:
            ops.append(GraphOp(name=delegate.id, inputs=tuple(arguments), outputs=()))
            return
        data = self._program.backend_delegate_data[delegate.processed.index].data
        graph = _xnnpack_json(bytes(data))
        numbers: dict[int, int] = {}
        for entry in graph["xvalues"]:
            value = entry["xvalue_union"].get("tensor_value", entry["xvalue_union"])
            if value["external_id"] != NO_VALUE:
                numbers[value["id_out"]] = arguments[value["external_id"]]
                continue
            numbers[value["id_out"]] = len(tensors)
            tensors.append(self._xnnpack_tensor(value, graph["constant_data"]))
        ops.extend(_xnnpack_op(node, numbers) for node in graph["xnodes"])

    def _xnnpack_tensor(self, value: Mapping[str, Any], constant_data: list[Any]) -> GraphTensor:
        dtype, bits = XNNPACK_TYPES.get(value["datatype"].removeprefix("xnn_datatype_"), OTHER_TYPE)
        index = value["constant_buffer_idx"]
        if index:
            # Weights are stored once by key, however many pieces and methods use them.
            place = constant_data[index]
            self._constants[place.get("named_key") or (id(constant_data), index)] = (dtype, place["size"])
        return GraphTensor(
            name="",
            shape=tuple(value.get("dims", ())),
            dtype=dtype,
            bits=bits,
            is_constant=index > 0,
        )


def _xnnpack_op(node: Mapping[str, Any], numbers: Mapping[int, int]) -> GraphOp:
    """A node; the fields of every kind of node name their values `…input…_id`, `…output…_id` and the like."""
    name, fields = node["xnode_union_type"], node["xnode_union"]
    values = {
        key: numbers[value] for key, value in fields.items() if key.endswith("_id") and value in numbers
    }
    return GraphOp(
        name=name,
        inputs=tuple(number for key, number in values.items() if not key.startswith("output")),
        outputs=tuple(number for key, number in values.items() if key.startswith("output")),
        aliases=name in XNNPACK_ALIASES,
    )


def _xnnpack_json(data: bytes) -> Any:
    """Return the graph in one XNNPACK piece."""
    from importlib.resources import files

    from executorch.exir._serialize._flatbuffer import _flatc_decompile

    magic, _, offset, size, *_ = XNNPACK_HEADER.unpack_from(data)
    if magic != XNNPACK_MAGIC:
        raise ValueError(f"a piece for XNNPACK begins with {magic!r}")
    with TemporaryDirectory(prefix="tinysam-") as temporary:
        folder = Path(temporary)
        schema = files("executorch.backends.xnnpack.serialization").joinpath("schema.fbs")
        (folder / "schema.fbs").write_bytes(schema.read_bytes())
        (folder / "graph.bin").write_bytes(data[offset : offset + size])
        _flatc_decompile(temporary, str(folder / "schema.fbs"), str(folder / "graph.bin"), ["--raw-binary"])
        # flatc writes the open ends of a clamp as `inf`, which Python's JSON spells out.
        return json.loads(re.sub(rb"(: -?)inf\b", rb"\1Infinity", (folder / "graph.json").read_bytes()))


def describe(path: Path) -> dict[str, Any]:
    """Return what `inspect` prints of a .pte file as JSON data; raises `BundleError`."""
    graphs = read_graphs(path)
    return {"methods": {name: graph.to_dict() for name, graph in sorted(graphs.items())}}
