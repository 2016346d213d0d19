"""Per-op figures of one prediction: how large values get, and where fp16 would break."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import torch

from tinysam_mobile.mil.executor import Step
from tinysam_mobile.mil.model import MilModel, MilState

__all__ = ["FP16_MAX", "OpTrace", "first_broken", "trace"]

FP16_MAX = 65504.0


@dataclass(frozen=True, kw_only=True)
class OpTrace:
    """One float result of one op.

    max_abs: largest finite |x|; nan_count, inf_count: elements that are not finite;
    overflow_count: elements that do not fit fp16 (|x| > 65504 before rounding, or infinite).
    """

    op_type: str
    op_name: str
    output: str
    max_abs: float
    nan_count: int
    inf_count: int
    overflow_count: int

    @property
    def is_broken(self) -> bool:
        """Whether the result holds NaN, or values that fp16 cannot hold."""
        return bool(self.nan_count or self.overflow_count)


def trace(model: MilModel, data: Mapping[str, Any], state: MilState | None = None) -> list[OpTrace]:
    """Figures of every float result of one prediction, in the order in which the ops ran.

    Ops inside a loop appear once for each time they ran.  Raises MilError as `predict` does.
    """
    rows: list[OpTrace] = []

    def observe(step: Step, results: tuple[Any, ...]) -> None:
        for name, value in zip(step.output_names, results, strict=True):
            if isinstance(value, torch.Tensor) and value.is_floating_point():
                rows.append(_figures(step, name, value))

    model.predict(data, state, observer=observe)
    return rows


def first_broken(rows: list[OpTrace]) -> OpTrace | None:
    """The first op whose result is not finite or does not fit fp16; None when all do."""
    return next((row for row in rows if row.is_broken), None)


def _figures(step: Step, name: str, value: torch.Tensor) -> OpTrace:
    if not value.numel():
        low = high = 0.0
    else:
        low, high = (float(v) for v in torch.aminmax(value))
    peak = max(-low, high)
    if peak <= FP16_MAX:  # also false for NaN
        return OpTrace(
            op_type=step.op_type, op_name=step.name, output=name, max_abs=peak, nan_count=0, inf_count=0,
            overflow_count=0,
        )  # fmt: skip
    size = value.abs()
    finite = size[torch.isfinite(size)]
    return OpTrace(
        op_type=step.op_type, op_name=step.name, output=name,
        max_abs=float(finite.max()) if finite.numel() else 0.0,
        nan_count=int(torch.isnan(size).sum()), inf_count=int(torch.isinf(size).sum()),
        overflow_count=int((size > FP16_MAX).sum()),
    )  # fmt: skip
