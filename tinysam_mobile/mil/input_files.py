"""Inputs of a model from files and numbers, as a command line names them."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from tinysam_mobile.errors import MilError, UsageError
from tinysam_mobile.mil.features import Feature
from tinysam_mobile.mil.files import require_file

__all__ = ["drawn_inputs", "read_inputs"]

_MODES = {"RGB": "RGB", "BGR": "RGB", "L": "L", "F": "F"}
_MAX_BYTES = 4 << 30


def read_inputs(features: Mapping[str, Feature], texts: Sequence[str]) -> dict[str, Any]:
    """Inputs from texts such as `x=photo.jpg`, `x=array.npy` or `x=3.5`.

    A picture is resized to what its input takes; for an array of shape (1, 3, H, W) it becomes RGB 0-255.
    Raises UsageError for a text that names no input or no readable value.
    """
    values: dict[str, Any] = {}
    for text in texts:
        name, equals, source = text.partition("=")
        if not equals or name not in features:
            raise UsageError(
                f"--input {text}: give NAME=FILE or NAME=NUMBER; the model's inputs are: "
                + ", ".join(f"{n} ({f.describe()})" for n, f in features.items())
            )
        values[name] = _read(features[name], source)
    return values


def drawn_inputs(features: Mapping[str, Feature], seed: int) -> dict[str, Any]:
    """A value for each input that is not optional: normal numbers, 0 or pixels; the same for one seed."""
    rng = np.random.default_rng(seed)
    return {name: _drawn(f, rng) for name, f in features.items() if not f.optional}


def _read(feature: Feature, source: str) -> Any:
    try:
        number = float(source)
    except ValueError:
        return _read_file(feature, Path(source).expanduser())
    dtype = feature.dtype or np.dtype("float32")
    shape = feature.shape or (1,)
    if dtype.kind != "f" and not math.isfinite(number):
        raise UsageError(f"input {feature.name!r} takes integers, not {source}")
    return np.full(shape, number, dtype)


def _read_file(feature: Feature, path: Path) -> Any:
    try:
        if require_file(path, "the input") > _MAX_BYTES:
            raise UsageError(f"{path} is larger than {_MAX_BYTES} bytes")
    except MilError as error:
        raise UsageError(str(error).replace("; save the model again", "")) from None
    if path.suffix == ".npy":
        try:
            return np.load(path, allow_pickle=False)
        except (OSError, ValueError, EOFError, MemoryError) as error:
            raise UsageError(f"{path} cannot be read as an array: {error}") from error
    return _read_picture(feature, path)


def _read_picture(feature: Feature, path: Path) -> Any:
    from PIL import Image

    shape = feature.shape
    if feature.kind != "image" and (len(shape) != 4 or shape[:2] not in ((1, 3), (1, 1))):
        raise UsageError(
            f"input {feature.name!r} ({feature.describe()}) takes no picture; give a .npy file or a number"
        )
    mode = _MODES[feature.color] if feature.kind == "image" else ("RGB" if shape[1] == 3 else "L")
    try:
        with Image.open(path) as picture:
            resized = picture.convert(mode).resize((shape[3], shape[2]), Image.Resampling.BILINEAR)
    except (OSError, ValueError, SyntaxError, Image.DecompressionBombError) as error:
        raise UsageError(f"{path} is neither an array (.npy) nor a picture: {error}") from error
    if feature.kind == "image":
        return resized
    pixels = np.asarray(resized, np.float32)
    return (pixels[None, None] if pixels.ndim == 2 else pixels.transpose(2, 0, 1)[None]).copy()


def _drawn(feature: Feature, rng: np.random.Generator) -> Any:
    shape = feature.enumerated[0] if feature.enumerated else feature.shape
    if not shape and feature.ranges:
        shape = tuple(max(lower, 1) for lower, _ in feature.ranges)
    if feature.kind != "image":
        dtype = feature.dtype or np.dtype("float32")
        return rng.normal(size=shape).astype(np.float32) if dtype.kind == "f" else np.zeros(shape, np.int32)
    from PIL import Image

    pixels = rng.integers(0, 256, (*shape[2:], 3), dtype=np.uint8)
    return Image.fromarray(pixels).convert(_MODES[feature.color])
