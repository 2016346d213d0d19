"""State-dict keys of `transformers.SamModel` → those of Segment Anything.

Hugging Face publishes SAM and SlimSAM under names of its own; no tensor is reshaped.
"""

from __future__ import annotations

import re
from collections.abc import Mapping

from torch import Tensor

__all__ = ["from_transformers"]

MARK = "vision_encoder."
GAUSSIAN = "prompt_encoder.pe_layer.positional_encoding_gaussian_matrix"
GAUSSIAN_TWINS = (
    "shared_image_embedding.positional_embedding",
    "prompt_encoder.shared_embedding.positional_embedding",
)
"""The one matrix under two names, of which either may be missing."""
RULES = (
    (r"vision_encoder\.", "image_encoder."),
    (r"(image_encoder)\.layers\.", r"\1.blocks."),
    (r"patch_embed\.projection\.", "patch_embed.proj."),
    (r"(image_encoder\.blocks\.\d+)\.layer_norm(\d)\.", r"\1.norm\2."),
    (r"neck\.conv1\.", "neck.0."),
    (r"neck\.layer_norm1\.", "neck.1."),
    (r"neck\.conv2\.", "neck.2."),
    (r"neck\.layer_norm2\.", "neck.3."),
    (r"\.point_embed\.", ".point_embeddings."),
    (r"\.mask_embed\.conv1\.", ".mask_downscaling.0."),
    (r"\.mask_embed\.layer_norm1\.", ".mask_downscaling.1."),
    (r"\.mask_embed\.conv2\.", ".mask_downscaling.3."),
    (r"\.mask_embed\.layer_norm2\.", ".mask_downscaling.4."),
    (r"\.mask_embed\.conv3\.", ".mask_downscaling.6."),
    (r"\.upscale_conv1\.", ".output_upscaling.0."),
    (r"\.upscale_layer_norm\.", ".output_upscaling.1."),
    (r"\.upscale_conv2\.", ".output_upscaling.3."),
    (r"(mask_decoder\.transformer\..*)\.layer_norm(\d)\.", r"\1.norm\2."),
    (r"\.layer_norm_final_attn\.", ".norm_final_attn."),
    (r"((?:mlps\.\d+|iou_prediction_head))\.layers\.0\.", r"\1.layers.1."),
    (r"((?:mlps\.\d+|iou_prediction_head))\.proj_in\.", r"\1.layers.0."),
    (r"((?:mlps\.\d+|iou_prediction_head))\.proj_out\.", r"\1.layers.2."),
)
COMPILED = [(re.compile(pattern), replacement) for pattern, replacement in RULES]


def from_transformers(state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Return `state` under Segment Anything's keys; another state is returned as it is."""
    if not any(key.startswith(MARK) for key in state):
        return dict(state)
    renamed = {_official(key): value for key, value in state.items() if key not in GAUSSIAN_TWINS}
    for twin in GAUSSIAN_TWINS:
        if twin in state:
            renamed[GAUSSIAN] = state[twin]
    return renamed


def _official(key: str) -> str:
    for pattern, replacement in COMPILED:
        key = pattern.sub(replacement, key)
    return key
