"""What is rounded to fp16: the precision modes.

`declared`: the results that the program declares fp16 are rounded, as Core ML stores them.
`fp32`: nothing is; every float is computed in float32, the reference to compare the other modes with.
`fp16`: as `declared`; a program that declares no fp16 value at all is run as if coremltools had converted it
with `compute_precision=FLOAT16` (`converters/mil/mil/passes/defs/quantization.py`, `FP16ComputePrecision`):
what fp16 cannot hold stays float32, a constant that is not 0 does not become 0, and the parameters of an op
(scale factors, epsilons, slopes) are left alone.

Ops accumulate in float32 and store fp16, as a phone's GPU or Neural Engine may.
"""

from __future__ import annotations

from typing import Any

import torch

from tinysam_mobile.mil.program import FunctionPlan

__all__ = ["PRECISIONS", "fits_fp16", "round_constant", "round_fp16", "rounded_slots"]

PRECISIONS = ("declared", "fp32", "fp16")

_FP16_MAX = 65504.0
# Beyond this a constant stands for infinity, and may become it.
_INFINITE = 1e38
_SMALLEST = 2.0**-24


def round_fp16(value: Any) -> Any:
    """`value` rounded to the nearest fp16 and held in float32; what is not a float is unchanged."""
    if isinstance(value, torch.Tensor) and value.dtype == torch.float32:
        return value.half().float()
    return value


def round_constant(value: Any) -> Any:
    """As `round_fp16`, but what is not 0 stays so: it becomes the smallest fp16 number instead."""
    rounded = round_fp16(value)
    if rounded is value:
        return value
    lost = (rounded == 0) & (value != 0)
    return torch.where(lost, torch.sign(value) * _SMALLEST, rounded) if bool(lost.any()) else rounded


def fits_fp16(value: Any) -> bool:
    """Whether coremltools would convert an op with the constant `value`."""
    if not isinstance(value, torch.Tensor) or value.dtype != torch.float32 or not value.numel():
        return True
    low, high = (float(v) for v in torch.aminmax(value))
    if max(-low, high) <= _FP16_MAX:
        return True
    size = value.abs()
    return not bool(((size > _FP16_MAX) & (size < _INFINITE)).any())


def rounded_slots(plan: FunctionPlan, precision: str) -> tuple[frozenset[int], bool]:
    """The slots whose values are rounded, and whether only as if the program had been converted."""
    if precision == "fp32":
        return frozenset(), False
    declared = frozenset(slot for slot, info in enumerate(plan.values) if info.is_fp16)
    made = {slot for node in plan.nodes() for slot in node.outputs} | set(plan.inputs.values())
    if precision == "declared" or declared & made:
        return declared, False
    return frozenset(slot for slot, info in enumerate(plan.values) if info.is_float), True
