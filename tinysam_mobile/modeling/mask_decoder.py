"""SAM's mask decoder in TinySAM's form: always the masks of the same tokens (1 to 3 in most families).

After the transformer everything is a matrix product over image positions: a transposed convolution whose
kernel equals its stride is a linear layer with four outputs per position, so the two upscaling layers
stay in (positions, channels) form and only the finished three-channel masks are put in raster order.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from tinysam_mobile.modeling.config import DecoderConfig
from tinysam_mobile.modeling.layers import MLP
from tinysam_mobile.modeling.single_mask import StableOrBest
from tinysam_mobile.modeling.transformer import TwoWayTransformer, per_prompt

__all__ = ["DecoderOutput", "MaskDecoder"]


class DecoderOutput(NamedTuple):
    """`masks` (K, M, S/4, S/4) logits, `iou` (K, M) predicted, `tokens` (K, T, D) of the transformer.

    `object_score` (K, 1), where a family has one, is the probability that the prompt is on an object.
    """

    masks: Tensor
    iou: Tensor
    tokens: Tensor
    object_score: Tensor | None = None


class UpscaleNorm(nn.LayerNorm):
    """The LayerNorm2d of the reference's upscaling, on channels-last tensors; keys `weight`, `bias`."""

    def __init__(self, channels: int) -> None:
        super().__init__(channels, eps=1e-6)


class UpscaleNormOverAll(nn.Module):
    """Norm over all channels and positions of a prompt (a GroupNorm of one group); keys `weight`, `bias`."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.ones(channels))
        self.bias = nn.Parameter(torch.zeros(channels))

    def forward(self, x: Tensor) -> Tensor:
        """(K, positions, channels) → the same."""
        centred = x - x.mean((1, 2), keepdim=True)
        variance = centred.square().mean((1, 2), keepdim=True)
        return centred * torch.rsqrt(variance + 1e-5) * self.weight + self.bias


def upscale_linear(x: Tensor, conv: nn.ConvTranspose2d) -> Tensor:
    """Apply a 2x2 stride-2 transposed convolution position by position.

    (K, P, inputs) → (K, 4·P, outputs); the four children of a position follow each other as
    (0,0), (0,1), (1,0), (1,1) in (y, x).
    """
    assert conv.bias is not None
    inputs, outputs = conv.weight.shape[:2]
    weight = conv.weight.permute(2, 3, 1, 0).reshape(4 * outputs, inputs)
    # Added after the product, the bias would be one more pass over the largest tensors there are.
    return F.linear(x, weight, torch.cat([conv.bias] * 4)).view(x.shape[0], 4 * x.shape[1], outputs)


def raster_order(x: Tensor, grid_size: int) -> Tensor:
    """(K, M, P·16) in child-of-child order → (K, M, 4·grid, 4·grid), with permutes of rank 4 at most."""
    prompts, masks, _ = x.shape
    # Axes now: row, column, y₁, x₁, y₂, x₂.  First bring y₁ y₂ and x₁ x₂ together, then rows and columns.
    x = x.reshape(prompts * masks * grid_size**2 * 2, 2, 2, 2).permute(0, 2, 1, 3)
    x = x.reshape(prompts * masks * grid_size, grid_size, 4, 4).permute(0, 2, 1, 3)
    return x.reshape(prompts, masks, 4 * grid_size, 4 * grid_size)


class MaskDecoder(nn.Module):
    """Image embedding and prompt tokens → three masks with predicted IoU."""

    def __init__(self, config: DecoderConfig, *, grid_size: int) -> None:
        super().__init__()
        dim = config.dim
        self.grid_size = grid_size
        self.mask_range = config.mask_range
        self.num_tokens = config.num_multimask_outputs + 1
        self.transformer = TwoWayTransformer(config)
        self.iou_token = nn.Embedding(1, dim)
        self.before = 0
        if config.object_token:
            self.obj_score_token = nn.Embedding(1, dim)
            self.pred_obj_score_head = MLP(inputs=dim, hidden=dim, outputs=1, depth=3)
            self.before = 1
        self.choice = StableOrBest() if config.single_mask and config.stable_single_mask else None
        self.iou_sigmoid = config.iou_sigmoid
        self.takes_skips = config.skips
        self.mask_tokens = nn.Embedding(self.num_tokens, dim)
        self.output_upscaling = nn.Sequential(
            nn.ConvTranspose2d(dim, dim // 4, 2, stride=2),
            (UpscaleNormOverAll if config.upscale_norm_over_all else UpscaleNorm)(dim // 4),
            nn.GELU(),
            nn.ConvTranspose2d(dim // 4, dim // 8, 2, stride=2),
            nn.GELU(),
        )
        self.output_hypernetworks_mlps = nn.ModuleList(
            MLP(inputs=dim, hidden=dim, outputs=dim // 8, depth=3, activation=config.activation)
            for _ in range(self.num_tokens)
        )
        self.iou_prediction_head = MLP(
            inputs=dim,
            hidden=config.iou_head_hidden_dim,
            outputs=self.num_tokens,
            depth=config.iou_head_depth,
            activation=config.activation,
        )

    def forward(
        self,
        *,
        image: Tensor,
        image_pe: Tensor,
        prompt_tokens: Tensor,
        prompt_bias: Tensor,
        skips: Sequence[Tensor] = (),
    ) -> DecoderOutput:
        """Decode K prompts of G images (K a multiple of G, prompts of an image side by side).

        `image` (G, P, D) embedding plus dense prompt; `image_pe` (1, P, D); `prompt_tokens` (K, N, D);
        `prompt_bias` (K, 1, N) added to the attention scores of each slot; `skips` as in `_upscale`.
        """
        tokens, key_bias = self.with_own_tokens(prompt_tokens, prompt_bias)
        tokens, image = self.transformer(image=image, image_pe=image_pe, tokens=tokens, key_bias=key_bias)
        masks, iou = self._answers(tokens, self._upscale(image, skips))
        return DecoderOutput(masks=masks, iou=iou, tokens=tokens, object_score=self._object_score(tokens))

    def with_own_tokens(self, prompt_tokens: Tensor, prompt_bias: Tensor) -> tuple[Tensor, Tensor]:
        """Put the decoder's tokens, of IoU and of four masks, before the prompt's; T = 5 + N, or 6 + N.

        `prompt_tokens` (K, N, D), `prompt_bias` (K, 1, N) → (K, T, D), (K, 1, T).
        """
        first = [self.obj_score_token.weight] if self.before else []
        own = torch.cat([*first, self.iou_token.weight, self.mask_tokens.weight])
        # Sums with padding, not a concatenation: converters would store `own` once for every prompt.
        tokens = F.pad(prompt_tokens, (0, 0, len(own), 0)) + F.pad(own, (0, 0, 0, prompt_tokens.shape[1]))
        return tokens, F.pad(prompt_bias, (len(own), 0))

    def _answers(self, tokens: Tensor, image: Tensor) -> tuple[Tensor, Tensor]:
        """Tokens (K, T, D) and upscaled image (K, 16·P, D/8) → logits (K, M, S/4, S/4), IoU (K, M)."""
        image = image.transpose(1, 2)
        if self.choice is None:
            logits, iou = torch.bmm(self._weights(tokens, self.mask_range), image), self.predicted_iou(tokens)
        else:
            weights, ious = self._weights(tokens, range(self.num_tokens)), self._all_ious(tokens)
            chosen = self.choice(torch.bmm(weights[:, :1], image), ious).unsqueeze(1)
            logits = torch.bmm(torch.bmm(chosen, weights), image)
            iou = torch.bmm(chosen, ious.unsqueeze(2)).squeeze(2)
        return raster_order(logits, self.grid_size), iou

    def _weights(self, tokens: Tensor, which: range) -> Tensor:
        """What the upscaled image is multiplied with for the masks of some tokens: (K, masks, D/8)."""
        rows = [self.output_hypernetworks_mlps[i](tokens[:, self.before + 1 + i]) for i in which]
        return torch.stack(rows, dim=1)

    def _all_ious(self, tokens: Tensor) -> Tensor:
        """Tokens (K, T, D) after the transformer → predicted IoU of every mask token."""
        out: Tensor = self.iou_prediction_head(tokens[:, self.before])
        return torch.sigmoid(out) if self.iou_sigmoid else out

    def predicted_iou(self, tokens: Tensor) -> Tensor:
        """Tokens (K, T, D) after the transformer → (K, M).

        Where the masks decide which of them a prompt gets, the highest that it may have.
        """
        ious = self._all_ious(tokens)
        if self.choice is not None:
            return ious.amax(dim=1, keepdim=True)
        if len(self.mask_range) == self.num_tokens:
            # A slice of all becomes an alias, which coremltools does not know.
            return ious
        return ious[:, self.mask_range.start : self.mask_range.stop]

    def _object_score(self, tokens: Tensor) -> Tensor | None:
        return torch.sigmoid(self.pred_obj_score_head(tokens[:, 0])) if self.before else None

    def _upscale(self, image: Tensor, skips: Sequence[Tensor]) -> Tensor:
        """(K, P, D) → (K, 16·P, D/8).

        `skips`, where a family has them, are added on the way: (G, 16·P, D/8), (G, 4·P, D/4).
        """
        first, norm, _, second, _ = self.output_upscaling
        assert isinstance(first, nn.ConvTranspose2d)
        assert isinstance(second, nn.ConvTranspose2d)
        if not self.takes_skips:
            return F.gelu(upscale_linear(F.gelu(norm(upscale_linear(image, first))), second))
        fine, coarse = skips
        x = upscale_linear(image, first)
        x = upscale_linear(F.gelu(norm(x + per_prompt(coarse, x))), second)
        return F.gelu(x + per_prompt(fine, x))
