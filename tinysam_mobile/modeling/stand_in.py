"""Stand-in weights: deterministic pseudo-random values addressed by state-dict key.

Two implementations that share a (key, shape) list share the weights, so they can be compared without a
trained file.  The recipe is that of the golden answers (tests/golden); masks made with it are noise.
"""

from __future__ import annotations

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


def stand_in_tensor(key: str, shape: tuple[int, ...]) -> NDArray[Any]:
    """Return the stand-in value of state-dict entry `key`, seeded by the CRC-32 of the key.

    Norm scales and running variances are uniform in [0.5, 1.5]; biases and running means N(0, 0.1);
    attention biases N(0, 0.5); embeddings and the positional matrix N(0, 1); other weights
    N(0, 1/fan_in), where fan_in of the two transposed convolutions is their first axis.
    """
    rng = np.random.RandomState(zlib.crc32(key.encode()))
    if key.endswith("num_batches_tracked"):
        return np.zeros(shape, np.int64)
    if key.endswith("running_var"):
        return rng.uniform(0.5, 1.5, shape).astype(np.float32)
    if key.endswith(("running_mean", ".bias")):
        return (0.1 * rng.standard_normal(shape)).astype(np.float32)
    if key.endswith("attention_biases"):
        return (0.5 * rng.standard_normal(shape)).astype(np.float32)
    owner = key.split(".")[-2]
    if "embed" in owner or "token" in owner or "point_embeddings" in key or "gaussian" in key:
        return rng.standard_normal(shape).astype(np.float32)
    if len(shape) == 1:
        return rng.uniform(0.5, 1.5, shape).astype(np.float32)
    fan_in = shape[0] if key in TRANSPOSED else int(np.prod(shape[1:]))
    weight: NDArray[np.float32] = (rng.standard_normal(shape) / np.sqrt(fan_in)).astype(np.float32)
    return weight


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
