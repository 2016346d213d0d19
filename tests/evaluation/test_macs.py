"""MACs and parameters against a computation by hand, from the sizes of the published network alone."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from tinysam_mobile.evaluation.macs import count_macs, model_cost
from tinysam_mobile.modeling.config import config_named
from tinysam_mobile.modeling.entry_points import contract_of, entry_points, example_inputs
from tinysam_mobile.modeling.sam import TinySAM

PAPER_MACS = 42.0e9
"""Image and one prompt, TinySAM, arXiv 2312.13789, Table 1."""
COUNTERS_DIFFER = 0.06
"""The paper counts SAM's own form of the decoder, and its transposed convolutions four times (below)."""


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
    # Published figures of SAM, arXiv 2304.02643.
    assert cost.parameters["image_encoder"] == pytest.approx(6.07e6, rel=1e-3)
    decoder = cost.parameters["mask_decoder"] + cost.parameters["prompt_encoder"]
    assert decoder == pytest.approx(4.06e6, rel=2e-3)
    # Nothing of the image is projected, so prompts share no product.
    assert cost.further_prompt_macs == cost.decode_macs


SAM_MACS = {(768, 12): 487e9, (1024, 24): 1491e9, (1280, 32): 2976e9}
"""Width and depth of SAM-B, L and H → published, rounded to 1 G."""
NORMS = 0.25e9
"""What the paper's counter may add for norms and activations, which are no MACs here."""


def sam_encoder_macs(dim: int, depth: int) -> int:
    """SAM's ViT at 1024: 4 global layers, the others in 25 padded windows of 14; no relative positions."""
    tokens, padded = 64**2, 70**2
    layers = depth * 12 * dim * dim * tokens + (depth - 4) * 4 * dim * dim * (padded - tokens)
    attention = 4 * 2 * tokens**2 * dim + (depth - 4) * 25 * 2 * 14**4 * dim
    return layers + attention + tokens * (768 * dim + dim * 256 + 9 * 256 * 256)


def sam_decoder_macs(*, per_output_pixel: bool) -> int:
    """SAM's decoder for 5 output and 2 prompt tokens, which projects the image in every attention."""
    image, tokens = 64**2, 7
    projections = 5 * 2 * image * 256 * 128 + 5 * 2 * tokens * 256 * 128
    products = 5 * 2 * tokens * image * 128 + 2 * 2 * tokens**2 * 256
    token_layers = 2 * tokens * (4 * 256 * 256 + 2 * 256 * 2048)
    upscaling = 4 * image * 256 * 64 + 4 * (4 * image) * 64 * 32
    heads = 4 * (2 * 256 * 256 + 256 * 32) + 2 * 256 * 256 + 256 * 4 + 4 * 32 * 256**2
    return projections + products + token_layers + (4 if per_output_pixel else 1) * upscaling + heads


def test_where_the_papers_count_differs() -> None:
    ours = PAPER_MACS - encoder_macs()
    for (dim, depth), published in SAM_MACS.items():
        # Both are rounded: to 1 G and to 0.1 G.
        assert published - sam_encoder_macs(dim, depth) == pytest.approx(ours, abs=0.55e9)
    assert sam_decoder_macs(per_output_pixel=False) == pytest.approx(1.8e9, rel=0.02)
    assert 0 < ours - sam_decoder_macs(per_output_pixel=True) < NORMS


@pytest.mark.parametrize(
    ("name", "macs", "parameters"),
    [
        # EfficientViT's README; the others were counted on the official code, its batch norms not yet folded.
        ("edgesam", 20.05e9, 9.58e6),
        ("efficientvit-sam-l0", 35e9, 34.8e6),
        ("slimsam-77", 46.6e9, 9.72e6),
        ("efficientsam-ti", 102.3e9, 10.2e6),
        ("sam2-hiera-tiny", None, 31.3e6),
    ],
)
def test_families_cost_what_is_published(name: str, macs: float | None, parameters: float) -> None:
    with torch.device("meta"):
        model = TinySAM(config_named(name))
    assert sum(p.numel() for p in model.parameters()) == pytest.approx(parameters, rel=5e-3)
    if macs is not None:
        point = entry_points(model, contract_of(model))["encode"]
        assert count_macs(point.module, example_inputs(point.signature)) == pytest.approx(macs, rel=1e-2)
