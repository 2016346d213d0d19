"""Core ML on macOS: a .mlpackage through Apple's own predictor."""

from __future__ import annotations

import platform
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tinysam_mobile.artifacts.coreml_sdk import import_coremltools, quiet
from tinysam_mobile.contract.backend import Arrays
from tinysam_mobile.contract.spec import Signature
from tinysam_mobile.errors import BundleError, MilError, RuntimeUnavailableError

__all__ = ["NativeSession", "open_session", "unavailable_reason"]


class NativeSession:
    """Entry points of one package, each an `MLModel` of one of its functions."""

    def __init__(self, signatures: Mapping[str, Signature], models: Mapping[str, Any]) -> None:
        self.signatures = signatures
        self.models = models

    def run(self, entry_point: str, inputs: Mapping[str, NDArray[Any]]) -> Arrays:
        """Run one entry point; see `Session.run`.  Raises `MilError` with what Core ML says if it fails."""
        try:
            outputs = self.models[entry_point].predict(dict(inputs))
        except RuntimeError as error:
            raise MilError(f"Core ML could not run {entry_point}: {error}") from error
        return {
            spec.name: np.array(outputs[spec.name], dtype=spec.dtype, order="C")
            for spec in self.signatures[entry_point].outputs
        }


def unavailable_reason() -> str | None:
    """Why Apple's predictor cannot run here; None on macOS."""
    if platform.system() == "Darwin":
        return None
    return "coreml-native is Apple's own predictor and exists on macOS only; here use --runtime coreml"


def open_session(
    path: Path,
    *,
    signatures: Mapping[str, Signature],
    entry_points: Mapping[str, str],
    num_threads: int | None = None,  # noqa: ARG001
    precision: str | None = None,  # noqa: ARG001
) -> NativeSession:
    """Open the package at `path`, whose functions `entry_points` maps from the contract's names.

    The package's types and the compute unit that Core ML picks decide threads and precision, so both
    arguments have no effect.  Raises `RuntimeUnavailableError` off macOS, `BundleError` for a package that
    Core ML does not load.
    """
    reason = unavailable_reason()
    if reason:
        raise RuntimeUnavailableError(reason)
    return NativeSession(signatures, {name: _load(path, function) for name, function in entry_points.items()})


def _load(path: Path, function: str) -> Any:
    ct = import_coremltools()
    try:
        with quiet():
            # A package of one function has no function names.
            return ct.models.MLModel(str(path), function_name=None if function == "main" else function)
    except Exception as error:
        raise BundleError(
            f"{path}: Core ML does not load its function {function}: {error}; convert again"
        ) from error
