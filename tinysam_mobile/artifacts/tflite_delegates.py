"""How XNNPACK divides a .tflite graph on this machine: pieces that it takes, operations that it leaves.

Each operation that is left runs in TFLite's own kernels, and each border between the two costs copies.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tinysam_mobile.artifacts.native_stderr import without_known_lines
from tinysam_mobile.artifacts.tflite_graph import parse_graph, read_model_bytes

__all__ = ["Delegation", "delegation"]

DELEGATE = "DELEGATE"
"""LiteRT's name of an operation that stands for a piece which a delegate took."""


@dataclass(frozen=True, kw_only=True)
class Delegation:
    """`partitions` pieces taken by XNNPACK; names of the operations `outside`, in order of execution."""

    partitions: int
    outside: tuple[str, ...]


def delegation(path: Path, signature: str) -> Delegation:
    """Plan the subgraph of `signature` as LiteRT does by default and tell how XNNPACK divided it.

    Memory for one execution is allocated, nothing is executed.  Errors as `tflite_graph.read_graph`, and
    `KeyError` for an unknown signature.
    """
    data = read_model_bytes(path)
    number = parse_graph(data, path).signatures[signature].subgraph
    from ai_edge_litert.interpreter import Interpreter

    interpreter = Interpreter(model_content=_alone(data, number))
    with without_known_lines():
        interpreter.allocate_tensors()
    # There is no public call; LiteRT's own model analysis reads this list.
    operations = interpreter._get_ops_details()
    return Delegation(
        partitions=sum(operation["op_name"] == DELEGATE for operation in operations),
        outside=_outside(operations),
    )


def _alone(data: bytes, subgraph: int) -> bytes:
    """Return a model of one subgraph; LiteRT lists the operations of the first one only."""
    import flatbuffers
    from ai_edge_litert import schema_py_generated as schema

    model = schema.ModelT.InitFromObj(schema.Model.GetRootAs(data, 0))
    model.subgraphs = [model.subgraphs[subgraph]]
    model.signatureDefs = None
    builder = flatbuffers.Builder(len(data))
    builder.Finish(model.Pack(builder), file_identifier=b"TFL3")
    return bytes(builder.Output())


def _outside(operations: Sequence[dict[str, Any]]) -> tuple[str, ...]:
    """Walk back from what each piece yields to what it takes; operations never met are outside."""
    makers = {int(t): o for o in operations if o["op_name"] != DELEGATE for t in o["outputs"]}
    inside: set[int] = set()
    for piece in operations:
        if piece["op_name"] != DELEGATE:
            continue
        taken = {int(t) for t in piece["inputs"]}
        waiting = [int(t) for t in piece["outputs"]]
        while waiting:
            tensor = waiting.pop()
            maker = makers.get(tensor)
            if tensor in taken or maker is None or maker["index"] in inside:
                continue
            inside.add(maker["index"])
            waiting += [int(t) for t in maker["inputs"]]
    return tuple(o["op_name"] for o in operations if o["op_name"] != DELEGATE and o["index"] not in inside)
