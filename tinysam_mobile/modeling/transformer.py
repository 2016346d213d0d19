"""SAM's two-way transformer between prompt tokens and the image (arXiv 2304.02643, appendix A).

Symbols in the shapes below: G images, M prompts per image, K = G·M prompts, T tokens per prompt,
P = image positions, D = width, h = heads, d = width of one head inside an attention.

There are about ten tokens and thousands of image positions, so every projection is applied on the token
side.  A score is query·(W_k x + b_k) = (W_kᵀ query)·x + const, and softmax drops the constant; a context
is W_v (Σ a x) + b_v.  The image is therefore never projected, nothing of its size depends on the weights,
and before the first update all prompts share the very same image tensor (M prompts, G = 1).
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from tinysam_mobile.modeling.config import DecoderConfig
from tinysam_mobile.modeling.layers import ACTIVATIONS, head_merge, head_split

__all__ = ["TwoWayTransformer", "per_prompt"]


class _Projections(nn.Module):
    """The four linear layers of an attention with `inner` = D / downsample rate columns inside."""

    def __init__(self, dim: int, num_heads: int, downsample_rate: int = 1) -> None:
        super().__init__()
        inner = dim // downsample_rate
        self.num_heads = num_heads
        self.scale = (inner // num_heads) ** -0.5
        self.q_proj = nn.Linear(dim, inner)
        self.k_proj = nn.Linear(dim, inner)
        self.v_proj = nn.Linear(dim, inner)
        self.out_proj = nn.Linear(inner, dim)

    def per_head(self, x: Tensor) -> Tensor:
        """(K, T, inner) → (h, K·T, d)."""
        prompts, tokens, inner = x.shape
        heads = x.view(prompts * tokens, self.num_heads, inner // self.num_heads)
        return heads.permute(1, 0, 2)

    def _stack_heads(self, x: Tensor, prompts: int) -> Tensor:
        """(h, K·T, n) → (K, h·T, n)."""
        heads, rows, width = x.shape
        x = x.view(heads, prompts, rows // prompts, width).permute(1, 0, 2, 3)
        return x.reshape(prompts, heads * (rows // prompts), width)

    def _head_rows(self, weight: Tensor) -> Tensor:
        """A projection's weight (inner, D) → (h, d, D)."""
        inner, dim = weight.shape
        return weight.view(self.num_heads, inner // self.num_heads, dim)


class TokenSelfAttention(_Projections):
    """Attention among the tokens of one prompt."""

    def forward(self, *, query: Tensor, value: Tensor, key_bias: Tensor) -> Tensor:
        """`query` (also the key) and `value` (K, T, D), `key_bias` (K, 1, T) → (K, T, D)."""
        prompts, tokens, _ = query.shape
        q = head_split(self.q_proj(query) * self.scale, self.num_heads)
        k = head_split(self.k_proj(query), self.num_heads)
        v = head_split(self.v_proj(value), self.num_heads)
        scores = torch.bmm(q, k.transpose(1, 2)).view(prompts, self.num_heads, tokens, tokens)
        weights = torch.softmax(scores + key_bias.unsqueeze(1), dim=-1).view(-1, tokens, tokens)
        out: Tensor = self.out_proj(head_merge(torch.bmm(weights, v), self.num_heads))
        return out


class TokenToImageAttention(_Projections):
    """Tokens look at the image."""

    def forward(self, *, tokens: Tensor, image_key: Tensor, image_value: Tensor) -> Tensor:
        """`tokens` (K, T, D), images (G, P, D) → (K, T, D)."""
        groups, _, dim = image_key.shape
        query = self.queries(tokens).reshape(groups, -1, dim)
        weights = torch.softmax(torch.bmm(query, image_key.transpose(1, 2)), dim=-1)
        return self.answer(torch.bmm(weights, image_value), prompts=tokens.shape[0])

    def queries(self, tokens: Tensor) -> Tensor:
        """`tokens` (K, T, D) → (K, h·T, D), whose products with the image's positions are the scores."""
        query = torch.bmm(
            self.per_head(self.q_proj(tokens) * self.scale), self._head_rows(self.k_proj.weight)
        )
        return self._stack_heads(query, tokens.shape[0])

    def answer(self, context: Tensor, *, prompts: int) -> Tensor:
        """Weighted sums of the image, K·h·T rows of D → (K, T, D)."""
        dim = context.shape[-1]
        context = context.view(prompts, self.num_heads, -1, dim)
        length = context.shape[2]
        context = context.permute(1, 0, 2, 3).reshape(self.num_heads, prompts * length, dim)
        values = torch.bmm(context, self._head_rows(self.v_proj.weight).transpose(1, 2))
        merged = values.permute(1, 0, 2).reshape(prompts, length, -1) + self.v_proj.bias
        out: Tensor = self.out_proj(merged)
        return out


class ImageToTokenAttention(_Projections):
    """The image looks at the tokens of each prompt."""

    def forward(
        self, *, image_query: Tensor, tokens_key: Tensor, tokens_value: Tensor, key_bias: Tensor
    ) -> Tensor:
        """`image_query` (G, P, D), tokens (K, T, D), `key_bias` (K, 1, T) → (K, P, D)."""
        prompts, length, dim = tokens_key.shape
        groups, positions, _ = image_query.shape
        key, bias = self.keys(tokens_key, key_bias)
        scores = torch.bmm(key.view(groups, -1, dim), image_query.transpose(1, 2)).view(
            prompts, -1, positions
        )
        scores = scores.transpose(1, 2) + bias.view(prompts, 1, -1)
        weights = torch.softmax(scores.reshape(prompts, positions, self.num_heads, length), dim=-1)
        return torch.bmm(weights.view(prompts, positions, -1), self.values(tokens_value))

    def keys(self, tokens: Tensor, key_bias: Tensor) -> tuple[Tensor, Tensor]:
        """`tokens` (K, T, D) → keys (K, h·T, D) and what to add to their scores (K, h, T)."""
        prompts, length, _ = tokens.shape
        key = self.per_head(self.k_proj(tokens) * self.scale)
        query_bias = torch.bmm(key, self.q_proj.bias.view(self.num_heads, -1, 1))
        bias = self._stack_heads(query_bias, prompts).view(prompts, self.num_heads, length) + key_bias
        return self._stack_heads(torch.bmm(key, self._head_rows(self.q_proj.weight)), prompts), bias

    def values(self, tokens: Tensor) -> Tensor:
        """`tokens` (K, T, D) → (K, h·T, D), of which each position of the image takes a weighted sum."""
        # Weights of a head sum to 1, so its share of the bias may join the values, of which there are few.
        value = torch.bmm(self.per_head(self.v_proj(tokens)), self._head_rows(self.out_proj.weight.t()))
        value = value + self.out_proj.bias * (1 / self.num_heads)
        return self._stack_heads(value, tokens.shape[0])


class TokenMLP(nn.Module):
    """(K, T, D) → (K, T, D) with ReLU, or another activation."""

    def __init__(self, dim: int, hidden: int, activation: str) -> None:
        super().__init__()
        self.activation = ACTIVATIONS[activation]
        self.lin1 = nn.Linear(dim, hidden)
        self.lin2 = nn.Linear(hidden, dim)

    def forward(self, x: Tensor) -> Tensor:
        out: Tensor = self.lin2(self.activation(self.lin1(x)))
        return out


class TwoWayBlock(nn.Module):
    """Self-attention, tokens to image, MLP, image to tokens.

    In the first block the self-attention has neither positional term nor residual, as in SAM.
    """

    def __init__(self, config: DecoderConfig, *, is_first: bool) -> None:
        super().__init__()
        dim, heads, rate = config.dim, config.num_heads, config.attention_downsample_rate
        epsilon = config.norm_epsilon
        self.is_first = is_first
        self.keeps_tokens = config.self_attention_keeps_tokens
        self.self_attn = TokenSelfAttention(dim, heads)
        self.norm1 = nn.LayerNorm(dim, eps=epsilon)
        self.cross_attn_token_to_image = TokenToImageAttention(dim, heads, rate)
        self.norm2 = nn.LayerNorm(dim, eps=epsilon)
        self.mlp = TokenMLP(dim, config.mlp_dim, config.activation)
        self.norm3 = nn.LayerNorm(dim, eps=epsilon)
        self.norm4 = nn.LayerNorm(dim, eps=epsilon)
        self.cross_attn_image_to_token = ImageToTokenAttention(dim, heads, rate)

    def forward(
        self, *, tokens: Tensor, image: Tensor, token_pe: Tensor, image_pe: Tensor, key_bias: Tensor
    ) -> tuple[Tensor, Tensor]:
        """`tokens`, `token_pe` (K, T, D); `image` (G or K, P, D); `image_pe` (1, P, D).

        Returns the tokens (K, T, D) and the image (K, P, D).
        """
        tokens = self.among_tokens(tokens, token_pe, key_bias)
        # torch gives a sum its first operand's memory order, and layer norm copies what is not row-major:
        # an image fresh from the encoder is not, so it comes second here and below.
        placed = image_pe + image
        look = self.cross_attn_token_to_image(tokens=tokens + token_pe, image_key=placed, image_value=image)
        tokens = self.after_look(tokens, look)
        update = self.cross_attn_image_to_token(
            image_query=placed, tokens_key=tokens + token_pe, tokens_value=tokens, key_bias=key_bias
        )
        return tokens, self.norm4(update + per_prompt(image, update))

    def among_tokens(self, tokens: Tensor, token_pe: Tensor, key_bias: Tensor) -> Tensor:
        """Self-attention: (K, T, D) → (K, T, D)."""
        if self.keeps_tokens:
            placed = tokens if self.is_first else tokens + token_pe
            update = placed + self.self_attn(query=placed, value=placed, key_bias=key_bias)
        elif self.is_first:
            update = self.self_attn(query=tokens, value=tokens, key_bias=key_bias)
        else:
            update = tokens + self.self_attn(query=tokens + token_pe, value=tokens, key_bias=key_bias)
        out: Tensor = self.norm1(update)
        return out

    def after_look(self, tokens: Tensor, look: Tensor) -> Tensor:
        """Tokens (K, T, D) with what they saw in the image (K, T, D) → (K, T, D)."""
        tokens = self.norm2(tokens + look)
        out: Tensor = self.norm3(tokens + self.mlp(tokens))
        return out


def per_prompt(image: Tensor, update: Tensor) -> Tensor:
    """Let (G, P, D) line up with (K, P, D): broadcast for one image, repeat only for several images."""
    if image.shape[0] in (1, update.shape[0]):
        return image
    return image.repeat_interleave(update.shape[0] // image.shape[0], dim=0)


class TwoWayTransformer(nn.Module):
    """`depth` two-way blocks and a last look of the tokens at the image."""

    def __init__(self, config: DecoderConfig) -> None:
        super().__init__()
        self.layers = nn.ModuleList(TwoWayBlock(config, is_first=i == 0) for i in range(config.depth))
        self.final_attn_token_to_image = TokenToImageAttention(
            config.dim, config.num_heads, config.attention_downsample_rate
        )
        self.norm_final_attn = nn.LayerNorm(config.dim, eps=config.norm_epsilon)

    def forward(
        self, *, image: Tensor, image_pe: Tensor, tokens: Tensor, key_bias: Tensor
    ) -> tuple[Tensor, Tensor]:
        """`image` (G, P, D), `image_pe` (1, P, D), `tokens` (K, T, D), `key_bias` (K, 1, T) added to scores.

        Returns the tokens (K, T, D) and the image as each prompt sees it (K, P, D).
        """
        token_pe = tokens
        for layer in self.layers:
            tokens, image = layer(
                tokens=tokens, image=image, token_pe=token_pe, image_pe=image_pe, key_bias=key_bias
            )
        look = self.final_attn_token_to_image(
            tokens=tokens + token_pe, image_key=image_pe + image, image_value=image
        )
        return self.norm_final_attn(tokens + look), image
