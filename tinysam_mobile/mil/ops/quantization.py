"""Quantized activations and compressed weights.

Source: coremltools, `mil/ops/defs/iOS16/constexpr_ops.py`, `iOS17/quantization_ops.py`,
`iOS18/compression.py`.
"""

from __future__ import annotations

import math

import numpy as np
import torch

from tinysam_mobile.mil.datatypes import unpack_bits
from tinysam_mobile.mil.registry import Ints, Tensor, mil_op

__all__: list[str] = []

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


def _repeated(values: Tensor, shape: torch.Size) -> Tensor:
    """`values` with each axis repeated element by element up to `shape`."""
    for axis, (size, count) in enumerate(zip(shape, values.shape, strict=True)):
        if count not in (1, size):
            values = values.repeat_interleave(size // count, dim=axis)
    return values


def _shift_scale(data: Tensor, scale: Tensor, offset: Tensor | None) -> Tensor:
    values = data.float()
    if offset is not None:
        values = values - _repeated(offset.float(), data.shape)
    return values * _repeated(scale, data.shape)


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
    """Entries of `lut` (one table per group, then palette, then vector) at `indices`."""
    rank = indices.dim()
    groups = lut.shape[:rank]
    table = torch.arange(groups.numel()).reshape(groups)
    entries = lut.reshape(groups.numel(), *lut.shape[-2:])
    which = _repeated(table, indices.shape).expand(indices.shape)
    vectors = entries[which, indices.to(torch.int64)]
    if lut.shape[-1] == 1:
        return vectors.squeeze(-1)
    axis = (vector_axis if vector_axis is not None else -1) % rank
    return vectors.movedim(-1, axis + 1).flatten(axis, axis + 1)


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
