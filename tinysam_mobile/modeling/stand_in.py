"""Stand-in weights: deterministic pseudo-random values addressed by state-dict key.

Two implementations that share a (key, shape) list share the weights, so they can be compared without a
trained file.  The recipe is that of the golden answers (tests/golden); masks made with it are noise.
"""

from __future__ import annotations

import re
import zlib
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from tinysam_mobile.modeling.config import TinySAMConfig
from tinysam_mobile.modeling.sam import TinySAM

__all__ = ["STAND_IN_NAME", "stand_in_model", "stand_in_tensor"]

STAND_IN_NAME = "stand-in"
TRANSPOSED = ("mask_decoder.output_upscaling.0.weight", "mask_decoder.output_upscaling.3.weight")
NANOSAM_UPSAMPLING = "up_1.6.weight"
"""A 3x3 transposed convolution of stride 2, whose outputs sum over a quarter of its kernel."""
UNPREFIXED = tuple(
    f"image_encoder.{name}"
    for name in ("backbone.layer", "backbone.conv1.", "backbone.bn1.", "up_1.", "proj.", "pos_embedding")
)
SCALES = (
    (re.compile(r".*\.token_mixer\.0\.conv1?(\.c)?\.weight"), 0.5),
    (re.compile(r".*\.token_mixer\.0\.bn\.weight"), 0.9),
    (re.compile(r".*\.channel_mixer\.m\.2\.c\.weight"), 0.5),
    (
        re.compile(
            r"image_encoder\.(neck\.middle\.op_list\.\d+|backbone\.stages\.\d+\.op_list\.[1-9]\d*)\..*"
            r"(point_conv|conv2|proj)\.norm\.weight"
        ),
        0.5,
    ),
)
"""Keys whose plain values are scaled: long residual chains would leave the range of half precision."""
EMBEDDINGS = ("point_embeddings", "gaussian", "invalid_points")
EDGETAM_BRANCH_END = re.compile(
    r"image_encoder\.trunk\.body\..*(token_mixer\.conv1?|channel_mixer\.conv2|ffn\.conv2)\.bn\.weight"
)
LEARNED_GRIDS = {"pos_embedding": 0.25, "image_encoder.pos_embedding": 0.25, "image_encoder.pos_embed": 0.5}
"""Standard deviations: as ordinary weights they would be too small for an error in them to show."""


def stand_in_tensor(key: str, shape: tuple[int, ...]) -> NDArray[Any]:
    """Return the stand-in value of state-dict entry `key`, seeded by the CRC-32 of the key.

    Norm scales and running variances are uniform in [0.5, 1.5]; biases and running means N(0, 0.1);
    attention biases N(0, 0.5); embeddings and the positional matrix N(0, 1); other weights
    N(0, 1/fan_in), where fan_in of the two transposed convolutions is their first axis.  `SCALES` and
    `LEARNED_GRIDS` are exceptions for some families' encoders.
    """
    # Published files of NanoSAM have no prefix, and the golden answers were made with their keys.
    if key.startswith(UNPREFIXED):
        key = key.removeprefix("image_encoder.")
    rng = np.random.RandomState(zlib.crc32(key.encode()))
    if key.endswith("num_batches_tracked"):
        return np.zeros(shape, np.int64)
    if key.endswith("running_var"):
        return rng.uniform(0.5, 1.5, shape).astype(np.float32)
    if key.endswith(("running_mean", ".bias")):
        return (0.1 * rng.standard_normal(shape)).astype(np.float32)
    if key.endswith("attention_biases"):
        return (0.5 * rng.standard_normal(shape)).astype(np.float32)
    if key in LEARNED_GRIDS:
        return (LEARNED_GRIDS[key] * rng.standard_normal(shape)).astype(np.float32)
    owner = key.split(".")[-2] if "." in key else key
    if "embed" in owner or "token" in owner or any(name in key for name in EMBEDDINGS):
        return rng.standard_normal(shape).astype(np.float32)
    if len(shape) == 1:
        return (_scale(key) * rng.uniform(0.5, 1.5, shape)).astype(np.float32)
    fan_in = float(shape[0] if key in TRANSPOSED else np.prod(shape[1:]))
    if key == NANOSAM_UPSAMPLING:
        fan_in = shape[0] * int(np.prod(shape[2:])) / 4
    scaled = _scale(key) * rng.standard_normal(shape) / np.sqrt(fan_in)
    weight: NDArray[np.float32] = scaled.astype(np.float32)
    return weight


def _scale(key: str) -> float:
    if EDGETAM_BRANCH_END.fullmatch(key):
        return 0.4
    return next((scale for pattern, scale in SCALES if pattern.fullmatch(key)), 1.0)


def stand_in_model(config: TinySAMConfig) -> TinySAM:
    """Return a model of `config` in evaluation mode that holds stand-in weights."""
    model = TinySAM(config)
    state = model.state_dict()
    model.load_state_dict(
        {
            key: torch.from_numpy(np.asarray(stand_in_tensor(key, tuple(value.shape))))
            for key, value in state.items()
        }
    )
    return model.eval()
