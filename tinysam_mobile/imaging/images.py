"""Load an image file of any kind as 8-bit RGB, looking as it does in an image viewer.

| file | what comes out |
|---|---|
| EXIF orientation | upright; an orientation that cannot be read is ignored |
| grey, 1-bit | grey in all three channels |
| transparency (RGBA, LA, palette, colour key) | laid over white |
| CMYK (also as Adobe inverts it), YCbCr, LAB, HSV | converted by Pillow, without the file's ICC profile |
| 16-bit grey, 32-bit integers | 0…65535 → 0…255; values beyond that range: lowest → 0, highest → 255 |
| float | 0…1 → 0…255; or 0…255 as they are; else lowest → 0, highest → 255; NaN and infinity → 0 |
| animated, several pages | the first frame |

A file of more pixels than twice `PIL.Image.MAX_IMAGE_PIXELS` (179 million as Pillow ships) is refused, since
a few kilobytes can unpack to gigabytes.  A program that trusts its files raises Pillow's limit.
"""

from __future__ import annotations

import warnings
from pathlib import Path
from typing import Any

import numpy as np
import PIL
from numpy.typing import NDArray
from PIL import Image, ImageOps, UnidentifiedImageError

from tinysam_mobile.errors import ImageError

__all__ = ["RGBImage", "as_rgb", "load_image"]

RGBImage = NDArray[np.uint8]
"""(H, W, 3) RGB, 0…255."""

BACKGROUND = (255, 255, 255, 255)
REFUSED_FORMATS = {"EPS"}
"""EPS is a program, which Pillow hands to Ghostscript: nothing in a file is executed."""


def load_image(path: str | Path) -> RGBImage:
    """Return the picture in `path` as (H, W, 3) uint8 RGB; see the table above.

    Raises `ImageError` if there is no such file or it is a directory, no image, truncated, empty (0 pixels)
    or larger than Pillow's limit.
    """
    path = Path(path)
    if path.is_dir():
        raise ImageError(f"{path} is a directory: name an image file in it")
    if not path.exists():
        raise ImageError(f"there is no image file {path}: check the name")
    with warnings.catch_warnings():
        # Pillow warns from half of the limit that it then enforces; its other warnings are about metadata.
        warnings.simplefilter("ignore")
        return _open(path)


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


def _open(path: Path) -> RGBImage:
    Image.init()
    try:
        with Image.open(path, formats=sorted(set(Image.OPEN) - REFUSED_FORMATS)) as image:
            image.load()
            return as_rgb(np.asarray(_to_rgb(_upright(image))))
    except ImageError:
        raise
    except UnidentifiedImageError as error:
        raise ImageError(f"{path} is no image that Pillow {PIL.__version__} reads, or is empty") from error
    except Image.DecompressionBombError as error:
        raise ImageError(f"{path}: {error}; raise PIL.Image.MAX_IMAGE_PIXELS if you trust it") from error
    except Exception as error:  # Pillow's decoders raise a dozen types, struct.error and SyntaxError too.
        reason = str(error) or type(error).__name__
        raise ImageError(f"{path} is truncated or damaged: {reason}; export it anew") from error


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
    if image.has_transparency_data:
        image = image.convert("RGBA")
        return Image.alpha_composite(Image.new("RGBA", image.size, BACKGROUND), image).convert("RGB")
    if image.mode == "LAB":
        return _lab_to_rgb(image)
    return image.convert("RGB")


def _lab_to_rgb(image: Image.Image) -> Image.Image:
    from PIL import ImageCms

    lab, rgb = ImageCms.createProfile("LAB"), ImageCms.createProfile("sRGB")
    converted = ImageCms.profileToProfile(image, lab, rgb, outputMode="RGB")
    assert converted is not None
    return converted


def _eight_bits(values: NDArray[Any]) -> NDArray[np.uint8]:
    """Bring integer or float samples of unknown range to 0…255 (rules in the table above)."""
    samples = values.astype(np.float64)
    finite = np.isfinite(samples)
    if not finite.any():
        return np.zeros(values.shape, np.uint8)
    low, high = samples[finite].min(), samples[finite].max()
    if np.issubdtype(values.dtype, np.integer):
        low, high = (0.0, 65535.0) if low >= 0 and high <= 65535 else (low, high)
    elif low >= 0 and high <= 255:
        low, high = (0.0, 1.0) if high <= 1 else (0.0, 255.0)
    scale = 255.0 / (high - low) if high > low else 0.0
    return (np.where(finite, samples - low, 0.0) * scale + 0.5).astype(np.uint8)
