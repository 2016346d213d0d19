"""What any format's graph comes to once it is read: tensors, operations in order, constants, metadata.

Each `artifacts/<format>_facts.py` reads its format into `ArtifactFacts`; lint judges them without knowing
the format.  Nothing is executed.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from math import prod

__all__ = ["ArtifactFacts", "Graph", "GraphOp", "GraphTensor"]


@dataclass(frozen=True, kw_only=True)
class GraphTensor:
    """One tensor.  `bits` is the width of an element.

    `is_constant`: the file holds its values.  `is_dynamic`: a side is not fixed, and stands as 1 in `shape`.
    """

    name: str
    shape: tuple[int, ...]
    dtype: str
    bits: int
    is_constant: bool = False
    is_dynamic: bool = False

    @property
    def rank(self) -> int:
        """Number of axes."""
        return len(self.shape)

    @property
    def size_bytes(self) -> int:
        """Bytes of its values."""
        return (prod(self.shape) * self.bits + 7) // 8


@dataclass(frozen=True, kw_only=True)
class GraphOp:
    """One operation.  `inputs` and `outputs` are tensor numbers.

    `is_custom`: no stock runtime has it.  `aliases` says that the output takes no memory of its own, as a
    reshape's.
    """

    name: str
    inputs: tuple[int, ...]
    outputs: tuple[int, ...]
    is_custom: bool = False
    aliases: bool = False


@dataclass(frozen=True, kw_only=True)
class Graph:
    """One entry point, operations in order of execution.

    `pieces` that the format's CPU backend (XNNPACK) takes, and by name how many operations it leaves to
    slower kernels; None where that cannot be told from here.
    """

    name: str
    tensors: tuple[GraphTensor, ...]
    ops: tuple[GraphOp, ...]
    inputs: tuple[int, ...]
    outputs: tuple[int, ...]
    pieces: int | None = None
    outside: Mapping[str, int] | None = None

    @property
    def histogram(self) -> Counter[str]:
        """Number of operations of each name."""
        return Counter(op.name for op in self.ops)

    @cached_property
    def peak_activation_bytes(self) -> int:
        """The most that tensors which are computed and still needed take at any one operation.

        Inputs count from the start, outputs to the end; constants do not.  It is a lower bound of what a
        runtime allocates: none packs memory better than this, and some keep scratch space beside it.
        """
        owner = self._memory_owners()
        last_use: dict[int, int] = {owner[t]: len(self.ops) for t in self.outputs}
        for step, op in enumerate(self.ops):
            for tensor in (*op.inputs, *op.outputs):
                last_use[owner[tensor]] = max(step, last_use.get(owner[tensor], -1))
        live = {owner[t] for t in self.inputs}
        peak = sum(self._computed_bytes(t) for t in live)
        live &= last_use.keys()
        for step, op in enumerate(self.ops):
            live |= {owner[t] for t in op.outputs}
            peak = max(peak, sum(self._computed_bytes(t) for t in live))
            live = {t for t in live if last_use.get(t, -1) > step}
        return peak

    def _computed_bytes(self, tensor: int) -> int:
        return 0 if self.tensors[tensor].is_constant else self.tensors[tensor].size_bytes

    def _memory_owners(self) -> list[int]:
        """For each tensor, the one whose memory it lies in: itself, or what it is an alias of."""
        owner = list(range(len(self.tensors)))
        for op in self.ops:
            if op.aliases and op.inputs:
                for output in op.outputs:
                    owner[output] = owner[op.inputs[0]]
        return owner


@dataclass(frozen=True, kw_only=True)
class ArtifactFacts:
    """A whole artifact.

    `graphs` by the name that the entry point has in the file; `constant_bytes` by dtype, shared constants
    counted once; `contract_json` is the contract that the file carries, None if it has none.
    """

    graphs: Mapping[str, Graph]
    constant_bytes: Mapping[str, int]
    contract_json: str | None
