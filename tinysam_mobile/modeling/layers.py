"""Layers that several parts of the network share, in the form that every exporter handles.

No tensor has a rank above 4 (TFLite GPU delegates stop there) and every shape is a Python integer.
"""

from __future__ import annotations

from collections.abc import Callable
from itertools import pairwise
from typing import Protocol, runtime_checkable

import torch
import torch.nn.functional as F
from torch import Tensor, nn

__all__ = [
    "ACTIVATIONS",
    "MLP",
    "ConvNorm",
    "LayerNorm2d",
    "Resample",
    "attended",
    "fold_norm",
    "fuse_batch_norm",
    "head_merge",
    "head_split",
    "identity_norm",
    "plain_attention",
    "thirds",
    "window_merge",
    "window_partition",
]


SCORES_AT_ONCE = 2**24
"""Attention scores that exist at the same time: heads that attend to a whole grid, 67 MB each at 1024, go one
by one instead of filling a gigabyte; windows stay together."""
Attend = Callable[[Tensor, Tensor, Tensor], Tensor]
"""Queries (n, T, d), keys and values (n, T', d) → (n, T, d)."""


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
        return fold_norm(self.c, self.bn)


ACTIVATIONS: dict[str, Callable[[Tensor], Tensor]] = {"relu": F.relu, "gelu": F.gelu}
"""Name in a configuration → function."""


class MLP(nn.Module):
    """Linear layers with an activation between them (SAM's heads), keys `layers.0`, `layers.1`, …"""

    def __init__(
        self, *, inputs: int, hidden: int, outputs: int, depth: int, activation: str = "relu"
    ) -> None:
        super().__init__()
        self.activation = ACTIVATIONS[activation]
        widths = [inputs] + [hidden] * (depth - 1) + [outputs]
        self.layers = nn.ModuleList(nn.Linear(a, b) for a, b in pairwise(widths))

    def forward(self, x: Tensor) -> Tensor:
        """(..., inputs) → (..., outputs)."""
        for layer in self.layers[:-1]:
            x = self.activation(layer(x))
        out: Tensor = self.layers[-1](x)
        return out


class Resample(nn.Module):
    """Resize (B, C, size, size) → (B, C, target, target) as two matrix products.

    `mode` is one of `torch.nn.functional.interpolate` (align_corners=False); few exporters know "bicubic".
    """

    matrix: Tensor

    def __init__(self, size: int, target: int, mode: str) -> None:
        super().__init__()
        columns = F.interpolate(torch.eye(size).view(1, 1, size, size), (target, size), mode=mode)
        self.register_buffer("matrix", columns[0, 0], persistent=False)

    def forward(self, x: Tensor) -> Tensor:
        wide = F.linear(x, self.matrix).transpose(2, 3)
        return F.linear(wide, self.matrix).transpose(2, 3)


def fold_norm(conv: nn.Conv2d, norm: nn.BatchNorm2d) -> nn.Conv2d:
    """Return one convolution with bias that equals the two in evaluation mode."""
    fused: nn.Conv2d = nn.utils.fuse_conv_bn_eval(conv.eval(), norm.eval())
    return fused


def identity_norm(name: str, bias: Tensor, *, epsilon: float = 1e-5) -> dict[str, Tensor]:
    """State of a batch norm called `name` that adds `bias` (C,) and does nothing else."""
    return {
        f"{name}.weight": torch.ones_like(bias),
        f"{name}.bias": bias,
        f"{name}.running_mean": torch.zeros_like(bias),
        f"{name}.running_var": torch.full_like(bias, 1 - epsilon),
        f"{name}.num_batches_tracked": torch.zeros((), dtype=torch.int64),
    }


@runtime_checkable
class _Fusable(Protocol):
    """A module that can be replaced by a simpler one with the same answers in evaluation mode."""

    def fused(self) -> nn.Module:
        """Return the simpler one."""


@runtime_checkable
class _FoldsInPlace(Protocol):
    """A module whose batch norms can be folded where they are."""

    def fold_for_export(self) -> None:
        """Fold them."""


def fuse_batch_norm(module: nn.Module) -> nn.Module:
    """Fold every batch norm below `module` into its convolution, in place, and return `module`."""
    if isinstance(module, _FoldsInPlace):
        module.fold_for_export()
    for name, child in module.named_children():
        if isinstance(child, _Fusable):
            setattr(module, name, child.fused())
        else:
            fuse_batch_norm(child)
    return module


def attended(q: Tensor, k: Tensor, v: Tensor, heads: int, proj: nn.Linear, attend: Attend) -> Tensor:
    """Attention and its last projection: queries (B, T, D), keys and values (B, T', D) → (B, T, C).

    Where the scores would be too many, each head's share of the projection is added up as it comes: nothing
    is joined or divided, which delegates do not take.
    """
    if q.shape[0] * heads * q.shape[1] * k.shape[1] <= SCORES_AT_ONCE:
        parts = (head_split(part, heads) for part in (q, k, v))
        out: Tensor = proj(head_merge(attend(*parts), heads))
        return out
    width = q.shape[2] // heads
    total: Tensor = proj.bias
    for first in range(0, q.shape[2], width):
        own = (part[:, :, first : first + width] for part in (q, k, v))
        total = total + F.linear(attend(*own), proj.weight[:, first : first + width])
    return total


def thirds(x: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """(..., 3·n) → three of (..., n), as slices: delegates take them, a division into chunks they do not."""
    width = x.shape[-1] // 3
    return x[..., :width], x[..., width : 2 * width], x[..., 2 * width :]


def plain_attention(q: Tensor, k: Tensor, v: Tensor) -> Tensor:
    """Softmax attention without a bias; the queries are scaled already."""
    return torch.bmm(torch.softmax(torch.bmm(q, k.transpose(1, 2)), dim=-1), v)


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


def window_partition(x: Tensor, window_size: int) -> Tensor:
    """(B, H, W, C) → (B·H/w·W/w, w², C); H and W are multiples of w = `window_size`.

    The usual 6-D view is folded to rank 4: rows of windows join the batch axis, columns the channels.
    """
    batch, height, width, channels = x.shape
    rows, columns = batch * height // window_size, width // window_size
    x = x.reshape(rows, window_size, columns, window_size * channels).permute(0, 2, 1, 3)
    return x.reshape(rows * columns, window_size**2, channels)


def window_merge(x: Tensor, window_size: int, batch: int, height: int, width: int) -> Tensor:
    """(B·H/w·W/w, w², C) → (B, H, W, C), the inverse of `window_partition`."""
    channels = x.shape[-1]
    rows, columns = batch * height // window_size, width // window_size
    x = x.view(rows, columns, window_size, window_size * channels).permute(0, 2, 1, 3)
    return x.reshape(batch, height, width, channels)
