"""MIL element types: how each is stored, in a file and at run time.

Floats of every width are held as float32 (`fp16` mode rounds them, see `executor`); integers that
torch lacks are held in the next wider type.  The numbers are those of `MIL.proto`'s `DataType` and
of MILBlob's storage format (coremltools, `mlmodel/format/MIL.proto`,
`mlmodel/src/MILBlob/Blob/BlobDataType.hpp`).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch

__all__ = ["BLOB_TYPES", "DTYPES", "STRING", "ElementType", "pack_bits", "unpack_bits"]


@dataclass(frozen=True, kw_only=True)
class ElementType:
    """One MIL element type.

    name: as MIL prints it; bits: width in a file; file_dtype: numpy type of one stored element, or
    of the packed bytes when `bits` < 8; runtime_dtype: what the interpreter computes with.
    """

    name: str
    bits: int
    file_dtype: str
    runtime_dtype: torch.dtype
    signed: bool = True

    @property
    def is_float(self) -> bool:
        return self.runtime_dtype == torch.float32

    @property
    def is_sub_byte(self) -> bool:
        return self.bits < 8


def _element(
    name: str, bits: int, file_dtype: str, runtime_dtype: torch.dtype, *, signed: bool = True
) -> ElementType:
    return ElementType(
        name=name, bits=bits, file_dtype=file_dtype, runtime_dtype=runtime_dtype, signed=signed
    )


STRING = 2

# MIL.proto DataType number -> element type.
DTYPES: dict[int, ElementType] = {
    1: _element("bool", 8, "?", torch.bool),
    10: _element("fp16", 16, "<f2", torch.float32),
    11: _element("fp32", 32, "<f4", torch.float32),
    12: _element("fp64", 64, "<f8", torch.float32),
    21: _element("int8", 8, "<i1", torch.int8),
    22: _element("int16", 16, "<i2", torch.int16),
    23: _element("int32", 32, "<i4", torch.int32),
    24: _element("int64", 64, "<i8", torch.int64),
    25: _element("int4", 4, "<u1", torch.int8),
    31: _element("uint8", 8, "<u1", torch.uint8, signed=False),
    32: _element("uint16", 16, "<u2", torch.int32, signed=False),
    33: _element("uint32", 32, "<u4", torch.int64, signed=False),
    34: _element("uint64", 64, "<u8", torch.int64, signed=False),
    35: _element("uint4", 4, "<u1", torch.uint8, signed=False),
    36: _element("uint2", 2, "<u1", torch.uint8, signed=False),
    37: _element("uint1", 1, "<u1", torch.uint8, signed=False),
    38: _element("uint6", 6, "<u1", torch.uint8, signed=False),
    39: _element("uint3", 3, "<u1", torch.uint8, signed=False),
}

# MILBlob BlobDataType number -> MIL.proto DataType number.
BLOB_TYPES: dict[int, int] = {
    1: 10, 2: 11, 3: 31, 4: 21, 6: 22, 7: 32, 8: 25, 9: 37, 10: 36, 11: 35, 12: 39, 13: 38, 14: 23, 15: 33,
}  # fmt: skip


# Elements unpacked at a time, so that the bits of a large weight are never in memory all at once.
_UNPACKED_AT_ONCE = 1 << 20


def unpack_bits(packed: np.ndarray, bits: int, count: int, *, signed: bool) -> np.ndarray:
    """`count` elements of `bits` (1 to 7) bits each from bytes, the least significant bits first.

    Returns uint8, or int8 in two's complement when `signed`, shape (count,).
    """
    data = packed.view(np.uint8).reshape(-1)
    if data.size * 8 < count * bits:
        raise ValueError(f"{count} elements of {bits} bits do not fit {data.size} bytes")
    values = np.empty(count, dtype=np.uint8)
    for start in range(0, count, _UNPACKED_AT_ONCE):  # a multiple of 8, so that it begins with a byte
        stop = min(start + _UNPACKED_AT_ONCE, count)
        part = data[start * bits // 8 : (stop * bits + 7) // 8]
        values[start:stop] = _unpack_part(part, bits, stop - start)
    if not signed:
        return values
    half = 1 << (bits - 1)
    return ((values ^ half).view(np.int8) - np.int8(half)).astype(np.int8)


def _unpack_part(packed: np.ndarray, bits: int, count: int) -> np.ndarray:
    if bits in (1, 2, 4):
        places = np.arange(0, 8, bits, dtype=np.uint8)
        parts = (packed[:, None] >> places) & np.uint8((1 << bits) - 1)
        return parts.reshape(-1)[:count]
    stream = np.unpackbits(packed, bitorder="little")[: count * bits]
    weights = (1 << np.arange(bits)).astype(np.uint8)
    result: np.ndarray = (stream.reshape(count, bits) * weights).sum(axis=1, dtype=np.uint8)
    return result


def pack_bits(values: np.ndarray, bits: int) -> bytes:
    """The inverse of `unpack_bits`: integers of `bits` bits each, the least significant bits first."""
    stream = (values.reshape(-1, 1).astype(np.int64) >> np.arange(bits)) & 1
    return np.packbits(stream.astype(np.uint8).reshape(-1), bitorder="little").tobytes()
