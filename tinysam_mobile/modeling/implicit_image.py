"""The predicted IoU of many prompts without the image that each prompt sees.

In the two-way transformer every prompt has an image of its own, (P, D) numbers that are only ever multiplied
by a few vectors.  All those images are one shared matrix, scaled per position, plus a product of low rank:
an update adds weights · values, of rank h·T, and layer norm scales each position.  So scores and contexts
come from products with the shared matrix, and the variance for layer norm from products among the few rows.
In everything mode most prompts are dropped for their predicted IoU, and their images are never made; those
of the others are written out at the end for the masks.

Symbols as in `transformer`: K prompts, T tokens, P positions, D width, h heads; r rows of the low-rank part.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from tinysam_mobile.modeling.sam import TinySAM
from tinysam_mobile.modeling.transformer import (
    ImageToTokenAttention,
    TokenToImageAttention,
    TwoWayBlock,
    TwoWayTransformer,
)

__all__ = ["ImplicitImage", "ScoredPrompts", "score_prompts"]


@dataclass(frozen=True, kw_only=True)
class SharedImage:
    """The image (P, D) that all prompts see before the first update."""

    image: Tensor

    def scores(self, query: Tensor, image_pe: Tensor) -> Tensor:
        """See `ImplicitImage.scores`."""
        return query @ (self.image.t() + image_pe)

    def context(self, weights: Tensor) -> Tensor:
        """See `ImplicitImage.context`."""
        return weights @ self.image

    def updated(self, weights: Tensor, values: Tensor, norm: nn.LayerNorm) -> ImplicitImage:
        """See `ImplicitImage.updated`."""
        scale = weights.new_ones(len(weights), 1, weights.shape[2])
        return _normalised(self.image, scale=scale, coefficients=weights, rows=values, norm=norm)


@dataclass(frozen=True, kw_only=True)
class ImplicitImage:
    """K images (K, P, D), each `scale` · (`shared` + `coefficients`ᵀ · `rows`) + `offset`.

    `shared` (P, D); `scale` (K, 1, P); `coefficients` (K, r, P); `rows` (K, r, D); `offset` (1, D).
    """

    shared: Tensor
    scale: Tensor
    coefficients: Tensor
    rows: Tensor
    offset: Tensor

    def scores(self, query: Tensor, image_pe: Tensor) -> Tensor:
        """Products of the positions, placed by `image_pe` (D, P), with `query` (K, n, D): (K, n, P)."""
        products = query @ self.shared.t()
        products.baddbmm_(torch.bmm(query, self.rows.transpose(1, 2)), self.coefficients)
        placed = torch.add(query @ image_pe, query @ self.offset.t())
        return placed.addcmul_(products, self.scale)

    def context(self, weights: Tensor) -> Tensor:
        """Averages (K, n, D) of the positions with `weights` (K, n, P), each row of which sums to 1."""
        weights = weights * self.scale
        sums = weights @ self.shared + self.offset
        return sums.baddbmm_(torch.bmm(weights, self.coefficients.transpose(1, 2)), self.rows)

    def updated(self, weights: Tensor, values: Tensor, norm: nn.LayerNorm) -> ImplicitImage:
        """The images after adding `weights`ᵀ (K, n, P) · `values` (K, n, D), and layer norm."""
        inverse = self.scale.reciprocal()
        offset = self.offset.expand(len(values), -1, -1)
        coefficients = torch.cat([self.coefficients, inverse, weights * inverse], dim=1)
        rows = torch.cat([self.rows, offset, values], dim=1)
        return _normalised(self.shared, scale=self.scale, coefficients=coefficients, rows=rows, norm=norm)

    def written_out(self, chosen: Tensor) -> Tensor:
        """The images of some prompts, `chosen` bool (K,) with k of them true: (k, P, D)."""
        inside = self.shared.expand(int(chosen.sum()), -1, -1)
        inside = torch.baddbmm(inside, self.coefficients[chosen].transpose(1, 2), self.rows[chosen])
        return inside.mul_(self.scale[chosen].transpose(1, 2)).add_(self.offset)


def _normalised(
    shared: Tensor, *, scale: Tensor, coefficients: Tensor, rows: Tensor, norm: nn.LayerNorm
) -> ImplicitImage:
    """Layer norm of `scale` · (`shared` + `coefficients`ᵀ · `rows`); shapes as in `ImplicitImage`."""
    rows = rows - rows.mean(dim=2, keepdim=True)
    centred = shared - shared.mean(dim=1, keepdim=True)
    # |centred + coefficientsᵀ · rows|², position by position.
    crossed = (2 * rows) @ centred.t()
    crossed.baddbmm_(torch.bmm(rows, rows.transpose(1, 2)), coefficients)
    squares = crossed.mul_(coefficients).sum(dim=1, keepdim=True) + centred.square().sum(dim=1)
    variance = squares.clamp(min=0) * scale**2 / centred.shape[1]
    return ImplicitImage(
        shared=centred * norm.weight,
        scale=scale * torch.rsqrt(variance + norm.eps),
        coefficients=coefficients,
        rows=rows * norm.weight,
        offset=norm.bias.unsqueeze(0),
    )


@dataclass(frozen=True, kw_only=True)
class ScoredPrompts:
    """`iou` (K, M) predicted, `tokens` (K, T, D) after the transformer, images and skips for masks."""

    iou: Tensor
    tokens: Tensor
    image: ImplicitImage
    skips: Sequence[Tensor] = ()

    def masks(self, model: TinySAM, chosen: Tensor) -> Tensor:
        """Logits (k, 3, S/4, S/4) of some prompts, `chosen` bool (K,) with k of them true."""
        out: Tensor = model.mask_decoder.masks(
            self.tokens[chosen], self.image.written_out(chosen), self.skips
        )
        return out


def score_prompts(
    model: TinySAM,
    image_embeddings: Tensor,
    point_coords: Tensor,
    point_labels: Tensor,
    skips: Sequence[Tensor] = (),
) -> ScoredPrompts:
    """`TinySAM.decode` of K prompts on one image up to the predicted IoU; the same inputs with G = 1."""
    decoder, prompts = model.mask_decoder, model.prompt_encoder
    tokens, key_bias = decoder.with_own_tokens(*prompts.embed_points(point_coords, point_labels))
    image = prompts.without_mask(image_embeddings.flatten(2).transpose(1, 2))[0]
    tokens, seen = _two_way(
        decoder.transformer,
        tokens=tokens,
        image=SharedImage(image=image),
        image_pe=prompts.dense_pe()[0].t(),
        key_bias=key_bias,
    )
    return ScoredPrompts(iou=decoder.predicted_iou(tokens), tokens=tokens, image=seen, skips=skips)


def _two_way(
    transformer: TwoWayTransformer,
    *,
    tokens: Tensor,
    image: SharedImage | ImplicitImage,
    image_pe: Tensor,
    key_bias: Tensor,
) -> tuple[Tensor, ImplicitImage]:
    """`TwoWayTransformer.forward`; `image_pe` (D, P)."""
    token_pe = tokens
    for block in transformer.layers:
        assert isinstance(block, TwoWayBlock)
        tokens = block.among_tokens(tokens, token_pe, key_bias)
        look = _look(block.cross_attn_token_to_image, tokens + token_pe, image, image_pe)
        tokens = block.after_look(tokens, look)
        back = block.cross_attn_image_to_token
        weights = _weights(back, tokens + token_pe, key_bias, image, image_pe)
        image = image.updated(weights, back.values(tokens), block.norm4)
    assert isinstance(image, ImplicitImage)
    look = _look(transformer.final_attn_token_to_image, tokens + token_pe, image, image_pe)
    out: Tensor = transformer.norm_final_attn(tokens + look)
    return out, image


def _look(
    attention: TokenToImageAttention,
    tokens: Tensor,
    image: SharedImage | ImplicitImage,
    image_pe: Tensor,
) -> Tensor:
    """`TokenToImageAttention.forward`: (K, T, D)."""
    query = attention.queries(tokens)
    weights = torch.softmax(image.scores(query, image_pe), dim=-1)
    return attention.answer(image.context(weights), prompts=len(tokens))


def _weights(
    attention: ImageToTokenAttention,
    tokens: Tensor,
    key_bias: Tensor,
    image: SharedImage | ImplicitImage,
    image_pe: Tensor,
) -> Tensor:
    """How much each position takes of each token: (K, h·T, P), the sum over the T of a head is 1."""
    key, bias = attention.keys(tokens, key_bias)
    scores = image.scores(key, image_pe)
    heads = scores.view(*bias.shape, -1).add_(bias.unsqueeze(-1))
    return torch.softmax(heads, dim=2).view_as(scores)
