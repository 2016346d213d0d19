"""A MIL function as a plan: names resolved to slots, ops looked up, nothing decoded yet.

`plan_function` does every check that needs no data, so that a program that cannot run is refused
before anything runs.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

from tinysam_mobile.errors import MilError, UnsupportedOp
from tinysam_mobile.mil.registry import OPSETS, OpVersion, find_op
from tinysam_mobile.mil.values import check_value, static_shape
from tinysam_mobile.mil.weights import WeightFiles

__all__ = ["BlockPlan", "FunctionPlan", "Node", "Source", "ValueInfo", "opset_of", "plan_function"]

_FLOAT16 = 10
_FLOAT32 = 11
_FLOATS = (10, 11, 12)
_OPSET_NAMES = {"CoreML5": "ios15", "CoreML6": "ios16", "CoreML7": "ios17", "CoreML8": "ios18"}
# Ops that own blocks: the executor runs them, their arguments are named here.
CONTROL_FLOW = {"cond": ("pred",), "while_loop": ("loop_vars",)}


@dataclass(frozen=True, kw_only=True)
class ValueInfo:
    """What the program declares of one value: its name, MIL.proto type number and shape.

    shape: None when the rank is unknown; a dimension of it is None when that is.
    """

    name: str
    data_type: int
    shape: tuple[int | None, ...] | None

    @property
    def is_float(self) -> bool:
        return self.data_type in _FLOATS

    @property
    def is_fp16(self) -> bool:
        return self.data_type == _FLOAT16

    @property
    def is_fp32(self) -> bool:
        return self.data_type == _FLOAT32


@dataclass(frozen=True)
class Source:
    """Where an argument comes from: a slot, or a literal proto Value."""

    slot: int = -1
    literal: Any = None


@dataclass(frozen=True, kw_only=True)
class Node:
    """One operation.  `version` is None for `cond` and `while_loop`, which have `blocks`."""

    op_type: str
    name: str
    version: OpVersion | None
    arguments: dict[str, tuple[Source, ...]]
    outputs: tuple[int, ...]
    blocks: tuple[BlockPlan, ...] = ()


@dataclass(kw_only=True)
class BlockPlan:
    """Operations in order, with the slots that the block receives and returns."""

    inputs: tuple[int, ...]
    outputs: tuple[int, ...] = ()
    nodes: list[Node] = field(default_factory=list)


@dataclass(kw_only=True)
class FunctionPlan:
    """One function of the program.

    values: what is declared of each slot; constants: slot -> proto Value; inputs: name -> slot.
    """

    name: str
    opset: str
    values: list[ValueInfo] = field(default_factory=list)
    constants: dict[int, Any] = field(default_factory=dict)
    inputs: dict[str, int] = field(default_factory=dict)
    block: BlockPlan = field(default_factory=lambda: BlockPlan(inputs=()))

    @property
    def outputs(self) -> dict[str, int]:
        """Output name -> slot."""
        return {self.values[slot].name: slot for slot in self.block.outputs}

    def nodes(self) -> Iterator[Node]:
        """Every operation, nested blocks included."""
        return _walk(self.block)


def _walk(block: BlockPlan) -> Iterator[Node]:
    for node in block.nodes:
        yield node
        for inner in node.blocks:
            yield from _walk(inner)


def opset_of(function: Any) -> str:
    """The opset of a proto Function as `OPSETS` spells it; later ones count as the newest known."""
    opset = function.opset
    if opset in _OPSET_NAMES:
        return _OPSET_NAMES[opset]
    if opset.startswith("CoreML") and opset[6:].isdigit() and int(opset[6:]) > 8:
        return OPSETS[-1]
    raise MilError(f"unknown opset {opset!r}; known: {', '.join(_OPSET_NAMES)}")


def plan_function(name: str, function: Any, weights: WeightFiles) -> FunctionPlan:
    """Plan the proto `function`.

    Raises UnsupportedOp with every op that is missing; MilError for undefined names, unknown or
    missing arguments, and blobs that the weight file does not hold.
    """
    planner = _Planner(name, opset_of(function), weights)
    return planner.plan(function)


class _Planner:
    def __init__(self, name: str, opset: str, weights: WeightFiles) -> None:
        self.function = FunctionPlan(name=name, opset=opset)
        self.weights = weights
        self.missing: dict[tuple[str, str], None] = {}

    def plan(self, function: Any) -> FunctionPlan:
        blocks = function.block_specializations
        if function.opset not in blocks:
            raise MilError(f"function {self.function.name!r} has no block for its opset {function.opset}")
        scope = {}
        for named in function.inputs:
            scope[named.name] = self.function.inputs[named.name] = self._slot(named)
        block = BlockPlan(inputs=tuple(self.function.inputs.values()))
        self._fill(block, blocks[function.opset], scope)
        if self.missing:
            raise UnsupportedOp(list(self.missing))
        self.function.block = block
        return self.function

    def _slot(self, named: Any) -> int:
        kind = named.type
        if kind.WhichOneof("type") == "stateType":
            kind = kind.stateType.wrappedType
        tensor = kind.tensorType
        is_tensor = named.type.WhichOneof("type") in ("tensorType", "stateType")
        shape = static_shape(tensor) if is_tensor and _is_ranked(tensor) else None
        info = ValueInfo(name=named.name, data_type=tensor.dataType, shape=shape)
        self.function.values.append(info)
        return len(self.function.values) - 1

    def _fill(self, block: BlockPlan, proto: Any, scope: dict[str, int]) -> None:
        for operation in proto.operations:
            if operation.type == "const":
                slot = scope[operation.outputs[0].name] = self._slot(operation.outputs[0])
                self.function.constants[slot] = self._checked(operation.attributes["val"])
                continue
            node = self._node(operation, scope)
            block.nodes.append(node)
            scope.update(zip((o.name for o in operation.outputs), node.outputs, strict=True))
        block.outputs = tuple(_resolve(name, scope, "the outputs of a block") for name in proto.outputs)

    def _node(self, operation: Any, scope: dict[str, int]) -> Node:
        name = _label(operation)
        arguments = {
            key: tuple(self._source(binding, scope, name) for binding in argument.arguments)
            for key, argument in operation.inputs.items()
        }
        for key, value in operation.attributes.items():
            if key != "name":
                arguments[key] = (Source(literal=self._checked(value)),)
        version = None
        if operation.type not in CONTROL_FLOW:
            version = find_op(operation.type, self.function.opset)
            if version is None:
                self.missing[operation.type, self.function.opset] = None
            else:
                _check_arguments(version, arguments, name)
        outputs = tuple(self._slot(o) for o in operation.outputs)
        blocks = tuple(self._nested(inner, scope) for inner in operation.blocks)
        return Node(
            op_type=operation.type, name=name, version=version, arguments=arguments, outputs=outputs,
            blocks=blocks,
        )  # fmt: skip

    def _nested(self, proto: Any, scope: dict[str, int]) -> BlockPlan:
        inner = dict(scope)
        slots = [self._slot(named) for named in proto.inputs]
        inner.update(zip((named.name for named in proto.inputs), slots, strict=True))
        block = BlockPlan(inputs=tuple(slots))
        self._fill(block, proto, inner)
        return block

    def _source(self, binding: Any, scope: dict[str, int], where: str) -> Source:
        if binding.WhichOneof("binding") == "name":
            return Source(slot=_resolve(binding.name, scope, f"op {where!r}"))
        return Source(literal=self._checked(binding.value))

    def _checked(self, value: Any) -> Any:
        check_value(value, self.weights)
        return value


def _is_ranked(tensor: Any) -> bool:
    return tensor.rank >= 0 and not any(d.unknown.variadic for d in tensor.dimensions)


def _label(operation: Any) -> str:
    if "name" in operation.attributes:
        return str(operation.attributes["name"].immediateValue.tensor.strings.values[0])
    return str(operation.outputs[0].name) if operation.outputs else str(operation.type)


def _resolve(name: str, scope: dict[str, int], where: str) -> int:
    try:
        return scope[name]
    except KeyError:
        raise MilError(f"{where} uses the value {name!r}, which no operation before it makes") from None


def _check_arguments(version: OpVersion, arguments: dict[str, Any], name: str) -> None:
    unknown = sorted(set(arguments) - set(version.params))
    if unknown:
        raise MilError(
            f"op {name!r} ({version.name}, {version.since}) has arguments that the interpreter does not "
            f"know: {', '.join(unknown)}"
        )
    missing = [p.name for p in version.params.values() if p.required and p.name not in arguments]
    if missing:
        raise MilError(f"op {name!r} ({version.name}) lacks the arguments {', '.join(missing)}")
