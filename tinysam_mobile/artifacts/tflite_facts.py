"""A .tflite file as `ArtifactFacts`: its graphs, XNNPACK's share of them on this machine, its contract."""

from __future__ import annotations

import zipfile
from collections import Counter
from collections.abc import Mapping
from io import BytesIO
from pathlib import Path
from typing import Any

from tinysam_mobile.artifacts.graph import ArtifactFacts, Graph, GraphOp, GraphTensor
from tinysam_mobile.artifacts.tflite_delegates import Delegation, delegation
from tinysam_mobile.artifacts.tflite_graph import (
    ITEM_BITS,
    NO_TENSOR,
    TfliteGraph,
    TfliteSubgraph,
    TfliteTensor,
    parse_graph,
    read_graph,
    read_model_bytes,
)

__all__ = ["describe", "read_facts"]

CONTRACT_FILE = "contract.json"
MAX_CONTRACT_BYTES = 2**20
ALIASES = {"RESHAPE", "EXPAND_DIMS", "SQUEEZE"}
"""LiteRT gives the output of these the memory of their input."""
UNPACKING = "DEQUANTIZE"
"""Of a constant, it is weights that are stored in fewer bits than they are used in."""


def read_facts(path: Path) -> ArtifactFacts:
    """Read the file at `path`; errors as `tflite_graph.read_graph`.

    XNNPACK's division is left out of files that it cannot plan: custom operations, shapes that are not fixed.
    """
    data = read_model_bytes(path)
    graph = parse_graph(data, path)
    can_plan = not graph.custom_ops and not graph.dynamic_tensors
    graphs = {
        name: _graph(name, graph.subgraph_of(name), delegation(path, name) if can_plan else None)
        for name in graph.signatures
    }
    sizes = {dtype.lower(): size for dtype, size in graph.constant_bytes.items()}
    return ArtifactFacts(graphs=graphs, constant_bytes=sizes, contract_json=_contract_json(data))


def _graph(name: str, subgraph: TfliteSubgraph, division: Delegation | None) -> Graph:
    ops = tuple(
        GraphOp(
            name=op.name,
            inputs=tuple(i for i in op.inputs if i != NO_TENSOR),
            outputs=op.outputs,
            is_custom=op.is_custom,
            aliases=op.name in ALIASES,
        )
        for op in subgraph.ops
    )
    unpacked = {
        op.outputs[0]
        for op in ops
        if op.name == UNPACKING and subgraph.tensors[op.inputs[0]].constant is not None
    }
    outside = Counter(division.outside) if division else None
    if outside:
        # LiteRT unpacks constants once, at the first call.
        outside -= Counter({UNPACKING: len(unpacked)})
    return Graph(
        name=name,
        tensors=tuple(_tensor(t, is_unpacked=i in unpacked) for i, t in enumerate(subgraph.tensors)),
        ops=ops,
        inputs=subgraph.inputs,
        outputs=subgraph.outputs,
        pieces=division.partitions if division else None,
        outside=outside,
    )


def _tensor(tensor: TfliteTensor, *, is_unpacked: bool) -> GraphTensor:
    return GraphTensor(
        name=tensor.name,
        shape=tuple(max(side, 1) if tensor.is_dynamic else side for side in tensor.shape),
        dtype=tensor.dtype.lower(),
        bits=ITEM_BITS.get(tensor.dtype, 0),
        is_constant=is_unpacked or tensor.constant is not None,
        is_dynamic=tensor.is_dynamic,
    )


def _contract_json(data: bytes) -> str | None:
    """Return the associated file contract.json, which TFLite's metadata keeps in a zip behind the model."""
    try:
        with zipfile.ZipFile(BytesIO(data)) as archive, archive.open(CONTRACT_FILE) as file:
            return file.read(MAX_CONTRACT_BYTES).decode()
    except (zipfile.BadZipFile, KeyError, RuntimeError, NotImplementedError, ValueError):
        return None


def describe(path: Path) -> dict[str, Any]:
    """Return what `inspect` prints of a .tflite file as JSON data; errors as `read_graph`."""
    graph = read_graph(path)
    return {
        "signatures": {name: _describe_signature(graph, name) for name in graph.signatures},
        "max_rank": graph.max_rank,
        "custom_ops": list(graph.custom_ops),
        "dynamic_tensors": list(graph.dynamic_tensors),
        "constant_bytes": graph.constant_bytes,
        "metadata": sorted(graph.metadata),
    }


def _describe_signature(graph: TfliteGraph, name: str) -> dict[str, Any]:
    signature, subgraph = graph.signatures[name], graph.subgraph_of(name)

    def tensors(numbers: Mapping[str, int]) -> dict[str, Any]:
        return {
            key: {"shape": list(subgraph.tensors[i].shape), "dtype": subgraph.tensors[i].dtype.lower()}
            for key, i in sorted(numbers.items(), key=lambda item: item[1])
        }

    return {
        "inputs": tensors(signature.inputs),
        "outputs": tensors(signature.outputs),
        "operators": dict(subgraph.histogram.most_common()),
        "computed_weights": len(subgraph.ops_with_computed_weights()),
    }
