"""Convolutions in one to three spatial dimensions.

Source: coremltools, `mil/ops/defs/iOS15/conv.py`, `iOS17/conv.py`, and `_utils.py` for padding.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

from torch.nn import functional

from tinysam_mobile.mil.registry import Ints, Tensor, mil_op

__all__ = ["pad_spatial", "spatial_padding"]

_CONV = {1: functional.conv1d, 2: functional.conv2d, 3: functional.conv3d}
_CONV_TRANSPOSE = {
    1: functional.conv_transpose1d,
    2: functional.conv_transpose2d,
    3: functional.conv_transpose3d,
}


def spatial_padding(
    pad_type: str, pad: Ints | None, sizes: Sequence[int], extents: Sequence[int], strides: Ints
) -> list[tuple[int, int]]:
    """(before, after) of each spatial axis.

    extents: of the kernel, dilation included.  `same` puts the odd element after, `same_lower` before.
    """
    if pad_type == "valid":
        return [(0, 0)] * len(sizes)
    if pad_type == "custom":
        flat = pad or (0,) * (2 * len(sizes))
        return [(flat[2 * i], flat[2 * i + 1]) for i in range(len(sizes))]
    if pad_type not in ("same", "same_lower"):
        raise ValueError(f"unknown pad_type {pad_type!r}")
    pairs = []
    for size, extent, stride in zip(sizes, extents, strides, strict=True):
        total = max(0, (math.ceil(size / stride) - 1) * stride + extent - size)
        small, large = total // 2, total - total // 2
        pairs.append((large, small) if pad_type == "same_lower" else (small, large))
    return pairs


def pad_spatial(x: Tensor, pairs: Sequence[tuple[int, int]], value: float = 0.0) -> Tensor:
    """`x` with its last axes padded, or cropped where negative, by (before, after) of each."""
    flat = [amount for pair in reversed(pairs) for amount in pair]
    return functional.pad(x, flat, value=value) if any(flat) else x


@mil_op("conv")
def conv(
    x: Tensor,
    weight: Tensor,
    strides: Ints | None = None,
    pad_type: str = "valid",
    pad: Ints | None = None,
    dilations: Ints | None = None,
    groups: int = 1,
    bias: Tensor | None = None,
) -> Tensor:
    """Cross-correlation of x (n, C_in, *D) with weight (C_out, C_in / groups, *K)."""
    rank = x.dim() - 2
    strides = strides or (1,) * rank
    dilations = dilations or (1,) * rank
    extents = [(k - 1) * d + 1 for k, d in zip(weight.shape[2:], dilations, strict=True)]
    pairs = spatial_padding(pad_type, pad, x.shape[2:], extents, strides)
    padding = tuple(before for before, _ in pairs)
    if any(before != after for before, after in pairs):
        x, padding = pad_spatial(x, pairs), (0,) * rank
    result: Tensor = _CONV[rank](x, weight, bias, strides, padding, dilations, groups)
    return result


@mil_op("conv_quantized")
def conv_quantized(
    x: Tensor,
    weight: Tensor,
    quantization_type: str,
    quant_scale: Tensor,
    quant_bias: Tensor,
    nbits: int = 8,  # noqa: ARG001
    strides: Ints | None = None,
    pad_type: str = "valid",
    pad: Ints | None = None,
    dilations: Ints | None = None,
    groups: int = 1,
    bias: Tensor | None = None,
) -> Tensor:
    """`conv` with `weight * quant_scale + quant_bias`, per tensor or per output channel."""
    if quantization_type != "linear":
        raise ValueError(f"quantization_type {quantization_type!r} is not supported, only 'linear' is")
    form = (-1,) + (1,) * (weight.dim() - 1)
    floats = weight.float() * quant_scale.reshape(form) + quant_bias.reshape(form)
    return conv(x, floats, strides, pad_type, pad, dilations, groups, bias)


@mil_op("conv_transpose")
def conv_transpose(
    x: Tensor,
    weight: Tensor,
    bias: Tensor | None = None,
    pad: Ints | None = None,
    output_shape: Ints | None = None,
    pad_type: str = "valid",
    strides: Ints | None = None,
    dilations: Ints | None = None,
    groups: int = 1,
) -> Tensor:
    """Transposed convolution of x (n, C_in, *D) with weight (C_in, C_out / groups, *K).

    Everything is computed, then cropped by `pad` (custom), to D * strides (same), or to
    `output_shape`; where that is larger than everything, the rest is zero plus bias.
    """
    rank = x.dim() - 2
    strides = strides or (1,) * rank
    dilations = dilations or (1,) * rank
    wanted = output_shape[-rank:] if output_shape else None
    full = [
        (d - 1) * s + (k - 1) * e + 1
        for d, s, k, e in zip(x.shape[2:], strides, weight.shape[2:], dilations, strict=True)
    ]
    same = [d * s for d, s in zip(x.shape[2:], strides, strict=True)]
    crops = _transposed_crops(pad_type, pad, full, wanted, same)
    if all(before == after and before >= 0 for before, after in crops):
        padding = tuple(before for before, _ in crops)
        done: Tensor = _CONV_TRANSPOSE[rank](x, weight, bias, strides, padding, 0, groups, dilations)
        return done
    result: Tensor = _CONV_TRANSPOSE[rank](x, weight, None, strides, 0, 0, groups, dilations)
    result = pad_spatial(result, [(-before, -after) for before, after in crops])
    return result if bias is None else result + bias.reshape((1, -1) + (1,) * rank)


def _transposed_crops(
    pad_type: str, pad: Ints | None, full: list[int], wanted: Ints | None, same: list[int]
) -> list[tuple[int, int]]:
    """What to take off each side of each axis of the full result; negative adds zeros."""
    if pad_type in ("same", "same_lower"):
        totals = [f - w for f, w in zip(full, wanted or same, strict=True)]
        halves = [(max(t, 0) // 2, t - max(t, 0) // 2) for t in totals]
        return [(b, a) if pad_type == "same" else (a, b) for b, a in halves]
    if pad_type not in ("valid", "custom"):
        raise ValueError(f"unknown pad_type {pad_type!r}")
    pairs = spatial_padding(pad_type, pad, full, full, (1,) * len(full))
    if wanted is None:
        return pairs
    return [(before, f - before - w) for (before, _), f, w in zip(pairs, full, wanted, strict=True)]
