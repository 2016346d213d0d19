"""TinyViT image encoder (arXiv 2207.10666) with SAM's neck, as TinySAM and MobileSAM use it.

Stage 0 is convolutional (MBConv); stages 1 to 3 alternate window attention, a depthwise local
convolution and an MLP.  Keys and shapes are those of the published checkpoints.
"""

from __future__ import annotations

from dataclasses import dataclass
from math import isqrt, prod

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from tinysam_mobile.errors import UsageError
from tinysam_mobile.modeling.encoders.kind import PREFIX, EncoderKind
from tinysam_mobile.modeling.layers import (
    ConvNorm,
    LayerNorm2d,
    head_merge,
    head_split,
    window_merge,
    window_partition,
)

__all__ = ["TINY_VIT", "TinyViT", "TinyViTConfig"]

PATCH_EMBED_STRIDE = 4


@dataclass(frozen=True, kw_only=True)
class TinyViTConfig:
    """TinyViT encoder (arXiv 2207.10666): four stages, the first one convolutional.

    `merge_strides` are the strides of the three patch mergings; the published network has 1 in the
    last so that the embedding's stride is 16.
    """

    embed_dims: tuple[int, ...] = (64, 128, 160, 320)
    depths: tuple[int, ...] = (2, 2, 6, 2)
    num_heads: tuple[int, ...] = (2, 4, 5, 10)
    window_sizes: tuple[int, ...] = (7, 7, 14, 7)
    merge_strides: tuple[int, ...] = (2, 2, 1)
    mlp_ratio: float = 4.0
    mbconv_expand_ratio: float = 4.0
    local_conv_size: int = 3
    classifier_classes: int = 0
    """Classes of the unused ImageNet head that published files carry; 0 leaves it out."""

    @property
    def stride(self) -> int:
        """Input pixels per embedding cell, in each direction."""
        return PATCH_EMBED_STRIDE * prod(self.merge_strides)

    def __post_init__(self) -> None:
        stages = len(self.embed_dims)
        if (
            not len(self.depths)
            == len(self.num_heads)
            == len(self.window_sizes)
            == len(self.merge_strides) + 1
            == stages
        ):
            raise UsageError(
                "TinyViTConfig: depths, num_heads, window_sizes: one entry per stage; merge_strides: one less"
            )
        for dim, heads in zip(self.embed_dims[1:], self.num_heads[1:], strict=True):
            if dim % heads:
                raise UsageError(f"TinyViTConfig: {heads} heads do not divide width {dim}")


class PatchEmbed(nn.Module):
    """Two strided convolutions: (B, 3, S, S) → (B, dim, S/4, S/4)."""

    def __init__(self, dim: int) -> None:
        super().__init__()
        self.seq = nn.Sequential(
            ConvNorm(3, dim // 2, 3, stride=2, padding=1),
            nn.GELU(),
            ConvNorm(dim // 2, dim, 3, stride=2, padding=1),
        )

    def forward(self, x: Tensor) -> Tensor:
        out: Tensor = self.seq(x)
        return out


class MBConv(nn.Module):
    """Inverted residual: 1x1 expand, 3x3 depthwise, 1x1 project; (B, dim, H, W) → the same."""

    def __init__(self, dim: int, expand_ratio: float) -> None:
        super().__init__()
        hidden = int(dim * expand_ratio)
        self.conv1 = ConvNorm(dim, hidden, 1)
        self.conv2 = ConvNorm(hidden, hidden, 3, padding=1, groups=hidden)
        self.conv3 = ConvNorm(hidden, dim, 1)

    def forward(self, x: Tensor) -> Tensor:
        return F.gelu(x + self.conv3(F.gelu(self.conv2(F.gelu(self.conv1(x))))))


class PatchMerging(nn.Module):
    """Change of width and, with stride 2, of resolution: (B, dim, H, W) → (B, out, H/stride, W/stride)."""

    def __init__(self, dim: int, out_dim: int, stride: int) -> None:
        super().__init__()
        self.conv1 = ConvNorm(dim, out_dim, 1)
        self.conv2 = ConvNorm(out_dim, out_dim, 3, stride=stride, padding=1, groups=out_dim)
        self.conv3 = ConvNorm(out_dim, out_dim, 1)

    def forward(self, x: Tensor) -> Tensor:
        out: Tensor = self.conv3(F.gelu(self.conv2(F.gelu(self.conv1(x)))))
        return out


def offset_sizes(window_size: int) -> Tensor:
    """Return |i − j| for every pair of positions along one side of a window: int64 (window_size²,)."""
    side = torch.arange(window_size)
    return (side.unsqueeze(1) - side).abs().view(-1)


class WindowAttention(nn.Module):
    """Multi-head attention inside windows with a learned bias per relative offset.

    `qkv` holds, head by head, query, key and value rows; `attention_biases` the bias of |Δy|, |Δx| in row
    |Δy|·window_size + |Δx|.
    """

    offset_sizes: Tensor

    def __init__(self, dim: int, num_heads: int, window_size: int) -> None:
        super().__init__()
        self.num_heads = num_heads
        self.scale = (dim // num_heads) ** -0.5
        self.norm = nn.LayerNorm(dim)
        self.qkv = nn.Linear(dim, 3 * dim)
        self.proj = nn.Linear(dim, dim)
        self.attention_biases = nn.Parameter(torch.zeros(num_heads, window_size**2))
        self.register_buffer("offset_sizes", offset_sizes(window_size), persistent=False)

    def forward(self, x: Tensor) -> Tensor:
        """(windows, T, dim) → (windows, T, dim), T = window_size²."""
        windows, length, dim = x.shape
        query, key, value = head_split(self.qkv(self.norm(x)), self.num_heads).split(
            dim // self.num_heads, dim=-1
        )
        scores = torch.bmm(query * self.scale, key.transpose(1, 2)).view(
            windows, self.num_heads, length, length
        )
        weights = torch.softmax(scores + self.pair_biases(), dim=-1)
        weights = weights.view(windows * self.num_heads, length, length)
        out: Tensor = self.proj(head_merge(torch.bmm(weights, value), self.num_heads))
        return out

    def pair_biases(self) -> Tensor:
        """The bias of every pair of window positions in raster order: (heads, T, T).

        Gathered at each call, since a cached copy can go stale when weights are loaded later; and side by
        side, since one index of all pairs is larger in a file than the weights of the block.
        """
        heads, length = self.attention_biases.shape
        side = isqrt(length)
        offsets = self.attention_biases.view(heads, side, side)
        pairs = offsets.index_select(1, self.offset_sizes).index_select(2, self.offset_sizes)
        return pairs.view(heads * side, side, side, side).permute(0, 2, 1, 3).reshape(heads, length, length)


class FeedForward(nn.Module):
    """Pre-norm MLP with GELU: (..., dim) → (..., dim)."""

    def __init__(self, dim: int, hidden: int) -> None:
        super().__init__()
        self.norm = nn.LayerNorm(dim)
        self.fc1 = nn.Linear(dim, hidden)
        self.fc2 = nn.Linear(hidden, dim)

    def forward(self, x: Tensor) -> Tensor:
        out: Tensor = self.fc2(F.gelu(self.fc1(self.norm(x))))
        return out


class TinyViTBlock(nn.Module):
    """Window attention, local depthwise convolution, MLP; (B, H, W, C) → the same."""

    def __init__(
        self, dim: int, num_heads: int, window_size: int, *, mlp_ratio: float, local_conv_size: int
    ) -> None:
        super().__init__()
        self.window_size = window_size
        self.attn = WindowAttention(dim, num_heads, window_size)
        self.mlp = FeedForward(dim, int(dim * mlp_ratio))
        self.local_conv = ConvNorm(dim, dim, local_conv_size, padding=local_conv_size // 2, groups=dim)

    def forward(self, x: Tensor) -> Tensor:
        x = x + self._windowed(x)
        x = self.local_conv(x.permute(0, 3, 1, 2)).permute(0, 2, 3, 1)
        out: Tensor = x + self.mlp(x)
        return out

    def _windowed(self, x: Tensor) -> Tensor:
        # The zero padding comes before the attention's layer norm and takes part in attention, as in
        # the reference: results depend on it.
        batch, height, width, _ = x.shape
        bottom, right = -height % self.window_size, -width % self.window_size
        if bottom or right:
            x = F.pad(x, (0, 0, 0, right, 0, bottom))
        x = self.attn(window_partition(x, self.window_size))
        x = window_merge(x, self.window_size, batch, height + bottom, width + right)
        return x[:, :height, :width] if bottom or right else x


class ConvStage(nn.Module):
    """Stage 0: MBConv blocks, then the merging; (B, C, H, W) → (B, C', H', W')."""

    def __init__(self, dim: int, depth: int, expand_ratio: float, downsample: PatchMerging) -> None:
        super().__init__()
        self.blocks = nn.ModuleList(MBConv(dim, expand_ratio) for _ in range(depth))
        self.downsample = downsample

    def forward(self, x: Tensor) -> Tensor:
        for block in self.blocks:
            x = block(x)
        out: Tensor = self.downsample(x)
        return out


class AttentionStage(nn.Module):
    """Stages 1 to 3: attention blocks, then the merging if there is one; (B, C, H, W) → (B, C', H', W')."""

    def __init__(self, config: TinyViTConfig, stage: int, downsample: PatchMerging | None) -> None:
        super().__init__()
        self.blocks = nn.ModuleList(
            TinyViTBlock(
                config.embed_dims[stage],
                config.num_heads[stage],
                config.window_sizes[stage],
                mlp_ratio=config.mlp_ratio,
                local_conv_size=config.local_conv_size,
            )
            for _ in range(config.depths[stage])
        )
        self.downsample = downsample

    def forward(self, x: Tensor) -> Tensor:
        x = x.permute(0, 2, 3, 1)
        for block in self.blocks:
            x = block(x)
        x = x.permute(0, 3, 1, 2)
        return x if self.downsample is None else self.downsample(x)


class TinyViT(nn.Module):
    """(B, 3, S, S) normalised RGB → (B, out_channels, S/stride, S/stride) image embedding."""

    def __init__(self, config: TinyViTConfig, *, image_size: int, out_channels: int) -> None:
        super().__init__()
        if image_size % config.stride:
            raise UsageError(f"TinyViT: image_size must be a multiple of {config.stride}, not {image_size}")
        self.stride = config.stride
        self.channels = out_channels
        dims = config.embed_dims
        mergings: list[PatchMerging | None] = [
            PatchMerging(dims[i], dims[i + 1], stride) for i, stride in enumerate(config.merge_strides)
        ]
        first = mergings[0]
        assert first is not None
        self.patch_embed = PatchEmbed(dims[0])
        self.layers = nn.ModuleList([ConvStage(dims[0], config.depths[0], config.mbconv_expand_ratio, first)])
        for stage, merging in enumerate([*mergings[1:], None], start=1):
            self.layers.append(AttentionStage(config, stage, merging))
        if config.classifier_classes:
            # Published files carry an ImageNet head that nothing calls; with it they load as they are.
            self.norm_head = nn.LayerNorm(dims[-1])
            self.head = nn.Linear(dims[-1], config.classifier_classes)
        self.neck = nn.Sequential(
            nn.Conv2d(dims[-1], out_channels, 1, bias=False),
            LayerNorm2d(out_channels),
            nn.Conv2d(out_channels, out_channels, 3, padding=1, bias=False),
            LayerNorm2d(out_channels),
        )

    def forward(self, image: Tensor) -> Tensor:
        x = self.patch_embed(image)
        for layer in self.layers:
            x = layer(x)
        out: Tensor = self.neck(x)
        return out


TINY_VIT = EncoderKind(
    name="tiny_vit",
    mark=f"{PREFIX}patch_embed.seq.0.c.weight",
    config=TinyViTConfig,
    build=TinyViT,
    # The ImageNet head of published files, which nothing calls.
    unused=("norm_head", "head"),
)
