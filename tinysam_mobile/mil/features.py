"""A model's inputs and outputs: what Core ML checks and converts around a program.

The rules are those of Core ML's feature descriptions (coremltools, `mlmodel/format/FeatureTypes.proto`)
and of `coremltools.models.MLModel.predict`: arrays or PIL images in, arrays, images or class
dictionaries out, under the names of the description.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch

from tinysam_mobile.errors import MilError
from tinysam_mobile.mil.sizes import MAX_ELEMENTS

__all__ = ["Feature", "from_runtime", "read_features", "to_runtime"]

# ArrayFeatureType.ArrayDataType -> numpy type of an output array.
_ARRAY_TYPES: dict[int, np.dtype[Any]] = {
    65600: np.dtype("float64"), 65568: np.dtype("float32"), 65552: np.dtype("float16"),
    131104: np.dtype("int32"), 131080: np.dtype("int8"),
}  # fmt: skip
# What coremltools' binding hands to Core ML (kind and bytes of an element); MLModel.predict makes fp16 fp32.
_TAKEN = {("f", 2), ("f", 4), ("f", 8), ("i", 4), ("i", 1)}
_COLOR_SPACES = {10: "L", 20: "RGB", 30: "BGR", 40: "F"}
_PIL_MODES = {"L": ("L",), "RGB": ("RGB", "RGBA"), "BGR": ("RGB", "RGBA"), "F": ("F",)}


@dataclass(frozen=True, kw_only=True)
class Feature:
    """One input, output or state.

    kind: array, image, or scalar/dictionary/sequence for what a classifier returns;
    shape: default shape (empty when the model does not fix one); enumerated: allowed shapes;
    ranges: (lower, upper or None) per dimension; default: fill of an optional input.
    """

    name: str
    kind: str
    dtype: np.dtype[Any] | None = None
    shape: tuple[int, ...] = ()
    enumerated: tuple[tuple[int, ...], ...] = ()
    ranges: tuple[tuple[int, int | None], ...] = ()
    color: str = ""
    optional: bool = False
    default: float = 0.0

    def describe(self) -> str:
        """One line for people, e.g. `float32 (1, 3, 64..128, 64)`."""
        if self.kind == "image":
            return f"image {self.color} ({self.shape[-2]}, {self.shape[-1]}) (H, W)"
        if self.kind != "array":
            return self.kind
        if self.enumerated:
            return f"{self.dtype} " + " or ".join(str(shape) for shape in self.enumerated)
        if self.ranges:
            return f"{self.dtype} ({', '.join(_range_text(r) for r in self.ranges)})"
        return f"{self.dtype} {self.shape}"


def _range_text(bounds: tuple[int, int | None]) -> str:
    lower, upper = bounds
    if lower == upper:
        return str(lower)
    return f"{lower}..{'' if upper is None else upper}"


def read_features(descriptions: Any) -> dict[str, Feature]:
    """Features by name from repeated FeatureDescriptions."""
    features = {}
    for description in descriptions:
        if description.name in features:
            raise MilError(f"the description names {description.name!r} twice")
        feature = features[description.name] = _read_feature(description)
        if not all(0 <= size < 2**31 for size in feature.shape) or math.prod(feature.shape) > MAX_ELEMENTS:
            raise MilError(f"{description.name!r} is described with the impossible shape {feature.shape}")
    return features


def _read_feature(description: Any) -> Feature:
    kind = description.type
    form = kind.WhichOneof("Type")
    if form == "stateType":
        array = kind.stateType.arrayType
    elif form == "multiArrayType":
        array = kind.multiArrayType
    elif form == "imageType":
        return _read_image(description.name, kind.imageType, kind.isOptional)
    else:
        name = {"dictionaryType": "dictionary", "sequenceType": "sequence"}.get(form, "scalar")
        return Feature(name=description.name, kind=name, optional=kind.isOptional)
    flexibility = array.WhichOneof("ShapeFlexibility")
    enumerated: tuple[tuple[int, ...], ...] = ()
    ranges: tuple[tuple[int, int | None], ...] = ()
    if flexibility == "enumeratedShapes":
        enumerated = tuple(tuple(s.shape) for s in array.enumeratedShapes.shapes)
    elif flexibility == "shapeRange":
        ranges = tuple(_bounds(r) for r in array.shapeRange.sizeRanges)
    default = array.WhichOneof("defaultOptionalValue")
    return Feature(
        name=description.name, kind="array", dtype=_ARRAY_TYPES.get(array.dataType),
        shape=tuple(array.shape), enumerated=enumerated, ranges=ranges, optional=kind.isOptional,
        default=float(getattr(array, default)) if default else 0.0,
    )  # fmt: skip


def _bounds(size_range: Any) -> tuple[int, int | None]:
    upper = int(size_range.upperBound)
    return int(size_range.lowerBound), None if upper < 0 else upper


def _read_image(name: str, image: Any, optional: bool) -> Feature:
    color = _COLOR_SPACES.get(image.colorSpace)
    if color is None:
        raise MilError(f"image {name!r} has no colour space")
    channels = 3 if color in ("RGB", "BGR") else 1
    flexibility = image.WhichOneof("SizeFlexibility")
    enumerated: tuple[tuple[int, ...], ...] = ()
    ranges: tuple[tuple[int, int | None], ...] = ()
    if flexibility == "enumeratedSizes":
        enumerated = tuple((1, channels, int(s.height), int(s.width)) for s in image.enumeratedSizes.sizes)
    elif flexibility == "imageSizeRange":
        size = image.imageSizeRange
        ranges = ((1, 1), (channels, channels), _bounds(size.heightRange), _bounds(size.widthRange))
    return Feature(
        name=name, kind="image", color=color, shape=(1, channels, int(image.height), int(image.width)),
        enumerated=enumerated, ranges=ranges, optional=optional,
    )  # fmt: skip


def to_runtime(feature: Feature, value: Any, dtype: torch.dtype, *, is_scalar: bool) -> torch.Tensor:
    """An input as the program takes it.

    value: array-like or PIL image; dtype: the runtime type of the program's input; is_scalar: whether
    that has rank 0 (Core ML passes a scalar as an array of one element).  Raises MilError when the value
    does not fit the description.
    """
    if feature.kind == "image":
        return _image_to_tensor(feature, value).to(dtype)
    if feature.kind != "array":
        raise MilError(f"input {feature.name!r} is a {feature.kind}; ML Programs take arrays and images")
    array = _as_array(feature, value)
    _check_shape(feature, array.shape)
    if is_scalar and array.size == 1:
        array = array.reshape(())
    return _convert(array, dtype)


def _as_array(feature: Feature, value: Any) -> np.ndarray[Any, Any]:
    """`value` as an array of a type that Core ML takes; Python numbers and lists become one."""
    if isinstance(value, torch.Tensor):
        value = value.detach().cpu()
        value = value.float().numpy() if value.dtype == torch.bfloat16 else value.numpy()
    try:
        array = np.asarray(value)
    except (ValueError, TypeError, RuntimeError) as error:
        raise MilError(f"input {feature.name!r} is not an array: {error}") from error
    if not hasattr(value, "dtype") and array.dtype.kind in "biu":
        if array.size and not -(2**31) <= int(array.min()) <= int(array.max()) < 2**31:
            raise MilError(f"input {feature.name!r} has integers that do not fit int32")
        array = array.astype(np.int32)
    if array.dtype.kind not in "fiub":
        raise MilError(
            f"input {feature.name!r} must be an array of numbers ({feature.describe()}), "
            f"not {type(value).__name__}"
        )
    if (array.dtype.kind, array.dtype.itemsize) not in _TAKEN:
        wanted = feature.dtype or np.dtype("int32")
        raise MilError(
            f"input {feature.name!r} is an array of {array.dtype}, which Core ML does not take; give "
            f"{wanted}, for example with .astype(numpy.{wanted})"
        )
    return array


def _convert(array: np.ndarray[Any, Any], dtype: torch.dtype) -> torch.Tensor:
    if dtype == torch.float32:
        array = np.asarray(
            array, dtype=np.float32, order="C"
        )  # ascontiguousarray would give a scalar an axis
    elif array.dtype.kind == "f":
        with np.errstate(invalid="ignore"):
            array = array.astype(np.int64)
    if not array.flags.writeable or any(step < 0 for step in array.strides):
        array = array.copy()
    return torch.from_numpy(np.asarray(array)).to(dtype)


def _check_shape(feature: Feature, shape: tuple[int, ...]) -> None:
    text = " x ".join(str(size) for size in shape)
    if feature.enumerated:
        if shape not in feature.enumerated:
            allowed = ", ".join(str(s) for s in feature.enumerated)
            raise MilError(
                f"input {feature.name!r}: shape ({text}) is not in the enumerated set of allowed "
                f"shapes: {allowed}"
            )
        return
    if feature.ranges:
        if len(shape) != len(feature.ranges) or not all(
            lower <= size and (upper is None or size <= upper)
            for size, (lower, upper) in zip(shape, feature.ranges, strict=True)
        ):
            raise MilError(
                f"input {feature.name!r}: shape ({text}) is not in the allowed range {feature.describe()}"
            )
        return
    scalar = shape in ((), (1,)) and feature.shape in ((), (1,))
    if feature.shape and shape != feature.shape and not scalar:
        raise MilError(f"input {feature.name!r}: shape ({text}) does not match the model's {feature.shape}")


def _image_to_tensor(feature: Feature, value: Any) -> torch.Tensor:
    modes = _PIL_MODES[feature.color]
    if not hasattr(value, "mode") or not hasattr(value, "size"):
        raise MilError(f"image input {feature.name!r} must be a PIL.Image.Image, not {type(value).__name__}")
    if value.mode not in modes:
        raise MilError(f"image input {feature.name!r} must be of mode {modes[0]!r}, not {value.mode!r}")
    pixels = np.asarray(value, dtype=np.float32)
    if pixels.ndim == 3:
        pixels = pixels[..., :3]  # Core ML passes the colours of an RGBA image on and leaves its alpha
    channels = pixels[None, None] if pixels.ndim == 2 else pixels.transpose(2, 0, 1)[None]
    if feature.color == "BGR":
        channels = channels[:, ::-1]
    _check_shape(feature, channels.shape)
    return torch.from_numpy(np.array(channels, order="C"))


def from_runtime(feature: Feature, value: Any) -> Any:
    """An output as `MLModel.predict` returns it on macOS: an array of the described type (float32 for
    fp16), an image (RGBA when it has colours), or a classifier's label and probabilities as they are."""
    if not isinstance(value, torch.Tensor):
        return value
    if feature.kind == "image":
        return _tensor_to_image(feature, value)
    array = value.numpy()
    if array.ndim == 0:
        array = array.reshape(1)
    if feature.dtype is None:
        return array.copy() if array.dtype != np.bool_ else array.astype(np.int32)
    dtype = np.dtype("float32") if feature.dtype == np.float16 else feature.dtype
    with np.errstate(over="ignore", invalid="ignore"):
        return np.array(array, dtype=dtype)


def _tensor_to_image(feature: Feature, value: torch.Tensor) -> Any:
    from PIL import Image

    planes = value.numpy()
    channels = 3 if feature.color in ("RGB", "BGR") else 1
    if planes.ndim != 4 or planes.shape[:2] != (1, channels):
        raise MilError(
            f"image output {feature.name!r} needs the shape (1, {channels}, H, W), not {planes.shape}"
        )
    if feature.color == "F":
        return Image.fromarray(planes[0, 0].astype(np.float32))
    # Core ML converts with saturation and rounds to the nearest; NaN becomes 0.
    pixels = np.clip(np.rint(np.nan_to_num(planes[0], nan=0.0)), 0, 255).astype(np.uint8)
    if feature.color == "L":
        return Image.fromarray(pixels[0])
    if feature.color == "BGR":
        pixels = pixels[::-1]
    opaque = np.full_like(pixels[:1], 255)
    return Image.fromarray(np.ascontiguousarray(np.concatenate((pixels, opaque)).transpose(1, 2, 0)))
