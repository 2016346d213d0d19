"""Constants of a MIL program: from `MIL.proto` values to what ops take.

A tensor becomes a torch.Tensor, a string a str, a list or tuple of values a tuple, a dictionary a
dict.  Blob values stay in their file until `decode` is called.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import torch

from tinysam_mobile.errors import MilError
from tinysam_mobile.mil.datatypes import DTYPES, STRING, ElementType, unpack_bits
from tinysam_mobile.mil.weights import WeightFiles

__all__ = ["MAX_CONSTANT_ELEMENTS", "check_value", "decode_value", "element_of", "static_shape"]

MAX_CONSTANT_ELEMENTS = 1 << 30
"""More than the largest weight of a language model that a phone could hold."""


def static_shape(tensor_type: Any) -> tuple[int | None, ...]:
    """Dimensions of a proto TensorType; None where unknown."""
    return tuple(
        int(d.constant.size) if d.WhichOneof("dimension") == "constant" else None
        for d in tensor_type.dimensions
    )


def element_of(tensor_type: Any) -> ElementType:
    """Element type of a proto TensorType; MilError when the interpreter does not know it."""
    try:
        return DTYPES[tensor_type.dataType]
    except KeyError:
        raise MilError(f"element type {tensor_type.dataType} of MIL.proto is not supported") from None


def check_value(value: Any, weights: WeightFiles) -> None:
    """Raise MilError when `value` refers to a blob that its weight file does not hold."""
    form = value.WhichOneof("value")
    if form == "blobFileValue":
        blob, kind = value.blobFileValue, value.type.tensorType
        weights.check(blob.fileName, blob.offset, element_of(kind), _count(kind))
    elif form is None or value.immediateValue.WhichOneof("value") is None:
        raise MilError("a constant of the program has no value")
    elif value.immediateValue.WhichOneof("value") == "tensor":
        _check_tensor(value.type.tensorType, value.immediateValue.tensor)


def _check_tensor(tensor_type: Any, stored: Any) -> None:
    """Raise MilError unless as many elements are stored as the type says, so that none are made up."""
    count, field = _count(tensor_type), stored.WhichOneof("value")
    if tensor_type.dataType != STRING:
        element_of(tensor_type)
    if field is None:
        found = 0
    elif field == "bytes":
        bits = element_of(tensor_type).bits
        found = len(stored.bytes.values) * 8 // bits
        found = count if count <= found < count + max(1, 8 // bits) else found
    else:
        found = len(getattr(stored, field).values)
    if found != count:
        raise MilError(f"a constant of shape {_sizes(tensor_type)} has {found} values")


def decode_value(value: Any, weights: WeightFiles) -> Any:
    """A proto Value as the interpreter holds it (see the module's docstring)."""
    if value.WhichOneof("value") == "blobFileValue":
        blob, kind = value.blobFileValue, value.type.tensorType
        flat = weights.read(blob.fileName, blob.offset, element_of(kind), _count(kind))
        return flat.reshape(_sizes(kind))
    immediate = value.immediateValue
    form = immediate.WhichOneof("value")
    if form == "tensor":
        return _decode_tensor(value.type.tensorType, immediate.tensor)
    if form in ("list", "tuple"):
        return tuple(decode_value(item, weights) for item in getattr(immediate, form).values)
    if form == "dictionary":
        pairs = immediate.dictionary.values
        return {decode_value(p.key, weights): decode_value(p.value, weights) for p in pairs}
    raise MilError("a constant of the program has no value")


def _sizes(tensor_type: Any) -> tuple[int, ...]:
    sizes = tuple(size for size in static_shape(tensor_type) if size is not None)
    if len(sizes) != len(tensor_type.dimensions):
        raise MilError("a constant of the program has an unknown dimension")
    return sizes


def _count(tensor_type: Any) -> int:
    count = math.prod(_sizes(tensor_type))
    if count > MAX_CONSTANT_ELEMENTS:
        raise MilError(
            f"a constant of the program has {count:.4g} elements, more than {MAX_CONSTANT_ELEMENTS}"
        )
    return count


def _decode_tensor(tensor_type: Any, stored: Any) -> Any:
    shape = _sizes(tensor_type)
    field = stored.WhichOneof("value")
    if tensor_type.dataType == STRING:
        strings = tuple(stored.strings.values)
        if not shape and len(strings) != 1:
            raise MilError("a string of the program has no value")
        return strings if shape else strings[0]
    element = element_of(tensor_type)
    if field is None:
        if math.prod(shape):
            raise MilError(f"a constant of shape {shape} has no values")
        return torch.zeros(shape, dtype=element.runtime_dtype)
    values = getattr(stored, field).values
    if field == "bytes":
        array = _from_bytes(values, element, math.prod(shape))
    else:
        array = np.asarray(values, dtype=np.float64 if field == "doubles" else None)
    if array.size != math.prod(shape):
        raise MilError(f"a constant of shape {shape} has {array.size} values")
    if array.dtype in (np.uint16, np.uint32, np.uint64):
        array = array.astype(np.int64)
    return torch.from_numpy(array.copy()).to(element.runtime_dtype).reshape(shape)


def _from_bytes(data: bytes, element: ElementType, count: int) -> np.ndarray:
    packed = np.frombuffer(data, element.file_dtype)
    if element.is_sub_byte:
        return unpack_bits(packed, element.bits, count, signed=element.signed)
    return packed
