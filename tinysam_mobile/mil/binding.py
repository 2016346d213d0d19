"""From a plan to an executable: constants decoded, what depends on them alone computed, the rest bound.

Weights are read when they are first needed: a large constant that has to be decoded (fp16 to float32) or
expanded (`constexpr_*`) is a `Lazy` until the op that uses it runs.  Up to `KEPT_BYTES` of them are kept;
beyond that each is decoded anew when its op runs, so that a model of any size can run.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial
from typing import Any

import torch

from tinysam_mobile.errors import MilError
from tinysam_mobile.mil.datatypes import DTYPES
from tinysam_mobile.mil.executor import OP_ERRORS, BoundBlock, Call, Executable, Expected, Step, op_error
from tinysam_mobile.mil.limits import DEFAULT_LIMITS, Limits
from tinysam_mobile.mil.loops import Shortcut, gru_loop
from tinysam_mobile.mil.precision import fits_fp16, round_constant, round_fp16, rounded_slots
from tinysam_mobile.mil.program import BlockPlan, FunctionPlan, Node, Source
from tinysam_mobile.mil.sizes import bounded
from tinysam_mobile.mil.values import decode_value
from tinysam_mobile.mil.weights import WeightFiles

__all__ = ["KEPT_BYTES", "bind_function"]

KEPT_BYTES = 2 << 30
# Constants below this are decoded at once.
_LAZY_ELEMENTS = 1 << 16


class Lazy:
    """A constant that `make` computes when it is asked for, and that is kept when `keep` is set."""

    __slots__ = ("_value", "keep", "make", "size_bytes")

    def __init__(self, make: Callable[[], Any], size_bytes: int) -> None:
        self.make = make
        self.size_bytes = size_bytes
        self.keep = False
        self._value: Any = None

    def get(self) -> Any:
        """The value."""
        if self._value is not None:
            return self._value
        value = self.make()
        if self.keep:
            self._value = value
        return value


@dataclass(kw_only=True)
class _Arguments:
    """The arguments of one op: bound ones, and those that are looked up when it runs."""

    fixed: dict[str, Any] = field(default_factory=dict)
    lazy: list[tuple[str, Lazy]] = field(default_factory=list)
    moving: list[tuple[str, int, Callable[[Any], Any] | None]] = field(default_factory=list)
    groups: list[tuple[str, tuple[Source, ...]]] = field(default_factory=list)


def bind_function(
    plan: FunctionPlan, weights: WeightFiles, precision: str, limits: Limits = DEFAULT_LIMITS
) -> Executable:
    """Bind `plan` for `precision` (see `precision.PRECISIONS`); raises MilError as the ops do."""
    return _Binder(plan, weights, precision).bind(limits)


class _Binder:
    def __init__(self, plan: FunctionPlan, weights: WeightFiles, precision: str) -> None:
        self.plan = plan
        self.weights = weights
        self.rounded, self.simulated = rounded_slots(plan, precision)
        self.known: dict[int, Any] = {}
        self.from_slots: set[int] = set()
        self.kept_bytes = 0

    def bind(self, limits: Limits) -> Executable:
        with torch.inference_mode():
            block = self._block(self.plan.block)
            template: list[Any] = [None] * len(self.plan.values)
            for slot in self.from_slots | _returned(self.plan.block):
                if self._is_constant(slot):
                    template[slot] = self._operand_value(slot)
        return Executable(self.plan, template, block, self.rounded, limits)

    def _is_constant(self, slot: int) -> bool:
        return slot in self.known or slot in self.plan.constants

    def _constant(self, slot: int) -> Any:
        """The constant as the program has it, perhaps Lazy."""
        if slot not in self.known:
            proto = self.plan.constants[slot]
            info = self.plan.values[slot]
            shape = info.shape or ()
            count = math.prod(size for size in shape if size is not None)
            if count >= _LAZY_ELEMENTS and proto.WhichOneof("value") == "blobFileValue" and not info.is_fp32:
                weights = self.weights
                self.known[slot] = Lazy(lambda: decode_value(proto, weights), count * 4)
            else:
                self.known[slot] = decode_value(proto, self.weights)
        return self.known[slot]

    def _resolved(self, slot: int) -> Any:
        value = self._constant(slot)
        return value.get() if isinstance(value, Lazy) else value

    def _operand_value(self, slot: int) -> Any:
        """The constant as an op computes with it."""
        value = self._resolved(slot)
        return round_constant(value) if self.simulated and slot in self.rounded else value

    def _block(self, plan: BlockPlan) -> BoundBlock:
        pairs = [pair for pair in map(self._bound, plan.nodes) if pair is not None]
        own = {*plan.inputs, *(slot for node, _ in pairs for slot in node.outputs)}
        _mark_dead(pairs, own - set(plan.outputs))
        return BoundBlock(inputs=plan.inputs, outputs=plan.outputs, steps=[step for _, step in pairs])

    def _bound(self, node: Node) -> tuple[Node, Step] | None:
        """`node` with its step; None when it depends on constants only."""
        try:
            return None if self._fold(node) else (node, self._step(node))
        except MilError:
            raise
        except OP_ERRORS as error:
            raise op_error(node.name, node.op_type, error) from error

    def _fold(self, node: Node) -> bool:
        """Compute `node` now, or when it is needed, if it depends on constants only."""
        if node.version is None or not node.version.foldable or not node.outputs:
            return False
        slots = [s.slot for group in node.arguments.values() for s in group if s.slot >= 0]
        if not all(self._is_constant(slot) for slot in slots):
            return False
        if node.op_type.startswith("constexpr_") or any(
            isinstance(self._constant(slot), Lazy) for slot in slots
        ):
            self._fold_later(node)
        else:
            self.known.update(zip(node.outputs, _results(node, self._call(node)), strict=True))
        return True

    def _fold_later(self, node: Node) -> None:
        call = self._call(node)
        for index, slot in enumerate(node.outputs):
            shape = self.plan.values[slot].shape or ()
            count = math.prod(size for size in shape if size is not None)
            self.known[slot] = Lazy(partial(_result, node, call, index), count * 4)

    def _step(self, node: Node) -> Step:
        blocks: tuple[BoundBlock, ...] = ()
        operands: tuple[Source, ...] = ()
        call: Call = _never
        if node.version is None:
            operands = tuple(self._operand_source(s) for group in node.arguments.values() for s in group)
            blocks = tuple(self._block(inner) for inner in node.blocks)
            self.from_slots.update(slot for inner in node.blocks for slot in inner.outputs)
        else:
            call = self._call(node, keep=True)
        infos = [self.plan.values[slot] for slot in node.outputs]
        return Step(
            op_type=node.op_type, name=node.name, call=call, outputs=node.outputs, dead=(),
            output_names=tuple(info.name for info in infos),
            expected=tuple(Expected(_runtime_dtype(info.data_type), info.shape) for info in infos),
            moves_data=node.version is None or node.version.moves_data, blocks=blocks, operands=operands,
            shortcut=self._shortcut(node),
        )  # fmt: skip

    def _shortcut(self, node: Node) -> Shortcut | None:
        """What does all of a loop at once, where torch can and nothing in it is rounded."""
        if node.op_type != "while_loop":
            return None
        inside = {slot for block in node.blocks for inner in block.nodes for slot in inner.outputs}
        if inside & self.rounded:
            return None
        shortcut = gru_loop(node, self._known)
        if shortcut is not None:  # the values that it reads from outside must be in their slots
            self.from_slots |= _read_slots(node)
        return shortcut

    def _known(self, source: Source) -> Any:
        """The value of a constant; None of anything else."""
        if source.slot < 0:
            return self._literal(source)
        return self._resolved(source.slot) if self._is_constant(source.slot) else None

    def _operand_source(self, source: Source) -> Source:
        if source.slot >= 0:
            self.from_slots.add(source.slot)
            return source
        return Source(literal=self._literal(source))

    def _call(self, node: Node, *, keep: bool = False) -> Call:
        """A closure that computes `node` from the slots, with all constants bound."""
        assert node.version is not None
        as_fp16 = self.simulated and self._is_converted(node)
        bound = _Arguments()
        for key, sources in node.arguments.items():
            param = node.version.params[key]
            constant = all(s.slot < 0 or self._is_constant(s.slot) for s in sources)
            if param.variadic and not constant:
                bound.groups.append((key, tuple(self._operand_source(s) for s in sources)))
            elif param.variadic:
                bound.fixed[key] = tuple(self._fixed(s, as_fp16) for s in sources)
            elif not constant:
                bound.moving.append((key, sources[0].slot, param.convert))
            elif param.convert is not None:
                bound.fixed[key] = param.convert(self._fixed(sources[0], as_fp16=False))
            else:
                self._bind_operand(bound, key, sources[0], as_fp16=as_fp16, keep=keep)
        call = _closure(bounded(node.op_type, node.version.function), bound)
        return _rounding(call) if self._rounds(node) and (as_fp16 or not self.simulated) else call

    def _fixed(self, source: Source, as_fp16: bool) -> Any:
        value = self._literal(source) if source.slot < 0 else self._resolved(source.slot)
        return round_constant(value) if as_fp16 else value

    def _literal(self, source: Source) -> Any:
        return decode_value(source.literal, self.weights)

    def _bind_operand(
        self, bound: _Arguments, key: str, source: Source, *, as_fp16: bool, keep: bool
    ) -> None:
        lazy = self._constant(source.slot) if source.slot >= 0 else None
        if not isinstance(lazy, Lazy):
            bound.fixed[key] = self._fixed(source, as_fp16)
            return
        if as_fp16:
            lazy = Lazy(partial(_rounded, lazy), lazy.size_bytes)
        if keep and not lazy.keep and self.kept_bytes + lazy.size_bytes <= KEPT_BYTES:
            lazy.keep = True
            self.kept_bytes += lazy.size_bytes
        bound.lazy.append((key, lazy))

    def _rounds(self, node: Node) -> bool:
        assert node.version is not None
        return not node.version.moves_data and any(slot in self.rounded for slot in node.outputs)

    def _is_converted(self, node: Node) -> bool:
        """Whether coremltools would make `node` fp16: not when fp16 cannot hold one of its constants."""
        sources = [s for group in node.arguments.values() for s in group]
        constants = [
            self._fixed(s, as_fp16=False) for s in sources if s.slot < 0 or self._is_constant(s.slot)
        ]
        return all(fits_fp16(value) for value in constants)


def _results(node: Node, call: Call) -> tuple[Any, ...]:
    """What `node` gives when everything it reads is bound."""
    try:
        result = call([])
    except MilError:
        raise
    except OP_ERRORS as error:
        raise op_error(node.name, node.op_type, error) from error
    return (result,) if len(node.outputs) == 1 else tuple(result)


def _rounded(lazy: Lazy) -> Any:
    return round_constant(lazy.get())


def _result(node: Node, call: Call, index: int) -> Any:
    return _results(node, call)[index]


def _runtime_dtype(data_type: int) -> torch.dtype | None:
    element = DTYPES.get(data_type)
    return element.runtime_dtype if element else None


def _returned(block: BlockPlan) -> set[int]:
    slots = set(block.outputs)
    for node in block.nodes:
        for inner in node.blocks:
            slots |= _returned(inner)
    return slots


def _never(_: list[Any]) -> Any:
    raise AssertionError("a step with blocks is run by its control flow, not called")


def _closure(function: Callable[..., Any], bound: _Arguments) -> Call:
    fixed, moving = bound.fixed, bound.moving
    if bound.lazy or bound.groups or any(convert for _, _, convert in moving):
        return _general_closure(function, bound)
    if len(moving) == 1:
        key, slot = moving[0][:2]
        return lambda values: function(**{key: values[slot]}, **fixed)
    if len(moving) == 2:
        (a, i, _), (b, j, _) = moving
        return lambda values: function(**{a: values[i], b: values[j]}, **fixed)
    pairs = [(key, slot) for key, slot, _ in moving]
    return lambda values: function(**{key: values[slot] for key, slot in pairs}, **fixed)


def _general_closure(function: Callable[..., Any], bound: _Arguments) -> Call:
    def call(values: list[Any]) -> Any:
        arguments = dict(bound.fixed)
        for key, lazy in bound.lazy:
            arguments[key] = lazy.get()
        for key, slot, convert in bound.moving:
            arguments[key] = convert(values[slot]) if convert else values[slot]
        for key, sources in bound.groups:
            arguments[key] = tuple(values[s.slot] if s.slot >= 0 else s.literal for s in sources)
        return function(**arguments)

    return call


def _rounding(call: Call) -> Call:
    def rounded(values: list[Any]) -> Any:
        result = call(values)
        if isinstance(result, torch.Tensor):
            return round_fp16(result)
        return tuple(round_fp16(item) for item in result)

    return rounded


def _mark_dead(pairs: list[tuple[Node, Step]], own: set[int]) -> None:
    """Give each step the slots of its block that nothing after it reads."""
    seen: set[int] = set()
    for node, step in reversed(pairs):
        used = _read_slots(node) | set(node.outputs)
        step.dead = tuple(sorted((used & own) - seen))
        seen |= used


def _read_slots(node: Node) -> set[int]:
    slots = {s.slot for group in node.arguments.values() for s in group if s.slot >= 0}
    for inner in node.blocks:
        slots |= set(inner.outputs)
        for nested in inner.nodes:
            slots |= _read_slots(nested)
    return slots
