"""What a .pte file executes, read from the file: delegates, and operations outside them with the reason.

A .pte is a flatbuffer `Program` with the identifier `ET12`, an extended header `eh00` and data segments
behind it (ExecuTorch `docs/source/pte-file-format.md`).  An execution plan is a list of instructions; a
delegate call runs a whole region in a backend, a kernel call one operation in ExecuTorch's own kernels.
Views and shape constants cost no instruction.
"""

from __future__ import annotations

import os
import struct
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tinysam_mobile.artifacts.executorch_sdk import quiet
from tinysam_mobile.errors import BundleError
from tinysam_mobile.files import open_regular

__all__ = [
    "CONTRACT_METHOD",
    "OUTSIDE_REASONS",
    "MethodGraph",
    "check_header",
    "keeps_constants_inside",
    "read_graphs",
]

CONTRACT_METHOD = "contract_json"
"""Constant method of every .pte that returns contract.json as a string."""
IDENTIFIER = b"ET12"
HEADER_MAGIC = b"eh00"
HEADER = struct.Struct("<4x4s4sIQQQ")
"""Offset to the root table, file identifier, header magic and length, then three sizes in bytes: the
program, the offset of the first segment (0 without segments), all segments."""

_COMPARISON = "a comparison: XNNPACK has no integer or boolean tensors; a few hundred elements at most"
_SELECTION = "a selection, the only way to keep NaN in padding or in unused inputs out: XNNPACK has none"
_SLICE = "takes height and width from valid_size: XNNPACK has no integer tensors"
_CONVERSION = "changes the element type: XNNPACK converts only for quantized tensors"
_LOGIC = "combines masks: XNNPACK has no boolean tensors"
OUTSIDE_REASONS: Mapping[str, str] = {
    "aten::ge": _COMPARISON,
    "aten::le": _COMPARISON,
    "aten::lt": _COMPARISON,
    "aten::gt": _COMPARISON,
    "aten::eq": _COMPARISON,
    "aten::where": _SELECTION,
    "aten::masked_fill": _SELECTION,
    "aten::slice_copy": _SLICE,
    "aten::logical_or": _LOGIC,
    "aten::logical_and": _LOGIC,
    "aten::logical_not": _LOGIC,
    "aten::bitwise_not": _LOGIC,
    "aten::index_select": "spreads a table of attention biases by offset: XNNPACK has no gather, and the "
    "result as a constant would be 200 times the table",
    "aten::_to_copy": _CONVERSION,
    "dim_order_ops::_to_dim_order_copy": _CONVERSION,
}
"""Why an operation is left to ExecuTorch's own kernels, by name without overload."""
UNKNOWN_REASON = "the backend's partitioner did not take it"


@dataclass(frozen=True, kw_only=True)
class MethodGraph:
    """One method of a .pte: the backend of each delegate call, and how often each operation is outside."""

    name: str
    delegates: tuple[str, ...]
    outside: Mapping[str, int]

    @property
    def outside_count(self) -> int:
        """Operations that ExecuTorch's own kernels run."""
        return sum(self.outside.values())

    def to_dict(self) -> dict[str, Any]:
        """Return JSON data with a reason for every operation outside."""
        outside = [
            {"op": op, "count": count, "reason": OUTSIDE_REASONS.get(op, UNKNOWN_REASON)}
            for op, count in self.outside.items()
        ]
        delegates = dict(Counter(self.delegates))
        return {"delegates": delegates, "outside": outside, "outside_count": self.outside_count}


def check_header(path: Path) -> None:
    """Raise `BundleError` unless `path` begins like a .pte and is as long as its header says.

    The native loader aborts the whole process on a wrong identifier, so this comes before it.
    """
    with open_regular(path, error=BundleError) as file:
        size_bytes = os.fstat(file.fileno()).st_size
        head = file.read(HEADER.size)
    if len(head) < HEADER.size or head[4:8] != IDENTIFIER:
        raise BundleError(f"{path}: is not an ExecuTorch program; convert the model again")
    _, magic, _, program_bytes, segments_at, segments_bytes = HEADER.unpack(head)
    if magic != HEADER_MAGIC:
        # Older exports have no extended header and say nothing of their length; ExecuTorch runs them.
        return
    needed = max(program_bytes, segments_at + segments_bytes)
    if size_bytes < needed:
        raise BundleError(f"{path}: is cut off at {size_bytes} of {needed} bytes; copy or convert it again")


def keeps_constants_inside(path: Path) -> bool:
    """Whether a .pte has its constants in the program, as older exports, and not behind it; False if damaged.

    ExecuTorch's runtime is built without what reads those (ET_ENABLE_DEPRECATED_CONSTANT_BUFFER).
    """
    with quiet():
        from executorch.exir._serialize._program import deserialize_pte_binary

    data = path.read_bytes()
    if HEADER.unpack_from(data)[2] == HEADER_MAGIC:
        return False
    try:
        return bool(deserialize_pte_binary(data).program.constant_buffer)
    except Exception:  # whatever damaged bytes make the reader raise
        return False


def read_graphs(path: Path) -> dict[str, MethodGraph]:
    """Return the methods of a .pte by name, constant methods left out; raises `BundleError`."""
    # On use only: this import brings in ExecuTorch's whole compiler.
    with quiet():
        from executorch.exir._serialize._program import deserialize_pte_binary

    check_header(path)
    try:
        plans = deserialize_pte_binary(path.read_bytes()).program.execution_plan
        graphs = [_method_graph(plan) for plan in plans]
    except Exception as error:  # whatever damaged bytes make the reader raise is one kind of error here
        kind = type(error).__name__
        raise BundleError(f"{path}: is damaged ({kind}: {error}); convert it again") from error
    return {graph.name: graph for graph in graphs if graph.delegates or graph.outside}


def _method_graph(plan: Any) -> MethodGraph:
    delegates: list[str] = []
    outside: Counter[str] = Counter()
    for chain in plan.chains:
        for instruction in chain.instructions:
            call = instruction.instr_args
            if hasattr(call, "delegate_index"):
                delegates.append(plan.delegates[call.delegate_index].id)
            elif hasattr(call, "op_index"):
                outside[plan.operators[call.op_index].name] += 1
    return MethodGraph(name=plan.name, delegates=tuple(delegates), outside=dict(sorted(outside.items())))
