"""State ops (iOS 18).

Source: coremltools, `mil/ops/defs/iOS18/states.py` and `coreml_dialect/ops.py`; an update is stored
in a program as `write_state` followed, where its result is used, by `read_state`.
"""

from __future__ import annotations

from typing import Any

from tinysam_mobile.mil.registry import Tensor, mil_op

__all__ = ["StateCell"]


class StateCell:
    """A tensor that outlives a prediction; `value` is replaced, never changed in place."""

    __slots__ = ("value",)

    def __init__(self, value: Tensor) -> None:
        self.value = value


@mil_op("read_state", since="ios18", moves_data=True, foldable=False)
def read_state(input: Any) -> Tensor:
    """The state's present value."""
    value: Tensor = input.value
    return value


@mil_op("write_state", since="ios18", moves_data=True, foldable=False)
def write_state(input: Any, data: Tensor) -> None:
    """Replace the state's value by a copy, since `data` may be memory of the caller's."""
    input.value = data.clone()


@mil_op("coreml_update_state", since="ios18", moves_data=True, foldable=False)
def coreml_update_state(state: Any, value: Tensor) -> Tensor:
    """Replace the state's value by a copy, and return that."""
    state.value = value.clone()
    return state.value  # type: ignore[no-any-return]
