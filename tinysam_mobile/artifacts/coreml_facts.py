"""A .mlpackage as `ArtifactFacts`, read from its specification.

Operations that the MIL interpreter does not know are read like all others: a file need not run here to be
judged.
"""

from __future__ import annotations

from collections import Counter
from math import prod
from pathlib import Path
from typing import Any

from tinysam_mobile.artifacts.coreml_sdk import import_coremltools
from tinysam_mobile.artifacts.graph import ArtifactFacts, Graph, GraphOp, GraphTensor
from tinysam_mobile.mil import MilModel
from tinysam_mobile.mil.datatypes import DTYPES
from tinysam_mobile.mil.package import open_model
from tinysam_mobile.mil.values import static_shape

__all__ = ["describe", "read_facts"]

CONTRACT_KEY = "contract.json"
CUSTOM_PREFIX = "custom_"
"""coremltools names operations of the app's own with it (`register_op(is_custom_op=True)`)."""
ALIASES = {"reshape", "expand_dims", "squeeze", "identity"}
UNPACKING_PREFIX = "constexpr_"
"""Operations that unpack compressed weights; runtimes do that when they load, so the result is a constant."""


def read_facts(path: Path) -> ArtifactFacts:
    """Read the package at `path`; raises `MilError` if it is no ML Program."""
    import_coremltools()
    opened = open_model(path)
    constants: dict[tuple[str, int], tuple[str, int]] = {}
    graphs = {
        name: _FunctionReader(constants).read(name, function)
        for name, function in opened.spec.mlProgram.functions.items()
    }
    totals: Counter[str] = Counter()
    for dtype, size in constants.values():
        totals[dtype] += size
    contract = opened.spec.description.metadata.userDefined.get(CONTRACT_KEY)
    return ArtifactFacts(graphs=graphs, constant_bytes=totals, contract_json=contract)


class _FunctionReader:
    """Collects one function; `constants` maps a place in a weight file to dtype and bytes."""

    def __init__(self, constants: dict[tuple[str, int], tuple[str, int]]) -> None:
        self.constants = constants
        self.tensors: list[GraphTensor] = []
        self.ops: list[GraphOp] = []

    def read(self, name: str, function: Any) -> Graph:
        """Return the function as a graph; blocks inside operations come before their operation."""
        block = function.block_specializations[function.opset]
        scope = {named.name: self._tensor(named) for named in function.inputs}
        inputs = tuple(scope.values())
        self._read_block(block, scope)
        outputs = tuple(scope[output] for output in block.outputs if output in scope)
        return Graph(
            name=name, tensors=tuple(self.tensors), ops=tuple(self.ops), inputs=inputs, outputs=outputs
        )

    def _read_block(self, block: Any, scope: dict[str, int]) -> None:
        for operation in block.operations:
            self._read_operation(operation, scope)

    def _read_operation(self, operation: Any, scope: dict[str, int]) -> None:
        bindings = [binding for argument in operation.inputs.values() for binding in argument.arguments]
        values = [binding.value for binding in bindings if binding.WhichOneof("binding") == "value"]
        for value in (*operation.attributes.values(), *values):
            self._count_constant(value)
        for inner in operation.blocks:
            self._read_block(inner, scope | {named.name: self._tensor(named) for named in inner.inputs})
        unpacks = operation.type.startswith(UNPACKING_PREFIX)
        outputs = tuple(
            self._tensor(named, is_constant=unpacks or operation.type == "const")
            for named in operation.outputs
        )
        scope.update(zip((named.name for named in operation.outputs), outputs, strict=True))
        if operation.type == "const":
            return
        op = GraphOp(
            name=operation.type,
            inputs=tuple(scope[binding.name] for binding in bindings if binding.name in scope),
            outputs=outputs,
            is_custom=operation.type.startswith(CUSTOM_PREFIX),
            aliases=operation.type in ALIASES,
        )
        self.ops.append(op)

    def _tensor(self, named: Any, *, is_constant: bool = False) -> int:
        kind = named.type.stateType.wrappedType if named.type.HasField("stateType") else named.type
        sides = static_shape(kind.tensorType)
        dtype, bits = _element(kind.tensorType)
        self.tensors.append(
            GraphTensor(
                name=named.name,
                shape=tuple(1 if side is None else side for side in sides),
                dtype=dtype,
                bits=bits,
                is_constant=is_constant,
                is_dynamic=None in sides,
            )
        )
        return len(self.tensors) - 1

    def _count_constant(self, value: Any) -> None:
        """Count a tensor of the weight file, once for all functions; small ones lie elsewhere."""
        if value.WhichOneof("value") != "blobFileValue":
            return
        kind, blob = value.type.tensorType, value.blobFileValue
        dtype, bits = _element(kind)
        size = (prod(side or 1 for side in static_shape(kind)) * bits + 7) // 8
        self.constants[blob.fileName, blob.offset] = (dtype, size)


def _element(tensor_type: Any) -> tuple[str, int]:
    """Name and bits of an element type; strings and types unknown to the interpreter take no bits."""
    element = DTYPES.get(tensor_type.dataType)
    return (element.name.replace("fp", "float"), element.bits) if element else ("other", 0)


def describe(path: Path) -> dict[str, Any]:
    """Return what `inspect` prints of a package as JSON data; raises `MilError` if it is no ML Program."""
    import_coremltools()
    opened = open_model(path)
    metadata = opened.spec.description.metadata
    return {
        "functions": {
            name: _describe_function(path, name) for name in sorted(opened.spec.mlProgram.functions)
        },
        "author": metadata.author,
        "licence": metadata.license,
        "version": metadata.versionString,
        "description": metadata.shortDescription,
        "user_defined": sorted(metadata.userDefined),
    }


def _describe_function(path: Path, function: str) -> dict[str, Any]:
    model = MilModel.load(path, function_name=function)
    return {
        "opset": model.plan.opset,
        "inputs": {name: feature.describe() for name, feature in model.inputs.items()},
        "outputs": {name: feature.describe() for name, feature in model.outputs.items()},
        "operators": dict(Counter(node.op_type for node in model.plan.nodes()).most_common()),
    }
