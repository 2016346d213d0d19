"""Core ML on any machine: a .mlpackage through the MIL interpreter."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tinysam_mobile.contract.backend import Arrays
from tinysam_mobile.contract.spec import Signature, TensorSpec
from tinysam_mobile.errors import BundleError
from tinysam_mobile.mil import MilModel
from tinysam_mobile.mil.features import Feature

__all__ = ["MilSession", "op_histogram", "open_session"]


class MilSession:
    """Entry points of one package, each a function of it."""

    def __init__(self, signatures: Mapping[str, Signature], models: Mapping[str, MilModel]) -> None:
        self.signatures = signatures
        self.models = models

    def run(self, entry_point: str, inputs: Mapping[str, NDArray[Any]]) -> Arrays:
        """Run one entry point; see `Session.run`.  Raises `MilError` if an operation fails."""
        outputs = self.models[entry_point].predict(dict(inputs))
        answers = {}
        for spec in self.signatures[entry_point].outputs:
            array = np.ascontiguousarray(outputs[spec.name], dtype=spec.dtype)
            if array.shape != spec.shape:
                raise BundleError(
                    f"{entry_point}: {spec.name} has the shape {array.shape} instead of {spec.shape}"
                )
            answers[spec.name] = array
        return answers


def open_session(
    path: Path,
    *,
    signatures: Mapping[str, Signature],
    entry_points: Mapping[str, str],
    num_threads: int | None = None,
    precision: str | None = None,
) -> MilSession:
    """Open the package at `path`, whose functions `entry_points` maps from the contract's names.

    `precision` "fp32" computes in float32 throughout, "fp16" rounds to fp16 after each operation as a phone
    does; by default the package's own types decide.  Raises `MilError` for a package that cannot be read,
    `UnsupportedOp` for one with operations that the interpreter lacks, `BundleError` for one whose
    functions are not those of the contract.
    """
    models = {}
    for name, function in entry_points.items():
        model = MilModel.load(
            path, function_name=function, precision=precision or "declared", num_threads=num_threads
        )
        _check(path, signatures[name], model)
        models[name] = model
    return MilSession(signatures, models)


def _check(path: Path, signature: Signature, model: MilModel) -> None:
    """Raise `BundleError` unless the function takes and gives what the signature says."""
    for kind, specs, features in (
        ("input", signature.inputs, model.inputs),
        ("output", signature.outputs, model.outputs),
    ):
        wanted = {spec.name: spec for spec in specs}
        wrong = [
            f"{name} is {features[name].describe()} instead of {spec.dtype} {spec.shape}"
            for name, spec in wanted.items()
            if name in features and not _fits(spec, features[name])
        ]
        wrong += [f"{name} is missing" for name in wanted if name not in features]
        wrong += [f"{name} is unknown" for name in features if name not in wanted]
        if wrong:
            raise BundleError(
                f"{path}: {signature.name}: its {kind}s are not those of the contract: {', '.join(wrong)}; "
                "convert again"
            )


def _fits(spec: TensorSpec, feature: Feature) -> bool:
    """Whether a feature takes or gives the tensor: of any float width, and of any shape that allows it.

    coremltools gives outputs in float16 by default, and writes no shape for them.
    """
    if feature.kind != "array" or feature.dtype is None or feature.dtype.kind != np.dtype(spec.dtype).kind:
        return False
    if feature.enumerated:
        return spec.shape in feature.enumerated
    if feature.ranges:
        pairs = zip(spec.shape, feature.ranges, strict=False)
        fits = all(low <= side and (high is None or side <= high) for side, (low, high) in pairs)
        return fits and len(spec.shape) == len(feature.ranges)
    return feature.shape in ((), spec.shape)


def op_histogram(path: Path, function: str) -> Counter[str]:
    """How often each operation occurs in a function of the package, constants left out."""
    return Counter(node.op_type for node in MilModel.load(path, function_name=function).plan.nodes())
