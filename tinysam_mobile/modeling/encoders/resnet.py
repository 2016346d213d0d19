"""NanoSAM's image encoder: a ResNet-18 and a few convolutions, no norm at the end.

The keys are those of the published training code under `image_encoder.`.  The published weights are ONNX
initialisers (`modeling.onnx_weights`), in which every batch norm of the backbone is folded away.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from itertools import pairwise, product

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from tinysam_mobile.errors import UsageError
from tinysam_mobile.modeling.encoders.kind import PREFIX, EncoderKind, State
from tinysam_mobile.modeling.layers import fold_norm, identity_norm

__all__ = ["RESNET", "NanoResNet", "ResNetConfig"]


@dataclass(frozen=True, kw_only=True)
class ResNetConfig:
    """ResNet of basic blocks, `depths` of them with `widths` channels; the defaults are ResNet-18's."""

    widths: tuple[int, ...] = (64, 128, 256, 512)
    depths: tuple[int, ...] = (2, 2, 2, 2)

    @property
    def stride(self) -> int:
        """Input pixels per embedding cell."""
        return 16

    def __post_init__(self) -> None:
        if len(self.widths) != 4 or len(self.depths) != 4:
            raise UsageError("ResNetConfig: widths and depths have four entries")


def _fold_into(module: nn.Module, conv: str, norm: str) -> None:
    """Replace two children, a convolution and the batch norm after it, by one that equals both."""
    before, after = getattr(module, conv), getattr(module, norm)
    setattr(module, conv, fold_norm(before, after))
    setattr(module, norm, nn.Identity())


class BasicBlock(nn.Module):
    """Two 3x3 convolutions and a shortcut: (B, inputs, H, W) → (B, outputs, H/stride, W/stride)."""

    def __init__(self, inputs: int, outputs: int, stride: int) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(inputs, outputs, 3, stride, 1, bias=False)
        self.bn1 = nn.BatchNorm2d(outputs)
        self.conv2 = nn.Conv2d(outputs, outputs, 3, 1, 1, bias=False)
        self.bn2 = nn.BatchNorm2d(outputs)
        self.downsample = nn.Sequential()
        if stride != 1 or inputs != outputs:
            self.downsample = nn.Sequential(
                nn.Conv2d(inputs, outputs, 1, stride, bias=False), nn.BatchNorm2d(outputs)
            )

    def forward(self, x: Tensor) -> Tensor:
        y = self.bn2(self.conv2(F.relu(self.bn1(self.conv1(x)))))
        return F.relu(y + self.downsample(x))

    def fold_for_export(self) -> None:
        """Fold the batch norms into the convolutions, in place."""
        _fold_into(self, "conv1", "bn1")
        _fold_into(self, "conv2", "bn2")
        if len(self.downsample):
            conv, norm = self.downsample
            assert isinstance(conv, nn.Conv2d)
            assert isinstance(norm, nn.BatchNorm2d)
            self.downsample = nn.Sequential(fold_norm(conv, norm))


class Backbone(nn.Module):
    """(B, 3, S, S) → (B, widths[-1], S/32, S/32)."""

    def __init__(self, config: ResNetConfig) -> None:
        super().__init__()
        first = config.widths[0]
        self.conv1 = nn.Conv2d(3, first, 7, 2, 3, bias=False)
        self.bn1 = nn.BatchNorm2d(first)
        for stage, (inputs, outputs) in enumerate(pairwise((first, *config.widths)), start=1):
            rest = [BasicBlock(outputs, outputs, 1) for _ in range(config.depths[stage - 1] - 1)]
            layer = nn.Sequential(BasicBlock(inputs, outputs, 1 if stage == 1 else 2), *rest)
            self.add_module(f"layer{stage}", layer)

    def forward(self, image: Tensor) -> Tensor:
        # Nothing is below 0 after the ReLU, so padding with 0 is as good as with -∞, and delegates take it.
        x = F.max_pool2d(F.pad(F.relu(self.bn1(self.conv1(image))), (1, 1, 1, 1)), 3, 2)
        for stage in range(1, 5):
            x = self.get_submodule(f"layer{stage}")(x)
        return x

    def fold_for_export(self) -> None:
        """Fold the first batch norm into its convolution, in place."""
        _fold_into(self, "conv1", "bn1")


class PhaseUpsample(nn.Module):
    """A 3x3 transposed convolution of stride 2 as one 2x2 convolution: (B, C, H, W) → (B, C', 2H, 2W).

    Pixels of even and odd rows and columns are channels of their own, which are then put in place.  Few
    exporters know the transposed form with output padding.
    """

    def __init__(self, conv: nn.ConvTranspose2d) -> None:
        super().__init__()
        inputs, outputs = conv.weight.shape[:2]
        self.conv = nn.Conv2d(inputs, 4 * outputs, 2)
        assert conv.bias is not None
        self.conv.weight = nn.Parameter(_phases(conv.weight.detach()), requires_grad=False)
        self.conv.bias = nn.Parameter(conv.bias.detach().repeat(4), requires_grad=False)

    def forward(self, x: Tensor) -> Tensor:
        batch, _, height, width = x.shape
        y = self.conv(F.pad(x, (0, 1, 0, 1))).permute(0, 2, 3, 1)
        y = y.reshape(batch * height, width, 2, -1).permute(0, 2, 1, 3)
        out: Tensor = y.reshape(batch, 2 * height, 2 * width, -1).permute(0, 3, 1, 2)
        return out


def _phases(weight: Tensor) -> Tensor:
    """(inputs, outputs, 3, 3) → (4·outputs, inputs, 2, 2): an even pixel reads one input, an odd one two."""
    inputs, outputs = weight.shape[:2]
    phases: Tensor = weight.new_zeros(2, 2, outputs, inputs, 2, 2)
    taps = {0: ((0, 1),), 1: ((0, 2), (1, 0))}
    for row, column in product(taps, taps):
        for (y, from_y), (x, from_x) in product(taps[row], taps[column]):
            phases[row, column, :, :, y, x] = weight[:, :, from_y, from_x].t()
    return phases.reshape(4 * outputs, inputs, 2, 2)


class NanoResNet(nn.Module):
    """(B, 3, S, S) normalised RGB → (B, out_channels, S/16, S/16); the weights fix S."""

    def __init__(self, config: ResNetConfig, *, image_size: int, out_channels: int) -> None:
        super().__init__()
        channels, grid = out_channels, image_size // config.stride
        self.backbone = Backbone(config)
        self.up_1 = nn.Sequential(
            nn.Conv2d(config.widths[-1], channels, 3, padding=1),
            nn.GELU(),
            nn.Conv2d(channels, channels, 3, padding=1),
            nn.GELU(),
            nn.Conv2d(channels, channels, 3, padding=1),
            nn.GELU(),
            nn.ConvTranspose2d(channels, channels, 3, stride=2, padding=1, output_padding=1),
            nn.GELU(),
        )
        self.proj = nn.Sequential(
            nn.Conv2d(channels, channels, 3, padding=1), nn.GELU(), nn.Conv2d(channels, channels, 1)
        )
        self.pos_embedding = nn.Parameter(torch.zeros(1, channels, grid, grid))

    def forward(self, image: Tensor) -> Tensor:
        out: Tensor = self.proj(self.up_1(self.backbone(image))) + self.pos_embedding
        return out

    def fold_for_export(self) -> None:
        """Replace the transposed convolution by its phases, in place."""
        transposed = self.up_1[6]
        assert isinstance(transposed, nn.ConvTranspose2d)
        self.up_1[6] = PhaseUpsample(transposed)


OWN = ("backbone.", "up_1.", "proj.", "pos_embedding")
FOLDED = re.compile(rf"{re.escape(PREFIX)}backbone\.(?:.*\.)?(conv\d|downsample\.0)\.bias")


def rename(state: State) -> dict[str, Tensor]:
    """Put the encoder's keys, published without a prefix, under one, and give folded convolutions a norm."""
    named = {PREFIX + key if key.startswith(OWN) else key: value for key, value in state.items()}
    if f"{PREFIX}pos_embedding" in named:
        # mobile_sam.pt, whose decoder NanoSAM uses, carries an encoder of another kind.
        named = {k: v for k, v in named.items() if not k.startswith(PREFIX) or k.startswith(_OWN_PREFIXED)}
    for key in [key for key in named if FOLDED.fullmatch(key)]:
        conv = key.removesuffix(".bias")
        stem, name = conv.rsplit(".", 1)
        norm = f"{stem}.1" if name == "0" else f"{stem}.bn{name.removeprefix('conv')}"
        named |= identity_norm(norm, named.pop(key))
    return named


_OWN_PREFIXED = tuple(PREFIX + name for name in OWN)

RESNET = EncoderKind(
    name="resnet",
    mark=f"{PREFIX}pos_embedding",
    config=ResNetConfig,
    build=NanoResNet,
    fixed_size=True,
    rename=rename,
)
