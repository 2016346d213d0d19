"""SAM's ViT encoder against PyPI's segment-anything (tests/golden/make_sam_vit.py)."""

from __future__ import annotations

import hashlib
import json
import zlib
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import save_file

from tinysam_mobile.modeling.checkpoint import load_checkpoint
from tinysam_mobile.modeling.config import (
    DecoderConfig,
    TinySAMConfig,
    config_from_dict,
    config_named,
)
from tinysam_mobile.modeling.encoders.sam_vit import SamViTConfig
from tinysam_mobile.modeling.sam import TinySAM
from tinysam_mobile.modeling.stand_in import stand_in_model

GOLDEN = Path(__file__).parents[1] / "golden" / "sam_vit.npz"
SMALL = TinySAMConfig(
    name="small-vit",
    image_size=128,
    encoder=SamViTConfig(embed_dim=32, depth=3, num_heads=2, global_layers=(1,), window_size=5),
    decoder=DecoderConfig(dim=64, num_heads=4, mlp_dim=64),
)
F32_EMBEDDING = 2e-4
"""Two orders of float32 sums through three blocks, on values of order 1."""


def test_the_embedding_is_that_of_segment_anything() -> None:
    image = np.random.RandomState(0).standard_normal((2, 3, 128, 128)).astype(np.float32)
    with torch.inference_mode():
        model = stand_in_model(SMALL)
        # The golden answer is older than the rule for this grid, and treats it as any other weight.
        key = "image_encoder.pos_embed"
        grid = np.random.RandomState(zlib.crc32(key.encode())).standard_normal((1, 8, 8, 32))
        model.image_encoder.get_parameter("pos_embed").copy_(torch.from_numpy(grid / np.sqrt(8 * 8 * 32)))
        embedding = model.encode(torch.from_numpy(image)).numpy()
    np.testing.assert_allclose(embedding, np.load(GOLDEN)["embedding"], atol=F32_EMBEDDING)


@pytest.mark.parametrize("name", ["vit_b", "vit_l", "vit_h"])
def test_keys_and_shapes_are_those_of_the_published_files(name: str) -> None:
    with torch.device("meta"):
        state = TinySAM(config_named(f"sam-{name.replace('_', '-')}")).state_dict()
    shapes = {key: list(value.shape) for key, value in sorted(state.items())}
    assert hashlib.sha256(json.dumps(shapes).encode()).hexdigest() == str(np.load(GOLDEN)[name])


def test_a_vit_checkpoint_loads_with_its_configuration(tmp_path: Path) -> None:
    model = stand_in_model(SMALL)
    path = tmp_path / "teacher.safetensors"
    save_file(model.state_dict(), path, metadata={"config": json.dumps(SMALL.to_dict())})
    loaded = load_checkpoint(path).model
    assert loaded.config == SMALL == config_from_dict(json.loads(json.dumps(SMALL.to_dict())))
    assert torch.equal(loaded.image_encoder.pos_embed, model.image_encoder.pos_embed)
