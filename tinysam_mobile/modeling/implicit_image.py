"""The predicted IoU of many prompts without the image that each prompt sees: the entry point `score_batch`.

In the two-way transformer every prompt has an image of its own, (P, D) numbers that are only ever multiplied
by a few vectors.  All those images are one shared matrix, scaled per position, plus a product of low rank:
an update adds weights · values, of rank h·T, and layer norm scales each position.  So scores and contexts
come from products with the shared matrix, which is projected to the d columns of each head once for all
prompts, and the variance for layer norm from products among the few rows.  In everything mode most prompts
are dropped for their predicted IoU, and their images are never made.

Every shape is fixed and no rank is above 4, so this is also the form that is exported.

Symbols as in `transformer`: K prompts, T tokens, P positions, D width, h heads, d = width of a head inside
an attention; r rows of the low-rank part.
"""

from __future__ import annotations

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

__all__ = ["score_prompts"]


@dataclass(frozen=True, kw_only=True)
class Factors:
    """Rows of a low-rank part as `values` (h, K·T, d) · `basis` (h, d, D), h·T of them for each prompt."""

    values: Tensor
    basis: Tensor
    prompts: int

    def rows(self) -> Tensor:
        """The rows written out: (K, h·T, D)."""
        return _by_prompt(torch.bmm(self.values, self.basis), self.prompts)

    def products(self, image: Tensor) -> Tensor:
        """Products with the positions of an image (P, D) that all prompts share: (K, h·T, P)."""
        heads, width, dim = self.basis.shape
        seen = image @ self.basis.reshape(heads * width, dim).t()
        return _by_prompt(torch.bmm(self.values, _columns(seen, heads)), self.prompts)

    def normalised(self, weight: Tensor) -> Factors:
        """The rows less their means, times `weight` (D,)."""
        basis = (self.basis - self.basis.mean(dim=2, keepdim=True)) * weight
        return Factors(values=self.values, basis=basis, prompts=self.prompts)


@dataclass(frozen=True, kw_only=True)
class RepeatedRow:
    """One `row` (1, D) that is the same for every prompt; see `Factors`."""

    row: Tensor
    prompts: int

    def rows(self) -> Tensor:
        """(K, 1, D)."""
        return torch.ones(self.prompts, 1, 1) * self.row

    def products(self, image: Tensor) -> Tensor:
        """(K, 1, P)."""
        return torch.ones(self.prompts, 1, 1) * (image @ self.row.t()).t()

    def normalised(self, weight: Tensor) -> RepeatedRow:
        """See `Factors.normalised`."""
        row = (self.row - self.row.mean(dim=1, keepdim=True)) * weight
        return RepeatedRow(row=row, prompts=self.prompts)


@dataclass(frozen=True, kw_only=True)
class SharedImage:
    """The image (P, D) that all prompts see before the first update."""

    image: Tensor
    image_pe: Tensor

    def scores(self, attention: TokenToImageAttention, query: Tensor, prompts: int) -> Tensor:
        """See `ImplicitImage.scores`."""
        placed = (self.image + self.image_pe) @ attention.k_proj.weight.t()
        scores = torch.bmm(query, _columns(placed, attention.num_heads))
        return scores.view(attention.num_heads, prompts, -1, scores.shape[2])

    def context(self, attention: TokenToImageAttention, weights: Tensor) -> Tensor:
        """See `ImplicitImage.context`."""
        return _shared_context(attention, weights, self.image)

    def asked(self, attention: ImageToTokenAttention, key: Tensor, prompts: int) -> Tensor:
        """See `ImplicitImage.asked`."""
        placed = attention.q_proj(self.image + self.image_pe)
        return _by_prompt(torch.bmm(key, _columns(placed, attention.num_heads)), prompts)

    def updated(self, weights: Tensor, added: Factors, bias: Tensor, norm: nn.LayerNorm) -> ImplicitImage:
        """See `ImplicitImage.updated`."""
        # The sum over the T of a head is 1, so the bias may join what is shared.
        return _normalised(
            ImplicitImage(
                image_pe=self.image_pe,
                shared=self.image + bias,
                scale=None,
                coefficients=weights,
                rows=added.rows(),
                factors=(added,),
                offset=None,
            ),
            norm,
        )


@dataclass(frozen=True, kw_only=True)
class ImplicitImage:
    """K images (K, P, D), each `scale` · (`shared` + `coefficients`ᵀ · `rows`) + `offset`.

    `shared` and `image_pe` (P, D); `scale` (K, 1, P), None for 1; `coefficients` (K, r, P); `rows`
    (K, r, D), which are those of all `factors`; `offset` (1, D), None for 0.
    """

    image_pe: Tensor
    shared: Tensor
    scale: Tensor | None
    coefficients: Tensor
    rows: Tensor
    factors: tuple[Factors | RepeatedRow, ...]
    offset: Tensor | None

    def scores(self, attention: TokenToImageAttention, query: Tensor, prompts: int) -> Tensor:
        """Products of `query` (h, K·T, d) with the keys of the positions, less a constant: (h, K, T, P)."""
        assert self.scale is not None
        heads, shape = attention.num_heads, (attention.num_heads, prompts, -1, len(self.shared))
        key, placing = (
            torch.bmm(query, _columns(part @ attention.k_proj.weight.t(), heads)).view(shape)
            for part in (self.shared, self.image_pe)
        )
        rows = _by_prompt(torch.bmm(query, _head_rows(attention.k_proj.weight, heads)), prompts)
        few = torch.bmm(rows, self.rows.transpose(1, 2))
        low_rank = _by_head(torch.bmm(few, self.coefficients), heads)
        return (key + low_rank) * self.scale.view(1, prompts, 1, -1) + placing

    def context(self, attention: TokenToImageAttention, weights: Tensor) -> Tensor:
        """Averages (h, K·T, d) of the positions' values with `weights` (h, K, T, P), without the bias."""
        assert self.scale is not None
        assert self.offset is not None
        heads, prompts, length, positions = weights.shape
        weights = weights * self.scale.view(1, prompts, 1, -1)
        by_prompt = _by_prompt(weights.reshape(heads, prompts * length, positions), prompts)
        few = torch.bmm(by_prompt, self.coefficients.transpose(1, 2))
        few = torch.bmm(few, self.rows) + self.offset
        low_rank = _by_head(few, heads).reshape(heads, prompts * length, -1)
        low_rank = torch.bmm(low_rank, _head_rows(attention.v_proj.weight, heads).transpose(1, 2))
        return _shared_context(attention, weights, self.shared) + low_rank

    def asked(self, attention: ImageToTokenAttention, key: Tensor, prompts: int) -> Tensor:
        """Products of the positions' queries with `key` (h, K·T, d): (K, h·T, P)."""
        assert self.scale is not None
        assert self.offset is not None
        heads, weight = attention.num_heads, attention.q_proj.weight
        placed = attention.q_proj(self.image_pe + self.offset)
        shared, placing = (
            _by_prompt(torch.bmm(key, _columns(part, heads)), prompts)
            for part in (self.shared @ weight.t(), placed)
        )
        rows = _by_prompt(torch.bmm(key, _head_rows(weight, heads)), prompts)
        few = torch.bmm(rows, self.rows.transpose(1, 2))
        return (shared + torch.bmm(few, self.coefficients)) * self.scale + placing

    def updated(self, weights: Tensor, added: Factors, bias: Tensor, norm: nn.LayerNorm) -> ImplicitImage:
        """The images after adding `weights` (K, h·T, P)ᵀ · `added` and `bias` (D,), and layer norm."""
        assert self.scale is not None
        assert self.offset is not None
        inverse = self.scale.reciprocal()
        # Every prompt has the offset as a row of its own, with the coefficient that undoes the scale.
        offset = RepeatedRow(row=self.offset + bias, prompts=added.prompts)
        return _normalised(
            ImplicitImage(
                image_pe=self.image_pe,
                shared=self.shared,
                scale=self.scale,
                coefficients=torch.cat([self.coefficients, inverse, weights * inverse], dim=1),
                rows=torch.cat([self.rows, offset.rows(), added.rows()], dim=1),
                factors=(*self.factors, offset, added),
                offset=None,
            ),
            norm,
        )


def _normalised(image: ImplicitImage, norm: nn.LayerNorm) -> ImplicitImage:
    """Layer norm of images without offset."""
    rows = image.rows - image.rows.mean(dim=2, keepdim=True)
    centred = image.shared - image.shared.mean(dim=1, keepdim=True)
    # Of what is multiplied with a centred image the mean does not count.
    parts = [factors.products(centred) for factors in image.factors]
    crossed = torch.cat(parts, dim=1) if len(parts) > 1 else parts[0]
    # |centred + coefficientsᵀ · rows|², position by position.
    among = torch.bmm(torch.bmm(rows, rows.transpose(1, 2)), image.coefficients)
    squares = ((2 * crossed + among) * image.coefficients).sum(dim=1, keepdim=True)
    squares = (squares + (centred * centred).sum(dim=1)).clamp(min=0)
    # Sums over D, not means: epsilon by itself is also the bias of a linear layer in a layer norm's program,
    # and ExecuTorch 1.5.1 frees a constant that XNNPACK has packed, though others read it.
    dim = centred.shape[1]
    if image.scale is None:
        scale = torch.rsqrt(squares + dim * norm.eps) * dim**0.5
    else:
        scaled = squares * image.scale * image.scale
        scale = torch.rsqrt(scaled + dim * norm.eps) * dim**0.5 * image.scale
    return ImplicitImage(
        image_pe=image.image_pe,
        shared=centred * norm.weight,
        scale=scale,
        coefficients=image.coefficients,
        rows=rows * norm.weight,
        factors=tuple(factors.normalised(norm.weight) for factors in image.factors),
        offset=norm.bias.unsqueeze(0),
    )


def score_prompts(
    model: TinySAM, image_embeddings: Tensor, point_coords: Tensor, point_labels: Tensor
) -> Tensor:
    """Predicted IoU (K, M) of K prompts on one image, as `TinySAM.decode` predicts it for the same inputs."""
    decoder, prompts = model.mask_decoder, model.prompt_encoder
    tokens, key_bias = decoder.with_own_tokens(*prompts.embed_points(point_coords, point_labels))
    image = prompts.without_mask(image_embeddings.flatten(2).transpose(1, 2))[0]
    seen = SharedImage(image=image, image_pe=prompts.dense_pe()[0])
    # Of all tokens only the one that the IoU is read from looks at the image a last time.
    first = _two_way(decoder.transformer, tokens, seen, key_bias, last=decoder.before + 1)
    out: Tensor = decoder.predicted_iou(first)
    return out


def _two_way(
    transformer: TwoWayTransformer, tokens: Tensor, shared: SharedImage, key_bias: Tensor, *, last: int
) -> Tensor:
    """`TwoWayTransformer.forward` for the first `last` tokens: (K, last, D)."""
    token_pe = tokens
    image: SharedImage | ImplicitImage = shared
    for block in transformer.layers:
        assert isinstance(block, TwoWayBlock)
        tokens = block.among_tokens(tokens, token_pe, key_bias)
        tokens = block.after_look(tokens, _look(block.cross_attn_token_to_image, tokens + token_pe, image))
        image = _update(block, tokens, token_pe, key_bias, image)
    first = tokens[:, :last]
    look = _look(transformer.final_attn_token_to_image, first + token_pe[:, :last], image)
    out: Tensor = transformer.norm_final_attn(first + look)
    return out


def _look(attention: TokenToImageAttention, tokens: Tensor, image: SharedImage | ImplicitImage) -> Tensor:
    """`TokenToImageAttention.forward`: (K, T, D)."""
    prompts, length, _ = tokens.shape
    query = attention.per_head(attention.q_proj(tokens) * attention.scale)
    weights = torch.softmax(image.scores(attention, query, prompts), dim=-1)
    values = image.context(attention, weights)
    merged = values.permute(1, 0, 2).reshape(prompts, length, -1) + attention.v_proj.bias
    out: Tensor = attention.out_proj(merged)
    return out


def _update(
    block: TwoWayBlock,
    tokens: Tensor,
    token_pe: Tensor,
    key_bias: Tensor,
    image: SharedImage | ImplicitImage,
) -> ImplicitImage:
    """The images after they looked at the tokens (K, T, D); `key_bias` (K, 1, T)."""
    attention = block.cross_attn_image_to_token
    prompts, length, _ = tokens.shape
    key = attention.per_head(attention.k_proj(tokens + token_pe) * attention.scale)
    scores = image.asked(attention, key, prompts)
    # Unused slots get no weight.
    scores = scores.view(prompts, attention.num_heads, length, -1) + key_bias.unsqueeze(3)
    weights = torch.softmax(scores, dim=2).view(prompts, attention.num_heads * length, -1)
    values = attention.per_head(attention.v_proj(tokens))
    basis = _head_rows(attention.out_proj.weight.t(), attention.num_heads)
    added = Factors(values=values, basis=basis, prompts=prompts)
    return image.updated(weights, added, attention.out_proj.bias, block.norm4)


def _shared_context(attention: TokenToImageAttention, weights: Tensor, image: Tensor) -> Tensor:
    """Weighted sums, `weights` (h, K, T, P), of the values of an image (P, D): (h, K·T, d)."""
    heads, _, _, positions = weights.shape
    values = _columns(image @ attention.v_proj.weight.t(), heads)
    return torch.bmm(weights.reshape(heads, -1, positions), values.transpose(1, 2))


def _columns(projected: Tensor, heads: int) -> Tensor:
    """(P, h·d) → (h, d, P)."""
    return projected.t().reshape(heads, -1, len(projected))


def _head_rows(weight: Tensor, heads: int) -> Tensor:
    """A projection's weight (h·d, D) → (h, d, D)."""
    return weight.reshape(heads, -1, weight.shape[1])


def _by_prompt(x: Tensor, prompts: int) -> Tensor:
    """(h, K·T, n) → (K, h·T, n)."""
    heads, rows, width = x.shape
    split = x.view(heads, prompts, rows // prompts, width).permute(1, 0, 2, 3)
    return split.reshape(prompts, heads * (rows // prompts), width)


def _by_head(x: Tensor, heads: int) -> Tensor:
    """(K, h·T, n) → (h, K, T, n)."""
    prompts, rows, width = x.shape
    return x.view(prompts, heads, rows // heads, width).permute(1, 0, 2, 3)
