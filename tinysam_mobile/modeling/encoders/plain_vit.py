"""EfficientSAM's image encoder: a plain ViT, every block over the whole grid (arXiv 2312.00863).

Keys and shapes are those of the published checkpoints.  Their decoder is SAM's in another writing, so its
keys are renamed to SAM's here too.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from tinysam_mobile.errors import UsageError
from tinysam_mobile.modeling.encoders.kind import PREFIX, EncoderKind, State
from tinysam_mobile.modeling.layers import LayerNorm2d, attended, plain_attention, thirds

__all__ = ["PLAIN_VIT", "PlainViT", "PlainViTConfig"]

NORM_EPSILON = 1e-6


@dataclass(frozen=True, kw_only=True)
class PlainViTConfig:
    """A plain ViT; `position_grid` is the side of the grid for which its positions were trained."""

    embed_dim: int = 192
    depth: int = 12
    num_heads: int = 3
    mlp_ratio: float = 4.0
    position_grid: int = 14
    stride: int = 16

    def __post_init__(self) -> None:
        if self.embed_dim % self.num_heads:
            raise UsageError(f"PlainViTConfig: {self.num_heads} heads do not divide width {self.embed_dim}")


class PatchEmbed(nn.Module):
    """(B, 3, S, S) → (B, dim, S/stride, S/stride)."""

    def __init__(self, dim: int, stride: int) -> None:
        super().__init__()
        self.proj = nn.Conv2d(3, dim, stride, stride=stride)

    def forward(self, image: Tensor) -> Tensor:
        out: Tensor = self.proj(image)
        return out


class Attention(nn.Module):
    """Multi-head attention of every position to every other: (B, P, dim) → the same."""

    def __init__(self, dim: int, num_heads: int) -> None:
        super().__init__()
        self.num_heads = num_heads
        self.scale = (dim // num_heads) ** -0.5
        self.qkv = nn.Linear(dim, 3 * dim)
        self.proj = nn.Linear(dim, dim)

    def forward(self, x: Tensor) -> Tensor:
        q, k, v = thirds(self.qkv(x))
        return attended(q * self.scale, k, v, self.num_heads, self.proj, plain_attention)


class FeedForward(nn.Module):
    """(..., dim) → (..., dim) with GELU."""

    def __init__(self, dim: int, hidden: int) -> None:
        super().__init__()
        self.fc1 = nn.Linear(dim, hidden)
        self.fc2 = nn.Linear(hidden, dim)

    def forward(self, x: Tensor) -> Tensor:
        out: Tensor = self.fc2(F.gelu(self.fc1(x)))
        return out


class Block(nn.Module):
    """Attention, then the MLP, each after its norm: (B, P, dim) → the same."""

    def __init__(self, config: PlainViTConfig) -> None:
        super().__init__()
        dim = config.embed_dim
        self.norm1 = nn.LayerNorm(dim, eps=NORM_EPSILON)
        self.attn = Attention(dim, config.num_heads)
        self.norm2 = nn.LayerNorm(dim, eps=NORM_EPSILON)
        self.mlp = FeedForward(dim, int(dim * config.mlp_ratio))

    def forward(self, x: Tensor) -> Tensor:
        x = x + self.attn(self.norm1(x))
        out: Tensor = x + self.mlp(self.norm2(x))
        return out


class PlainViT(nn.Module):
    """(B, 3, S, S) normalised RGB → (B, out_channels, S/16, S/16) image embedding."""

    def __init__(self, config: PlainViTConfig, *, image_size: int, out_channels: int) -> None:
        super().__init__()
        self.grid_size = image_size // config.stride
        self.position_grid = config.position_grid
        self.patch_embed = PatchEmbed(config.embed_dim, config.stride)
        # The first position is that of a class token, which this network does not have.
        positions = torch.zeros(1, 1 + config.position_grid**2, config.embed_dim)
        self.pos_embed: nn.Parameter | None = nn.Parameter(positions)
        self.register_buffer("position", None, persistent=False)
        self.blocks = nn.ModuleList(Block(config) for _ in range(config.depth))
        self.neck = nn.Sequential(
            nn.Conv2d(config.embed_dim, out_channels, 1, bias=False),
            LayerNorm2d(out_channels),
            nn.Conv2d(out_channels, out_channels, 3, padding=1, bias=False),
            LayerNorm2d(out_channels),
        )

    def forward(self, image: Tensor) -> Tensor:
        x = self.patch_embed(image).flatten(2).transpose(1, 2) + self.positions()
        for block in self.blocks:
            x = block(x)
        grid = x.transpose(1, 2).reshape(len(x), -1, self.grid_size, self.grid_size)
        out: Tensor = self.neck(grid)
        return out

    def positions(self) -> Tensor:
        """The trained positions, resized bicubically to the grid: (1, P, dim)."""
        if self.pos_embed is None:
            assert isinstance(self.position, Tensor)
            return self.position
        side = self.position_grid
        trained = self.pos_embed[:, 1:].transpose(1, 2).reshape(1, -1, side, side)
        resized = F.interpolate(trained, (self.grid_size, self.grid_size), mode="bicubic")
        return resized.flatten(2).transpose(1, 2)

    def fold_for_export(self) -> None:
        """Resize the positions once and for all, in place."""
        with torch.no_grad():
            self.position = self.positions().detach().clone()
        self.pos_embed = None


DECODER_KEYS = (
    (r"(mask_decoder\..*\.mlp)\.layers\.0\.0\.", r"\1.lin1."),
    (r"(mask_decoder\..*\.mlp)\.fc\.", r"\1.lin2."),
    (
        r"(mask_decoder\.(?:output_hypernetworks_mlps\.\d|iou_prediction_head))\.layers\.([01])\.0\.",
        r"\1.layers.\2.",
    ),
    (r"(mask_decoder\.(?:output_hypernetworks_mlps\.\d|iou_prediction_head))\.fc\.", r"\1.layers.2."),
    (r"(mask_decoder)\.final_output_upscaling_layers\.0\.([01])\.", r"\1.output_upscaling.\2."),
    (r"(mask_decoder)\.final_output_upscaling_layers\.1\.0\.", r"\1.output_upscaling.3."),
    (r"(prompt_encoder)\.invalid_points\.", r"\1.not_a_point_embed."),
    (r"(prompt_encoder)\.point_embeddings\.weight", r"\1.point_embeddings.1.weight"),
    (r"(prompt_encoder)\.bbox_top_left_embeddings\.", r"\1.point_embeddings.2."),
    (r"(prompt_encoder)\.bbox_bottom_right_embeddings\.", r"\1.point_embeddings.3."),
)
COMPILED = [(re.compile(pattern), replacement) for pattern, replacement in DECODER_KEYS]
BACKGROUND = "prompt_encoder.point_embeddings.0.weight"
MARK = "prompt_encoder.invalid_points.weight"


def rename(state: State) -> dict[str, Tensor]:
    """Put EfficientSAM's decoder under SAM's keys; points off the object have no embedding, which is 0."""
    if MARK not in state:
        return dict(state)
    renamed = {_official(key): value for key, value in state.items()}
    renamed[BACKGROUND] = torch.zeros_like(state[MARK])
    return renamed


def _official(key: str) -> str:
    for pattern, replacement in COMPILED:
        key = pattern.sub(replacement, key)
    return key


PLAIN_VIT = EncoderKind(
    name="plain_vit", mark=f"{PREFIX}pos_embed", config=PlainViTConfig, build=PlainViT, rename=rename
)
