"""What a runtime is: it opens an artifact and answers the entry points in it, numpy in and numpy out."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from tinysam_mobile.contract.spec import Contract, Signature
from tinysam_mobile.errors import UsageError

__all__ = ["Arrays", "Backend", "Session", "check_inputs"]

Arrays = dict[str, NDArray[Any]]
"""Tensor name of the contract → array."""


class Session(Protocol):
    """An opened artifact."""

    def run(self, entry_point: str, inputs: Mapping[str, NDArray[Any]]) -> Arrays:
        """Run one entry point of the contract; names, shapes and dtypes are those of its `Signature`.

        Inputs were checked by `check_inputs`; outputs are C-contiguous arrays of the signature's dtypes
        that the caller owns (a later call does not overwrite them).
        """


class Backend(Protocol):
    """A whole model behind the contract, whatever runs it; what `Predictor` stands on."""

    @property
    def contract(self) -> Contract:
        """The sizes of the model."""

    def run(self, entry_point: str, inputs: Mapping[str, NDArray[Any]]) -> Arrays:
        """Run one entry point; raises `UsageError` for inputs that do not fit its signature."""


def check_inputs(signature: Signature, inputs: Mapping[str, NDArray[Any]]) -> Arrays:
    """Return `inputs` as C-contiguous arrays in the signature's order and dtypes.

    Raises `UsageError` for a missing or unknown name, a wrong shape, or a dtype that does not convert
    without loss of kind (float to int).
    """
    names = [spec.name for spec in signature.inputs]
    if sorted(inputs) != sorted(names):
        raise UsageError(
            f"{signature.name} takes the inputs {', '.join(names)}; got {', '.join(sorted(inputs)) or 'none'}"
        )
    checked: Arrays = {}
    for spec in signature.inputs:
        value = np.asarray(inputs[spec.name])
        if value.shape != spec.shape:
            raise UsageError(f"{signature.name}: {spec.name} must have shape {spec.shape}, not {value.shape}")
        if not np.can_cast(value.dtype, spec.dtype, casting="same_kind"):
            raise UsageError(f"{signature.name}: {spec.name} must be {spec.dtype}, not {value.dtype}")
        checked[spec.name] = np.ascontiguousarray(value, dtype=spec.dtype)
    return checked
