"""The main job on a real photo: convert, run every format on this machine, and put the masks side by side.

    python -m tinysam_mobile.demo --out demo

The photo is scikit-image's `rocket`, which ships with that package.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from time import perf_counter

import click
import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw

from tinysam_mobile.cli.options import out_option
from tinysam_mobile.cli.output import command_errors, print_table, progress
from tinysam_mobile.cli.parameter_types import OutputFolder
from tinysam_mobile.contract.backend import Backend
from tinysam_mobile.converters.options import ConversionOptions
from tinysam_mobile.converters.pipeline import convert_checkpoint
from tinysam_mobile.imaging.images import load_image
from tinysam_mobile.imaging.pictures import draw_prompts, overlay
from tinysam_mobile.modeling.checkpoint import Checkpoint, load_checkpoint
from tinysam_mobile.parity.metrics import mask_iou
from tinysam_mobile.segment.predictor import Prediction, Predictor
from tinysam_mobile.simulator.registry import open_bundle, open_model

__all__ = ["main"]

BOX = (300.0, 95.0, 345.0, 400.0)
"""Around the rocket, in pixels of the photo."""
CAPTION_HEIGHT = 28
LABELS = {
    "torch": "PyTorch",
    "coreml": "Core ML, interpreted on this machine",
    "tflite": "TFLite",
    "executorch": "ExecuTorch",
}


@dataclass(frozen=True, kw_only=True)
class Shown:
    """One runtime's prediction, and the seconds that photo and prompt took once everything was warm."""

    name: str
    prediction: Prediction
    seconds: float

    @property
    def caption(self) -> str:
        """What stands above the picture."""
        score = float(self.prediction.scores[self.prediction.best])
        return f"{LABELS.get(self.name, self.name)}: predicted IoU {score:.2f}, {self.seconds:.2f} s here"


def demo_photo() -> NDArray[np.uint8]:
    """Return the photo RGB (427, 640, 3)."""
    import skimage

    return load_image(Path(skimage.__file__).parent / "data" / "rocket.jpg")


def answer(name: str, backend: Backend, photo: NDArray[np.uint8]) -> Shown:
    """Segment the photo with one backend; the first time loads and warms up, the second is measured."""
    predictor = Predictor(backend)
    predictor.set_image(photo)
    predictor.predict(box=BOX)
    start = perf_counter()
    predictor.set_image(photo)
    prediction = predictor.predict(box=BOX)
    return Shown(name=name, prediction=prediction, seconds=perf_counter() - start)


def contact_sheet(photo: NDArray[np.uint8], shown: list[Shown]) -> Image.Image:
    """Put the overlays side by side, two in a row, each under its caption."""
    height, width = photo.shape[0] + CAPTION_HEIGHT, photo.shape[1]
    rows = (len(shown) + 1) // 2
    sheet = Image.new("RGB", (2 * width, rows * height), (255, 255, 255))
    for i, item in enumerate(shown):
        x, y = (i % 2) * width, (i // 2) * height
        picture = draw_prompts(overlay(photo, item.prediction.best_mask), box=BOX)
        sheet.paste(picture, (x, y + CAPTION_HEIGHT))
        ImageDraw.Draw(sheet).text((x + 8, y + 6), item.caption, fill=(0, 0, 0), font_size=15)
    return sheet


def run(checkpoint: Checkpoint, out: Path, say: Callable[[str], None]) -> list[Shown]:
    """Convert into `out`/bundle and answer with PyTorch and with every format."""
    photo = demo_photo()
    options = ConversionOptions(overwrite=True, jobs=None)
    bundle = convert_checkpoint(checkpoint, out / "bundle", options, progress=say)
    shown = [answer("torch", open_model(checkpoint.model, bundle.manifest.contract), photo)]
    for number, runtime in enumerate(options.targets, start=1):
        say(f"segmenting, runtime {number} of {len(options.targets)}: {runtime}")
        shown.append(answer(runtime, open_bundle(bundle, runtime), photo))
    contact_sheet(photo, shown).save(out / "demo.png")
    return shown


@click.command()
@out_option(OutputFolder(), "Folder for the bundle and the picture.", default="demo")
@command_errors
def main(out: Path) -> None:
    """Convert the shipped checkpoint and segment a photo with every format."""
    checkpoint = load_checkpoint()
    if checkpoint.is_stand_in:
        click.echo("Stand-in weights (pseudo-random): the formats can be compared, but every mask is noise.")
    out.mkdir(parents=True, exist_ok=True)
    with progress() as say:
        shown = run(checkpoint, out, say)
    reference = shown[0].prediction.best_mask
    rows = [[s.name, f"{mask_iou(reference, s.prediction.best_mask):.4f}", f"{s.seconds:.2f}"] for s in shown]
    print_table(["runtime", "mask IoU with torch", "seconds (photo + box, warm, this machine)"], rows)
    summary = [
        {"runtime": s.name, "iou_with_torch": mask_iou(reference, s.prediction.best_mask)} for s in shown
    ]
    (out / "demo.json").write_text(json.dumps(summary, indent=2) + "\n")
    click.echo("The seconds are this machine's; 'tinysam-mobile serve' and the sample apps tell a phone's.")
    click.echo(f"picture: {out / 'demo.png'}")


if __name__ == "__main__":
    main()
