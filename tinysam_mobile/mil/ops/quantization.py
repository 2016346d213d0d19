"""Quantized activations and compressed weights.

Source: coremltools, `mil/ops/defs/iOS16/constexpr_ops.py`, `iOS17/quantization_ops.py`,
`iOS18/compression.py`.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
import torch

from tinysam_mobile.mil.datatypes import unpack_bits
from tinysam_mobile.mil.registry import Ints, Tensor, mil_op

__all__: list[str] = []

# Elements that are looked up at a time.
_AT_ONCE = 1 << 20
_BOUNDS = {"int8": (-128, 127, torch.int8), "uint8": (0, 255, torch.uint8)}


def _along(values: Tensor, axis: int | None, rank: int) -> Tensor:
    """A vector as a tensor of `rank` axes that lies along `axis`; a scalar as it is."""
    if axis is None or values.numel() == 1:
        return values.reshape(())
    form = [1] * rank
    form[axis] = -1
    return values.reshape(form)


@mil_op("quantize", since="ios17")
def quantize(
    input: Tensor,
    scale: Tensor,
    output_dtype: str,
    zero_point: Tensor | None = None,
    axis: int | None = None,
) -> Tensor:
    """`clip(round(input / scale) + zero_point)`, halves rounded to even."""
    low, high, dtype = _BOUNDS[output_dtype]
    codes = torch.round(input / _along(scale, axis, input.dim()))
    if zero_point is not None:
        codes = codes + _along(zero_point, axis, input.dim()).float()
    return torch.nan_to_num(codes).clamp(low, high).to(dtype)


@mil_op("dequantize", since="ios17")
def dequantize(
    input: Tensor, scale: Tensor, zero_point: Tensor | None = None, axis: int | None = None
) -> Tensor:
    """`scale * (input - zero_point)`."""
    codes = input.float()
    if zero_point is not None:
        codes = codes - _along(zero_point, axis, input.dim()).float()
    return codes * _along(scale, axis, input.dim())


@mil_op("constexpr_affine_dequantize", since="ios16")
def constexpr_affine_dequantize(
    quantized_data: Tensor, zero_point: Tensor, scale: Tensor, axis: int
) -> Tensor:
    """`scale * (quantized_data - zero_point)`, per tensor or along `axis`."""
    return dequantize(quantized_data, scale, zero_point, axis)


@mil_op("constexpr_cast", since="ios16")
def constexpr_cast(source_val: Tensor, output_dtype: str) -> Tensor:
    """fp16 to fp32."""
    if output_dtype != "fp32":
        raise ValueError(f"output_dtype {output_dtype!r} is not supported, only 'fp32' is")
    return source_val.float()


@mil_op("constexpr_lut_to_dense", since="ios16", moves_data=True)
def constexpr_lut_to_dense(indices: Tensor, lut: Tensor, shape: Ints) -> Tensor:
    """`lut[indices]`; indices are packed into bytes, least significant bits first."""
    bits = int(math.log2(lut.numel()))
    packed = np.ascontiguousarray(indices.numpy())
    flat = packed if bits == 8 else unpack_bits(packed, bits, math.prod(shape), signed=False)
    return lut[torch.from_numpy(flat.astype(np.int64))].reshape(shape)


@mil_op("constexpr_sparse_to_dense", since="ios16", moves_data=True)
def constexpr_sparse_to_dense(nonzero_data: Tensor, mask: Tensor, shape: Ints) -> Tensor:
    """`nonzero_data` where the bits of `mask` are set, else 0."""
    bits = unpack_bits(np.ascontiguousarray(mask.numpy()), 1, math.prod(shape), signed=False)
    return _spread(nonzero_data, torch.from_numpy(bits).reshape(shape))


def _spread(nonzero_data: Tensor, mask: Tensor) -> Tensor:
    dense = torch.zeros(mask.shape, dtype=nonzero_data.dtype)
    dense[mask != 0] = nonzero_data
    return dense


@mil_op("constexpr_sparse_to_dense", since="ios18", moves_data=True)
def constexpr_sparse_to_dense_ios18(nonzero_data: Tensor, mask: Tensor) -> Tensor:
    """`nonzero_data` where `mask` (uint1) is set, else 0; the shape of `mask`."""
    return _spread(nonzero_data, mask)


def _blocks(shape: Sequence[int], counts: Sequence[int]) -> list[tuple[int, int]]:
    """(blocks, elements of each) of every axis of `shape`."""
    pairs = []
    for size, count in zip(shape, counts, strict=True):
        if count < 1 or size % count:
            raise ValueError(f"an axis of size {size} does not divide into {count} blocks")
        pairs.append((count, size // count))
    return pairs


def _shift_scale(data: Tensor, scale: Tensor, offset: Tensor | None) -> Tensor:
    """`scale * (data - offset)` block by block, in the memory of the result."""
    pairs = _blocks(data.shape, scale.shape)
    values = data.to(torch.float32, copy=True).reshape([n for pair in pairs for n in pair])
    form = [n for count, _ in pairs for n in (count, 1)]
    if offset is not None:
        values.sub_(offset.float().reshape(form))
    return values.mul_(scale.reshape(form)).reshape(data.shape)


@mil_op("constexpr_blockwise_shift_scale", since="ios18")
def constexpr_blockwise_shift_scale(data: Tensor, scale: Tensor, offset: Tensor | None = None) -> Tensor:
    """`scale * (data - offset)`, one scale for each block of `data.shape / scale.shape`."""
    return _shift_scale(data, scale, offset)


@mil_op("constexpr_sparse_blockwise_shift_scale", since="ios18")
def constexpr_sparse_blockwise_shift_scale(
    data_mask: Tensor, nonzero_data: Tensor, scale: Tensor, offset: Tensor | None = None
) -> tuple[Tensor, Tensor]:
    """As `constexpr_blockwise_shift_scale`, of sparse data: the mask, and the non-zero results."""
    dense = _shift_scale(_spread(nonzero_data, data_mask), scale, offset)
    return data_mask, dense[data_mask != 0]


def _look_up(indices: Tensor, lut: Tensor, vector_axis: int | None) -> Tensor:
    """Entries of `lut` (one table per group, then palette, then vector) at `indices`.

    A part of the rows at a time, so that no index of 64 bits for every element is in memory.
    """
    rank = indices.dim()
    palette, width = lut.shape[-2:]
    which = _group_of_each(indices.shape, lut.shape[:rank]) * palette
    entries = lut.reshape(-1, width)
    vectors = torch.empty((*indices.shape, width), dtype=lut.dtype)
    rows = max(1, _AT_ONCE // max(1, indices.numel() // max(1, indices.shape[0]) * width))
    for start in range(0, indices.shape[0], rows):
        part = indices[start : start + rows].to(torch.int64)
        if bool((part >= palette).any()):
            raise IndexError(f"an index is beyond the {palette} entries of its table")
        groups = which[start : start + rows] if which.shape[0] > 1 else which
        vectors[start : start + rows] = entries[part + groups]
    if width == 1:
        return vectors.squeeze(-1)
    axis = (vector_axis if vector_axis is not None else -1) % rank
    return vectors.movedim(-1, axis + 1).flatten(axis, axis + 1)


def _group_of_each(shape: Sequence[int], counts: Sequence[int]) -> Tensor:
    """Number of the group that each element is in; axes with one group have size 1."""
    number = torch.zeros([1] * len(shape), dtype=torch.int64)
    for axis, (count, size) in enumerate(_blocks(shape, counts)):
        number = number * count
        if count > 1:
            form = [1] * len(shape)
            form[axis] = -1
            number = number + (torch.arange(count * size) // size).reshape(form)
    return number


@mil_op("constexpr_lut_to_dense", since="ios18", moves_data=True)
def constexpr_lut_to_dense_ios18(indices: Tensor, lut: Tensor, vector_axis: int | None = None) -> Tensor:
    """`lut[group, indices]`; vectors are laid out along `vector_axis`."""
    return _look_up(indices, lut, vector_axis)


@mil_op("constexpr_lut_to_sparse", since="ios18", moves_data=True)
def constexpr_lut_to_sparse(
    indices_mask: Tensor, indices_nonzero_data: Tensor, lut: Tensor, vector_axis: int | None = None
) -> tuple[Tensor, Tensor]:
    """As `constexpr_lut_to_dense`, of sparse indices: the mask, and the non-zero entries."""
    dense = _look_up(_spread(indices_nonzero_data, indices_mask), lut, vector_axis)
    mask = indices_mask
    if lut.shape[-1] > 1:
        axis = vector_axis if vector_axis is not None else -1
        mask = mask.repeat_interleave(lut.shape[-1], dim=axis)
    return mask, dense[mask != 0]
