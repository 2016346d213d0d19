"""TinySAM's scale search (arXiv 2312.13789, section 3.3; PTQ4ViT, arXiv 2111.12293), on sampled rows.

For O = A·B the scales of A and B are searched in turn, `CANDIDATES` linear candidates each and `ROUNDS`
rounds, to minimise Σ g²·(O_q − O)², where g is the gradient of the task loss KL(masks) + KL(IoU) at O.  Two
things differ from the paper, both to fit integer kernels: activations are affine with one grid per tensor,
and weights of linear layers have a scale per output channel.

The gradient is taken in the network whose layers are rounded to min-max grids: in the float network the loss
and with it every gradient is 0.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from functools import partial

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, fx

from tinysam_mobile.contract.spec import Contract
from tinysam_mobile.quant.calibration import CalibrationSet, Sample
from tinysam_mobile.quant.graph import Layer, LayerGraph, LayerKind, Visit
from tinysam_mobile.quant.numerics import ActivationGrid, grid_of_range
from tinysam_mobile.quant.plan import LayerGrids
from tinysam_mobile.quant.rows import Drawn, RowSampler, at_places, multiply_rows
from tinysam_mobile.quant.simulation import round_activation, round_weight, simulated
from tinysam_mobile.quant.two_scales import best_two_scales, round_two_scales, split_before

__all__ = ["LayerRows", "collect_rows", "search_layer", "task_loss", "with_two_scales"]

CANDIDATES = 100
LOWEST, HIGHEST = 0.01, 1.2
"""Candidates as shares of the largest value."""
ROUNDS = 3
"""Fewer where a round changes nothing."""
IMPORTANCE_FLOOR = 0.01
"""Weight of the plain squared error beside g²/mean(g²): channels that the drawn photos never ask, whose
gradient is 0, would otherwise take any scale."""


@dataclass(kw_only=True)
class LayerRows:
    """Rows of one layer over all photos; `weights` g² of the rows of `drawn`, 1 where no gradient came."""

    drawn: list[Drawn] = field(default_factory=list)
    weights: list[Tensor] = field(default_factory=list)

    def joined(self) -> tuple[Tensor, Tensor | None, Tensor]:
        """Return first factor, second factor (products only) and g², each over all calls."""
        seconds = [d.second for d in self.drawn if d.second is not None]
        return (
            torch.cat([d.first for d in self.drawn]),
            torch.cat(seconds) if seconds else None,
            torch.cat(self.weights),
        )


def task_loss(masks: Tensor, iou: Tensor, float_masks: Tensor, float_iou: Tensor) -> Tensor:
    """KL(masks) + KL(IoU) of quantized against float answers, both means over prompts.

    A mask is one Bernoulli distribution per pixel.  Of the IoU the softmax over the three masks counts: what
    the app does with it is to choose the best.
    """
    target = float_masks.sigmoid()
    entropy = F.binary_cross_entropy(target, target)
    mask_term = F.binary_cross_entropy_with_logits(masks, target) - entropy
    ours, theirs = iou.log_softmax(-1), float_iou.log_softmax(-1)
    iou_term = F.kl_div(ours, theirs, reduction="batchmean", log_target=True)
    return mask_term + iou_term


def collect_rows(
    graphs: Mapping[str, LayerGraph],
    start: Mapping[str, LayerGrids],
    calibration: CalibrationSet,
    contract: Contract,
    *,
    weight_bits: int,
    progress: Callable[[str], None] = lambda _: None,
) -> dict[str, LayerRows]:
    """Draw rows of every layer in the float network, and their g² in the network rounded to `start`."""
    rows: dict[str, LayerRows] = {}
    sampler = RowSampler(seed=calibration.seed)
    for number, sample in enumerate(calibration.samples(contract)):
        progress(f"search: rows and gradients of photo {number + 1} of {len(calibration.photos)}")
        drawn: dict[str, Drawn] = {}
        with torch.no_grad():
            answers = _answers(graphs, sample, _drawing(sampler, drawn))
        squares = _squared_gradients(graphs, sample, drawn, start, answers, weight_bits)
        for name, (layer_drawn, square) in squares.items():
            held = rows.setdefault(name, LayerRows())
            held.drawn.append(layer_drawn)
            held.weights.append(square)
    return rows


def _answers(graphs: Mapping[str, LayerGraph], sample: Sample, visit: Visit) -> tuple[Tensor, Tensor]:
    image, valid = (torch.from_numpy(sample.encode[name]) for name in ("image", "valid_size"))
    features = graphs["encode"].run((image, valid), visit)
    prompts = [torch.from_numpy(sample.decode_batch[name]) for name in ("point_coords", "point_labels")]
    masks, iou, *_ = graphs["decode_batch"].run((*features, *prompts), visit)
    return masks, iou


def _drawing(sampler: RowSampler, drawn: dict[str, Drawn]) -> Visit:
    def visit(layer: Layer, factors: tuple[Tensor, ...], multiply: Callable[..., Tensor]) -> Tensor:
        drawn[layer.name] = sampler.draw(layer, factors)
        return multiply(*factors)

    return visit


def _squared_gradients(
    graphs: Mapping[str, LayerGraph],
    sample: Sample,
    drawn: Mapping[str, Drawn],
    start: Mapping[str, LayerGrids],
    answers: tuple[Tensor, Tensor],
    weight_bits: int,
) -> dict[str, tuple[Drawn, Tensor]]:
    """Return for each layer what was drawn of it and g² there."""
    round_factors = simulated(start, weight_bits=weight_bits)
    squares: dict[str, tuple[Drawn, Tensor]] = {}

    def visit(layer: Layer, factors: tuple[Tensor, ...], multiply: Callable[..., Tensor]) -> Tensor:
        out = round_factors(layer, factors, multiply)
        if not out.requires_grad:
            out = out.detach().requires_grad_(True)
        held = drawn[layer.name]
        out.register_hook(
            lambda gradient: squares.__setitem__(
                layer.name, (held, at_places(layer, gradient, held).detach().square())
            )
        )
        return out

    with torch.enable_grad():
        masks, iou = _answers(graphs, sample, visit)
        task_loss(masks, iou, *answers).backward()
    return squares


@torch.no_grad()
def search_layer(layer: Layer, rows: LayerRows, start: LayerGrids, *, weight_bits: int) -> LayerGrids:
    """Search the grids of one layer in turn, as shares of the ranges in `start`.

    The output's grid, which the loss does not see, is kept.
    """
    first, second, importance = rows.joined()
    importance = importance / importance.mean().clamp_min(1e-30) + IMPORTANCE_FLOOR
    if layer.kind is LayerKind.PRODUCT and len(start.inputs) < 2:
        # One factor is constant, head by head: no format computes it in integers.
        return start
    if second is not None:
        inputs = _search_product(layer, first, second, importance, start)
        return LayerGrids(inputs=inputs, output=start.output)
    assert layer.weight is not None
    exact = multiply_rows(layer, first, layer.weight)
    grid, clip = start.inputs[0], np.ones(len(layer.weight))
    for _ in range(ROUNDS):
        weight = round_weight(layer.weight, clip, weight_bits)
        error = partial(_error, layer, exact, importance, second=weight)
        grid = _best_grid(first, start.inputs[0], error)
        rounded, before = round_activation(first, grid), clip
        clip = _best_clip(layer, rounded, exact, importance, weight_bits)
        if np.array_equal(clip, before):
            break
    return LayerGrids(inputs=(grid,), output=start.output, weight_clip=tuple(float(c) for c in clip))


@torch.no_grad()
def with_two_scales(layer: Layer, rows: LayerRows, found: LayerGrids, *, weight_bits: int) -> LayerGrids:
    """Give a layer after softmax or GELU the paper's two scales, if they beat the grid that it has."""
    source = layer.node.args[0]
    split = split_before(source) if isinstance(source, fx.Node) else None
    first, second, importance = rows.joined()
    if split is None or (layer.weight is None and (second is None or len(found.inputs) < 2)):
        return found
    factor: Tensor | None = second if second is not None else layer.weight
    assert factor is not None
    exact = multiply_rows(layer, first, factor)
    if second is not None:
        rounded = round_activation(second, found.inputs[1])
    else:
        rounded = round_weight(factor, found.clip, weight_bits)
    importance = importance / importance.mean().clamp_min(1e-30) + IMPORTANCE_FLOOR
    error = partial(_error, layer, exact, importance, second=rounded)
    grid = found.inputs[0]
    best = best_two_scales(
        split,
        (grid.q_max - grid.zero_point) * grid.scale,
        grid.bits,
        lambda scales: error(round_two_scales(first, scales)),
    )
    if error(round_two_scales(first, best)) >= error(round_activation(first, grid)):
        return found
    return replace(found, two_scales=best)


def _search_product(
    layer: Layer, first: Tensor, second: Tensor, importance: Tensor, start: LayerGrids
) -> tuple[ActivationGrid, ...]:
    exact = multiply_rows(layer, first, second)
    left, right = start.inputs
    for _ in range(ROUNDS):
        error = partial(_error, layer, exact, importance, second=round_activation(second, right))
        left = _best_grid(first, start.inputs[0], error)
        error, before = partial(_error, layer, exact, importance, round_activation(first, left)), right
        right = _best_grid(second, start.inputs[1], error)
        if right == before:
            break
    return left, right


def _error(layer: Layer, exact: Tensor, importance: Tensor, first: Tensor, second: Tensor) -> float:
    return float((importance * (multiply_rows(layer, first, second) - exact).square()).sum())


def _shares() -> np.ndarray:
    return np.linspace(LOWEST, HIGHEST, CANDIDATES)


def _best_grid(values: Tensor, extremes: ActivationGrid, error: Callable[[Tensor], float]) -> ActivationGrid:
    """Return the share of the range of `extremes` with the least error on `values`."""
    low, high = ((q - extremes.zero_point) * extremes.scale for q in (extremes.q_min, extremes.q_max))
    grids = [grid_of_range(low * share, high * share, bits=extremes.bits) for share in _shares()]
    return min(grids, key=lambda grid: error(round_activation(values, grid)))


def _best_clip(layer: Layer, rounded: Tensor, exact: Tensor, importance: Tensor, bits: int) -> np.ndarray:
    """Return for each output channel the share of its largest |weight| with the least error."""
    assert layer.weight is not None
    errors = []
    for share in _shares():
        product = multiply_rows(layer, rounded, round_weight(layer.weight, float(share), bits))
        errors.append((importance * (product - exact).square()).sum(0))
    best: np.ndarray = _shares()[torch.stack(errors).argmin(0).numpy()]
    return best
