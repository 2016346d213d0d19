"""Classic mistakes before the decoder: what they make of the preprocessed image and of the embedding."""

from __future__ import annotations

import numpy as np
from PIL import Image

from tinysam_mobile.contract.spec import PIXEL_MEAN, PIXEL_STD
from tinysam_mobile.imaging.images import RGBImage
from tinysam_mobile.parity.mistake import Situation, mistake
from tinysam_mobile.parity.record import Floats
from tinysam_mobile.parity.stages import Stage

__all__ = ["EMBEDDING_MISTAKES", "IMAGE_MISTAKES"]

MEAN = np.array(PIXEL_MEAN, np.float32)[:, None, None]
STD = np.array(PIXEL_STD, np.float32)[:, None, None]


def _resized(pixels: RGBImage, height: int, width: int) -> Floats:
    """A photo as f32 (3, height, width)."""
    picture = Image.fromarray(pixels).resize((width, height), Image.Resampling.BILINEAR)
    return np.asarray(picture).transpose(2, 0, 1).astype(np.float32)


def _on_square(content: Floats, size: int, *, centred: bool = False) -> Floats:
    """f32 (3, size, size) with `content`, cut to the square, at the top left or in the middle."""
    square = np.zeros((3, size, size), np.float32)
    height, width = min(content.shape[1], size), min(content.shape[2], size)
    top, left = ((size - height) // 2, (size - width) // 2) if centred else (0, 0)
    square[:, top : top + height, left : left + width] = content[:, :height, :width]
    return square


def _stretched(s: Situation) -> list[Floats]:
    size = s.geometry.image_size
    return [_resized(s.case.pixels, size, size)]


def _filled(s: Situation, *, centred: bool) -> list[Floats]:
    """The short side scaled to S, so that the rest is cut off: at the right and bottom, or all around."""
    size = s.geometry.image_size
    height, width = s.case.pixels.shape[:2]
    scale = size / min(height, width)
    content = _resized(s.case.pixels, round(height * scale), round(width * scale))
    top, left = ((content.shape[1] - size) // 2, (content.shape[2] - size) // 2) if centred else (0, 0)
    return [_on_square(content[:, top:, left:], size)]


def _centred(s: Situation) -> list[Floats]:
    height, width = s.geometry.valid_size
    return [_on_square(_resized(s.case.pixels, height, width), s.geometry.image_size, centred=True)]


def _right_image(s: Situation) -> Floats:
    image: Floats = s.ideal.photo[Stage.PREPROCESSED_IMAGE]
    return image


def _own_image(s: Situation) -> Floats:
    image: Floats = s.own.photo[Stage.PREPROCESSED_IMAGE]
    return image


IMAGE = Stage.PREPROCESSED_IMAGE
IMAGE_MISTAKES = (
    mistake("BGR", "the channels are reversed", IMAGE, lambda s: [_right_image(s)[::-1]]),
    mistake("0-1 against 0-255", "the pixels are 0 to 1", IMAGE, lambda s: [_right_image(s) / 255]),
    mistake(
        "mean/std applied twice",
        "the pixels are normalised before the graph does it",
        IMAGE,
        lambda s: [(_right_image(s) - MEAN) / STD],
    ),
    mistake("stretched resize", "the photo fills the square, its aspect lost", IMAGE, _stretched),
    mistake(
        "no padding",
        "the short side fills the square, cut at one end",
        IMAGE,
        lambda s: _filled(s, centred=False),
    ),
    mistake(
        "no padding",
        "the short side fills the square, cut at both ends",
        IMAGE,
        lambda s: _filled(s, centred=True),
    ),
    mistake("no padding", "the photo is in the middle, padded on both sides", IMAGE, _centred),
    mistake(
        "x/y swapped", "rows and columns are exchanged", IMAGE, lambda s: [_right_image(s).transpose(0, 2, 1)]
    ),
)
EMBEDDING = Stage.EMBEDDING
EMBEDDING_MISTAKES = (
    mistake(
        "BGR", "the graph reads the channels in reverse", EMBEDDING, lambda s: s.encode(_own_image(s)[::-1])
    ),
    mistake(
        "BGR",
        "mean and std are in the order B, G, R",
        EMBEDDING,
        lambda s: s.encode((_own_image(s) - MEAN[::-1]) / STD[::-1] * STD + MEAN),
    ),
    mistake(
        "missing mean/std",
        "the pixels 0 to 255 go into the network",
        EMBEDDING,
        lambda s: s.encode(_own_image(s) * STD + MEAN),
    ),
    mistake(
        "missing mean/std",
        "the pixels, divided by 255, go into the network",
        EMBEDDING,
        lambda s: s.encode(_own_image(s) / 255 * STD + MEAN),
    ),
    mistake(
        "missing mean/std", "the mean is not subtracted", EMBEDDING, lambda s: s.encode(_own_image(s) + MEAN)
    ),
    mistake(
        "missing mean/std",
        "nothing is divided by std",
        EMBEDDING,
        lambda s: s.encode((_own_image(s) - MEAN) * STD + MEAN),
    ),
    mistake(
        "mean/std applied twice",
        "the graph normalises twice",
        EMBEDDING,
        lambda s: s.encode((_own_image(s) - MEAN) / STD),
    ),
    mistake(
        "0-1 against 0-255",
        "the graph divides by 255, then normalises",
        EMBEDDING,
        lambda s: s.encode(_own_image(s) / 255),
    ),
    mistake(
        "0-1 against 0-255",
        "the graph takes mean and std of pixels 0 to 1",
        EMBEDDING,
        lambda s: s.encode(_own_image(s) * 255),
    ),
    mistake(
        "no padding",
        "what lies outside the photo is not zeroed",
        EMBEDDING,
        lambda s: s.encode(_own_image(s), (s.geometry.image_size, s.geometry.image_size)),
    ),
    mistake(
        "x/y swapped",
        "valid_size is read as width, height",
        EMBEDDING,
        lambda s: s.encode(_own_image(s), s.geometry.valid_size[::-1]),
    ),
    mistake(
        "x/y swapped",
        "the graph reads rows as columns",
        EMBEDDING,
        lambda s: s.encode(_own_image(s).transpose(0, 2, 1), s.geometry.valid_size[::-1]),
    ),
)
