"""What `encode` returns and every decoder takes back: the embedding, and in some families feature maps.

Backends hand these tensors on by name, without knowing how many there are.  Comparisons and device dumps keep
them as one array, the stage `embedding`: the embedding itself where it is alone, else all of them end to end.
"""

from __future__ import annotations

from collections.abc import Mapping
from math import prod
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tinysam_mobile.contract.backend import Arrays
from tinysam_mobile.contract.spec import Contract

__all__ = ["feature_parts", "join_features", "joined_shape", "split_features"]


def joined_shape(contract: Contract) -> tuple[int, ...]:
    """Shape of the joined array: (C, G, G) of an embedding that is alone, else (n,)."""
    outputs = contract.encoder_outputs
    return outputs[0].shape[1:] if len(outputs) == 1 else (sum(prod(spec.shape) for spec in outputs),)


def join_features(features: Mapping[str, NDArray[Any]], contract: Contract) -> NDArray[np.float32]:
    """Return the outputs of `encode` as one f32 array of `joined_shape`."""
    arrays = [features[spec.name] for spec in contract.encoder_outputs]
    joined: NDArray[np.float32] = (
        arrays[0][0] if len(arrays) == 1 else np.concatenate([array.ravel() for array in arrays])
    )
    return joined


def feature_parts(joined: NDArray[np.float32], contract: Contract) -> list[NDArray[np.float32]]:
    """Return the outputs of `encode` in their order, views of the joined array with its shapes."""
    flat, parts, start = joined.reshape(-1), [], 0
    for spec in contract.encoder_outputs:
        end = start + prod(spec.shape)
        parts.append(flat[start:end].reshape(spec.shape))
        start = end
    return parts


def split_features(joined: NDArray[np.float32], contract: Contract) -> Arrays:
    """Return the joined array as inputs of a decoder, by name; the inverse of `join_features`."""
    names = [spec.name for spec in contract.encoder_outputs]
    return dict(zip(names, feature_parts(joined, contract), strict=True))
