"""EfficientViT image encoder (arXiv 2205.14756, 2402.05008): convolutions, then linear attention at the end.

Five stages for the L models and six for the XL models; the last three are brought to one grid and summed.
Keys and shapes are those of the published EfficientViT-SAM checkpoints.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from itertools import pairwise

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from tinysam_mobile.errors import UsageError
from tinysam_mobile.modeling.encoders.kind import PREFIX, EncoderKind
from tinysam_mobile.modeling.layers import LayerNorm2d, Resample, fold_norm

__all__ = ["EFFICIENTVIT", "EfficientViT", "EfficientViTConfig"]

NORM_EPSILON = 1e-6
ATTENTION_EPSILON = 1e-15
DOWNSAMPLING_EXPANSION = 4
BLOCKS = ("residual", "fused", "inverted", "attention")


@dataclass(frozen=True, kw_only=True)
class EfficientViTConfig:
    """EfficientViT; the defaults are those of EfficientViT-SAM-L0, an entry per stage.

    `blocks`: two 3x3 convolutions ("residual"), a 3x3 and a pointwise one ("fused"), an inverted bottleneck
    ("inverted"), or linear attention with an inverted bottleneck after it ("attention").  In the last
    `unnormed_stages` only the last convolution of a block has a batch norm.
    """

    widths: tuple[int, ...] = (32, 64, 128, 256, 512)
    depths: tuple[int, ...] = (1, 1, 1, 4, 4)
    blocks: tuple[str, ...] = ("residual", "fused", "fused", "inverted", "attention")
    expansions: tuple[int, ...] = (1, 4, 4, 4, 6)
    unnormed_stages: int = 2
    head_dim: int = 32
    aggregation_kernel: int = 5
    neck_depth: int = 4
    neck_expansion: int = 1

    @property
    def stride(self) -> int:
        """Input pixels per embedding cell: those of the last stage but two."""
        return 1 << (len(self.widths) - 2)

    def __post_init__(self) -> None:
        if not len(self.widths) == len(self.depths) == len(self.blocks) == len(self.expansions) >= 4:
            raise UsageError("EfficientViTConfig: widths, depths, blocks, expansions: one entry per stage")
        if set(self.blocks) - set(BLOCKS) or self.blocks[0] != "residual":
            raise UsageError(
                f"EfficientViTConfig: the first stage is residual; blocks are {', '.join(BLOCKS)}"
            )


class ConvLayer(nn.Module):
    """Convolution, batch norm, GELU (by tanh), the last two optional; keys `conv` and `norm`."""

    def __init__(
        self,
        inputs: int,
        outputs: int,
        kernel_size: int = 1,
        *,
        stride: int = 1,
        groups: int = 1,
        normed: bool = True,
        bias: bool | None = None,
        active: bool = True,
    ) -> None:
        super().__init__()
        bias = not normed if bias is None else bias
        padding = kernel_size // 2
        self.conv = nn.Conv2d(inputs, outputs, kernel_size, stride, padding, groups=groups, bias=bias)
        self.norm = nn.BatchNorm2d(outputs, eps=NORM_EPSILON) if normed else None
        self.active = active

    def forward(self, x: Tensor) -> Tensor:
        x = self.conv(x)
        x = x if self.norm is None else self.norm(x)
        return F.gelu(x, approximate="tanh") if self.active else x

    def fused(self) -> nn.Module:
        """Return the same layer in evaluation mode without a batch norm."""
        if self.norm is None:
            return self
        conv = fold_norm(self.conv, self.norm)
        return nn.Sequential(conv, nn.GELU(approximate="tanh")) if self.active else conv


class ResidualConvs(nn.Module):
    """Two 3x3 convolutions: (B, C, H, W) → the same."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.conv1 = ConvLayer(channels, channels, 3)
        self.conv2 = ConvLayer(channels, channels, 3, active=False)

    def forward(self, x: Tensor) -> Tensor:
        out: Tensor = self.conv2(self.conv1(x))
        return out


class FusedBottleneck(nn.Module):
    """3x3 convolution to `hidden` channels, pointwise back: (B, inputs, H, W) → (B, outputs, H', W')."""

    def __init__(self, inputs: int, hidden: int, outputs: int, *, stride: int = 1) -> None:
        super().__init__()
        self.spatial_conv = ConvLayer(inputs, hidden, 3, stride=stride)
        self.point_conv = ConvLayer(hidden, outputs, active=False)

    def forward(self, x: Tensor) -> Tensor:
        out: Tensor = self.point_conv(self.spatial_conv(x))
        return out


class InvertedBottleneck(nn.Module):
    """Pointwise to `hidden` channels, depthwise 3x3, pointwise back; norm after the last one only."""

    def __init__(self, inputs: int, hidden: int, outputs: int, *, stride: int = 1) -> None:
        super().__init__()
        self.inverted_conv = ConvLayer(inputs, hidden, normed=False)
        self.depth_conv = ConvLayer(hidden, hidden, 3, stride=stride, groups=hidden, normed=False)
        self.point_conv = ConvLayer(hidden, outputs, active=False)

    def forward(self, x: Tensor) -> Tensor:
        out: Tensor = self.point_conv(self.depth_conv(self.inverted_conv(x)))
        return out


class WeightedAverage(nn.Module):
    """Average of the values with weights q·k, linear in the positions: all (heads, d, P).

    Half precision holds the means over positions, but not the number that keeps a position without weights
    from a division by 0.
    """

    computes_in_float32 = True

    def forward(self, q: Tensor, k: Tensor, v: Tensor) -> Tensor:
        dim = v.shape[1]
        # The last row, of ones, collects the sum of the weights.
        keyed = torch.bmm(F.pad(v, (0, 0, 0, 1), value=1.0), (k * (1 / k.shape[2])).transpose(1, 2))
        both = torch.bmm(keyed, q)
        return both[:, :dim] / (both[:, dim:] + ATTENTION_EPSILON)


class LinearAttention(nn.Module):
    """ReLU linear attention at two scales, the second one a depthwise convolution away.

    (B, C, H, W) → the same.
    """

    def __init__(self, channels: int, head_dim: int, kernel_size: int) -> None:
        super().__init__()
        self.head_dim = head_dim
        width = 3 * channels
        self.qkv = ConvLayer(channels, width, normed=False, bias=False, active=False)
        depthwise = nn.Conv2d(width, width, kernel_size, padding=kernel_size // 2, groups=width, bias=False)
        pointwise = nn.Conv2d(width, width, 1, groups=width // head_dim, bias=False)
        self.aggreg = nn.ModuleList([nn.Sequential(depthwise, pointwise)])
        self.proj = ConvLayer(2 * channels, channels, active=False)
        self.average = WeightedAverage()

    def forward(self, x: Tensor) -> Tensor:
        batch, _, height, width = x.shape
        one = self.qkv(x)
        both = torch.cat([one, self.aggreg[0](one)], dim=1)
        # A head's query, key and value lie side by side.
        heads = both.reshape(-1, 3 * self.head_dim, height * width)
        q, k, v = heads.split(self.head_dim, dim=1)
        average = self.average(F.relu(q), F.relu(k), v)
        out: Tensor = self.proj(average.reshape(batch, -1, height, width))
        return out


class Residual(nn.Module):
    """`main`, with its input added unless the shapes differ."""

    def __init__(self, main: nn.Module, *, shortcut: bool = True) -> None:
        super().__init__()
        self.main = main
        self.shortcut = shortcut

    def forward(self, x: Tensor) -> Tensor:
        out: Tensor = x + self.main(x) if self.shortcut else self.main(x)
        return out


class AttentionBlock(nn.Module):
    """Linear attention, then an inverted bottleneck: (B, C, H, W) → the same."""

    def __init__(self, channels: int, expansion: int, config: EfficientViTConfig) -> None:
        super().__init__()
        attention = LinearAttention(channels, config.head_dim, config.aggregation_kernel)
        self.context_module = Residual(attention)
        self.local_module = Residual(InvertedBottleneck(channels, channels * expansion, channels))

    def forward(self, x: Tensor) -> Tensor:
        out: Tensor = self.local_module(self.context_module(x))
        return out


class OpList(nn.Module):
    """Modules one after the other under the published name `op_list`."""

    def __init__(self, *modules: nn.Module) -> None:
        super().__init__()
        self.op_list = nn.Sequential(*modules)

    def forward(self, x: Tensor) -> Tensor:
        out: Tensor = self.op_list(x)
        return out


def _stage(config: EfficientViTConfig, index: int, inputs: int) -> OpList:
    """A convolution or block of stride 2, then `depth` blocks at the new width."""
    width, kind, expansion = config.widths[index], config.blocks[index], config.expansions[index]
    if index == 0:
        first: nn.Module = ConvLayer(inputs, width, 3, stride=2)
    else:
        hidden = inputs * expansion * DOWNSAMPLING_EXPANSION
        is_normed = index < len(config.widths) - config.unnormed_stages
        bottleneck = FusedBottleneck if is_normed else InvertedBottleneck
        first = Residual(bottleneck(inputs, hidden, width, stride=2), shortcut=False)
    blocks: dict[str, Callable[[], nn.Module]] = {
        "residual": lambda: Residual(ResidualConvs(width)),
        "fused": lambda: Residual(FusedBottleneck(width, width * expansion, width)),
        "inverted": lambda: Residual(InvertedBottleneck(width, width * expansion, width)),
        "attention": lambda: AttentionBlock(width, expansion, config),
    }
    return OpList(first, *(blocks[kind]() for _ in range(config.depths[index])))


class Backbone(nn.Module):
    """(B, 3, S, S) → the feature maps of the last three stages, the smallest first."""

    def __init__(self, config: EfficientViTConfig) -> None:
        super().__init__()
        pairs = enumerate(pairwise((3, *config.widths)))
        self.stages = nn.ModuleList(_stage(config, index, inputs) for index, (inputs, _) in pairs)

    def forward(self, image: Tensor) -> list[Tensor]:
        maps = [image]
        for stage in self.stages:
            maps.append(stage(maps[-1]))
        return maps[:-4:-1]


class Neck(nn.Module):
    """Three maps of strides 4, 2 and 1 cells → their sum on the grid, refined."""

    def __init__(self, config: EfficientViTConfig, *, grid_size: int, out_channels: int) -> None:
        super().__init__()
        inputs = config.widths[:-4:-1]
        self.input_ops = nn.ModuleList(
            OpList(
                ConvLayer(channels, out_channels, active=False),
                Resample(grid_size // cells, grid_size, "bicubic") if cells > 1 else nn.Identity(),
            )
            for channels, cells in zip(inputs, (4, 2, 1), strict=True)
        )
        hidden = out_channels * config.neck_expansion
        self.middle = OpList(
            *(Residual(FusedBottleneck(out_channels, hidden, out_channels)) for _ in range(config.neck_depth))
        )
        last = ConvLayer(out_channels, out_channels, normed=False, active=False)
        self.output_ops = nn.ModuleList([OpList(last)])

    def forward(self, maps: list[Tensor]) -> Tensor:
        first, second, third = (op(x) for op, x in zip(self.input_ops, maps, strict=True))
        out: Tensor = self.output_ops[0](self.middle(first + second + third))
        return out


class EfficientViT(nn.Module):
    """(B, 3, S, S) normalised RGB → (B, out_channels, S/stride, S/stride) image embedding."""

    def __init__(self, config: EfficientViTConfig, *, image_size: int, out_channels: int) -> None:
        super().__init__()
        self.backbone = Backbone(config)
        self.neck = Neck(config, grid_size=image_size // config.stride, out_channels=out_channels)
        self.norm = LayerNorm2d(out_channels)

    def forward(self, image: Tensor) -> Tensor:
        out: Tensor = self.norm(self.neck(self.backbone(image)))
        return out


EFFICIENTVIT = EncoderKind(
    name="efficientvit",
    mark=f"{PREFIX}backbone.stages.0.op_list.0.conv.weight",
    config=EfficientViTConfig,
    build=EfficientViT,
)
