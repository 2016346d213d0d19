"""SAM 2's image encoder: Hiera (arXiv 2306.00989, 2408.00714), a ViT in four stages, with a feature pyramid.

Keys and shapes are those of the image path of the published checkpoints.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from tinysam_mobile.errors import UsageError
from tinysam_mobile.modeling.encoders.kind import PREFIX, EncoderKind
from tinysam_mobile.modeling.encoders.skip_neck import SkipNeck, rename_sam2
from tinysam_mobile.modeling.layers import (
    Resample,
    attended,
    plain_attention,
    thirds,
    window_merge,
    window_partition,
)

__all__ = ["HIERA", "Hiera", "HieraConfig"]

NORM_EPSILON = 1e-6
PATCH_STRIDE = 4


@dataclass(frozen=True, kw_only=True)
class HieraConfig:
    """Hiera; the defaults are those of SAM 2's tiny model.

    `depths` and `window_sizes` have an entry per stage, of which each doubles width and heads;
    `global_blocks` attend to the whole grid.  Positions are trained on a grid of side `position_grid`, and
    within a window of side `position_window`.
    """

    embed_dim: int = 96
    num_heads: int = 1
    depths: tuple[int, ...] = (1, 2, 7, 2)
    window_sizes: tuple[int, ...] = (8, 4, 14, 7)
    global_blocks: tuple[int, ...] = (5, 7, 9)
    position_grid: int = 7
    position_window: int = 8

    @property
    def stride(self) -> int:
        """Input pixels per embedding cell."""
        return 16

    @property
    def widths(self) -> tuple[int, ...]:
        """Channels of each stage."""
        return tuple(self.embed_dim << stage for stage in range(len(self.depths)))

    def __post_init__(self) -> None:
        if len(self.depths) != 4 or len(self.window_sizes) != 4:
            raise UsageError("HieraConfig: depths and window_sizes have four entries")
        if self.embed_dim % self.num_heads or any(size % 2 for size in self.window_sizes[:3]):
            raise UsageError("HieraConfig: heads divide the width, and windows of pooled blocks are even")


class Attention(nn.Module):
    """Multi-head attention inside windows, with pooled queries where a stage begins."""

    def __init__(self, inputs: int, outputs: int, num_heads: int, *, pooled: bool) -> None:
        super().__init__()
        self.num_heads = num_heads
        self.pooled = pooled
        self.scale = (outputs // num_heads) ** -0.5
        self.qkv = nn.Linear(inputs, 3 * outputs)
        self.proj = nn.Linear(outputs, outputs)

    def forward(self, x: Tensor, side: int) -> Tensor:
        """(windows, side², inputs) → (windows, side² or a quarter of it, outputs)."""
        q, k, v = thirds(self.qkv(x))
        if self.pooled:
            q = pool(q.reshape(-1, side, side, q.shape[-1])).flatten(1, 2)
        return attended(q * self.scale, k, v, self.num_heads, self.proj, plain_attention)


def pool(x: Tensor) -> Tensor:
    """Largest of each 2x2 cells: (B, H, W, C) → (B, H/2, W/2, C)."""
    # The stride is the default, but coremltools wants it said.
    return F.max_pool2d(x.permute(0, 3, 1, 2), 2, 2).permute(0, 2, 3, 1)


class FeedForward(nn.Module):
    """(..., dim) → (..., dim) with GELU, under the published name `layers`."""

    def __init__(self, dim: int) -> None:
        super().__init__()
        self.layers = nn.ModuleList([nn.Linear(dim, 4 * dim), nn.Linear(4 * dim, dim)])

    def forward(self, x: Tensor) -> Tensor:
        out: Tensor = self.layers[1](F.gelu(self.layers[0](x)))
        return out


class Block(nn.Module):
    """Attention in windows (over the whole grid if `window_size` is 0), then the MLP.

    A block that begins a stage changes the width and pools its queries, and its skip, by two.
    """

    def __init__(self, inputs: int, outputs: int, num_heads: int, window_size: int) -> None:
        super().__init__()
        self.window_size = window_size
        self.pooled = inputs != outputs
        self.norm1 = nn.LayerNorm(inputs, eps=NORM_EPSILON)
        self.attn = Attention(inputs, outputs, num_heads, pooled=self.pooled)
        self.norm2 = nn.LayerNorm(outputs, eps=NORM_EPSILON)
        self.mlp = FeedForward(outputs)
        if self.pooled:
            self.proj = nn.Linear(inputs, outputs)

    def forward(self, x: Tensor) -> Tensor:
        """(B, H, W, inputs) → (B, H or H/2, W or W/2, outputs)."""
        normed = self.norm1(x)
        skip = pool(self.proj(normed)) if self.pooled else x
        x = skip + self._attended(normed, skip.shape[1])
        out: Tensor = x + self.mlp(self.norm2(x))
        return out

    def _attended(self, x: Tensor, out_side: int) -> Tensor:
        # The zero padding comes after the norm and takes part in attention, as in the reference.
        batch, height, width, _ = x.shape
        side = self.window_size or height
        bottom, right = -height % side, -width % side
        if bottom or right:
            x = F.pad(x, (0, 0, 0, right, 0, bottom))
        x = self.attn(window_partition(x, side), side)
        shrink = 2 if self.pooled else 1
        rows, columns = (height + bottom) // shrink, (width + right) // shrink
        x = window_merge(x, side // shrink, batch, rows, columns)
        return x[:, :out_side, :out_side] if bottom or right else x


class PatchEmbed(nn.Module):
    """(B, 3, S, S) → (B, dim, S/4, S/4)."""

    def __init__(self, dim: int) -> None:
        super().__init__()
        self.proj = nn.Conv2d(3, dim, 7, PATCH_STRIDE, 3)

    def forward(self, image: Tensor) -> Tensor:
        out: Tensor = self.proj(image)
        return out


class Trunk(nn.Module):
    """(B, 3, S, S) → the maps of the four stages, (B, H, W, C) with strides 4, 8, 16, 32."""

    def __init__(self, config: HieraConfig, *, image_size: int) -> None:
        super().__init__()
        dim, grid, window = config.embed_dim, image_size // PATCH_STRIDE, config.position_window
        self.window = window
        self.patch_embed = PatchEmbed(dim)
        self.pos_embed = nn.Parameter(torch.zeros(1, dim, config.position_grid, config.position_grid))
        self.pos_embed_window = nn.Parameter(torch.zeros(1, dim, window, window))
        self.resample = Resample(config.position_grid, grid, "bicubic")
        self.blocks = nn.ModuleList(_blocks(config))
        self.ends = [sum(config.depths[: stage + 1]) - 1 for stage in range(len(config.depths))]

    def forward(self, image: Tensor) -> list[Tensor]:
        x = (self.patch_embed(image) + self.resample(self.pos_embed)).permute(0, 2, 3, 1)
        x = self._with_window_positions(x)
        maps = []
        for index, block in enumerate(self.blocks):
            x = block(x)
            if index in self.ends:
                maps.append(x)
        return maps

    def _with_window_positions(self, x: Tensor) -> Tensor:
        """Add the positions within a window to every window; a tiled copy would be larger than the block."""
        batch, height, width, dim = x.shape
        side = self.window
        rows = x.reshape(batch * height // side, side, width // side, side * dim)
        placed = rows + self.pos_embed_window.permute(0, 2, 3, 1).reshape(1, side, 1, side * dim)
        return placed.view(batch, height, width, dim)


def _blocks(config: HieraConfig) -> list[Block]:
    """The blocks; one that begins a stage still has the windows of the stage before."""
    blocks: list[Block] = []
    width = config.widths[0]
    for stage, depth in enumerate(config.depths):
        for place in range(depth):
            window = config.window_sizes[stage - 1 if stage and not place else stage]
            window = 0 if len(blocks) in config.global_blocks else window
            blocks.append(Block(width, config.widths[stage], config.num_heads << stage, window))
            width = config.widths[stage]
    return blocks


class Hiera(SkipNeck):
    """(B, 3, S, S) normalised RGB → embedding (B, C, S/16, S/16) and the two maps of `SkipNeck.skips`."""

    def __init__(self, config: HieraConfig, *, image_size: int, out_channels: int) -> None:
        super().__init__(config.widths, grid_size=image_size // config.stride, out_channels=out_channels)
        self.trunk = Trunk(config, image_size=image_size)

    def forward(self, image: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        return self.skips(self.trunk(image))


HIERA = EncoderKind(
    name="hiera",
    mark=f"{PREFIX}trunk.pos_embed_window",
    config=HieraConfig,
    build=Hiera,
    rename=rename_sam2,
)
