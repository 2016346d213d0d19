"""A bound function as it runs: a flat list of steps over numbered slots.

Floats are held in float32; see `precision` for what is rounded to fp16.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from time import monotonic
from typing import Any, Protocol

import torch

from tinysam_mobile.errors import MilError
from tinysam_mobile.mil.limits import DEFAULT_LIMITS, Limits
from tinysam_mobile.mil.loops import Shortcut
from tinysam_mobile.mil.precision import round_fp16
from tinysam_mobile.mil.program import FunctionPlan, Source

__all__ = ["BoundBlock", "Executable", "Expected", "Observer", "Step"]

Call = Callable[[list[Any]], Any]
OP_ERRORS = (
    RuntimeError, ValueError, IndexError, TypeError, KeyError, ArithmeticError, MemoryError,
    NotImplementedError, AttributeError,
)  # fmt: skip
"""What an op may raise on arguments that it cannot take; told as one `MilError`."""
# Values of fewer elements are not counted.
_LARGE = 1 << 20


class Observer(Protocol):
    """Sees each op's results as it runs."""

    def __call__(self, step: Step, results: tuple[Any, ...]) -> None: ...


@dataclass(frozen=True, slots=True)
class Expected:
    """What the program declares of a result: its runtime type and its shape, None where it says nothing."""

    dtype: torch.dtype | None
    shape: tuple[int | None, ...] | None


MIXED = ("matmul",)
"""Ops of iOS 17 that take a float and an integer; the result has the type of the one that is no constant."""


@dataclass(kw_only=True, slots=True)
class Step:
    """One bound op: `call(values)` computes it; then `dead` slots are emptied."""

    op_type: str
    name: str
    call: Call
    outputs: tuple[int, ...]
    output_names: tuple[str, ...]
    expected: tuple[Expected, ...]
    dead: tuple[int, ...]
    moves_data: bool
    blocks: tuple[BoundBlock, ...] = ()
    operands: tuple[Source, ...] = ()
    shortcut: Shortcut | None = None


@dataclass(kw_only=True, slots=True)
class BoundBlock:
    """Steps in order, with the slots that the block receives and returns."""

    inputs: tuple[int, ...]
    outputs: tuple[int, ...]
    steps: list[Step]


class Executable:
    """A function that can be run many times.

    template: the slots' initial values (constants that steps take from slots, None elsewhere);
    rounded: the slots that hold fp16.
    """

    def __init__(
        self, plan: FunctionPlan, template: list[Any], block: BoundBlock, rounded: frozenset[int],
        limits: Limits = DEFAULT_LIMITS,
    ) -> None:  # fmt: skip
        self.plan = plan
        self._rounded = rounded
        self._template = template
        self._block = block
        self._limits = limits

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
            _Run(values, observer, self._limits).block(self._block)
        return {name: values[slot] for name, slot in self.plan.outputs.items()}


class _Run:
    """One run: the slots' values, and who watches."""

    def __init__(self, values: list[Any], observer: Observer | None, limits: Limits) -> None:
        self.values = values
        self.observer = observer
        self.limits = limits
        # At least what large values have taken since the last count.
        self.taken_bytes = 0

    def block(self, block: BoundBlock) -> None:
        values = self.values
        step = None
        try:
            for step in block.steps:
                result = self._controlled(step) if step.blocks else step.call(values)
                outputs = step.outputs
                if len(outputs) == 1:
                    values[outputs[0]] = _conform(step, 0, result)
                elif outputs:
                    for index, (slot, item) in enumerate(zip(outputs, result, strict=True)):
                        values[slot] = _conform(step, index, item)
                for slot in outputs:
                    if isinstance(values[slot], torch.Tensor) and values[slot].numel() > _LARGE:
                        self._count(step, values[slot])
                if self.observer is not None and outputs:
                    self.observer(step, tuple(values[slot] for slot in outputs))
                result = None
                for slot in step.dead:
                    values[slot] = None
        except MilError:
            raise
        except OP_ERRORS as error:
            raise op_error(step.name if step else "?", step.op_type if step else "?", error) from error

    def _controlled(self, step: Step) -> Any:
        return self._cond(step) if step.op_type == "cond" else self._while(step)

    def _operand(self, source: Source) -> Any:
        return self.values[source.slot] if source.slot >= 0 else source.literal

    def _cond(self, step: Step) -> Any:
        chosen = step.blocks[0] if bool(self._operand(step.operands[0])) else step.blocks[1]
        self.block(chosen)
        results = tuple(self.values[slot] for slot in chosen.outputs)
        return results[0] if len(step.outputs) == 1 else results

    def _while(self, step: Step) -> Any:
        test, body = step.blocks
        state = [self._operand(source) for source in step.operands]
        if step.shortcut is not None and self.observer is None:
            done = step.shortcut(self.values, state)
            if done is not None:
                return done
        deadline = monotonic() + self.limits.loop_s
        while True:
            self._enter(test, state)
            if not bool(self.values[test.outputs[0]]):
                return state[0] if len(step.outputs) == 1 else state
            self._enter(body, state)
            state = [self.values[slot] for slot in body.outputs]
            if monotonic() > deadline:
                raise MilError(
                    f"while_loop {step.name!r} did not end within {self.limits.loop_s:g} seconds; "
                    "load the model with a larger Limits.loop_s if that is meant"
                )

    def _count(self, step: Step, result: torch.Tensor) -> None:
        """Raise MilError when the values that are alive have become too many."""
        self.taken_bytes += result.untyped_storage().nbytes()
        if self.taken_bytes <= self.limits.memory_bytes:
            return
        stores = [v.untyped_storage() for v in self.values if isinstance(v, torch.Tensor)]
        self.taken_bytes = sum({store.data_ptr(): store.nbytes() for store in stores}.values())
        if self.taken_bytes > self.limits.memory_bytes:
            raise MilError(
                f"at op {step.name!r} ({step.op_type}) the program keeps {self.taken_bytes / 2**30:.1f} GiB, "
                f"more than the {self.limits.memory_bytes / 2**30:.1f} that it may; load the model with a "
                "larger Limits.memory_bytes if that is meant"
            )

    def _enter(self, block: BoundBlock, state: list[Any]) -> None:
        for slot, item in zip(block.inputs, state, strict=True):
            self.values[slot] = item
        self.block(block)


def op_error(name: str, op_type: str, error: Exception) -> MilError:
    """What an op raised, as one line that names it."""
    text = str(error).strip().partition("\n")[0] or type(error).__name__
    return MilError(f"op {name!r} ({op_type}) failed: {text}")


def _conform(step: Step, index: int, result: Any) -> Any:
    """`result` if it is what the program declares, an integer in the declared width; else MilError."""
    if not isinstance(result, torch.Tensor):
        return result
    expected = step.expected[index]
    if expected.dtype is not None and result.dtype is not expected.dtype:
        result = _declared_type(step, result, expected.dtype)
    shape = expected.shape
    if shape is None or result.shape == shape or _matches(tuple(result.shape), shape):
        return result
    raise MilError(
        f"op {step.name!r} ({step.op_type}) gives the shape {tuple(result.shape)}, but the program declares "
        f"{_shape_text(shape)}: Core ML would refuse the program"
    )


def _matches(actual: tuple[int, ...], declared: tuple[int | None, ...]) -> bool:
    return len(actual) == len(declared) and all(
        d is None or a == d for a, d in zip(actual, declared, strict=True)
    )


def _shape_text(shape: tuple[int | None, ...]) -> str:
    return "(" + ", ".join("?" if size is None else str(size) for size in shape) + ")"


def _declared_type(step: Step, result: torch.Tensor, dtype: torch.dtype) -> torch.Tensor:
    kinds = {t.is_floating_point for t in (dtype, result.dtype)}
    if (len(kinds) == 1 and torch.bool not in (dtype, result.dtype)) or step.op_type in MIXED:
        return result.to(dtype)
    given, declared = (str(t).removeprefix("torch.") for t in (result.dtype, dtype))
    raise MilError(
        f"op {step.name!r} ({step.op_type}) gives {given}, but the program declares {declared}: Core ML "
        "would refuse the program"
    )
