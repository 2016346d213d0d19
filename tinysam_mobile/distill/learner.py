"""What is trained: the student, and the linear maps to a teacher's widths that only training needs."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from tinysam_mobile.distill.backbone import FEATURE_CHANNELS
from tinysam_mobile.distill.config import LossWeights, TrainingStage
from tinysam_mobile.distill.prompts import CELL, Prompts, packed
from tinysam_mobile.errors import UsageError
from tinysam_mobile.modeling.config import CONFIGS, TinySAMConfig
from tinysam_mobile.modeling.encoders.registry import kind_of
from tinysam_mobile.modeling.encoders.tiny_vit import TinyViT
from tinysam_mobile.modeling.mask_decoder import DecoderOutput
from tinysam_mobile.modeling.prompt_encoder import FourierFeatures
from tinysam_mobile.modeling.sam import TinySAM

__all__ = ["FREQUENCIES", "Encoded", "Learner"]

FIRST_NECK_SCALE = 0.1
FREQUENCIES = "positional_encoding_gaussian_matrix"


class Encoded(NamedTuple):
    """`embedding` (G, C, S/16, S/16), `features` (G, C', S/16, S/16) of the encoder's last stage if a loss
    looks at them, and the maps that a decoder with skips takes."""

    embedding: Tensor
    features: Tensor | None
    skips: tuple[Tensor, ...] = ()


class Learner(nn.Module):
    """The student under `model`; adapters beside it exist only for the losses that need them."""

    def __init__(self, model: TinySAM, losses: LossWeights, teacher: TinySAMConfig | None = None) -> None:
        super().__init__()
        _check_student(model.config)
        self.model = model
        config, encoder = model.config, model.image_encoder
        self.adapters = nn.ModuleDict()
        if losses.backbone:
            first_of_neck = _tiny_vit(model).neck[0]
            assert isinstance(first_of_neck, nn.Conv2d)
            self.adapters["backbone"] = nn.Conv2d(first_of_neck.in_channels, FEATURE_CHANNELS, 1)
        if teacher is not None and losses.embedding:
            self.adapters["embedding"] = nn.Conv2d(config.decoder.dim, teacher.decoder.dim, 1)
        if teacher is not None and losses.token:
            self.adapters["token"] = nn.Linear(config.decoder.dim, teacher.decoder.dim)
        if isinstance(neck := getattr(encoder, "neck", None), nn.Sequential):
            # A decoder that learned prompts on an empty embedding is not thrown off by a quiet one.
            last_norm = neck[-1]
            assert isinstance(last_norm, nn.LayerNorm)
            nn.init.constant_(last_norm.weight, FIRST_NECK_SCALE)
        for module in encoder.modules():
            if isinstance(module, nn.Conv2d) and module.kernel_size != (1, 1):
                module.forward = partial(_conv_in_fp32, module.forward)  # type: ignore[method-assign]
        positions = self.model.prompt_encoder.pe_layer
        positions.forward = partial(_positions_in_fp32, positions)  # type: ignore[method-assign]
        # A parameter under the name of the buffer: runs and checkpoints have the same keys.
        frequencies = positions.positional_encoding_gaussian_matrix
        del positions.positional_encoding_gaussian_matrix
        positions.register_parameter(FREQUENCIES, nn.Parameter(frequencies))

    def encode(self, images: Tensor, stage: TrainingStage) -> Encoded:
        """Encode `images` (G, 3, S, S); one empty embedding for all prompts where the stage has no image."""
        if not stage.use_image:
            config = self.model.config
            return Encoded(images.new_zeros(1, config.decoder.dim, config.grid_size, config.grid_size), None)
        if "backbone" not in self.adapters:
            embedding, *skips = self.model.features(images)
            return Encoded(embedding, None, tuple(skips))
        encoder = _tiny_vit(self.model)
        x = encoder.patch_embed(images)
        for layer in encoder.layers:
            x = layer(x)
        return Encoded(encoder.neck(x), x)

    def decode(self, encoded: Encoded, prompts: Prompts, image_size: int) -> DecoderOutput:
        """Decode `prompts`, which are in a frame of `image_size`; masks come at a quarter of it."""
        config = self.model.config
        wanted = packed(prompts, config.rules, scale=config.frame_size / image_size)
        out = self.model.decode(encoded.embedding, wanted.coords, wanted.labels, skips=encoded.skips)
        side = image_size // CELL
        if out.masks.shape[-1] == side:
            return out
        # EfficientViT-SAM's masks are as fine as those of an input of twice its size.
        return out._replace(masks=F.interpolate(out.masks, (side, side), mode="bilinear"))


def _tiny_vit(model: TinySAM) -> TinyViT:
    if not isinstance(model.image_encoder, TinyViT):
        raise UsageError(f"losses.backbone is for students with a TinyViT; {model.config.name} has none")
    return model.image_encoder


def _check_student(config: TinySAMConfig) -> None:
    """Raise `UsageError` unless a model of `config` can learn at the size that it has.

    All encoders learn in the form that is exported: batch norms and branches are folded, which suits learning
    on from published weights (`start_from`) and not a start from nothing.
    """
    name = config.name
    own_size = CONFIGS[name].image_size if name in CONFIGS else config.image_size
    if kind_of(config.encoder).fixed_size and config.image_size != own_size:
        raise UsageError(
            f"{name} has a position embedding for {own_size} px alone: set image_size of each stage to that"
        )


def _positions_in_fp32(positions: FourierFeatures, xy: Tensor) -> Tensor:
    """The phase of a position has up to 13 radians, which bf16 rounds to a 16th: a pixel or two of 512."""
    with torch.autocast(xy.device.type, enabled=False):
        return FourierFeatures.forward(positions, xy)


def _conv_in_fp32(convolve: Callable[[Tensor], Tensor], x: Tensor) -> Tensor:
    """oneDNN takes 3 to 10 times longer for bf16 gradients of strided depthwise and 3x3 convolutions."""
    if x.device.type != "cpu":
        return convolve(x)
    with torch.autocast("cpu", enabled=False):
        return convolve(x.float())
