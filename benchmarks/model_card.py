"""The pictures of MODEL_CARD.md: masks on photos that ship with scikit-image, and the curves of some runs.

python -m benchmarks.model_card runs/nano_6 runs/nano_7 runs/nano_8 runs/nano_9 runs/nano_10
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import click
import numpy as np
from PIL import Image

from tinysam_mobile.contract.spec import Label
from tinysam_mobile.distill.progress import read_columns
from tinysam_mobile.imaging.images import load_image
from tinysam_mobile.imaging.pictures import draw_prompts, overlay
from tinysam_mobile.modeling.checkpoint import load_checkpoint
from tinysam_mobile.modeling.entry_points import contract_of
from tinysam_mobile.segment.predictor import Predictor
from tinysam_mobile.simulator.registry import open_model

FOLDER = Path(__file__).parents[1] / "docs/model_card"
TILE = (300, 220)
CURVES = ("iou_box", "iou_box_best", "iou_point", "iou_point_best")


@dataclass(frozen=True, kw_only=True)
class Example:
    """A photo of scikit-image and a box or a point on it, in its pixels."""

    photo: str
    box: tuple[float, float, float, float] | None = None
    point: tuple[float, float] | None = None


EXAMPLES = (
    Example(photo="chelsea.png", box=(60, 10, 450, 299)),
    Example(photo="coffee.png", box=(150, 70, 480, 340)),
    Example(photo="astronaut.png", box=(15, 0, 460, 511)),
    Example(photo="rocket.jpg", box=(300, 95, 345, 400)),
    Example(photo="motorcycle_left.png", box=(115, 69, 685, 453)),
    Example(photo="camera.png", box=(0, 62, 328, 511)),
    Example(photo="motorcycle_left.png", point=(390, 250)),
    Example(photo="camera.png", point=(91, 285)),
    Example(photo="chelsea.png", point=(220, 130)),
    Example(photo="coffee.png", point=(320, 200)),
    Example(photo="coins.png", point=(172, 261)),
    Example(photo="astronaut.png", point=(379, 439)),
)


def tile(predictor: Predictor, example: Example) -> Image.Image:
    """Segment one example and return its overlay, `TILE` pixels large."""
    import skimage

    photo = load_image(Path(skimage.__file__).parent / "data" / example.photo)
    predictor.set_image(photo)
    if example.point:
        answer = predictor.predict([example.point], [Label.FOREGROUND])
    else:
        answer = predictor.predict(box=example.box)
    points = [(*example.point, Label.FOREGROUND)] if example.point else []
    picture = draw_prompts(overlay(photo, answer.best_mask), points=points, box=example.box)
    picture.thumbnail(TILE)
    canvas = Image.new("RGB", TILE, (255, 255, 255))
    canvas.paste(picture)
    return canvas


def write_examples(path: Path) -> None:
    """Write the sheet of all examples, four in a row."""
    model = load_checkpoint(None).model
    predictor = Predictor(open_model(model, contract_of(model, slots=2)))
    tiles = [np.asarray(tile(predictor, example)) for example in EXAMPLES]
    rows = [np.concatenate(tiles[i : i + 4], axis=1) for i in range(0, len(tiles), 4)]
    Image.fromarray(np.concatenate(rows)).save(path, quality=88)


def write_curves(runs: tuple[Path, ...], path: Path) -> None:
    """Draw the training IoU of `runs`, one after the other, smoothed over ten rows of 20 steps."""
    import matplotlib

    matplotlib.use("agg")
    from matplotlib import pyplot

    figure, axes = pyplot.subplots(figsize=(9, 4), layout="constrained")
    start = 0.0
    for run in runs:
        columns = read_columns(run / "losses.csv")
        steps = start + np.array(columns["step"])
        for i, name in enumerate(CURVES):
            smooth = np.convolve(columns[name], np.ones(10) / 10, mode="valid")
            label = name if run == runs[0] else None
            axes.plot(steps[9:], smooth, color=f"C{i}", label=label, linewidth=0.9)
        axes.axvline(steps[-1], color="0.8", linewidth=0.8)
        axes.text(steps[0], 0.02, run.name, fontsize=8)
        start = float(steps[-1])
    axes.set(xlabel="step", ylabel="IoU on training scenes", ylim=(0, 0.8))
    axes.legend(fontsize=8)
    figure.savefig(path, dpi=100)
    pyplot.close(figure)


@click.command()
@click.argument("runs", nargs=-1, required=True, type=click.Path(path_type=Path, exists=True))
def main(runs: tuple[Path, ...]) -> None:
    """Write docs/model_card/examples.jpg (shipped checkpoint) and curves.png (RUNS, in order)."""
    write_examples(FOLDER / "examples.jpg")
    write_curves(runs, FOLDER / "curves.png")


if __name__ == "__main__":
    main()
