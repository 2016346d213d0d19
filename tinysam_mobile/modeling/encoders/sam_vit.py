"""SAM's image encoder, a plain ViT with windows (arXiv 2304.02643, appendix A; arXiv 2203.16527): a teacher.

Keys and shapes are those of the published `sam_vit_b`, `sam_vit_l` and `sam_vit_h` files.  It is run in
PyTorch only, so it is written for reading, not for exporters.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from tinysam_mobile.errors import UsageError
from tinysam_mobile.modeling.encoders.kind import EncoderKind
from tinysam_mobile.modeling.layers import LayerNorm2d

__all__ = ["SAM_VIT", "SamViT", "SamViTConfig"]

NORM_EPSILON = 1e-6


@dataclass(frozen=True, kw_only=True)
class SamViTConfig:
    """SAM's ViT encoder (arXiv 2304.02643, appendix A); `global_layers` attend to the whole grid.

    Its position embeddings hold for one image size, 1024 in the published files.
    """

    embed_dim: int = 768
    depth: int = 12
    num_heads: int = 12
    global_layers: tuple[int, ...] = (2, 5, 8, 11)
    window_size: int = 14
    mlp_ratio: float = 4.0
    stride: int = 16

    def __post_init__(self) -> None:
        if self.embed_dim % self.num_heads:
            raise UsageError(f"SamViTConfig: {self.num_heads} heads do not divide width {self.embed_dim}")


class PatchEmbed(nn.Module):
    """(B, 3, S, S) → (B, S/stride, S/stride, dim)."""

    def __init__(self, dim: int, stride: int) -> None:
        super().__init__()
        self.proj = nn.Conv2d(3, dim, stride, stride=stride)

    def forward(self, image: Tensor) -> Tensor:
        out: Tensor = self.proj(image).permute(0, 2, 3, 1)
        return out


def relative_table(embedding: Tensor, size: int) -> Tensor:
    """Rows of `embedding` (2·size − 1, d) for every pair of positions: (size, size, d), query first."""
    place = torch.arange(size, device=embedding.device)
    return embedding[place.unsqueeze(1) - place.unsqueeze(0) + size - 1]


class Attention(nn.Module):
    """Multi-head attention over a square, with decomposed relative positions (arXiv 2112.01526)."""

    def __init__(self, dim: int, num_heads: int, size: int) -> None:
        super().__init__()
        self.num_heads = num_heads
        self.size = size
        self.qkv = nn.Linear(dim, 3 * dim)
        self.proj = nn.Linear(dim, dim)
        self.rel_pos_h = nn.Parameter(torch.zeros(2 * size - 1, dim // num_heads))
        self.rel_pos_w = nn.Parameter(torch.zeros(2 * size - 1, dim // num_heads))

    def forward(self, x: Tensor) -> Tensor:
        """(B, size, size, dim) → the same."""
        batch, height, width, dim = x.shape
        qkv = self.qkv(x).view(batch, height * width, 3, self.num_heads, dim // self.num_heads)
        q, k, v = qkv.permute(2, 0, 3, 1, 4).flatten(1, 2).unbind(0)
        rows = q.view(-1, height, width, dim // self.num_heads)
        by_row = torch.einsum("bhwd,hkd->bhwk", rows, relative_table(self.rel_pos_h, self.size))
        by_column = torch.einsum("bhwd,wkd->bhwk", rows, relative_table(self.rel_pos_w, self.size))
        bias = by_row.unsqueeze(-1) + by_column.unsqueeze(-2)
        out = F.scaled_dot_product_attention(
            q, k, v, attn_mask=bias.reshape(-1, height * width, height * width)
        )
        merged = out.view(batch, self.num_heads, height, width, -1).permute(0, 2, 3, 1, 4)
        projected: Tensor = self.proj(merged.reshape(batch, height, width, dim))
        return projected


class FeedForward(nn.Module):
    """(..., dim) → (..., dim) with GELU."""

    def __init__(self, dim: int, hidden: int) -> None:
        super().__init__()
        self.lin1 = nn.Linear(dim, hidden)
        self.lin2 = nn.Linear(hidden, dim)

    def forward(self, x: Tensor) -> Tensor:
        out: Tensor = self.lin2(F.gelu(self.lin1(x)))
        return out


class Block(nn.Module):
    """Attention in windows, or over the whole grid where `window_size` is 0, then the MLP."""

    def __init__(self, config: SamViTConfig, *, window_size: int, grid_size: int) -> None:
        super().__init__()
        dim = config.embed_dim
        self.window_size = window_size
        self.norm1 = nn.LayerNorm(dim, eps=NORM_EPSILON)
        self.attn = Attention(dim, config.num_heads, window_size or grid_size)
        self.norm2 = nn.LayerNorm(dim, eps=NORM_EPSILON)
        self.mlp = FeedForward(dim, int(dim * config.mlp_ratio))

    def forward(self, x: Tensor) -> Tensor:
        """(B, H, W, dim) → the same."""
        normed = self.norm1(x)
        x = x + (self._windowed(normed) if self.window_size else self.attn(normed))
        out: Tensor = x + self.mlp(self.norm2(x))
        return out

    def _windowed(self, x: Tensor) -> Tensor:
        # Zero padding comes after the norm here, unlike in TinyViT, and takes part in attention.
        batch, height, width, dim = x.shape
        side = self.window_size
        x = F.pad(x, (0, 0, 0, -width % side, 0, -height % side))
        rows, columns = x.shape[1] // side, x.shape[2] // side
        x = x.view(batch, rows, side, columns, side, dim).transpose(2, 3).reshape(-1, side, side, dim)
        x = self.attn(x).view(batch, rows, columns, side, side, dim).transpose(2, 3)
        return x.reshape(batch, rows * side, columns * side, dim)[:, :height, :width]


class SamViT(nn.Module):
    """(B, 3, S, S) normalised RGB → (B, out_channels, S/16, S/16) embedding; the weights fix S."""

    def __init__(self, config: SamViTConfig, *, image_size: int, out_channels: int) -> None:
        super().__init__()
        self.stride = config.stride
        self.channels = out_channels
        grid = image_size // config.stride
        self.patch_embed = PatchEmbed(config.embed_dim, config.stride)
        self.pos_embed = nn.Parameter(torch.zeros(1, grid, grid, config.embed_dim))
        self.blocks = nn.ModuleList(
            Block(config, window_size=0 if i in config.global_layers else config.window_size, grid_size=grid)
            for i in range(config.depth)
        )
        self.neck = nn.Sequential(
            nn.Conv2d(config.embed_dim, out_channels, 1, bias=False),
            LayerNorm2d(out_channels),
            nn.Conv2d(out_channels, out_channels, 3, padding=1, bias=False),
            LayerNorm2d(out_channels),
        )

    def forward(self, image: Tensor) -> Tensor:
        x = self.patch_embed(image) + self.pos_embed
        for block in self.blocks:
            x = block(x)
        out: Tensor = self.neck(x.permute(0, 3, 1, 2))
        return out


SAM_VIT = EncoderKind(name="sam_vit", config=SamViTConfig, build=SamViT)
