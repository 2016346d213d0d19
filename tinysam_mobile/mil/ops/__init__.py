"""The ops, by family.  Importing this package fills `registry.OPS`."""

from __future__ import annotations

from tinysam_mobile.mil.ops import (
    activation,
    classify,
    conv,
    detection,
    elementwise,
    image_resizing,
    linear,
    lists,
    normalization,
    pool,
    quantization,
    random,
    recurrent,
    reduction,
    scatter_gather,
    shape,
    slicing,
    state,
    tensor,
    unary,
)
from tinysam_mobile.mil.registry import OPS

__all__ = [
    "OPS", "activation", "classify", "conv", "detection", "elementwise", "image_resizing", "linear", "lists",
    "normalization", "pool", "quantization", "random", "recurrent", "reduction", "scatter_gather", "shape",
    "slicing", "state", "tensor", "unary",
]  # fmt: skip
