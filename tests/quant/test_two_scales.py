"""Two scales after softmax and GELU."""

from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F

from tests.quant.net import entry_point
from tinysam_mobile.quant.graph import trace_layers
from tinysam_mobile.quant.two_scales import Split, TwoScales, best_two_scales, round_two_scales, split_before


def test_layers_after_softmax_and_gelu_are_found() -> None:
    graph = trace_layers(entry_point())
    splits = {layer.name: split_before(layer.node.args[0]) for layer in graph.layers.values()}  # type: ignore[arg-type]
    assert {name: split for name, split in splits.items() if split} == {
        "local": Split.SIGN,
        "mix": Split.SIGN,
        "attn:bmm_1": Split.SIZE,
    }


def test_values_are_rounded_on_the_grid_of_their_group() -> None:
    scales = TwoScales(split=Split.SIGN, fine=0.01, coarse=1.0, bits=4)
    x = torch.tensor([-0.5, -0.034, 0.0, 0.4, 3.6, 9.0])
    torch.testing.assert_close(round_two_scales(x, scales), torch.tensor([-0.07, -0.03, 0.0, 0.0, 4.0, 7.0]))
    scales = TwoScales(split=Split.SIZE, fine=1 / 64, coarse=1 / 8, bits=4)
    x = torch.tensor([0.0, 0.02, 0.1, 0.2, 0.9, 1.0])
    expected = torch.tensor([0.0, 1 / 64, 6 / 64, 2 / 8, 7 / 8, 7 / 8])
    torch.testing.assert_close(round_two_scales(x, scales), expected)


@pytest.mark.parametrize("split", list(Split))
def test_two_scales_beat_one_on_what_they_are_for(split: Split) -> None:
    x = torch.randn(20_000, generator=torch.Generator().manual_seed(0))
    x = F.gelu(x) if split is Split.SIGN else torch.softmax(x.view(-1, 100) * 2, -1).flatten()
    bits = 6

    def error(scales: TwoScales) -> float:
        return float((round_two_scales(x, scales) - x).square().mean())

    # The paper's alternative is one symmetric scale; an affine one, as ours, beats two scales after GELU.
    high, steps = float(x.max()), 2 ** (bits - 1) - 1
    one = torch.fake_quantize_per_tensor_affine(x, high / steps, 0, -steps, steps)
    assert error(best_two_scales(split, high, bits, error)) < float((one - x).square().mean())
