"""Layers that several parts of the network share, in the form that every exporter handles.

No tensor has a rank above 4 (TFLite GPU delegates stop there) and every shape is a Python integer.
"""

from __future__ import annotations

from itertools import pairwise

import torch.nn.functional as F
from torch import Tensor, nn

__all__ = ["MLP", "ConvNorm", "LayerNorm2d", "fuse_batch_norm", "head_merge", "head_split"]


class LayerNorm2d(nn.LayerNorm):
    """Layer normalisation over the channels of an (B, C, H, W) tensor.

    Written as permute, layer_norm, permute: exporters know `layer_norm`, while the mean and variance
    by hand of the reference code become a dozen operations.
    """

    def __init__(self, channels: int) -> None:
        super().__init__(channels, eps=1e-6)

    def forward(self, x: Tensor) -> Tensor:
        """(B, C, H, W) → (B, C, H, W)."""
        return super().forward(x.permute(0, 2, 3, 1)).permute(0, 3, 1, 2)


class ConvNorm(nn.Module):
    """Convolution without bias followed by batch normalisation, keys `c` and `bn`."""

    def __init__(
        self,
        inputs: int,
        outputs: int,
        kernel_size: int,
        *,
        stride: int = 1,
        padding: int = 0,
        groups: int = 1,
    ) -> None:
        super().__init__()
        self.c = nn.Conv2d(inputs, outputs, kernel_size, stride, padding, groups=groups, bias=False)
        self.bn = nn.BatchNorm2d(outputs)

    def forward(self, x: Tensor) -> Tensor:
        """(B, inputs, H, W) → (B, outputs, H', W')."""
        out: Tensor = self.bn(self.c(x))
        return out

    def fused(self) -> nn.Conv2d:
        """Return one convolution with bias that equals this pair in evaluation mode."""
        fused: nn.Conv2d = nn.utils.fuse_conv_bn_eval(self.c.eval(), self.bn.eval())
        return fused


class MLP(nn.Module):
    """Linear layers with ReLU between them (SAM's heads), keys `layers.0`, `layers.1`, …"""

    def __init__(self, *, inputs: int, hidden: int, outputs: int, depth: int) -> None:
        super().__init__()
        widths = [inputs] + [hidden] * (depth - 1) + [outputs]
        self.layers = nn.ModuleList(nn.Linear(a, b) for a, b in pairwise(widths))

    def forward(self, x: Tensor) -> Tensor:
        """(..., inputs) → (..., outputs)."""
        for layer in self.layers[:-1]:
            x = F.relu(layer(x))
        out: Tensor = self.layers[-1](x)
        return out


def fuse_batch_norm(module: nn.Module) -> nn.Module:
    """Replace every `ConvNorm` below `module` by its fused convolution, in place, and return `module`."""
    for name, child in module.named_children():
        if isinstance(child, ConvNorm):
            setattr(module, name, child.fused())
        else:
            fuse_batch_norm(child)
    return module


def head_split(x: Tensor, heads: int) -> Tensor:
    """(B, T, heads·d) → (B·heads, T, d), so that attention is one batched matrix product."""
    batch, length, width = x.shape
    split = x.view(batch, length, heads, width // heads).permute(0, 2, 1, 3)
    return split.reshape(batch * heads, length, width // heads)


def head_merge(x: Tensor, heads: int) -> Tensor:
    """(B·heads, T, d) → (B, T, heads·d), the inverse of `head_split`."""
    rows, length, width = x.shape
    merged = x.view(rows // heads, heads, length, width).permute(0, 2, 1, 3)
    return merged.reshape(rows // heads, length, heads * width)
