"""Which layers cost accuracy: each one rounded alone, ranked; and a plan that keeps the worst in float.

Both judge against the float model's own answers on calibration photos, so they need no annotation: SQNR of
the masks' logits, and the IoU of the mask that the float model prefers with the same one of the rounded
model.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import islice

import numpy as np
import torch
from torch import Tensor

from tinysam_mobile.contract.backend import Arrays
from tinysam_mobile.contract.spec import Contract
from tinysam_mobile.errors import ConversionError
from tinysam_mobile.quant.calibration import CalibrationSet, Sample
from tinysam_mobile.quant.graph import LayerGraph, Visit
from tinysam_mobile.quant.plan import LayerGrids, QuantPlan
from tinysam_mobile.quant.simulation import simulated

__all__ = ["LayerCost", "auto_mixed", "plan_cost", "rank_layers"]

PHOTOS = 4
"""Photos that layers are judged on; each costs one run of the model per layer."""


@dataclass(frozen=True, kw_only=True)
class LayerCost:
    """A layer rounded alone: SQNR of the mask logits in dB and mean IoU with the float model's masks.

    Without a name, all layers of a plan at once.
    """

    name: str
    sqnr_db: float
    mask_iou: float


@dataclass(frozen=True, kw_only=True)
class _Case:
    """A photo with its prompts and the float model's answer to them."""

    sample: Sample
    features: tuple[Tensor, ...]
    masks: Tensor
    iou: Tensor


def rank_layers(
    graphs: Mapping[str, LayerGraph],
    plan: QuantPlan,
    calibration: CalibrationSet,
    contract: Contract,
    *,
    progress: Callable[[str], None] = lambda _: None,
) -> list[LayerCost]:
    """Return the plan's layers with what each costs alone, the most costly (lowest IoU, then SQNR) first."""
    cases = _cases(graphs, calibration, contract)
    costs = []
    for number, (name, grids) in enumerate(plan.layers.items()):
        progress(f"sensitivity: layer {number + 1} of {len(plan.layers)}")
        costs.append(_cost(graphs, {name: grids}, plan, cases, name))
    return sorted(costs, key=lambda cost: (cost.mask_iou, cost.sqnr_db))


def plan_cost(
    graphs: Mapping[str, LayerGraph], plan: QuantPlan, calibration: CalibrationSet, contract: Contract
) -> LayerCost:
    """Return what all layers of the plan cost together."""
    return _cost(graphs, plan.layers, plan, _cases(graphs, calibration, contract), "")


def auto_mixed(
    graphs: Mapping[str, LayerGraph],
    plan: QuantPlan,
    calibration: CalibrationSet,
    contract: Contract,
    *,
    min_iou: float,
    progress: Callable[[str], None] = lambda _: None,
) -> QuantPlan:
    """Return `plan` without the fewest of its most costly layers that let the mean mask IoU reach `min_iou`.

    Layers are left out in order of their cost alone, twice as many at each try, then as few as still do.
    Raises `ConversionError` if even half of the layers in float do not suffice.
    """
    cases = _cases(graphs, calibration, contract)

    def iou_without(count: int) -> float:
        progress(f"mixed precision: {count} layers in float")
        return _cost(graphs, _without(plan, ranked[:count]), plan, cases, "").mask_iou

    ranked: list[str] = []
    reached = iou_without(0)
    if reached >= min_iou:
        return plan
    ranked = [cost.name for cost in rank_layers(graphs, plan, calibration, contract, progress=progress)]
    low, high = 0, 1
    while (reached := iou_without(high)) < min_iou:
        if high >= len(ranked) // 2:
            raise ConversionError(
                f"{plan.recipe.id} reaches a mask IoU of {reached:.3f} with {high} of {len(ranked)} layers "
                f"in float, not {min_iou}; lower the floor, or take weight_only_w8 or dynamic_w8"
            )
        low, high = high, min(2 * high, len(ranked) // 2)
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (low, middle) if iou_without(middle) >= min_iou else (middle, high)
    return replace(
        plan, layers=_without(plan, ranked[:high]), float_layers=(*plan.float_layers, *ranked[:high])
    )


def _without(plan: QuantPlan, names: Sequence[str]) -> dict[str, LayerGrids]:
    return {name: grids for name, grids in plan.layers.items() if name not in names}


@torch.no_grad()
def _cases(graphs: Mapping[str, LayerGraph], calibration: CalibrationSet, contract: Contract) -> list[_Case]:
    visit = simulated({}, weight_bits=8)
    cases = []
    for sample in islice(calibration.samples(contract), PHOTOS):
        features = _features(graphs, sample, visit)
        masks, iou = _answers(graphs, sample, features, visit)
        cases.append(_Case(sample=sample, features=features, masks=masks, iou=iou))
    return cases


def _features(graphs: Mapping[str, LayerGraph], sample: Sample, visit: Visit) -> tuple[Tensor, ...]:
    return graphs["encode"].run(_tensors(sample.encode, "image", "valid_size"), visit)


def _answers(
    graphs: Mapping[str, LayerGraph], sample: Sample, features: tuple[Tensor, ...], visit: Visit
) -> tuple[Tensor, Tensor]:
    prompts = _tensors(sample.decode_batch, "point_coords", "point_labels")
    masks, iou, *_ = graphs["decode_batch"].run((*features, *prompts), visit)
    return masks, iou


def _tensors(arrays: Arrays, *names: str) -> tuple[Tensor, ...]:
    return tuple(torch.from_numpy(arrays[name]) for name in names)


@torch.no_grad()
def _cost(
    graphs: Mapping[str, LayerGraph],
    layers: Mapping[str, LayerGrids],
    plan: QuantPlan,
    cases: Sequence[_Case],
    name: str,
) -> LayerCost:
    visit = simulated(layers, weight_bits=plan.recipe.weight_bits, round_outputs=True)
    signal = noise = 0.0
    ious: list[float] = []
    # The encoder takes most of the time, and layers of the decoder alone leave it as it was.
    is_encoder_rounded = not layers.keys().isdisjoint(graphs["encode"].order)
    for case in cases:
        features = _features(graphs, case.sample, visit) if is_encoder_rounded else case.features
        masks, _ = _answers(graphs, case.sample, features, visit)
        signal += float(case.masks.double().square().sum())
        noise += float((masks - case.masks).double().square().sum())
        best = case.iou.argmax(-1)
        rows = torch.arange(len(best))
        ours, theirs = masks[rows, best] > 0, case.masks[rows, best] > 0
        union = (ours | theirs).flatten(1).sum(1)
        shared = (ours & theirs).flatten(1).sum(1)
        ious += torch.where(union > 0, shared / union.clamp_min(1), 1.0).tolist()
    sqnr_db = 10 * np.log10(signal / noise) if noise else float("inf")
    return LayerCost(name=name, sqnr_db=float(sqnr_db), mask_iou=float(np.mean(ious)))
