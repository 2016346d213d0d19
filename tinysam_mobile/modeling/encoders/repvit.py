"""RepViT image encoder (arXiv 2307.09283) with SAM's neck, as EdgeSAM and RepViT-SAM use it.

A token mixer (depthwise convolutions that add up, now and then a squeeze-and-excitation) and a channel mixer
alternate.  The parallel branches become one convolution for export.  Keys and shapes are those of the
published checkpoints; the merged form of a checkpoint loads too.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from itertools import pairwise

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from tinysam_mobile.errors import UsageError
from tinysam_mobile.modeling.encoders.kind import PREFIX, EncoderKind, State
from tinysam_mobile.modeling.layers import ConvNorm, LayerNorm2d, Resample, fold_norm, identity_norm

__all__ = ["REPVIT", "RepViT", "RepViTConfig"]

DOWNSAMPLING, SQUEEZED = "-", "1"


@dataclass(frozen=True, kw_only=True)
class RepViTConfig:
    """RepViT with four stages of `widths` channels; the defaults are EdgeSAM's.

    `blocks` has a character per block: "1" with squeeze-and-excitation, "0" without, "-" for the block that
    changes the width, with a stride of 2, or `last_stride` in the last stage.  `branch_norm`: each branch of
    a token mixer has a batch norm; otherwise the sum has one.  With `fuse` the embedding comes from the last
    two stages, the last one upsampled with the filter `upsampling`.
    """

    widths: tuple[int, ...] = (48, 96, 192, 384)
    blocks: tuple[str, ...] = ("100", "-100", "-" + 7 * "10" + "0", "-10")
    last_stride: int = 2
    branch_norm: bool = True
    fuse: bool = True
    upsampling: str = "bicubic"

    @property
    def stride(self) -> int:
        """Input pixels per embedding cell: those of the last stage but one."""
        return 16

    def __post_init__(self) -> None:
        if len(self.widths) != 4 or len(self.blocks) != 4 or not all(self.blocks):
            raise UsageError("RepViTConfig: four widths, and four stages of at least one block")
        if set("".join(self.blocks)) - set("01-") or [b.rfind("-") for b in self.blocks] != [-1, 0, 0, 0]:
            raise UsageError("RepViTConfig: blocks are 0 and 1, after one - in the later stages")
        if self.last_stride not in (1, 2) or self.fuse != (self.last_stride == 2):
            raise UsageError("RepViTConfig: last_stride is 2 with fuse, 1 without")


class RepDepthwise(nn.Module):
    """Three depthwise branches that add up, 3x3, 1x1 and identity: (B, C, H, W) → the same."""

    def __init__(self, channels: int, *, branch_norm: bool) -> None:
        super().__init__()
        self.conv = ConvNorm(channels, channels, 3, padding=1, groups=channels)
        self.conv1 = (
            ConvNorm(channels, channels, 1, groups=channels)
            if branch_norm
            else nn.Conv2d(channels, channels, 1, groups=channels)
        )
        self.bn = nn.Identity() if branch_norm else nn.BatchNorm2d(channels)

    def forward(self, x: Tensor) -> Tensor:
        out: Tensor = self.bn(self.conv(x) + self.conv1(x) + x)
        return out

    def fused(self) -> nn.Conv2d:
        """Return the one depthwise 3x3 convolution that equals the branches in evaluation mode."""
        merged = self.conv.fused()
        point = self.conv1.fused() if isinstance(self.conv1, ConvNorm) else self.conv1
        assert merged.bias is not None
        assert point.bias is not None
        with torch.no_grad():
            merged.weight[:, :, 1, 1] += point.weight[:, :, 0, 0] + 1
            merged.bias += point.bias
        return fold_norm(merged, self.bn) if isinstance(self.bn, nn.BatchNorm2d) else merged


class SqueezeExcite(nn.Module):
    """Scales each channel by what the mean of all channels says: (B, C, H, W) → the same."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        hidden = max(8, (channels // 4 + 4) // 8 * 8)
        self.fc1 = nn.Conv2d(channels, hidden, 1)
        self.fc2 = nn.Conv2d(hidden, channels, 1)

    def forward(self, x: Tensor) -> Tensor:
        mean = x.mean((2, 3), keepdim=True)
        return x * torch.sigmoid(self.fc2(F.relu(self.fc1(mean))))


class ChannelMixer(nn.Module):
    """x + an MLP of two pointwise convolutions; the list `m` numbers them as the published keys do."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        first, second = ConvNorm(channels, 2 * channels, 1), ConvNorm(2 * channels, channels, 1)
        self.m = nn.Sequential(first, nn.GELU(), second)

    def forward(self, x: Tensor) -> Tensor:
        out: Tensor = x + self.m(x)
        return out


class Block(nn.Module):
    """A token mixer and a channel mixer: (B, inputs, H, W) → (B, outputs, H', W')."""

    def __init__(self, mark: str, inputs: int, outputs: int, stride: int, *, branch_norm: bool) -> None:
        super().__init__()
        if mark == DOWNSAMPLING:
            depthwise = ConvNorm(inputs, inputs, 3, stride=stride, padding=1, groups=inputs)
            self.token_mixer = nn.Sequential(depthwise, nn.Identity(), ConvNorm(inputs, outputs, 1))
        else:
            squeeze = SqueezeExcite(outputs) if mark == SQUEEZED else nn.Identity()
            self.token_mixer = nn.Sequential(RepDepthwise(outputs, branch_norm=branch_norm), squeeze)
        self.channel_mixer = ChannelMixer(outputs)

    def forward(self, x: Tensor) -> Tensor:
        out: Tensor = self.channel_mixer(self.token_mixer(x))
        return out


class FusedStage(nn.Module):
    """The last stage on its way to the grid of the one before; `op_list` as in the published keys."""

    def __init__(self, inputs: int, outputs: int, grid_size: int, upsampling: str) -> None:
        super().__init__()
        resample = Resample(grid_size // 2, grid_size, upsampling)
        self.op_list = nn.Sequential(nn.Conv2d(inputs, outputs, 1, bias=False), resample)

    def forward(self, x: Tensor) -> Tensor:
        out: Tensor = self.op_list(x)
        return out


class RepViT(nn.Module):
    """(B, 3, S, S) normalised RGB → (B, out_channels, S/16, S/16) image embedding."""

    def __init__(self, config: RepViTConfig, *, image_size: int, out_channels: int) -> None:
        super().__init__()
        widths = config.widths
        stem = (
            ConvNorm(3, widths[0] // 2, 3, stride=2, padding=1),
            nn.GELU(),
            ConvNorm(widths[0] // 2, widths[0], 3, stride=2, padding=1),
        )
        self.features = nn.ModuleList([nn.Sequential(*stem)])
        strides = (1, 2, 2, config.last_stride)
        stages = zip(pairwise((widths[0], *widths)), config.blocks, strides, strict=True)
        for (before, width), marks, stride in stages:
            for mark in marks:
                inputs = before if mark == DOWNSAMPLING else width
                self.features.append(Block(mark, inputs, width, stride, branch_norm=config.branch_norm))
        self.last_of_grid = len(self.features) - len(config.blocks[-1]) - 1
        if config.fuse:
            self.fuse_stage2 = nn.Conv2d(widths[2], out_channels, 1, bias=False)
            self.fuse_stage3 = FusedStage(
                widths[3], out_channels, image_size // config.stride, config.upsampling
            )
        self.neck = nn.Sequential(
            nn.Conv2d(out_channels if config.fuse else widths[3], out_channels, 1, bias=False),
            LayerNorm2d(out_channels),
            nn.Conv2d(out_channels, out_channels, 3, padding=1, bias=False),
            LayerNorm2d(out_channels),
        )
        self.from_two_stages = config.fuse

    def forward(self, image: Tensor) -> Tensor:
        x = kept = image
        for index, block in enumerate(self.features):
            x = block(x)
            if index == self.last_of_grid:
                kept = x
        if self.from_two_stages:
            x = self.fuse_stage2(kept) + self.fuse_stage3(x)
        out: Tensor = self.neck(x)
        return out


MERGED = re.compile(
    rf"({re.escape(PREFIX)}features\.\d+)\.(0|2|token_mixer\.0|token_mixer\.2|channel_mixer\.m\.[02])\.weight"
)
"""Weight of a convolution into which its batch norm was folded."""


def rename(state: State) -> dict[str, Tensor]:
    """Undo the merged form, in which every batch norm and every branch is folded into one convolution.

    The folded convolution becomes the 3x3 branch, with a batch norm that changes nothing; the other branches
    become 0.  A published file, which is not merged, is returned as it is.
    """
    branch_norm = f"{PREFIX}fuse_stage2.weight" in state
    renamed: dict[str, Tensor] = {}
    for key, value in state.items():
        found = MERGED.fullmatch(key)
        if found is None:
            # The bias goes with its weight.
            if not (key.endswith(".bias") and MERGED.fullmatch(key.removesuffix("bias") + "weight")):
                renamed[key] = value
            continue
        name, bias = f"{found[1]}.{found[2]}", state.get(key.removesuffix("weight") + "bias")
        bias = torch.zeros(len(value)) if bias is None else bias
        is_branched = found[2] == "token_mixer.0" and f"{found[1]}.token_mixer.2.weight" not in state
        renamed |= (
            _branches(name, value, bias, branch_norm=branch_norm)
            if is_branched
            else {
                f"{name}.c.weight": value,
                **identity_norm(f"{name}.bn", bias),
            }
        )
    return renamed


def _branches(name: str, weight: Tensor, bias: Tensor, *, branch_norm: bool) -> dict[str, Tensor]:
    weight = weight.clone()
    weight[:, :, 1, 1] -= 1
    branches = {f"{name}.conv.c.weight": weight, **identity_norm(f"{name}.conv.bn", bias)}
    point, nothing = weight.new_zeros(len(weight), 1, 1, 1), torch.zeros_like(bias)
    if branch_norm:
        return {**branches, f"{name}.conv1.c.weight": point, **identity_norm(f"{name}.conv1.bn", nothing)}
    branches |= {f"{name}.conv1.weight": point, f"{name}.conv1.bias": nothing}
    return {**branches, **identity_norm(f"{name}.bn", nothing)}


REPVIT = EncoderKind(
    name="repvit", mark=f"{PREFIX}features.0.0.c.weight", config=RepViTConfig, build=RepViT, rename=rename
)
