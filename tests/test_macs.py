"""MACs and parameters against a computation by hand, from the sizes of the published network alone."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from tinysam_mobile.evaluation.macs import count_macs, model_cost
from tinysam_mobile.modeling.config import config_named
from tinysam_mobile.modeling.sam import TinySAM

PAPER_MACS = 42.0e9
"""Image and one prompt, METHOD.md section 5 (arXiv 2312.13789, Table 1)."""
COUNTERS_DIFFER = 0.06
"""The paper does not say what its counter counts; SAM's own form of the attention is 2 % more than ours."""


def test_every_kind_of_layer() -> None:
    class Layers(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.grouped = nn.Conv2d(6, 8, 3, stride=2, padding=1, groups=2)
            self.up = nn.ConvTranspose2d(8, 5, 2, stride=2)
            self.linear = nn.Linear(5, 7)

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            tokens: torch.Tensor = self.linear(self.up(self.grouped(x)).flatten(2).transpose(1, 2))
            return torch.softmax(tokens @ tokens.transpose(1, 2), dim=-1) @ tokens

    # 6 x 10 pixels become 3 x 5 and 6 x 10 again, which are 60 tokens.
    wanted = 8 * 15 * 3 * 9 + 8 * 15 * 5 * 4 + 60 * 5 * 7 + 2 * 60 * 60 * 7
    assert count_macs(Layers(), (torch.zeros(1, 6, 6, 10),)) == wanted


def encoder_macs() -> int:
    """TinyViT-5M at 1024 (arXiv 2207.10666) with a stride of 1 in the last merging, and SAM's neck."""

    def inverted_bottleneck(dim: int, side: int) -> int:
        return side**2 * (dim * 4 * dim + 9 * 4 * dim + 4 * dim * dim)

    def merging(dim: int, out: int, side: int, stride: int) -> int:
        return side**2 * dim * out + (side // stride) ** 2 * (9 * out + out * out)

    def block(dim: int, side: int, window: int) -> int:
        padded = -(-side // window) * window
        attention = padded**2 * (4 * dim * dim + 2 * window**2 * dim)
        return attention + side**2 * (9 * dim + 2 * 4 * dim * dim)

    embed = 512**2 * 27 * 32 + 256**2 * 9 * 32 * 64
    stages = 2 * inverted_bottleneck(64, 256) + merging(64, 128, 256, 2)
    stages += 2 * block(128, 128, 7) + merging(128, 160, 128, 2)
    stages += 6 * block(160, 64, 14) + merging(160, 320, 64, 1) + 2 * block(320, 64, 7)
    return embed + stages + 64**2 * (320 * 256 + 9 * 256 * 256)


def test_the_published_network() -> None:
    with torch.device("meta"):
        model = TinySAM(config_named("tinysam"))
    cost = model_cost(model)
    assert cost.encode_macs == encoder_macs()
    assert cost.macs == pytest.approx(PAPER_MACS, rel=COUNTERS_DIFFER)
    assert cost.macs < PAPER_MACS
    # METHOD.md section 1.
    assert cost.parameters["image_encoder"] == pytest.approx(6.07e6, rel=1e-3)
    decoder = cost.parameters["mask_decoder"] + cost.parameters["prompt_encoder"]
    assert decoder == pytest.approx(4.06e6, rel=2e-3)
    # Nothing of the image is projected, so prompts share no product.
    assert cost.further_prompt_macs == cost.decode_macs
