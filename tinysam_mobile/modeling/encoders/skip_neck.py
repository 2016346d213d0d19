"""SAM 2's neck (arXiv 2408.00714): four feature maps to the embedding and to two maps for the mask decoder.

The decoder adds the two maps to its upscaled image position by position.  They are returned in its order,
each position's children after each other (`mask_decoder.upscale_linear`), so that decoding moves nothing.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from tinysam_mobile.modeling.encoders.kind import PREFIX, State
from tinysam_mobile.modeling.layers import Resample

__all__ = ["SkipNeck", "rename_sam2"]

IMAGE_PARTS = ("image_encoder.", "prompt_encoder.", "mask_decoder.")
"""All else in a published file is for videos."""


class ChannelsLastConv(nn.Conv2d):
    """A pointwise convolution on (B, H, W, C)."""

    def forward(self, x: Tensor) -> Tensor:
        return F.linear(x, self.weight.flatten(1), self.bias)


class Lateral(nn.Module):
    """A pointwise convolution under the published name `conv`."""

    def __init__(self, inputs: int, outputs: int) -> None:
        super().__init__()
        self.conv = ChannelsLastConv(inputs, outputs, 1)

    def forward(self, x: Tensor) -> Tensor:
        out: Tensor = self.conv(x)
        return out


class Laterals(nn.Module):
    """The lateral convolutions, the smallest map's first."""

    def __init__(self, widths: Sequence[int], outputs: int) -> None:
        super().__init__()
        self.convs = nn.ModuleList(Lateral(width, outputs) for width in reversed(widths))


class SkipNeck(nn.Module):
    """Maps (B, H, W, C) of strides 4, 8, 16, 32 → embedding and skips; mixed into the encoder's own keys.

    `neck`, `conv_s0`, `conv_s1` and `no_mem_embed` lie side by side in the encoder, so an encoder derives
    from this class.
    """

    def __init__(self, widths: Sequence[int], *, grid_size: int, out_channels: int) -> None:
        super().__init__()
        self.grid_size = grid_size
        self.neck = Laterals(widths, out_channels)
        self.conv_s0 = ChannelsLastConv(out_channels, out_channels // 8, 1)
        self.conv_s1 = ChannelsLastConv(out_channels, out_channels // 4, 1)
        self.no_mem_embed = nn.Parameter(torch.zeros(1, 1, out_channels))
        self.upsample = Resample(grid_size // 2, grid_size, "nearest")
        self.is_folded = False

    def skips(self, maps: Sequence[Tensor]) -> tuple[Tensor, Tensor, Tensor]:
        """Return the embedding (B, C, G, G), and the maps of strides 4 (B, 16·P, C/8) and 8 (B, 4·P, C/4)."""
        fourth, eighth, sixteenth, last = maps
        convs = self.neck.convs
        above = self.upsample(convs[0](last).permute(0, 3, 1, 2))
        embedding = convs[1](sixteenth).permute(0, 3, 1, 2) + above
        if not self.is_folded:
            embedding = embedding + self.no_mem_embed.view(1, -1, 1, 1)
        first = self.conv_s0(convs[3](fourth))
        second = self.conv_s1(convs[2](eighth))
        return embedding, grandchild_order(first, self.grid_size), child_order(second, self.grid_size)

    def fold_for_export(self) -> None:
        """Join the two convolutions of each skip, and put what stands for no memory into a bias; in place."""
        convs = self.neck.convs
        for lateral, name in ((convs[3], "conv_s0"), (convs[2], "conv_s1")):
            assert isinstance(lateral, Lateral)
            lateral.conv = _joined(lateral.conv, self.get_submodule(name))
            setattr(self, name, nn.Identity())
        middle = convs[1]
        assert isinstance(middle, Lateral)
        assert middle.conv.bias is not None
        with torch.no_grad():
            middle.conv.bias += self.no_mem_embed.flatten()
        self.is_folded = True


def _joined(first: ChannelsLastConv, second: nn.Module) -> ChannelsLastConv:
    assert isinstance(second, ChannelsLastConv)
    assert first.bias is not None
    assert second.bias is not None
    joined = ChannelsLastConv(first.in_channels, second.out_channels, 1)
    weight = second.weight.detach().flatten(1)
    both = (weight @ first.weight.detach().flatten(1)).view(joined.weight.shape)
    joined.weight = nn.Parameter(both, requires_grad=False)
    joined.bias = nn.Parameter(weight @ first.bias.detach() + second.bias.detach(), requires_grad=False)
    return joined


def child_order(x: Tensor, grid_size: int) -> Tensor:
    """(B, 2G, 2G, C) → (B, 4·G², C), the four children of each cell after each other."""
    batch, channels = x.shape[0], x.shape[3]
    x = x.reshape(batch * grid_size, 2, grid_size, 2 * channels).permute(0, 2, 1, 3)
    return x.reshape(batch, 4 * grid_size**2, channels)


def grandchild_order(x: Tensor, grid_size: int) -> Tensor:
    """(B, 4G, 4G, C) → (B, 16·G², C), the children of each child after each other."""
    batch, channels = x.shape[0], x.shape[3]
    x = x.reshape(batch * grid_size, 4, grid_size, 4 * channels).permute(0, 2, 1, 3)
    # Axes now: cell and y of the child, y of its child, x of the child, x of its child.
    x = x.reshape(batch * grid_size**2 * 2, 2, 2, 2 * channels).permute(0, 2, 1, 3)
    return x.reshape(batch, 16 * grid_size**2, channels)


def rename_sam2(state: State) -> dict[str, Tensor]:
    """Put SAM 2's parts under SAM's names, what is the encoder's into it, and leave videos out."""
    if "no_mem_embed" not in state:
        return dict(state)
    renamed = {_official(key): value for key, value in state.items()}
    return {key: value for key, value in renamed.items() if key.startswith(IMAGE_PARTS)}


def _official(key: str) -> str:
    if key == "no_mem_embed" or key.startswith(("sam_mask_decoder.conv_s0.", "sam_mask_decoder.conv_s1.")):
        return PREFIX + key.removeprefix("sam_mask_decoder.")
    if key.startswith("sam_mask_decoder.transformer."):
        key = key.replace(".mlp.layers.0.", ".mlp.lin1.").replace(".mlp.layers.1.", ".mlp.lin2.")
    return key.removeprefix("sam_") if key.startswith("sam_") else key
