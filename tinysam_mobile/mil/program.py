"""A MIL function as a plan: names resolved to slots, ops looked up, nothing decoded yet.

`plan_function` does every check that needs no data, so that a program that cannot run is refused
before anything runs.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

from tinysam_mobile.errors import MilError, UnsupportedOp
from tinysam_mobile.mil.registry import OPSETS, OpVersion, find_op
from tinysam_mobile.mil.values import MAX_CONSTANT_ELEMENTS, check_value, element_of, static_shape
from tinysam_mobile.mil.weights import WeightFiles

__all__ = ["BlockPlan", "FunctionPlan", "Node", "Source", "ValueInfo", "opset_of", "plan_function"]

_FLOAT16 = 10
_FLOAT32 = 11
_FLOATS = (10, 11, 12)
_OPSET_NAMES = {"CoreML5": "ios15", "CoreML6": "ios16", "CoreML7": "ios17", "CoreML8": "ios18"}
# Ops that own blocks: the executor runs them; the argument of each.
CONTROL_FLOW = {"cond": "pred", "while_loop": "loop_vars"}
_MAX_NODES = 1_000_000


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
            if named.name in scope:
                raise MilError(f"function {self.function.name!r} has two inputs {named.name!r}")
            scope[named.name] = self.function.inputs[named.name] = self._slot(named)
            element_of(_tensor_type(named.type))
        block = BlockPlan(inputs=tuple(self.function.inputs.values()))
        self._fill(block, blocks[function.opset], scope)
        if self.missing:
            raise UnsupportedOp(list(self.missing))
        self.function.block = block
        return self.function

    def _slot(self, named: Any) -> int:
        tensor = _tensor_type(named.type)
        is_tensor = named.type.WhichOneof("type") in ("tensorType", "stateType")
        shape = static_shape(tensor) if is_tensor and _is_ranked(tensor) else None
        if shape is not None:
            _require_shape(named.name, shape)
        info = ValueInfo(name=named.name, data_type=tensor.dataType, shape=shape)
        self.function.values.append(info)
        return len(self.function.values) - 1

    def _fill(self, block: BlockPlan, proto: Any, scope: dict[str, int]) -> None:
        for operation in proto.operations:
            if operation.type == "const":
                self._constant(operation, scope)
                continue
            node = self._node(operation, scope)
            block.nodes.append(node)
            scope.update(zip((o.name for o in operation.outputs), node.outputs, strict=True))
        block.outputs = tuple(_resolve(name, scope, "the outputs of a block") for name in proto.outputs)

    def _constant(self, operation: Any, scope: dict[str, int]) -> None:
        name = _label(operation)
        if len(operation.outputs) != 1 or "val" not in operation.attributes:
            raise MilError(f"the constant {name!r} needs one output and a value")
        value = self._checked(operation.attributes["val"])
        slot = scope[operation.outputs[0].name] = self._slot(operation.outputs[0])
        declared = _tensor_type(value.type)
        shape = self.function.values[slot].shape
        if shape is not None and None not in shape and shape != static_shape(declared):
            raise MilError(
                f"the constant {name!r} is declared {shape}, but its value {static_shape(declared)}"
            )
        self.function.constants[slot] = value

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
        else:
            _check_control_flow(operation, arguments, name)
        outputs = tuple(self._slot(o) for o in operation.outputs)
        blocks = tuple(self._nested(inner, scope) for inner in operation.blocks)
        if operation.type in CONTROL_FLOW:
            _check_blocks(operation.type, name, blocks, len(outputs))
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
        if len(self.function.values) > _MAX_NODES:
            raise MilError(f"the program has more than {_MAX_NODES} values")
        check_value(value, self.weights)
        return value


def _is_ranked(tensor: Any) -> bool:
    return tensor.rank >= 0 and not any(d.unknown.variadic for d in tensor.dimensions)


def _tensor_type(kind: Any) -> Any:
    """The proto TensorType of a value, or of what a state holds."""
    return (
        kind.stateType.wrappedType.tensorType if kind.WhichOneof("type") == "stateType" else kind.tensorType
    )


def _require_shape(name: str, shape: tuple[int | None, ...]) -> None:
    count = math.prod(size for size in shape if size is not None)
    if count > MAX_CONSTANT_ELEMENTS or any(size is not None and size >= 2**31 for size in shape):
        raise MilError(
            f"the value {name!r} is declared with the shape {shape}, {count:.4g} elements: a value may have "
            f"{MAX_CONSTANT_ELEMENTS} at most"
        )


def _label(operation: Any) -> str:
    if "name" in operation.attributes:
        names = operation.attributes["name"].immediateValue.tensor.strings.values
        if names:
            return str(names[0])
    return str(operation.outputs[0].name) if operation.outputs else str(operation.type)


def _check_control_flow(operation: Any, arguments: dict[str, Any], name: str) -> None:
    key = CONTROL_FLOW[operation.type]
    sources = arguments.get(key, ())
    if set(arguments) != {key} or not sources or (key == "pred" and len(sources) != 1):
        raise MilError(f"op {name!r} ({operation.type}) takes one argument, {key}, and no other")
    if len(operation.blocks) != 2:
        raise MilError(f"op {name!r} ({operation.type}) has {len(operation.blocks)} blocks, not 2")
    if operation.type == "while_loop" and len(sources) != len(operation.outputs):
        raise MilError(
            f"op {name!r} (while_loop) has {len(operation.outputs)} results of {len(sources)} variables"
        )


def _check_blocks(op_type: str, name: str, blocks: tuple[BlockPlan, ...], count: int) -> None:
    """`cond`: two branches that take nothing; `while_loop`: a test and a body that take the variables."""
    taken, given = ((0, 0), (count, count)) if op_type == "cond" else ((count, count), (1, count))
    for block, inputs, outputs in zip(blocks, taken, given, strict=True):
        if (len(block.inputs), len(block.outputs)) != (inputs, outputs):
            raise MilError(
                f"op {name!r} ({op_type}) has a block from {len(block.inputs)} values to "
                f"{len(block.outputs)}, where {inputs} and {outputs} are meant"
            )


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
