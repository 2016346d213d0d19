"""Pooling in one to three spatial dimensions.

Source: coremltools, `mil/ops/defs/iOS15/pool.py` and `_utils.py` (`spatial_dimensions_out_shape`).
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
from torch.nn import functional

from tinysam_mobile.mil.ops.conv import pad_spatial, spatial_padding
from tinysam_mobile.mil.registry import Ints, Tensor, mil_op

__all__: list[str] = []

_MAX = {1: functional.max_pool1d, 2: functional.max_pool2d, 3: functional.max_pool3d}
_AVERAGE = {1: functional.avg_pool1d, 2: functional.avg_pool2d, 3: functional.avg_pool3d}
_Pairs = list[tuple[int, int]]


def _layout(
    sizes: Sequence[int], kernel: Ints, strides: Ints, pad_type: str, pad: Ints | None, ceil_mode: bool
) -> tuple[_Pairs, _Pairs]:
    """Padding of each axis, and what `ceil_mode` adds behind it, which no average counts."""
    pairs = spatial_padding(pad_type.lower(), pad, sizes, kernel, strides)
    extra = []
    for size, k, stride, (before, after) in zip(sizes, kernel, strides, pairs, strict=True):
        span = size + before + after
        count = (span - k) // stride + 1
        if ceil_mode:
            count = math.ceil((span - k) / stride) + 1
            if (count - 1) * stride >= size + (before + after) / 2 and before + after > 0:
                count -= 1
        extra.append((0, (count - 1) * stride + k - span))
    return pairs, extra


def _pad(x: Tensor, pairs: _Pairs, extra: _Pairs, value: float) -> Tensor:
    joined = [(before, after + more) for (before, after), (_, more) in zip(pairs, extra, strict=True)]
    return pad_spatial(x, joined, value)


def _window_sum(x: Tensor, kernel: Ints, strides: Ints) -> Tensor:
    mean: Tensor = _AVERAGE[len(kernel)](x, kernel, strides)
    return mean * math.prod(kernel)


@mil_op("max_pool")
def max_pool(
    x: Tensor,
    kernel_sizes: Ints,
    strides: Ints | None = None,
    pad_type: str = "valid",
    pad: Ints | None = None,
    ceil_mode: bool = False,
) -> Tensor:
    """Maximum over windows of x (n, C, *D); padding never wins."""
    strides = strides or (1,) * len(kernel_sizes)
    pairs, extra = _layout(x.shape[2:], kernel_sizes, strides, pad_type, pad, ceil_mode)
    padded = _pad(x, pairs, extra, -math.inf)
    result: Tensor = _MAX[len(kernel_sizes)](padded, kernel_sizes, strides)
    return result


@mil_op("avg_pool")
def avg_pool(
    x: Tensor,
    kernel_sizes: Ints,
    strides: Ints | None = None,
    pad_type: str = "valid",
    pad: Ints | None = None,
    exclude_padding_from_average: bool = False,
    ceil_mode: bool = False,
) -> Tensor:
    """Average over windows of x (n, C, *D); padding counts unless it is excluded."""
    strides = strides or (1,) * len(kernel_sizes)
    pairs, extra = _layout(x.shape[2:], kernel_sizes, strides, pad_type, pad, ceil_mode)
    padded = _pad(x, pairs, extra, 0.0)
    uncounted = [(0, max(more, 0)) for _, more in extra]
    if not any(b + a for b, a in pairs) or not exclude_padding_from_average:
        counted_sizes = [d + b + a for d, (b, a) in zip(x.shape[2:], pairs, strict=True)]
        border = uncounted
    else:
        counted_sizes = list(x.shape[2:])
        border = [(b, a + more) for (b, a), (_, more) in zip(pairs, uncounted, strict=True)]
    if not any(b + a for b, a in border):
        result: Tensor = _AVERAGE[len(kernel_sizes)](padded, kernel_sizes, strides)
        return result
    ones = pad_spatial(torch.ones((1, 1, *counted_sizes), dtype=x.dtype), border)
    for axis, size in enumerate(padded.shape[2:], start=2):
        ones = ones.narrow(axis, 0, size)
    return _window_sum(padded, kernel_sizes, strides) / _window_sum(ones, kernel_sizes, strides)


@mil_op("l2_pool")
def l2_pool(
    x: Tensor,
    kernel_sizes: Ints,
    strides: Ints | None = None,
    pad_type: str = "valid",
    pad: Ints | None = None,
    ceil_mode: bool = False,
) -> Tensor:
    """Square root of the sum of squares over windows of x (n, C, *D)."""
    strides = strides or (1,) * len(kernel_sizes)
    pairs, extra = _layout(x.shape[2:], kernel_sizes, strides, pad_type, pad, ceil_mode)
    return torch.sqrt(_window_sum(_pad(x * x, pairs, extra, 0.0), kernel_sizes, strides))
