"""`distill cutouts`: things with exact masks, to be pasted into scenes: clip art and colour emoji.

Clip art is Debian's `openclipart-png` (public domain), emoji are those of `fonts-noto-color-emoji` (OFL).
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np
from PIL import Image, ImageDraw, ImageFont

from tinysam_mobile.distill.photo_store import Photo

__all__ = ["clip_art", "emoji"]

STORED_SIDE = 224
MIN_SIDE = 24
MIN_FILL, MAX_FILL = 0.12, 0.97
"""Of the tight box that is opaque: less is a drawing of lines, more is a picture with a frame."""
NO_THINGS = ("flags", "stars", "special", "icons", "geography", "signs_and_symbols", "buttons", "cards",
             "logos", "roadsigns", "flowchart", "arrows")  # fmt: skip
"""Folders of clip art that hold no things."""
MAX_FILE_BYTES = 300_000
EMOJI_SIZE = 109
"""The one size of the font's bitmaps."""
EMOJI_RANGES = ((0x2600, 0x27C0), (0x1F300, 0x1F6FF), (0x1F900, 0x1FAFF))


def _cut_out(name: str, source: str, image: Image.Image) -> Photo | None:
    """A picture with transparency as a photo of one object, cropped to it; None if it is not a thing."""
    image = image.convert("RGBA")
    bounds = image.getchannel("A").getbbox()
    if bounds is None or min(bounds[2] - bounds[0], bounds[3] - bounds[1]) < MIN_SIDE:
        return None
    image = image.crop(bounds)
    image.thumbnail((STORED_SIDE, STORED_SIDE), Image.Resampling.BILINEAR)
    mask = np.asarray(image.getchannel("A")) > 127
    if not MIN_FILL <= mask.mean() <= MAX_FILL:
        return None
    ground = Image.new("RGBA", image.size, (128, 128, 128, 255))
    pixels = np.asarray(Image.alpha_composite(ground, image).convert("RGB"))
    return Photo(
        name=name, source=source, pixels=pixels, layers=mask.astype(np.uint8)[None], kinds=("object",)
    )


def clip_art(folder: Path) -> Iterator[Photo]:
    """Yield the pictures of things below `folder` (PNG with transparency)."""
    for path in sorted(folder.rglob("*.png")):
        place = path.relative_to(folder)
        if any(part in NO_THINGS for part in place.parts):
            continue
        if path.stat().st_size > MAX_FILE_BYTES:
            continue
        try:
            with Image.open(path) as image:
                photo = _cut_out(str(place), "clip_art", image)
        except (OSError, Image.DecompressionBombError):
            continue
        if photo:
            yield photo


def emoji(font_file: Path) -> Iterator[Photo]:
    """Yield the emoji of a colour font with bitmaps of `EMOJI_SIZE`."""
    font = ImageFont.truetype(str(font_file), EMOJI_SIZE)
    for first, end in EMOJI_RANGES:
        for code in range(first, end):
            image = Image.new("RGBA", (160, 160), (0, 0, 0, 0))
            ImageDraw.Draw(image).text((8, 8), chr(code), font=font, embedded_color=True)
            photo = _cut_out(f"{code:x}", "emoji", image)
            if photo:
                yield photo
