"""EdgeTAM's image encoder (arXiv 2501.07256): timm's RepViT-M1 with SAM 2's neck.

The token mixers are those of EdgeSAM; the blocks that change the width differ, and the keys are timm's.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch.nn.functional as F
from torch import Tensor, nn

from tinysam_mobile.errors import UsageError
from tinysam_mobile.modeling.encoders.kind import PREFIX, EncoderKind
from tinysam_mobile.modeling.encoders.repvit import RepDepthwise, SqueezeExcite
from tinysam_mobile.modeling.encoders.skip_neck import SkipNeck, rename_sam2
from tinysam_mobile.modeling.layers import ConvNorm

__all__ = ["EDGETAM", "EdgeTAMConfig", "EdgeTAMEncoder"]


@dataclass(frozen=True, kw_only=True)
class EdgeTAMConfig:
    """Four stages of `widths` channels and `depths` blocks, every other one with squeeze-and-excitation."""

    widths: tuple[int, ...] = (48, 96, 192, 384)
    depths: tuple[int, ...] = (2, 2, 14, 2)

    @property
    def stride(self) -> int:
        """Input pixels per embedding cell."""
        return 16

    def __post_init__(self) -> None:
        if len(self.widths) != 4 or len(self.depths) != 4:
            raise UsageError("EdgeTAMConfig: widths and depths have four entries")


class ChannelMixer(nn.Module):
    """x + an MLP of two pointwise convolutions: (B, C, H, W) → the same."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.conv1 = ConvNorm(channels, 2 * channels, 1)
        self.conv2 = ConvNorm(2 * channels, channels, 1)

    def forward(self, x: Tensor) -> Tensor:
        out: Tensor = x + self.conv2(F.gelu(self.conv1(x)))
        return out


class Block(nn.Module):
    """Token mixer, squeeze-and-excitation or none, channel mixer: (B, C, H, W) → the same."""

    def __init__(self, channels: int, *, squeezed: bool) -> None:
        super().__init__()
        self.token_mixer = RepDepthwise(channels, branch_norm=True)
        self.se = SqueezeExcite(channels) if squeezed else nn.Identity()
        self.channel_mixer = ChannelMixer(channels)

    def forward(self, x: Tensor) -> Tensor:
        out: Tensor = self.channel_mixer(self.se(self.token_mixer(x)))
        return out


class Downsample(nn.Module):
    """A block, then half the side and another width: (B, inputs, H, W) → (B, outputs, H/2, W/2)."""

    def __init__(self, inputs: int, outputs: int) -> None:
        super().__init__()
        self.pre_block = Block(inputs, squeezed=False)
        self.spatial_downsample = ConvNorm(inputs, inputs, 3, stride=2, padding=1, groups=inputs)
        self.channel_downsample = ConvNorm(inputs, outputs, 1)
        self.ffn = ChannelMixer(outputs)

    def forward(self, x: Tensor) -> Tensor:
        x = self.channel_downsample(self.spatial_downsample(self.pre_block(x)))
        out: Tensor = self.ffn(x)
        return out


class Stage(nn.Module):
    """Downsampling, but in the first stage, and the blocks."""

    def __init__(self, inputs: int, outputs: int, depth: int, *, is_first: bool) -> None:
        super().__init__()
        self.downsample = nn.Identity() if is_first else Downsample(inputs, outputs)
        self.blocks = nn.Sequential(*(Block(outputs, squeezed=index % 2 == 0) for index in range(depth)))

    def forward(self, x: Tensor) -> Tensor:
        out: Tensor = self.blocks(self.downsample(x))
        return out


class Stem(nn.Module):
    """Two strided convolutions: (B, 3, S, S) → (B, channels, S/4, S/4)."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.conv1 = ConvNorm(3, channels // 2, 3, stride=2, padding=1)
        self.conv2 = ConvNorm(channels // 2, channels, 3, stride=2, padding=1)

    def forward(self, image: Tensor) -> Tensor:
        out: Tensor = self.conv2(F.gelu(self.conv1(image)))
        return out


class Body(nn.Module):
    """(B, 3, S, S) → the maps of the four stages, (B, H, W, C) with strides 4, 8, 16, 32."""

    def __init__(self, config: EdgeTAMConfig) -> None:
        super().__init__()
        self.stem = Stem(config.widths[0])
        before = config.widths[0]
        for index, (width, depth) in enumerate(zip(config.widths, config.depths, strict=True)):
            self.add_module(f"stages_{index}", Stage(before, width, depth, is_first=index == 0))
            before = width

    def forward(self, image: Tensor) -> list[Tensor]:
        x = self.stem(image)
        maps = []
        for index in range(4):
            x = self.get_submodule(f"stages_{index}")(x)
            maps.append(x.permute(0, 2, 3, 1))
        return maps


class Trunk(nn.Module):
    """The body under the published name."""

    def __init__(self, config: EdgeTAMConfig) -> None:
        super().__init__()
        self.body = Body(config)

    def forward(self, image: Tensor) -> list[Tensor]:
        out: list[Tensor] = self.body(image)
        return out


class EdgeTAMEncoder(SkipNeck):
    """(B, 3, S, S) normalised RGB → embedding (B, C, S/16, S/16) and the two maps of `SkipNeck.skips`."""

    def __init__(self, config: EdgeTAMConfig, *, image_size: int, out_channels: int) -> None:
        super().__init__(config.widths, grid_size=image_size // config.stride, out_channels=out_channels)
        self.trunk = Trunk(config)

    def forward(self, image: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        return self.skips(self.trunk(image))


EDGETAM = EncoderKind(
    name="edgetam",
    mark=f"{PREFIX}trunk.body.stem.conv1.c.weight",
    config=EdgeTAMConfig,
    build=EdgeTAMEncoder,
    rename=rename_sam2,
)
