"""The window attention's bias against its definition, pair by pair (arXiv 2207.10666, after LeViT)."""

from __future__ import annotations

from itertools import product

import pytest
import torch

from tinysam_mobile.modeling.encoders.tiny_vit import WindowAttention


@pytest.mark.parametrize("side", [1, 3, 7])
def test_the_bias_of_a_pair_is_that_of_its_offset(side: int) -> None:
    attention = WindowAttention(dim=8, num_heads=2, window_size=side)
    table = torch.randn(2, side * side)
    attention.attention_biases.data.copy_(table)
    found = attention.pair_biases()
    places = list(product(range(side), range(side)))
    for (i, (y, x)), (j, (v, u)) in product(enumerate(places), enumerate(places)):
        assert torch.equal(found[:, i, j], table[:, abs(y - v) * side + abs(x - u)])
