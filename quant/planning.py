"""From a model and photos to a plan: run the float model on each photo, watch every layer, choose grids."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace

import torch
from torch import Tensor

from tinysam_mobile.contract.spec import Contract
from tinysam_mobile.modeling.entry_points import EntryPoint
from tinysam_mobile.quant.calibration import CalibrationSet, Sample
from tinysam_mobile.quant.graph import Layer, LayerGraph, LayerKind, Visit, trace_layers
from tinysam_mobile.quant.numerics import symmetric_grid
from tinysam_mobile.quant.observers import DEFAULT_METHOD, SEARCH, RangeObserver, method_named
from tinysam_mobile.quant.plan import LayerGrids, QuantPlan
from tinysam_mobile.quant.recipe import QuantRecipe
from tinysam_mobile.quant.search import collect_rows, search_layer, with_two_scales

__all__ = ["LayerObservers", "keep_in_float", "make_plan", "observe", "trace_all"]

SEARCH_TWO_SCALES = "search_two_scales"
START = "minmax"
"""What the search starts from, and the grids under which it takes gradients."""


@dataclass(kw_only=True)
class LayerObservers:
    """What is watched of one layer: its activations in argument order, and its output."""

    inputs: dict[int, RangeObserver] = field(default_factory=dict)
    output: RangeObserver = field(default_factory=RangeObserver)


def trace_all(entries: Mapping[str, EntryPoint]) -> dict[str, LayerGraph]:
    """Return the layer graph of each entry point."""
    return {name: trace_layers(entry) for name, entry in entries.items()}


def run_sample(
    graphs: Mapping[str, LayerGraph], sample: Sample, visit: Visit
) -> Iterator[tuple[str, tuple[Tensor, ...]]]:
    """Run encoder and decoders on one photo, each layer through `visit`; yields entry point and outputs.

    `decode` gets the best mask of `decode_batch`'s first prompt as its mask prompt, if the model takes any;
    without one it is what `decode_batch` is.
    """
    tensors = {name: torch.from_numpy(array) for name, array in sample.encode.items()}
    features = graphs["encode"].run((tensors["image"], tensors["valid_size"]), visit)
    yield "encode", features
    batch = [torch.from_numpy(sample.decode_batch[name]) for name in ("point_coords", "point_labels")]
    answers = graphs["decode_batch"].run((*features, *batch), visit)
    yield "decode_batch", answers
    one = [torch.from_numpy(sample.decode[name]) for name in ("point_coords", "point_labels")]
    if graphs["decode"].num_inputs > len(features) + len(one):
        masks, iou = answers[:2]
        best = masks[0, int(iou[0].argmax())].detach()[None, None]
        one += [best, torch.ones(1)]
    yield "decode", graphs["decode"].run((*features, *one), visit)


@torch.no_grad()
def observe(
    graphs: Mapping[str, LayerGraph],
    calibration: CalibrationSet,
    contract: Contract,
    *,
    progress: Callable[[str], None] = lambda _: None,
) -> dict[str, LayerObservers]:
    """Run the float model on every photo and return what was seen of each layer, by name."""
    seen: dict[str, LayerObservers] = {}

    def visit(layer: Layer, factors: tuple[Tensor, ...], multiply: Callable[..., Tensor]) -> Tensor:
        watched = seen.setdefault(layer.name, LayerObservers())
        for position in layer.activations:
            watched.inputs.setdefault(position, RangeObserver()).see(factors[position])
        out = multiply(*factors)
        watched.output.see(torch.relu(out) if layer.output is not layer.node else out)
        return out

    for number, sample in enumerate(calibration.samples(contract)):
        progress(f"calibrating on photo {number + 1} of {len(calibration.photos)}")
        for _ in run_sample(graphs, sample, visit):
            pass
    return seen


def make_plan(
    recipe: QuantRecipe,
    graphs: Mapping[str, LayerGraph],
    calibration: CalibrationSet,
    contract: Contract,
    *,
    method: str = DEFAULT_METHOD,
    with_products: bool = False,
    progress: Callable[[str], None] = lambda _: None,
) -> QuantPlan:
    """Return the grids of a static recipe by `method`: one of `observers.METHODS`, "search", or
    "search_two_scales", whose second scales count in the simulation only.

    `with_products` keeps the decoder's products of two activations too, which no format computes in 8 bits,
    for the simulation of the paper's recipe.
    """
    seen = observe(graphs, calibration, contract, progress=progress)
    layers = {layer.name: layer for graph in graphs.values() for layer in graph.layers.values()}
    if method in (SEARCH, SEARCH_TWO_SCALES):
        every = {name: layer_grids(layers[name], watched, recipe, START) for name, watched in seen.items()}
        two_scales = method == SEARCH_TWO_SCALES
        grids = _searched(graphs, layers, every, recipe, calibration, contract, two_scales, progress)
    else:
        grids = {name: layer_grids(layers[name], watched, recipe, method) for name, watched in seen.items()}
    if not with_products:
        encoder = graphs["encode"].order
        grids = {
            name: chosen
            for name, chosen in grids.items()
            if has_kernel(layers[name], recipe, in_encoder=name in encoder)
        }
    order = {name: graph.order for name, graph in graphs.items()}
    return QuantPlan(recipe=recipe, method=method, layers=grids, order=order)


def keep_in_float(plan: QuantPlan, patterns: Sequence[str]) -> QuantPlan:
    """Return `plan` without the layers whose whole name one of `patterns` (regular expressions) matches."""
    kept = tuple(name for name in plan.layers if any(re.fullmatch(pattern, name) for pattern in patterns))
    layers = {name: grids for name, grids in plan.layers.items() if name not in kept}
    return replace(plan, layers=layers, float_layers=(*plan.float_layers, *kept))


def _searched(
    graphs: Mapping[str, LayerGraph],
    layers: Mapping[str, Layer],
    start: Mapping[str, LayerGrids],
    recipe: QuantRecipe,
    calibration: CalibrationSet,
    contract: Contract,
    two_scales: bool,
    progress: Callable[[str], None],
) -> dict[str, LayerGrids]:
    """Search from `start`; layers that no gradient reaches keep what they have."""
    bits = recipe.weight_bits
    rows = collect_rows(graphs, start, calibration, contract, weight_bits=bits, progress=progress)
    found = dict(start)
    for number, (name, held) in enumerate(rows.items()):
        progress(f"search: layer {number + 1} of {len(rows)}, {name}")
        found[name] = search_layer(layers[name], held, start[name], weight_bits=bits)
        if two_scales:
            found[name] = with_two_scales(layers[name], held, found[name], weight_bits=bits)
    return found


def has_kernel(layer: Layer, recipe: QuantRecipe, *, in_encoder: bool) -> bool:
    """Whether the formats compute `layer` in integers under a static recipe.

    Products of two activations are 8-bit in the encoder; the decoder's, a hundredth of the multiplications,
    stay float, since masked logits and mask logits do not survive 8 bits.  With 16-bit attention those of
    attention are 16-bit in both.
    """
    if layer.kind is not LayerKind.PRODUCT:
        return layer.is_quantizable
    if len(layer.activations) < 2:
        return False
    return layer.in_attention if recipe.attention_bits else in_encoder


def layer_grids(layer: Layer, watched: LayerObservers, recipe: QuantRecipe, method: str) -> LayerGrids:
    """Return the grids of one layer from what was seen of it.

    The second factor of a product has zero point 0, as XNNPACK's int8 kernel wants it, which takes it for
    weights; with any other TFLite falls back to a kernel that is a hundred times slower.
    """
    bits = recipe.attention_bits if recipe.attention_bits and layer.in_attention else recipe.activation_bits
    choose = method_named(method)
    inputs = [choose(watched.inputs[position], bits) for position in layer.activations]
    if len(inputs) == 2:
        inputs[1] = symmetric_grid(inputs[1])
    return LayerGrids(inputs=tuple(inputs), output=choose(watched.output, bits))
