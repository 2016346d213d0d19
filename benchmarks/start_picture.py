"""The picture at the top of the README: what the shipped checkpoint makes of scikit-image's photos.

    python -m benchmarks.start_picture            # writes docs/pictures/start.jpg

A box on a rocket, a cup and a head, and everything in a photo: prompts that it answers well;
MODEL_CARD.md shows those that it does not.
"""

from __future__ import annotations

from pathlib import Path

import click
import skimage
from PIL import Image, ImageDraw

import tinysam_mobile as tsm

PHOTOS = Path(skimage.__file__).parent / "data"
PROMPTS = (
    ("rocket.jpg", {"box": (305, 150, 342, 402)}, "a box"),
    ("coffee.png", {"box": (160, 15, 430, 245)}, "a box"),
    ("astronaut.png", {"box": (170, 5, 290, 180)}, "a box"),
    ("coffee.png", None, "everything"),
)
HEIGHT = 300
"""Pixels of each photo."""
CAPTION = 26
GAP = 6


def panel(
    model: tsm.Model, name: str, prompt: dict[str, tuple[int, ...]] | None, caption: str
) -> Image.Image:
    """One photo with its masks under a caption."""
    photo = PHOTOS / name
    found = model.segment_everything(photo) if prompt is None else model.segment(photo, **prompt)
    picture = found.picture().convert("RGB")
    picture = picture.resize(
        (round(picture.width * HEIGHT / picture.height), HEIGHT), Image.Resampling.LANCZOS
    )
    framed = Image.new("RGB", (picture.width, HEIGHT + CAPTION), "white")
    framed.paste(picture, (0, CAPTION))
    ImageDraw.Draw(framed).text((4, 4), caption, fill="black", font_size=16)
    return framed


def beside(panels: list[Image.Image]) -> Image.Image:
    """All panels in one row."""
    width = sum(panel.width for panel in panels) + GAP * (len(panels) - 1)
    row = Image.new("RGB", (width, panels[0].height), "white")
    x = 0
    for one in panels:
        row.paste(one, (x, 0))
        x += one.width + GAP
    return row


@click.command()
@click.option("--out", type=Path, default=Path("docs/pictures/start.jpg"), show_default=True)
@click.option("--checkpoint", help="A checkpoint other than the shipped one.")
def main(out: Path, checkpoint: str | None) -> None:
    """Draw the picture."""
    model = tsm.open(checkpoint)
    row = beside([panel(model, *prompt) for prompt in PROMPTS])
    row.save(out, quality=88)
    click.echo(f"{out}: {row.width}x{row.height}, {out.stat().st_size / 1e3:.0f} kB")


if __name__ == "__main__":
    main()
