"""Make `sam_vit.npz` with PyPI's `segment-anything`: its ViT encoder, small, with stand-in weights.

Run it in an environment of its own, in which torchvision and segment-anything are installed:

    PYTHONPATH=. ORACLE/bin/python tests/golden/make_sam_vit.py tests/golden/sam_vit.npz
"""

from __future__ import annotations

import hashlib
import json
import sys
from functools import partial

import numpy as np
import torch
from segment_anything import sam_model_registry
from segment_anything.modeling import ImageEncoderViT

from tinysam_mobile.modeling.stand_in import stand_in_tensor


def small_encoder() -> torch.nn.Module:
    """Two windowed blocks of an 8x8 grid padded to 10x10, and a global one between them."""
    encoder = ImageEncoderViT(
        img_size=128,
        embed_dim=32,
        depth=3,
        num_heads=2,
        out_chans=64,
        norm_layer=partial(torch.nn.LayerNorm, eps=1e-6),
        use_rel_pos=True,
        window_size=5,
        global_attn_indexes=(1,),
    )
    state = {
        key: torch.from_numpy(stand_in_tensor(f"image_encoder.{key}", tuple(value.shape)))
        for key, value in encoder.state_dict().items()
    }
    encoder.load_state_dict(state)
    return encoder.eval()


def layout(name: str) -> str:
    """SHA-256 of the sorted keys and shapes of an official model."""
    with torch.device("meta"):
        state = sam_model_registry[name]().state_dict()
    shapes = {key: list(value.shape) for key, value in sorted(state.items())}
    return hashlib.sha256(json.dumps(shapes).encode()).hexdigest()


def main(out: str) -> None:
    """Write the input, the embedding and the layouts of the three official models."""
    image = np.random.RandomState(0).standard_normal((2, 3, 128, 128)).astype(np.float32)
    with torch.inference_mode():
        embedding = small_encoder()(torch.from_numpy(image)).numpy()
    layouts = {name: layout(name) for name in ("vit_b", "vit_l", "vit_h")}
    np.savez_compressed(out, embedding=embedding, **layouts)


if __name__ == "__main__":
    main(*sys.argv[1:])
