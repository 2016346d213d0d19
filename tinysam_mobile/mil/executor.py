"""A planned function made ready to run: constants decoded and bound, then a flat list of steps.

Floats are float32.  `precision="fp16"` rounds the result of each op that computes something to
fp16, so that ops accumulate in fp32 and store fp16, as a phone's GPU or Neural Engine may.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import torch

from tinysam_mobile.errors import MilError
from tinysam_mobile.mil.program import BlockPlan, FunctionPlan, Node, Source
from tinysam_mobile.mil.values import decode_value
from tinysam_mobile.mil.weights import WeightFiles

__all__ = ["Executable", "Observer", "Step", "bind_function", "round_fp16"]

Call = Callable[[list[Any]], Any]
# Bounds of a while_loop: a loop that never ends should say so rather than hang.
_MAX_ITERATIONS = 10_000_000


class Observer(Protocol):
    """Sees each op's results as it runs."""

    def __call__(self, step: Step, results: tuple[Any, ...]) -> None: ...


@dataclass(kw_only=True, slots=True)
class Step:
    """One bound op: `call(values)` computes it; then `dead` slots are emptied."""

    op_type: str
    name: str
    call: Call
    outputs: tuple[int, ...]
    output_names: tuple[str, ...]
    dead: tuple[int, ...]
    moves_data: bool
    blocks: tuple[_Block, ...] = ()
    operands: tuple[Source, ...] = ()


@dataclass(kw_only=True, slots=True)
class _Block:
    inputs: tuple[int, ...]
    outputs: tuple[int, ...]
    steps: list[Step]


def round_fp16(value: Any) -> Any:
    """`value` rounded to the nearest fp16 and held in float32; what is not a float is unchanged."""
    if isinstance(value, torch.Tensor) and value.dtype == torch.float32:
        return value.half().float()
    return value


class Executable:
    """A function that can be run many times.

    template: the slots' initial values (constants that steps take from slots, None elsewhere).
    """

    def __init__(
        self, plan: FunctionPlan, template: list[Any], block: _Block, rounded: frozenset[int]
    ) -> None:
        self.plan = plan
        self._rounded = rounded
        self._template = template
        self._block = block

    @property
    def steps(self) -> Sequence[Step]:
        """The outermost steps in order."""
        return self._block.steps

    def run(self, inputs: dict[str, Any], observer: Observer | None = None) -> dict[str, Any]:
        """Outputs by name.  inputs: one runtime value for each of the plan's inputs."""
        values = list(self._template)
        for name, slot in self.plan.inputs.items():
            values[slot] = round_fp16(inputs[name]) if slot in self._rounded else inputs[name]
        with torch.inference_mode():
            _run(self._block, values, observer)
        return {name: values[slot] for name, slot in self.plan.outputs.items()}


def _run(block: _Block, values: list[Any], observer: Observer | None) -> None:
    step = None
    try:
        for step in block.steps:
            result = _CONTROL[step.op_type](step, values, observer) if step.blocks else step.call(values)
            outputs = step.outputs
            if len(outputs) == 1:
                values[outputs[0]] = result
                if observer is not None:
                    observer(step, (result,))
            elif outputs:
                for slot, item in zip(outputs, result, strict=True):
                    values[slot] = item
                if observer is not None:
                    observer(step, tuple(result))
            result = None
            for slot in step.dead:
                values[slot] = None
    except MilError:
        raise
    except (RuntimeError, ValueError, IndexError, TypeError, KeyError, ArithmeticError) as error:
        raise _op_error(step, error) from error


def _op_error(step: Step | None, error: Exception) -> MilError:
    name, kind = (step.name, step.op_type) if step else ("?", "?")
    return MilError(f"op {name!r} ({kind}) failed: {error}")


def _operand(source: Source, values: list[Any]) -> Any:
    return values[source.slot] if source.slot >= 0 else source.literal


def _run_cond(step: Step, values: list[Any], observer: Observer | None) -> Any:
    chosen = step.blocks[0] if bool(_operand(step.operands[0], values)) else step.blocks[1]
    _run(chosen, values, observer)
    results = tuple(values[slot] for slot in chosen.outputs)
    return results[0] if len(step.outputs) == 1 else results


def _run_while(step: Step, values: list[Any], observer: Observer | None) -> Any:
    test, body = step.blocks
    state = [_operand(source, values) for source in step.operands]
    for _ in range(_MAX_ITERATIONS):
        for slot, item in zip(test.inputs, state, strict=True):
            values[slot] = item
        _run(test, values, observer)
        if not bool(values[test.outputs[0]]):
            return state[0] if len(step.outputs) == 1 else state
        for slot, item in zip(body.inputs, state, strict=True):
            values[slot] = item
        _run(body, values, observer)
        state = [values[slot] for slot in body.outputs]
    raise MilError(f"while_loop {step.name!r} did not end after {_MAX_ITERATIONS} iterations")


_CONTROL: dict[str, Callable[[Step, list[Any], Observer | None], Any]] = {
    "cond": _run_cond,
    "while_loop": _run_while,
}


def bind_function(plan: FunctionPlan, weights: WeightFiles, precision: str) -> Executable:
    """Decode the constants of `plan`, compute what depends on constants only, bind the rest.

    precision: "fp32" or "fp16".  In "fp16" the values that the program declares fp16 are rounded;
    a program without any fp16 value is run as if all of its floats were declared fp16.
    """
    return _Binder(plan, weights, precision).bind()


class _Binder:
    def __init__(self, plan: FunctionPlan, weights: WeightFiles, precision: str) -> None:
        self.plan = plan
        self.weights = weights
        self.rounded = _rounded_slots(plan) if precision == "fp16" else frozenset()
        self.known: dict[int, Any] = {}
        self.from_slots: set[int] = set()

    def bind(self) -> Executable:
        with torch.inference_mode():
            block = self._block(self.plan.block)
        template: list[Any] = [None] * len(self.plan.values)
        for slot in self.from_slots | _returned(self.plan.block):
            if self._is_constant(slot):
                template[slot] = self._constant(slot)
        return Executable(self.plan, template, block, self.rounded)

    def _is_constant(self, slot: int) -> bool:
        return slot in self.known or slot in self.plan.constants

    def _constant(self, slot: int) -> Any:
        if slot not in self.known:
            value = decode_value(self.plan.constants[slot], self.weights)
            self.known[slot] = round_fp16(value) if slot in self.rounded else value
        return self.known[slot]

    def _block(self, plan: BlockPlan) -> _Block:
        pairs = [(node, self._step(node)) for node in plan.nodes if not self._fold(node)]
        own = {*plan.inputs, *(slot for node, _ in pairs for slot in node.outputs)}
        _mark_dead(pairs, own - set(plan.outputs))
        return _Block(inputs=plan.inputs, outputs=plan.outputs, steps=[step for _, step in pairs])

    def _fold(self, node: Node) -> bool:
        """Compute `node` now if it depends on constants only."""
        if node.version is None or not node.version.foldable or not node.outputs:
            return False
        sources = [s for group in node.arguments.values() for s in group]
        if any(s.slot >= 0 and not self._is_constant(s.slot) for s in sources):
            return False
        try:
            result = self._call(node)([])
        except MilError:
            raise
        except (RuntimeError, ValueError, IndexError, TypeError, ArithmeticError) as error:
            raise MilError(f"op {node.name!r} ({node.op_type}) failed: {error}") from error
        results = (result,) if len(node.outputs) == 1 else result
        self.known.update(zip(node.outputs, results, strict=True))
        return True

    def _step(self, node: Node) -> Step:
        blocks: tuple[_Block, ...] = ()
        operands: tuple[Source, ...] = ()
        call: Call = _never
        if node.version is None:
            operands = tuple(self._operand_source(s) for group in node.arguments.values() for s in group)
            blocks = tuple(self._block(inner) for inner in node.blocks)
            self.from_slots.update(slot for inner in node.blocks for slot in inner.outputs)
        else:
            call = self._call(node)
        return Step(
            op_type=node.op_type, name=node.name, call=call, outputs=node.outputs, dead=(),
            output_names=tuple(self.plan.values[slot].name for slot in node.outputs),
            moves_data=node.version is None or node.version.moves_data, blocks=blocks, operands=operands,
        )  # fmt: skip

    def _operand_source(self, source: Source) -> Source:
        if source.slot >= 0:
            self.from_slots.add(source.slot)
            return source
        return Source(literal=decode_value(source.literal, self.weights))

    def _value(self, source: Source) -> Any:
        if source.slot >= 0:
            return self._constant(source.slot)
        return decode_value(source.literal, self.weights)

    def _call(self, node: Node) -> Call:
        """A closure that computes `node` from the slots, with all constants bound."""
        assert node.version is not None
        fixed: dict[str, Any] = {}
        moving: list[tuple[str, int, Callable[[Any], Any] | None]] = []
        groups: list[tuple[str, tuple[Source, ...]]] = []
        for key, sources in node.arguments.items():
            param = node.version.params[key]
            if param.variadic and not all(s.slot < 0 or self._is_constant(s.slot) for s in sources):
                groups.append((key, tuple(self._operand_source(s) for s in sources)))
            elif param.variadic:
                fixed[key] = tuple(self._value(s) for s in sources)
            elif sources[0].slot < 0 or self._is_constant(sources[0].slot):
                value = self._value(sources[0])
                fixed[key] = param.convert(value) if param.convert else value
            else:
                moving.append((key, sources[0].slot, param.convert))
        call = _closure(node.version.function, fixed, moving, groups)
        return _rounding(call) if self._rounds(node) else call

    def _rounds(self, node: Node) -> bool:
        assert node.version is not None
        return not node.version.moves_data and any(slot in self.rounded for slot in node.outputs)


def _rounded_slots(plan: FunctionPlan) -> frozenset[int]:
    made = {slot for node in plan.nodes() for slot in node.outputs} | set(plan.inputs.values())
    all_fp32 = not any(plan.values[slot].is_fp16 for slot in made)
    return frozenset(
        slot for slot, info in enumerate(plan.values) if info.is_fp16 or (all_fp32 and info.is_float)
    )


def _returned(block: BlockPlan) -> set[int]:
    slots = set(block.outputs)
    for node in block.nodes:
        for inner in node.blocks:
            slots |= _returned(inner)
    return slots


def _never(_: list[Any]) -> Any:
    raise AssertionError("a step with blocks is run by its control flow, not called")


def _closure(
    function: Callable[..., Any],
    fixed: dict[str, Any],
    moving: list[tuple[str, int, Callable[[Any], Any] | None]],
    groups: list[tuple[str, tuple[Source, ...]]],
) -> Call:
    if groups or any(convert for _, _, convert in moving):
        return _general_closure(function, fixed, moving, groups)
    if len(moving) == 1:
        key, slot = moving[0][:2]
        return lambda values: function(**{key: values[slot]}, **fixed)
    if len(moving) == 2:
        (a, i, _), (b, j, _) = moving
        return lambda values: function(**{a: values[i], b: values[j]}, **fixed)
    pairs = [(key, slot) for key, slot, _ in moving]
    return lambda values: function(**{key: values[slot] for key, slot in pairs}, **fixed)


def _general_closure(
    function: Callable[..., Any],
    fixed: dict[str, Any],
    moving: list[tuple[str, int, Callable[[Any], Any] | None]],
    groups: list[tuple[str, tuple[Source, ...]]],
) -> Call:
    def call(values: list[Any]) -> Any:
        arguments = dict(fixed)
        for key, slot, convert in moving:
            arguments[key] = convert(values[slot]) if convert else values[slot]
        for key, sources in groups:
            arguments[key] = tuple(_operand(source, values) for source in sources)
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
