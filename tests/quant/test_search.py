"""The scale search and the ranking of layers, where the right answer is known."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch
import torch.nn.functional as F

from tests.quant.net import entry_point, images, plan_of
from tinysam_mobile.quant.graph import trace_layers
from tinysam_mobile.quant.numerics import grid_of_range
from tinysam_mobile.quant.plan import LayerGrids
from tinysam_mobile.quant.rows import RowSampler, at_places, multiply_rows
from tinysam_mobile.quant.search import LayerRows, search_layer, task_loss

BITS = 6


def rows_of(name: str, *, importance: float = 1.0) -> tuple[object, LayerRows]:
    """Rows of one layer over two inputs, all equally important."""
    graph = trace_layers(entry_point())
    (layer,) = [layer for layer in graph.layers.values() if layer.name == name]
    rows, sampler = LayerRows(), RowSampler(seed=0)

    def visit(visited, factors, multiply):  # type: ignore[no-untyped-def]
        out = multiply(*factors)
        if visited.name == name:
            drawn = sampler.draw(layer, factors)
            rows.drawn.append(drawn)
            rows.weights.append(torch.full_like(at_places(layer, out, drawn), importance))
        return out

    for image in images(2):
        graph.run((image,), visit)
    return layer, rows


@pytest.mark.parametrize("name", ["stem", "local", "mix", "up", "attn:bmm_0", "attn:bmm_1"])
def test_rows_multiplied_are_the_layers_output_there(name: str) -> None:
    graph = trace_layers(entry_point())
    sampler = RowSampler(seed=0)

    def visit(layer, factors, multiply):  # type: ignore[no-untyped-def]
        out = multiply(*factors)
        if layer.name == name:
            drawn = sampler.draw(layer, factors)
            second = layer.weight if drawn.second is None else drawn.second
            product = multiply_rows(layer, drawn.first, second)
            bias = layer.node.args[2] if layer.weight is not None else None
            offset = graph.module.get_parameter(bias.target) if bias is not None else torch.zeros(1)
            torch.testing.assert_close(product + offset, at_places(layer, out, drawn), atol=1e-5, rtol=1e-4)
            checked.append(name)
        return out

    checked: list[str] = []
    graph.run((images(1)[0],), visit)
    assert checked == [name]


@pytest.mark.parametrize("name", ["stem", "local", "up", "attn:bmm_1"])
def test_search_is_no_worse_than_where_it_started(name: str) -> None:
    _, plan = plan_of("static_w6a6")
    layer, rows = rows_of(name)
    first, second, importance = rows.joined()
    low, high = float(first.min()), float(first.max())
    inputs = [grid_of_range(low, high, bits=BITS)]
    if second is not None:
        inputs.append(grid_of_range(float(second.min()), float(second.max()), bits=BITS))
    start = LayerGrids(inputs=tuple(inputs), output=grid_of_range(-1, 1, bits=BITS))

    def error(grids: LayerGrids) -> float:
        from tinysam_mobile.quant.simulation import round_activation, round_weight

        right = (
            round_activation(second, grids.inputs[1])
            if second is not None
            else round_weight(layer.weight, grids.clip, BITS)  # type: ignore[attr-defined]
        )
        exact = multiply_rows(layer, first, second if second is not None else layer.weight)  # type: ignore[arg-type,attr-defined]
        product = multiply_rows(layer, round_activation(first, grids.inputs[0]), right)  # type: ignore[arg-type]
        return float((importance * (product - exact).square()).sum())

    found = search_layer(layer, rows, start, weight_bits=BITS)  # type: ignore[arg-type]
    assert error(found) < error(start)
    assert plan.layers.keys() >= ({name} if second is None else set())


def test_search_gives_up_a_row_that_does_not_matter() -> None:
    """One row is a hundred times the others and has no gradient: its range is not kept."""
    layer, rows = rows_of("up")
    rows.drawn[0].first[0] *= 100
    rows.weights[0][0] = 0
    first, _, _ = rows.joined()
    start = LayerGrids(
        inputs=(grid_of_range(float(first.min()), float(first.max())),), output=grid_of_range(-1, 1)
    )
    found = search_layer(layer, rows, start, weight_bits=8)  # type: ignore[arg-type]
    # The plain error keeps a hundredth of its say, so the range shrinks, but not to that of the others.
    assert found.inputs[0].scale < 0.9 * start.inputs[0].scale


def test_channels_without_gradient_keep_a_sane_scale() -> None:
    layer, rows = rows_of("up")
    rows.weights[0][:, 0] = rows.weights[1][:, 0] = 0
    start = LayerGrids(inputs=(grid_of_range(-4, 4),), output=grid_of_range(-1, 1))
    found = search_layer(layer, rows, start, weight_bits=8)  # type: ignore[arg-type]
    assert found.weight_clip[0] > 0.5


def test_task_loss_is_a_divergence() -> None:
    generator = torch.Generator().manual_seed(0)
    masks, iou = torch.randn(4, 3, 8, 8, generator=generator), torch.rand(4, 3, generator=generator)
    assert float(task_loss(masks, iou, masks, iou)) == pytest.approx(0, abs=1e-6)
    other = masks + 0.5
    p, q = masks.sigmoid(), other.sigmoid()
    kl = (p * (p / q).log() + (1 - p) * ((1 - p) / (1 - q)).log()).mean()
    assert float(task_loss(other, iou, masks, iou)) == pytest.approx(float(kl), rel=1e-4)
    assert float(task_loss(masks, iou + 1, masks, iou)) == pytest.approx(0, abs=1e-6), (
        "only the choice counts"
    )
    shifted = iou.clone()
    shifted[:, 0] += 1
    oracle = F.kl_div(shifted.log_softmax(-1), iou.softmax(-1), reduction="batchmean")
    assert float(task_loss(masks, shifted, masks, iou)) == pytest.approx(float(oracle), rel=1e-4)


def test_a_plan_tells_what_it_is() -> None:
    _, plan = plan_of("static_w8a8", method="mse")
    told = replace(plan, float_layers=("up",)).to_json()
    assert told["method"] == "mse"
    assert told["float_layers"] == ["up"]
    assert set(told["layers"]) == set(plan.layers)
    assert np.isfinite([g["output"]["scale"] for g in told["layers"].values()]).all()
