"""The entry points of the contract as static-shape modules, shared by the torch runtime and every converter.

What an app would otherwise have to get right is inside the graph: normalisation, zeroing of the padding
(so that pad bytes never matter), label embeddings, masking of unused slots.
"""

from __future__ import annotations

from collections.abc import Mapping
from copy import deepcopy
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from tinysam_mobile.contract.spec import PIXEL_MEAN, PIXEL_STD, Contract, Signature, TensorSpec
from tinysam_mobile.modeling.config import TinySAMConfig
from tinysam_mobile.modeling.encoders.registry import kind_of
from tinysam_mobile.modeling.implicit_image import score_prompts
from tinysam_mobile.modeling.layers import fuse_batch_norm
from tinysam_mobile.modeling.mask_decoder import DecoderOutput
from tinysam_mobile.modeling.sam import TinySAM

__all__ = [
    "BatchDecoder",
    "Decoder",
    "Encoder",
    "EntryPoint",
    "Scorer",
    "contract_of",
    "entry_points",
    "example_inputs",
]


class Encoder(nn.Module):
    """`encode`: RGB pixels → image embedding."""

    mean: Tensor
    std: Tensor
    rows: Tensor
    columns: Tensor

    def __init__(self, model: TinySAM) -> None:
        super().__init__()
        self.image_encoder = model.image_encoder
        size = model.config.image_size
        self.register_buffer("mean", torch.tensor(PIXEL_MEAN).view(1, 3, 1, 1), persistent=False)
        self.register_buffer("std", torch.tensor(PIXEL_STD).view(1, 3, 1, 1), persistent=False)
        self.register_buffer(
            "rows", torch.arange(size, dtype=torch.int32).view(1, 1, size, 1), persistent=False
        )
        self.register_buffer(
            "columns", torch.arange(size, dtype=torch.int32).view(1, 1, 1, size), persistent=False
        )

    def forward(self, image: Tensor, valid_size: Tensor) -> Tensor | tuple[Tensor, ...]:
        """`image` f32 (B, 3, S, S) RGB 0–255, `valid_size` i32 (2,) height and width of the photo inside it.

        Returns the embeddings (B, C, S/16, S/16), and in some families two maps with them.  Outside
        `valid_size` the image may hold anything, NaN included: it becomes 0, as if it had been the mean.
        """
        height, width = valid_size.split(1)
        # Named functions, not `|` and `where`: coremltools lacks the one and expands the other's constant.
        outside = torch.logical_or(self.rows >= height, self.columns >= width)
        normalised = (image - self.mean) / self.std
        out: Tensor | tuple[Tensor, ...] = self.image_encoder(normalised.masked_fill(outside, 0.0))
        return out


class Decoder(nn.Module):
    """`decode`: one prompt, with or without a mask prompt."""

    def __init__(self, model: TinySAM) -> None:
        super().__init__()
        self.model = model

    def forward(
        self,
        image_embeddings: Tensor,
        point_coords: Tensor,
        point_labels: Tensor,
        mask_input: Tensor | None = None,
        has_mask_input: Tensor | None = None,
    ) -> tuple[Tensor, ...]:
        """Inputs and outputs of `decode` in the contract's order; shapes in `Contract.signatures`."""
        out = self.model.decode(image_embeddings, point_coords, point_labels, mask_input, has_mask_input)
        return _answers(out)


class BatchDecoder(nn.Module):
    """`decode_batch`: K prompts of one image."""

    def __init__(self, model: TinySAM) -> None:
        super().__init__()
        self.model = model

    def forward(
        self, image_embeddings: Tensor, point_coords: Tensor, point_labels: Tensor
    ) -> tuple[Tensor, ...]:
        """Inputs and outputs of `decode_batch` in the contract's order; shapes in `Contract.signatures`."""
        out = self.model.decode(image_embeddings, point_coords, point_labels)
        return _answers(out)


class SkipDecoder(Decoder):
    """`decode` of a family whose encoder returns maps for the decoder."""

    def forward(  # type: ignore[override]
        self,
        image_embeddings: Tensor,
        high_res_features_0: Tensor,
        high_res_features_1: Tensor,
        point_coords: Tensor,
        point_labels: Tensor,
        mask_input: Tensor,
        has_mask_input: Tensor,
    ) -> tuple[Tensor, ...]:
        """Inputs and outputs of `decode` in the contract's order; shapes in `Contract.signatures`."""
        skips = (high_res_features_0, high_res_features_1)
        prompt = (point_coords, point_labels, mask_input, has_mask_input)
        out = self.model.decode(image_embeddings, *prompt, skips=skips)
        return _answers(out)


class SkipBatchDecoder(BatchDecoder):
    """`decode_batch` of a family whose encoder returns maps for the decoder."""

    def forward(  # type: ignore[override]
        self,
        image_embeddings: Tensor,
        high_res_features_0: Tensor,
        high_res_features_1: Tensor,
        point_coords: Tensor,
        point_labels: Tensor,
    ) -> tuple[Tensor, ...]:
        """Inputs and outputs of `decode_batch` in the contract's order; shapes in `Contract.signatures`."""
        skips = (high_res_features_0, high_res_features_1)
        out = self.model.decode(image_embeddings, point_coords, point_labels, skips=skips)
        return _answers(out)


def _answers(out: DecoderOutput) -> tuple[Tensor, ...]:
    return (out.masks, out.iou) if out.object_score is None else (out.masks, out.iou, out.object_score)


class Scorer(nn.Module):
    """`score_batch`: the predicted IoU of K prompts of one image, and no masks.

    Where the masks decide which one a prompt gets (SAM 2 with a single mask), the highest that it may have.
    """

    def __init__(self, model: TinySAM) -> None:
        super().__init__()
        self.model = model

    def forward(self, image_embeddings: Tensor, point_coords: Tensor, point_labels: Tensor) -> Tensor:
        """Inputs and output of `score_batch` in the contract's order: shapes in `Contract.signatures`."""
        return score_prompts(self.model, image_embeddings, point_coords, point_labels)


@dataclass(frozen=True, kw_only=True)
class EntryPoint:
    """A module together with the signature that it fulfils."""

    signature: Signature
    module: nn.Module


def contract_of(
    model: TinySAM,
    *,
    slots: int = Contract.slots,
    batch: int = Contract.batch,
    score_batch: int = Contract.score_batch,
) -> Contract:
    """Return the contract of `model` with `slots` prompt slots N, `batch` prompts K of one `decode_batch`
    and `score_batch` prompts of one `score_batch`."""
    config = model.config
    return Contract(
        image_size=config.image_size,
        grid_size=config.grid_size,
        mask_size=config.mask_size,
        channels=config.decoder.dim,
        slots=slots,
        batch=batch,
        score_batch=score_batch,
        rules=config.rules,
        skips=_skips(config) if config.decoder.skips else (),
        object_score=config.decoder.object_token,
    )


def _skips(config: TinySAMConfig) -> tuple[TensorSpec, ...]:
    """The maps of strides 4 and 8, in the order of the decoder's upscaled positions."""
    positions, dim = config.grid_size**2, config.decoder.dim
    return (
        TensorSpec(name="high_res_features_0", shape=(1, 16 * positions, dim // 8)),
        TensorSpec(name="high_res_features_1", shape=(1, 4 * positions, dim // 4)),
    )


def entry_points(model: TinySAM, contract: Contract) -> dict[str, EntryPoint]:
    """Return the contract's entry points of `model`, in evaluation mode with batch norms fused.

    The model is copied, not changed; those of the decoder share one set of weights.
    """
    frozen = deepcopy(model).eval().requires_grad_(False)
    for unused in kind_of(model.config.encoder).unused:
        if hasattr(frozen.image_encoder, unused):
            delattr(frozen.image_encoder, unused)
    fuse_batch_norm(frozen)
    modules: Mapping[str, nn.Module] = {
        "encode": Encoder(frozen),
        "decode": (SkipDecoder if contract.skips else Decoder)(frozen),
        "decode_batch": (SkipBatchDecoder if contract.skips else BatchDecoder)(frozen),
        "score_batch": Scorer(frozen),
    }
    return {
        name: EntryPoint(signature=signature, module=modules[name].eval())
        for name, signature in contract.signatures.items()
    }


def example_inputs(signature: Signature) -> tuple[Tensor, ...]:
    """Return plausible inputs of an entry point, in order, for tracing: grey photo, one centre point."""
    fill = {"image": 128, "valid_size": 64, "point_coords": 32, "point_labels": 1}
    return tuple(
        torch.full(spec.shape, fill.get(spec.name, 0), dtype=getattr(torch, spec.dtype))
        for spec in signature.inputs
    )
