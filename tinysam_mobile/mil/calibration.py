"""Ranges of every activation over samples: what quantizing activations needs, without a Mac.

The result has the form that coremltools' activation quantization wants (`rmin` and `rmax` for each
value's name; `coremltools.optimize.coreml`, pass option `activation_stats`): inputs and intermediate
floats, not the model's outputs, and one common range for what a `concat` joins, as
`_get_activation_calibration_stats` gives on macOS.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

import torch

from tinysam_mobile.errors import MilError, RuntimeUnavailableError, UsageError
from tinysam_mobile.mil.executor import Step
from tinysam_mobile.mil.model import MilModel
from tinysam_mobile.mil.program import FunctionPlan

__all__ = ["calibrate", "quantize_activations"]

Ranges = dict[str, dict[str, float]]


def calibrate(model: MilModel, samples: Iterable[Mapping[str, Any]], *, percentile: float = 100.0) -> Ranges:
    """{value name: {"rmin", "rmax"}} over all `samples` (inputs as `predict` takes them).

    percentile: in (50, 100]; below 100, each sample's range leaves out the (100 - percentile) % of
    smallest and of largest elements; the widest range over the samples counts.  Values that are
    not finite are left out.  Raises UsageError for another percentile, MilError without samples.
    """
    if not 50.0 < percentile <= 100.0:
        raise UsageError(f"percentile must be in (50, 100], not {percentile}")
    ranges: Ranges = {}
    skipped = set(model.outputs)

    def widen(name: str, value: Any) -> None:
        if name not in skipped and isinstance(value, torch.Tensor) and value.is_floating_point():
            _widen(ranges, name, value, percentile)

    def observe(step: Step, results: tuple[Any, ...]) -> None:
        for name, value in zip(step.output_names, results, strict=True):
            widen(name, value)

    count = 0
    for count, sample in enumerate(samples, start=1):  # noqa: B007
        for name, value in model.read_inputs(sample).items():
            widen(name, value)
        model.predict(sample, model.make_state() if model.states else None, observer=observe)
    if not count:
        raise MilError("calibration needs at least one sample")
    for group in _joined_by_concat(model.plan):
        _share_range(ranges, group)
    return ranges


def quantize_activations(model: Any, config: Any, ranges: Mapping[str, Mapping[str, float]]) -> Any:
    """coremltools' `linear_quantize_activations` of an MLModel with ranges that are known.

    `config` is its `OptimizationConfig`, `ranges` what `calibrate` gives of the same model, changed as one
    likes; nothing is predicted.  Raises RuntimeUnavailableError without coremltools, UsageError without any.
    """
    if not ranges:
        raise UsageError("there are no ranges; make them with calibrate(model, samples)")
    try:
        from coremltools.optimize.coreml import _post_training_quantization as theirs
    except ImportError as error:
        raise RuntimeUnavailableError(
            f"quantizing needs coremltools ({error}); run: pip install 'tinysam-mobile[coreml]'"
        ) from error
    measured = theirs._get_activation_calibration_stats
    theirs._get_activation_calibration_stats = lambda *_: {name: dict(own) for name, own in ranges.items()}
    try:
        return theirs.linear_quantize_activations(model, config, [])
    finally:
        theirs._get_activation_calibration_stats = measured


def _widen(ranges: Ranges, name: str, value: torch.Tensor, percentile: float) -> None:
    flat = value.reshape(-1)
    if not bool(torch.isfinite(flat).all()):
        flat = flat[torch.isfinite(flat)]
    if not flat.numel():
        return
    if percentile == 100.0:
        low, high = (float(v) for v in torch.aminmax(flat))
    else:
        rank = round(flat.numel() * (100.0 - percentile) / 100.0)
        low = float(flat.kthvalue(min(rank + 1, flat.numel())).values)
        high = float(flat.kthvalue(max(flat.numel() - rank, 1)).values)
    old = ranges.setdefault(name, {"rmin": low, "rmax": high})
    old["rmin"], old["rmax"] = min(old["rmin"], low), max(old["rmax"], high)


def _joined_by_concat(plan: FunctionPlan) -> list[set[str]]:
    """Groups of names that one or several `concat` ops join."""
    groups: list[set[str]] = []
    for node in plan.nodes():
        if node.op_type != "concat":
            continue
        slots = [*(s.slot for s in node.arguments["values"] if s.slot >= 0), *node.outputs]
        group = {plan.values[slot].name for slot in slots}
        for other in [g for g in groups if g & group]:
            group |= other
            groups.remove(other)
        groups.append(group)
    return groups


def _share_range(ranges: Ranges, group: set[str]) -> None:
    members = [ranges[name] for name in group if name in ranges]
    if not members:
        return
    low, high = min(m["rmin"] for m in members), max(m["rmax"] for m in members)
    for member in members:
        member["rmin"], member["rmax"] = low, high
