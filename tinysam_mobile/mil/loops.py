"""Loops that torch has a kernel for: a GRU of torch's as coremltools converts it.

Core ML's `gru` has another definition, so coremltools writes a `while_loop` of some 25 small ops for each
step (`converters/mil/frontend/torch/ops.py`, `_add_gru_layer`).  `gru_loop` recognises it and gives a
function that does all steps at once; that returns None whenever what it finds at run time is not what the
pattern means, and then the loop runs as it stands.  Only loops in float32 are replaced: in fp16 each op
rounds.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch

from tinysam_mobile.mil.program import BlockPlan, Node, Source

__all__ = ["Shortcut", "gru_loop"]

Shortcut = Callable[[list[Any], list[Any]], Any]
"""(values of the slots, loop variables) -> the loop's results, or None."""
Constant = Callable[[Source], Any]

_OPERANDS = {
    "linear": ("x", "weight", "bias"), "add": ("x", "y"), "mul": ("x", "y"), "sub": ("x", "y"),
    "sigmoid": ("x",), "tanh": ("x",), "squeeze": ("x",), "expand_dims": ("x",), "gather": ("x", "indices"),
    "less": ("x", "y"), "scatter": ("data", "indices", "updates"),
}  # fmt: skip
_EITHER_WAY = {"add", "mul"}
_FIXED = {"axes": (0,), "axis": 0, "mode": "add", "batch_dims": 0}

# Patterns: (op, operand, ...); a name stands for any value, the same one wherever it occurs.
_X = ("squeeze", ("gather", "x", "i"))
_H = ("squeeze", ("gather", "list", "i"))


def _both(gate: str) -> tuple[Any, ...]:
    return ("linear", _X, f"w_i{gate}", f"b_i{gate}"), ("linear", _H, f"w_h{gate}", f"b_h{gate}")


_R, _Z = (("sigmoid", ("add", *_both(gate))) for gate in "rz")
_N = ("tanh", ("add", _both("n")[0], ("mul", _R, _both("n")[1])))
_NEW = ("add", ("mul", ("sub", "one", _Z), _N), ("mul", _Z, _H))
_NEXT = ("add", "i", "step")
_LIST = ("scatter", "list", _NEXT, ("expand_dims", _NEW))


def gru_loop(node: Node, constant: Constant) -> Shortcut | None:
    """A shortcut for the `while_loop` `node`; None when it is not a GRU.

    constant: the value of a source that is constant, None of any other.
    """
    if len(node.blocks) != 2 or len(node.blocks[1].inputs) != 2:
        return None
    test, body = node.blocks
    test_slots, slots = {"i": test.inputs[0]}, {"i": body.inputs[0], "list": body.inputs[1]}
    matched = (
        _Matcher(test, constant).match(test.outputs[0], ("less", "i", "count"), test_slots)
        and _Matcher(body, constant).match(body.outputs[0], _NEXT, slots)
        and _Matcher(body, constant).match(body.outputs[1], _LIST, slots)
    )
    if not matched or not _are(constant, slots, one=1.0, step=1):
        return None
    rows = [
        _joined(constant, [slots[f"{kind}_{side}{gate}"] for gate in "rzn"])
        for kind in "wb" for side in "ih"
    ]  # fmt: skip
    if any(row is None for row in rows):
        return None
    weights = [row.contiguous() for row in rows if row is not None]
    fixed = constant(Source(slot=test_slots["count"]))

    def shortcut(values: list[Any], state: list[Any]) -> Any:
        x, count = values[slots["x"]], values[test_slots["count"]] if fixed is None else fixed
        return _run(x, int(count), state, weights) if x is not None else None

    return shortcut


def _run(x: torch.Tensor, count: int, state: list[Any], weights: list[torch.Tensor]) -> Any:
    first, hidden = state
    whole = int(first) == 0 and 0 < count <= x.shape[0] and hidden.shape[0] == count + 1
    if not whole or x.dim() != 3 or bool(hidden[1:].any()):
        return None
    out, _ = torch.gru(x[:count], hidden[:1].contiguous(), weights, True, 1, 0.0, False, False, False)
    return [first + count, torch.cat((hidden[:1], out))]


def _are(constant: Constant, slots: dict[str, int], **wanted: float) -> bool:
    found = {name: constant(Source(slot=slots[name])) for name in wanted}
    return all(
        found[name] is not None and bool((found[name] == value).all()) for name, value in wanted.items()
    )


def _joined(constant: Constant, slots: list[int]) -> torch.Tensor | None:
    parts = [constant(Source(slot=slot)) for slot in slots]
    if not all(isinstance(part, torch.Tensor) and part.is_floating_point() for part in parts):
        return None
    return torch.cat(parts) if len({part.shape for part in parts}) == 1 else None


class _Matcher:
    """Matches what a block computes against a pattern."""

    def __init__(self, block: BlockPlan, constant: Constant) -> None:
        self.makers = {slot: node for node in block.nodes for slot in node.outputs}
        self.constant = constant

    def match(self, slot: int, pattern: Any, slots: dict[str, int]) -> bool:
        """Whether `slot` is computed as `pattern` says; names are entered into `slots`."""
        if isinstance(pattern, str):
            return slots.setdefault(pattern, slot) == slot
        node = self.makers.get(slot)
        if node is None or node.op_type != pattern[0] or not self._is_plain(node):
            return False
        operands = [node.arguments[key][0].slot for key in _OPERANDS[node.op_type] if key in node.arguments]
        orders = [operands, operands[::-1]] if node.op_type in _EITHER_WAY else [operands]
        for order in orders:
            tried = dict(slots)
            parts = pattern[1:]
            if len(order) == len(parts) and all(
                self.match(one, part, tried) for one, part in zip(order, parts, strict=True)
            ):
                slots.update(tried)
                return True
        return False

    def _is_plain(self, node: Node) -> bool:
        """Whether every other argument is what the pattern takes for granted."""
        for key, sources in node.arguments.items():
            if key in _OPERANDS[node.op_type]:
                continue
            value = self.constant(sources[0])
            if key in _FIXED and value is not None:
                plain = tuple(value.reshape(-1).tolist()) if isinstance(value, torch.Tensor) else value
                if plain not in (_FIXED[key], (_FIXED[key],)):
                    return False
            elif key != "validate_indices":
                return False
        return True
