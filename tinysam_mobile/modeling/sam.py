"""The whole network: encoder, prompt encoder, mask decoder under the published state-dict keys."""

from __future__ import annotations

from collections.abc import Sequence

from torch import Tensor, nn

from tinysam_mobile.errors import UsageError
from tinysam_mobile.modeling.config import TinySAMConfig
from tinysam_mobile.modeling.encoders.registry import kind_of
from tinysam_mobile.modeling.mask_decoder import DecoderOutput, MaskDecoder
from tinysam_mobile.modeling.prompt_encoder import PromptEncoder

__all__ = ["TinySAM"]


class TinySAM(nn.Module):
    """TinySAM (arXiv 2312.13789); with `TINYSAM` it has the published files' 439 state-dict entries."""

    def __init__(self, config: TinySAMConfig) -> None:
        super().__init__()
        self.config = config
        self.image_encoder = kind_of(config.encoder).build(
            config.encoder, image_size=config.image_size, out_channels=config.decoder.dim
        )
        self.prompt_encoder = PromptEncoder(config)
        self.mask_decoder = MaskDecoder(config.decoder, grid_size=config.grid_size)

    def encode(self, image: Tensor) -> Tensor:
        """(B, 3, S, S) normalised RGB, 0 outside the photo → image embeddings (B, C, S/16, S/16)."""
        return self.features(image)[0]

    def features(self, image: Tensor) -> tuple[Tensor, ...]:
        """As `encode`, with the maps that a decoder with skips takes after the embeddings."""
        out: Tensor | tuple[Tensor, ...] = self.image_encoder(image)
        return out if isinstance(out, tuple) else (out,)

    def decode(
        self,
        image_embeddings: Tensor,
        point_coords: Tensor,
        point_labels: Tensor,
        mask_input: Tensor | None = None,
        has_mask_input: Tensor | None = None,
        skips: Sequence[Tensor] = (),
    ) -> DecoderOutput:
        """Decode K prompts of G images; K is a multiple of G and the prompts of an image are side by side.

        `image_embeddings` f32 (G, C, S/16, S/16); `point_coords` f32 (K, N, 2) x, y in the S frame;
        `point_labels` i32 (K, N), −2 for an unused slot; `mask_input` f32 (G, 1, S/4, S/4) logits with
        `has_mask_input` f32 (G), or neither; `skips` what else `features` returned.
        """
        if bool(skips) != self.config.decoder.skips:
            raise UsageError(f"{self.config.name}: decode takes all that `features` returned, and no more")
        image = image_embeddings.flatten(2).transpose(1, 2)
        if mask_input is None or has_mask_input is None:
            image = self.prompt_encoder.without_mask(image)
        else:
            image = image + self.prompt_encoder.embed_mask(mask_input, has_mask_input)
        prompt_tokens, prompt_bias = self.prompt_encoder.embed_points(point_coords, point_labels)
        out: DecoderOutput = self.mask_decoder(
            image=image,
            image_pe=self.prompt_encoder.dense_pe(),
            prompt_tokens=prompt_tokens,
            prompt_bias=prompt_bias,
            skips=skips,
        )
        return out
