"""Load an image file of any kind as 8-bit RGB, looking as it does in an image viewer.

| file | what comes out |
|---|---|
| EXIF orientation | upright; an orientation that cannot be read is ignored |
| grey, 1-bit | grey in all three channels |
| transparency (RGBA, LA, palette, colour key) | laid over white |
| ICC profile (Display P3 of phones, Adobe RGB, CMYK) | converted to sRGB; a damaged one is ignored |
| CMYK (also as Adobe inverts it), YCbCr, LAB, HSV without one | converted by Pillow |
| 16-bit grey, 32-bit integers | 0…65535 → 0…255; values beyond that range: lowest → 0, highest → 255 |
| float | 0…1 → 0…255; or 0…255 as they are; else lowest → 0, highest → 255; NaN and infinity → 0 |
| animated, several pages | the first frame |
| HEIC | if pillow-heif is installed |

A file that declares more than `MAX_PIXELS` is refused before it is decoded, since a few kilobytes can unpack
to gigabytes; `load_image` takes another limit from a program that trusts its files.
"""

from __future__ import annotations

import warnings
from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np
import PIL
from numpy.typing import NDArray
from PIL import Image, ImageOps, UnidentifiedImageError

from tinysam_mobile.errors import ImageError
from tinysam_mobile.files import check_regular
from tinysam_mobile.imaging.photo_files import HEIC_SUFFIXES, reads_heic

__all__ = ["RGBImage", "as_rgb", "load_image"]

RGBImage = NDArray[np.uint8]
"""(H, W, 3) RGB, 0…255."""

MAX_PIXELS = 100_000_000
"""Decoding, turning and converting so many takes 1.5 GB at most."""
PROFILED_MODES = ("RGB", "RGBA", "L", "LA", "CMYK")
SRGB_NAME, MAX_NAME_BYTES = b"sRGB", 1024
"""What every description of sRGB says near its beginning; converting from sRGB to sRGB takes time only."""
ROWS_AT_ONCE = 256

BACKGROUND = (255, 255, 255, 255)
REFUSED_FORMATS = {"EPS"}
"""EPS is a program, which Pillow hands to Ghostscript: nothing in a file is executed."""


def load_image(path: str | Path, *, max_pixels: int = MAX_PIXELS) -> RGBImage:
    """Return the picture in `path` as (H, W, 3) uint8 RGB; see the table above.

    Raises `ImageError` if there is no such file or it is no regular file, no image, truncated, empty (0
    pixels) or larger than `max_pixels`.
    """
    path = Path(path)
    check_regular(path, error=ImageError, mend="name an image file")
    with warnings.catch_warnings():
        # Pillow warns from half of the limit that it then enforces; its other warnings are about metadata.
        warnings.simplefilter("ignore")
        return _open(path, max_pixels)


def as_rgb(image: NDArray[Any]) -> RGBImage:
    """Return an array of pixels as (H, W, 3) uint8; grey (H, W) is repeated over the three channels.

    Raises `ImageError` for any other shape or dtype and for an image without pixels.
    """
    array = np.asarray(image)
    if array.dtype != np.uint8:
        raise ImageError(f"an image array must be uint8 (0…255), not {array.dtype}: convert it first")
    if array.ndim == 2:
        array = np.repeat(array[:, :, None], 3, axis=2)
    if array.ndim != 3 or array.shape[2] != 3:
        raise ImageError(f"an image array must have shape (H, W, 3) or (H, W), not {array.shape}")
    if array.size == 0:
        raise ImageError(f"the image has no pixels: its shape is {array.shape}")
    return array


def _open(path: Path, max_pixels: int) -> RGBImage:
    Image.init()
    if path.suffix.lower() in HEIC_SUFFIXES:
        _read_heic_too(path)
    try:
        with Image.open(path, formats=sorted(set(Image.OPEN) - REFUSED_FORMATS)) as image:
            _check_size(path, image.size, max_pixels)
            image.load()
            return as_rgb(np.asarray(_to_rgb(_upright(image))))
    except ImageError:
        raise
    except UnidentifiedImageError as error:
        raise ImageError(f"{path} is no image that Pillow {PIL.__version__} reads, or is empty") from error
    except Image.DecompressionBombError as error:
        raise ImageError(f"{path}: has too many pixels ({error}); scale it down") from error
    except Exception as error:  # Pillow's decoders raise a dozen types, struct.error and SyntaxError too.
        reason = str(error) or type(error).__name__
        raise ImageError(f"{path} is truncated or damaged: {reason}; export it anew") from error


def _read_heic_too(path: Path) -> None:
    """Let Pillow open HEIC files; raises `ImageError` if the package for that is not installed."""
    if not reads_heic():
        raise ImageError(
            f"{path}: HEIC photos need one more package; run: pip install pillow-heif, or export it as JPEG"
        )
    from pillow_heif import register_heif_opener

    register_heif_opener()


def _check_size(path: Path, size: tuple[int, int], max_pixels: int) -> None:
    width, height = size
    if width * height > max_pixels:
        raise ImageError(
            f"{path}: has {width} x {height} pixels, more than {max_pixels // 10**6} million; scale it down"
        )


def _upright(image: Image.Image) -> Image.Image:
    """Turn and mirror as the EXIF orientation says."""
    try:
        return ImageOps.exif_transpose(image)
    except Exception:  # Damaged metadata does not spoil the pixels; Pillow raises many types here too.
        return image


def _to_rgb(image: Image.Image) -> Image.Image:
    if image.mode in ("I", "F") or image.mode.startswith("I;"):
        return Image.fromarray(_eight_bits(np.asarray(image))).convert("RGB")
    if image.mode == "La":
        image = image.convert("LA")
    image = _in_srgb(image)
    if image.has_transparency_data:
        image = image.convert("RGBA")
        return Image.alpha_composite(Image.new("RGBA", image.size, BACKGROUND), image).convert("RGB")
    if image.mode == "LAB":
        return _lab_to_rgb(image)
    return image.convert("RGB")


def _in_srgb(image: Image.Image) -> Image.Image:
    """Convert by the file's ICC profile; without one, with sRGB's or a damaged one return it as it is."""
    profile = image.info.get("icc_profile")
    if not profile or image.mode not in PROFILED_MODES or SRGB_NAME in profile[:MAX_NAME_BYTES]:
        return image
    from PIL import ImageCms

    alpha = image.getchannel("A") if image.mode in ("RGBA", "LA") else None
    plain = image.convert(image.mode.rstrip("A")) if alpha else image
    try:
        source = ImageCms.ImageCmsProfile(BytesIO(profile))
        target = ImageCms.createProfile("sRGB")
        converted = ImageCms.profileToProfile(plain, source, target, outputMode="RGB")
    except Exception:  # A damaged profile, or one of another kind of colours, does not spoil the pixels.
        return image
    assert converted is not None
    if alpha:
        converted.putalpha(alpha)
    converted.info.pop("icc_profile", None)
    return converted


def _lab_to_rgb(image: Image.Image) -> Image.Image:
    from PIL import ImageCms

    lab, rgb = ImageCms.createProfile("LAB"), ImageCms.createProfile("sRGB")
    converted = ImageCms.profileToProfile(image, lab, rgb, outputMode="RGB")
    assert converted is not None
    return converted


def _eight_bits(values: NDArray[Any]) -> NDArray[np.uint8]:
    """Bring integer or float samples of unknown range to 0…255 (rules in the table above)."""
    low, high = _range(values)
    scale = 255.0 / (high - low) if high > low else 0.0
    result = np.zeros(values.shape, np.uint8)
    # Some rows at a time: as float64 a whole photo would take eight times its size.
    for start in range(0, len(values), ROWS_AT_ONCE):
        samples = values[start : start + ROWS_AT_ONCE].astype(np.float64)
        known = np.where(np.isfinite(samples), samples - low, 0.0)
        result[start : start + ROWS_AT_ONCE] = (known * scale + 0.5).astype(np.uint8)
    return result


def _range(values: NDArray[Any]) -> tuple[float, float]:
    """What becomes 0 and what becomes 255."""
    finite = values if np.issubdtype(values.dtype, np.integer) else values[np.isfinite(values)]
    low, high = (float(finite.min()), float(finite.max())) if finite.size else (0.0, 0.0)
    if np.issubdtype(values.dtype, np.integer):
        return (0.0, 65535.0) if low >= 0 and high <= 65535 else (low, high)
    if low >= 0 and high <= 255:
        return (0.0, 1.0) if high <= 1 else (0.0, 255.0)
    return low, high
