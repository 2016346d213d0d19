"""The picture at the top of the README: what the shipped checkpoint makes of scikit-image's photos.

    python -m benchmarks.start_picture            # writes docs/pictures/start.jpg

Prompts that it answers well; MODEL_CARD.md shows those that it does not.
"""

from __future__ import annotations

from pathlib import Path

import click
import skimage
from PIL import Image, ImageDraw

import tinysam_mobile as tsm

PHOTOS = Path(skimage.__file__).parent / "data"
PROMPTS = (
    ("rocket.jpg", {"box": (300, 95, 345, 400)}, "a box: 300,95,345,400"),
    ("motorcycle_left.png", {"box": (115, 69, 685, 453)}, "a box: 115,69,685,453"),
    ("astronaut.png", {"point": (379, 439)}, "a point: 379,439"),
    ("camera.png", {"point": (91, 285)}, "a point: 91,285"),
    ("coins.png", {"point": (172, 261)}, "a point: 172,261"),
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


def sheet(panels: list[Image.Image]) -> Image.Image:
    """Two panels in the first row, the others in the second."""
    rows = [panels[:2], panels[2:]]
    width = max(sum(panel.width for panel in row) + GAP * (len(row) - 1) for row in rows)
    whole = Image.new("RGB", (width, len(rows) * panels[0].height), "white")
    for number, row in enumerate(rows):
        x = 0
        for one in row:
            whole.paste(one, (x, number * one.height))
            x += one.width + GAP
    return whole


@click.command()
@click.option("--out", type=Path, default=Path("docs/pictures/start.jpg"), show_default=True)
@click.option("--checkpoint", help="A checkpoint other than the shipped one.")
def main(out: Path, checkpoint: str | None) -> None:
    """Draw the picture."""
    model = tsm.open(checkpoint)
    picture = sheet([panel(model, *prompt) for prompt in PROMPTS])
    picture.save(out, quality=88)
    click.echo(f"{out}: {picture.width}x{picture.height}, {out.stat().st_size / 1e3:.0f} kB")


if __name__ == "__main__":
    main()
