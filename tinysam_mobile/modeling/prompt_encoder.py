"""SAM's prompt encoder: points, boxes and a mask to embeddings (arXiv 2304.02643, appendix A).

Written with comparisons and a table instead of indexing, so that nothing depends on the data's values
and one graph serves every mix of prompts.
"""

from __future__ import annotations

from math import pi

import torch
from torch import Tensor, nn

from tinysam_mobile.contract.spec import EMBEDDED_LABELS, POINT_SHIFT, Label
from tinysam_mobile.modeling.config import TinySAMConfig
from tinysam_mobile.modeling.layers import LayerNorm2d

__all__ = ["MASKED_SCORE", "PromptEncoder"]

MASKED_SCORE = -1.0e4
"""Added to the score of an unused slot: exp() of it is 0 in fp32 and fp16, and fp16 can hold it."""


class FourierFeatures(nn.Module):
    """Random Fourier features of positions in [0, 1]²; the Gaussian matrix is fixed, not trained."""

    positional_encoding_gaussian_matrix: Tensor

    def __init__(self, dim: int) -> None:
        super().__init__()
        self.register_buffer("positional_encoding_gaussian_matrix", torch.randn(2, dim // 2))

    def forward(self, xy: Tensor) -> Tensor:
        """(..., 2) x, y in [0, 1] → (..., dim)."""
        phase = 2 * pi * ((2 * xy - 1) @ self.positional_encoding_gaussian_matrix)
        return torch.cat([phase.sin(), phase.cos()], dim=-1)

    def grid(self, size: int) -> Tensor:
        """Features of the cell centres of a size x size grid → (1, size², dim), row by row.

        The phase is a sum of an x part and a y part, so the angle-addition formulas build the grid from
        two tables of `size` rows: an exported graph stores kilobytes instead of a 4 MB constant.
        """
        matrix = self.positional_encoding_gaussian_matrix
        centres = (torch.arange(size, dtype=torch.float32, device=matrix.device) + 0.5) / size
        turns = 2 * pi * (2 * centres.unsqueeze(1) - 1)
        gauss_x, gauss_y = matrix.unsqueeze(1).unbind(0)
        phase_x, phase_y = (turns * gauss_x).unsqueeze(0), (turns * gauss_y).unsqueeze(1)
        sin = phase_x.sin() * phase_y.cos() + phase_x.cos() * phase_y.sin()
        cos = phase_x.cos() * phase_y.cos() - phase_x.sin() * phase_y.sin()
        return torch.cat([sin, cos], dim=-1).view(1, size * size, -1)


class PromptEncoder(nn.Module):
    """Points and boxes → tokens; mask → image-sized embedding; grid → dense positional encoding."""

    label_values: Tensor

    def __init__(self, config: TinySAMConfig) -> None:
        super().__init__()
        dim, hidden = config.decoder.dim, config.decoder.mask_in_channels
        self.frame_size = config.frame_size
        self.grid_size = config.grid_size
        self.pe_layer = FourierFeatures(dim)
        self.point_embeddings = nn.ModuleList(nn.Embedding(1, dim) for _ in range(4))
        self.not_a_point_embed = nn.Embedding(1, dim)
        self.lowest_placed = Label.PAD if config.decoder.pad_has_position else Label.BACKGROUND
        self.mask_prompts = config.decoder.mask_prompts
        self.mask_limit = float(config.decoder.mask_limit)
        if self.mask_prompts:
            self.mask_downscaling = nn.Sequential(
                nn.Conv2d(1, hidden // 4, 2, stride=2),
                LayerNorm2d(hidden // 4),
                nn.GELU(),
                nn.Conv2d(hidden // 4, hidden, 2, stride=2),
                LayerNorm2d(hidden),
                nn.GELU(),
                nn.Conv2d(hidden, dim, 1),
            )
            self.no_mask_embed = nn.Embedding(1, dim)
        self.register_buffer(
            "label_values", torch.tensor(EMBEDDED_LABELS, dtype=torch.int32), persistent=False
        )

    def label_table(self) -> Tensor:
        """Embeddings of `EMBEDDED_LABELS` in that order: (5, D)."""
        return torch.cat([self.not_a_point_embed.weight] + [e.weight for e in self.point_embeddings])  # type: ignore[misc]

    def embed_points(self, coords: Tensor, labels: Tensor) -> tuple[Tensor, Tensor]:
        """Embed prompt slots.

        `coords` f32 (K, N, 2) x, y in the frame of side F; `labels` i32 (K, N).  Returns the tokens
        (K, N, D) and the score bias of each slot (K, 1, N): 0, or `MASKED_SCORE` where the label is −2.
        Coordinates of labels without a position are never used, so they may be NaN.
        """
        is_point = (labels >= self.lowest_placed).unsqueeze(-1)
        position = self.pe_layer((coords.masked_fill(~is_point, 0.0) + POINT_SHIFT) / self.frame_size)
        one_hot = (labels.unsqueeze(-1) == self.label_values).to(coords.dtype)
        tokens = position * is_point.to(coords.dtype) + one_hot @ self.label_table()
        bias = (labels == Label.UNUSED).to(coords.dtype) * MASKED_SCORE
        return tokens, bias.unsqueeze(1)

    def without_mask(self, image: Tensor) -> Tensor:
        """The image (G, P, D) as a decoder takes it that has no mask prompt."""
        return image + self.no_mask_embed.weight if self.mask_prompts else image

    def embed_mask(self, mask: Tensor, has_mask: Tensor) -> Tensor:
        """`mask` f32 (B, 1, S/4, S/4) logits, `has_mask` f32 (B) of 0 or 1 → (B, P, D).

        Where `has_mask` is 0 the mask is not used and may hold anything, NaN included.
        """
        flag = has_mask.view(-1, 1, 1, 1)
        mask = mask.masked_fill(flag <= 0.5, 0.0)
        if self.mask_limit:
            mask = mask.clamp(-self.mask_limit, self.mask_limit)
        downscaled = self.mask_downscaling(mask)
        tokens = downscaled.flatten(2).transpose(1, 2)
        flag = flag.view(-1, 1, 1)
        no_mask: Tensor = self.no_mask_embed.weight
        dense: Tensor = flag * tokens + (1 - flag) * no_mask
        return dense

    def dense_pe(self) -> Tensor:
        """Positional encoding of the image embedding (1, P, D)."""
        return self.pe_layer.grid(self.grid_size)
