"""What is trained: the student, and the linear maps to a teacher's widths that only training needs."""

from __future__ import annotations

from functools import partial
from typing import NamedTuple

import torch
from torch import Tensor, nn

from tinysam_mobile.distill.backbone import FEATURE_CHANNELS
from tinysam_mobile.distill.config import LossWeights, TrainingStage
from tinysam_mobile.errors import UsageError
from tinysam_mobile.modeling.config import TinySAMConfig
from tinysam_mobile.modeling.encoders.tiny_vit import TinyViT
from tinysam_mobile.modeling.prompt_encoder import FourierFeatures
from tinysam_mobile.modeling.sam import TinySAM

__all__ = ["FREQUENCIES", "Encoded", "Learner"]

FIRST_NECK_SCALE = 0.1
FREQUENCIES = "positional_encoding_gaussian_matrix"


class Encoded(NamedTuple):
    """`embedding` (G, C, S/16, S/16), and `features` (G, C', S/16, S/16) of the encoder's last stage."""

    embedding: Tensor
    features: Tensor | None


class Learner(nn.Module):
    """The student under `model`; adapters beside it exist only for the losses that need them."""

    def __init__(
        self, config: TinySAMConfig, losses: LossWeights, teacher: TinySAMConfig | None = None
    ) -> None:
        super().__init__()
        self.model = TinySAM(config)
        encoder = _trainable_encoder(self.model)
        self.adapters = nn.ModuleDict()
        if losses.backbone:
            first_of_neck = encoder.neck[0]
            assert isinstance(first_of_neck, nn.Conv2d)
            self.adapters["backbone"] = nn.Conv2d(first_of_neck.in_channels, FEATURE_CHANNELS, 1)
        if teacher is not None and losses.embedding:
            self.adapters["embedding"] = nn.Conv2d(config.decoder.dim, teacher.decoder.dim, 1)
        if teacher is not None and losses.token:
            self.adapters["token"] = nn.Linear(config.decoder.dim, teacher.decoder.dim)
        last_norm = encoder.neck[3]
        assert isinstance(last_norm, nn.LayerNorm)
        # A decoder that learned prompts on an empty embedding is not thrown off by a quiet one.
        nn.init.constant_(last_norm.weight, FIRST_NECK_SCALE)
        for module in encoder.modules():
            if isinstance(module, nn.Conv2d) and module.kernel_size != (1, 1):
                module.forward = partial(_conv_in_fp32, module)  # type: ignore[method-assign]
        positions = self.model.prompt_encoder.pe_layer
        positions.forward = partial(_positions_in_fp32, positions)  # type: ignore[method-assign]
        # A parameter under the name of the buffer: runs and checkpoints have the same keys.
        frequencies = positions.positional_encoding_gaussian_matrix
        del positions.positional_encoding_gaussian_matrix
        positions.register_parameter(FREQUENCIES, nn.Parameter(frequencies))

    def compile_parts(self) -> None:
        """Compile encoder and decoder, each when it is first called (a minute or two together)."""
        self.encode = torch.compile(self.encode, dynamic=False)  # type: ignore[method-assign]
        self.model.decode = torch.compile(self.model.decode, dynamic=False)  # type: ignore[method-assign]

    def encode(self, images: Tensor, stage: TrainingStage) -> Encoded:
        """Encode `images` (G, 3, S, S); one empty embedding for all prompts where the stage has no image."""
        if not stage.use_image:
            config = self.model.config
            return Encoded(images.new_zeros(1, config.decoder.dim, config.grid_size, config.grid_size), None)
        encoder = _trainable_encoder(self.model)
        x = encoder.patch_embed(images)
        for layer in encoder.layers:
            x = layer(x)
        return Encoded(encoder.neck(x), x)


def _trainable_encoder(model: TinySAM) -> TinyViT:
    if not isinstance(model.image_encoder, TinyViT):
        raise UsageError(f"{model.config.name} can only be a teacher: a student's encoder must be a TinyViT")
    return model.image_encoder


def _positions_in_fp32(positions: FourierFeatures, xy: Tensor) -> Tensor:
    """The phase of a position has up to 13 radians, which bf16 rounds to a 16th: a pixel or two of 512."""
    with torch.autocast(xy.device.type, enabled=False):
        return FourierFeatures.forward(positions, xy)


def _conv_in_fp32(conv: nn.Conv2d, x: Tensor) -> Tensor:
    """oneDNN takes 3 to 10 times longer for bf16 gradients of strided depthwise and 3x3 convolutions."""
    if x.device.type != "cpu":
        return nn.Conv2d.forward(conv, x)
    with torch.autocast("cpu", enabled=False):
        out: Tensor = nn.Conv2d.forward(conv, x.float())
        return out
