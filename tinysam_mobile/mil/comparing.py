"""Two models on the same inputs, op by op: where they begin to differ.

Values are matched by their names, which converters keep; coremltools' fp16 conversion adds `_cast_fp16`, and
that is taken off.  SQNR is 10 log10(sum of squares of the first model's value / sum of squares of the
difference), in dB; infinite where both are equal, not a number where either holds what is not finite.
"""

from __future__ import annotations

import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch

from tinysam_mobile.mil.executor import Step
from tinysam_mobile.mil.model import MilModel

__all__ = ["Difference", "compare", "first_beyond", "sqnr_db"]

_SUFFIX = re.compile(r"(_cast_fp16|_cast_fp32|_to_fp16|_to_fp32|_cast|_quantized|_palettized)+$")


@dataclass(frozen=True, kw_only=True)
class Difference:
    """One value that both models have.

    sqnr_db: of the second against the first; max_abs: largest finite |value| of the first; max_difference:
    largest |difference|; broken: elements of the second that are NaN or infinite where the first is finite;
    moves_data: whether its op only moves what others computed.
    """

    op_type: str
    op_name: str
    output: str
    shape: tuple[int, ...]
    sqnr_db: float
    max_abs: float
    max_difference: float
    broken: int
    moves_data: bool


def compare(first: MilModel, second: MilModel, data: Mapping[str, Any]) -> list[Difference]:
    """Every float value of `second` that `first` has too, in the order in which `second` computes them.

    The values of `first` are held in memory.  Raises MilError as `predict` does.
    """
    kept: dict[str, torch.Tensor] = {}

    def keep(step: Step, results: tuple[Any, ...]) -> None:
        for name, value in zip(step.output_names, results, strict=True):
            if isinstance(value, torch.Tensor) and value.is_floating_point():
                kept[_plain(name)] = value.clone()

    rows: list[Difference] = []

    def judge(step: Step, results: tuple[Any, ...]) -> None:
        for name, value in zip(step.output_names, results, strict=True):
            wanted = kept.get(_plain(name))
            if wanted is not None and isinstance(value, torch.Tensor) and value.shape == wanted.shape:
                rows.append(_difference(step, name, wanted, value))

    first.predict(data, first.make_state() if first.states else None, observer=keep)
    second.predict(data, second.make_state() if second.states else None, observer=judge)
    return rows


def first_beyond(rows: Sequence[Difference], bound_db: float) -> Difference | None:
    """The first value whose SQNR is below `bound_db` or that is broken; None when there is none."""
    return next((row for row in rows if row.broken or not row.sqnr_db >= bound_db), None)


def sqnr_db(wanted: torch.Tensor, value: torch.Tensor) -> float:
    """See the module; in float64."""
    signal, noise = wanted.double(), wanted.double() - value.double()
    power, error = float(signal.square().sum()), float(noise.square().sum())
    if error == 0:
        return math.inf
    if not math.isfinite(power) or not math.isfinite(error):
        return math.nan
    return 10 * math.log10(power / error) if power else -math.inf


def _plain(name: str) -> str:
    return _SUFFIX.sub("", name)


def _difference(step: Step, name: str, wanted: torch.Tensor, value: torch.Tensor) -> Difference:
    good = torch.isfinite(wanted)
    broken = int((good & ~torch.isfinite(value)).sum())
    both = good & torch.isfinite(value)
    a, b = wanted[both], value[both]
    return Difference(
        op_type=step.op_type, op_name=step.name, output=name, shape=tuple(value.shape),
        sqnr_db=sqnr_db(a, b) if not broken else math.nan,
        max_abs=float(a.abs().max()) if a.numel() else 0.0,
        max_difference=float((a.double() - b.double()).abs().max()) if a.numel() else 0.0,
        broken=broken, moves_data=step.moves_data,
    )  # fmt: skip
