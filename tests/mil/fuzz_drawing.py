"""What random programs are drawn from: values, and choices among them."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

__all__ = ["MAX_SIZE", "Drawer", "Drawn", "Value", "broadcasts"]

MAX_SIZE = 256
"""Elements of a result."""


@dataclass(frozen=True, kw_only=True)
class Value:
    """A value of the program: its name, and what it holds."""

    name: str
    array: np.ndarray


@dataclass(frozen=True, kw_only=True)
class Drawn:
    """An op with arguments (Value for what the program computed) and its expected results."""

    op_type: str
    arguments: dict[str, Any]
    expected: tuple[np.ndarray, ...]


class Drawer:
    """Where choices come from, and the values to choose among."""

    def __init__(self, integer: Callable[[int, int], int], values: Sequence[Value]) -> None:
        self.integer = integer
        self.values = values

    def pick(self, items: Sequence[Any]) -> Any:
        """One of `items`."""
        return items[self.integer(0, len(items) - 1)]

    def flag(self) -> bool:
        """Yes or no."""
        return bool(self.integer(0, 1))

    def value(
        self, kinds: str = "fib", *, rank: int = 0, where: Callable[[np.ndarray], bool] | None = None
    ) -> Value:
        """A value of one of the numpy kinds with `rank` axes or more; LookupError when there is none."""
        fitting = [
            v for v in self.values
            if v.array.dtype.kind in kinds and v.array.ndim >= rank and (where is None or where(v.array))
        ]  # fmt: skip
        if not fitting:
            raise LookupError
        return self.pick(fitting)

    def like(self, value: Value) -> Value:
        """A value of the same kind whose shape broadcasts with it."""
        return self.value(value.array.dtype.kind, where=lambda a: broadcasts(a.shape, value.array.shape))

    def axis(self, array: np.ndarray) -> int:
        """An axis, from either end."""
        return self.integer(-array.ndim, array.ndim - 1)


def broadcasts(a: tuple[int, ...], b: tuple[int, ...]) -> bool:
    try:
        return math.prod(np.broadcast_shapes(a, b)) <= MAX_SIZE
    except ValueError:
        return False
