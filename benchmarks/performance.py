"""The page of speed: everything mode and prompts on every runtime of a bundle, and how they grow.

    python -m benchmarks.performance BUNDLE FOLDER_OF_PHOTOS --count 5    # writes docs/performance.md

Everything is measured in one run on one thread.  Seconds are processor seconds of this process, so that a
busy machine does not matter much; they are those of this machine and no phone's.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from time import process_time
from typing import Any

import click
import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image
from scipy.stats import spearmanr

import tinysam_mobile as tsm
from benchmarks.everything_fast import spread
from benchmarks.performance_page import page
from benchmarks.record import save
from tinysam_mobile.imaging.images import RGBImage, load_image
from tinysam_mobile.parity.everything_parity import EverythingParity, compare_results, summary
from tinysam_mobile.segment.everything import EverythingConfig, EverythingGenerator
from tinysam_mobile.segment.model import Model
from tinysam_mobile.segment.prompts import make_prompt

SIDES_OF_GRID = (8, 16, 32, 64)
MEGAPIXELS = (0.3, 3.0, 12.0, 48.0)
PROMPTS = (1, 10, 100, 1000)
SCORED = 256
"""Prompts whose scores are compared."""
REPEATS = 3
MODES = ("exact", "fast")


@dataclass(frozen=True, kw_only=True)
class Side:
    """One runtime with its model."""

    name: str
    model: Model


def cpu_seconds(work: Callable[[], Any], repeats: int = 1) -> float:
    """The least processor seconds of `repeats` runs."""
    found = []
    for _ in range(repeats):
        start = process_time()
        work()
        found.append(process_time() - start)
    return min(found)


def opened(bundle: Path, runtimes: Sequence[str]) -> list[Side]:
    """PyTorch, and the bundle on each runtime, on one thread."""
    sides = [Side(name="torch", model=tsm.open(threads=1))]
    return sides + [Side(name=name, model=tsm.open(bundle, runtime=name, threads=1)) for name in runtimes]


def everything(side: Side, photos: Mapping[str, RGBImage]) -> dict[str, Any]:
    """Seconds of both modes, and whether they find the same."""
    seconds = dict.fromkeys(MODES, 0.0)
    calls, parities = dict.fromkeys(MODES, 0), {}
    settings = side.model.everything | {"points_per_side": 32}
    configs = {mode: EverythingConfig(**settings | {"mode": mode}) for mode in MODES}
    for name, photo in photos.items():
        results = {}
        for mode, config in configs.items():
            generator = EverythingGenerator(side.model.predictor, config)
            start = process_time()
            results[mode] = generator.generate(photo)
            seconds[mode] += process_time() - start
            calls[mode] += results[mode].decoder_calls
        parities[name] = compare_results(
            results["exact"], results["fast"], (photo.shape[0], photo.shape[1]), configs["exact"]
        )
        click.echo(f"{side.name}, {name}: {seconds}", err=True)
    return {
        "seconds": {mode: total / len(photos) for mode, total in seconds.items()},
        "decoder_calls": {mode: total / len(photos) for mode, total in calls.items()},
        "agreement": _agreement(parities),
    }


def _agreement(parities: Mapping[str, EverythingParity]) -> dict[str, float]:
    figures = summary(parities)
    level = figures["levels"]["0.75"]
    return {
        "precision": level["precision"],
        "recall": level["recall"],
        "mean_iou": figures["mean_iou"],
        "objects": figures["reference"]["objects"] / len(parities),
    }


def per_prompt(side: Side, photo: RGBImage, expected: NDArray[np.float32] | None) -> dict[str, Any]:
    """Milliseconds a prompt costs with masks and without, and how `score_batch` orders prompts."""
    predictor = side.model.predictor
    predictor.set_image(photo)
    prompts = [make_prompt([point], [1]) for point in random_points(photo, SCORED)]
    decode = cpu_seconds(lambda: list(predictor.decode_many(prompts[: predictor.batch])), REPEATS)
    score = cpu_seconds(lambda: predictor.score_many(prompts[: predictor.score_batch]), REPEATS)
    rounds = range(0, SCORED, predictor.score_batch)
    scores = np.concatenate([predictor.score_many(prompts[i : i + predictor.score_batch]) for i in rounds])
    found = {
        "decode_ms": 1e3 * decode / predictor.batch,
        "score_ms": 1e3 * score / predictor.score_batch,
        "scores": scores,
    }
    if expected is not None:
        found["error"] = float(np.abs(scores - expected).max())
        found["spearman"] = float(spearmanr(scores.ravel(), expected.ravel()).statistic)
    return found


def decoded_scores(side: Side, photo: RGBImage) -> NDArray[np.float32]:
    """What `decode_batch` says of the same prompts."""
    predictor = side.model.predictor
    predictor.set_image(photo)
    prompts = [make_prompt([point], [1]) for point in random_points(photo, SCORED)]
    rounds = range(0, SCORED, predictor.batch)
    answers = [low for i in rounds for low in predictor.decode_many(prompts[i : i + predictor.batch])]
    return np.stack([low.scores for low in answers])


def random_points(photo: RGBImage, count: int) -> NDArray[np.float64]:
    """The same points every time, x and y in pixels."""
    height, width = photo.shape[:2]
    return np.random.default_rng(0).uniform(0, (width, height), (count, 2))


def growth(side: Side, photo: RGBImage) -> dict[str, dict[str, float]]:
    """Seconds over the points of the grid, the size of the photo, and the number of prompts."""
    model, small = side.model, Image.fromarray(photo)
    points = {
        str(n): cpu_seconds(
            lambda n=n: model.segment_everything(
                photo, EverythingConfig(**model.everything | {"points_per_side": n})
            )
        )
        for n in SIDES_OF_GRID
    }
    pixels, boxes = {}, {}
    for size in MEGAPIXELS:
        scale = (size * 1e6 / (small.width * small.height)) ** 0.5
        large = np.asarray(small.resize((round(small.width * scale), round(small.height * scale))))
        pixels[str(size)] = cpu_seconds(lambda large=large: model.segment(large, point=(100, 100)))
    model.predictor.set_image(photo)
    for count in PROMPTS:
        prompts = [make_prompt([point], [1]) for point in random_points(photo, count)]
        boxes[str(count)] = cpu_seconds(lambda prompts=prompts: list(model.predictor.predict_batch(prompts)))
    return {"points": points, "megapixels": pixels, "prompts": boxes}


@click.command()
@click.argument("bundle", type=click.Path(path_type=Path, exists=True))
@click.argument("folders", nargs=-1, required=True, type=click.Path(path_type=Path, exists=True))
@click.option("--count", type=int, default=5, show_default=True, help="Photos of each folder.")
@click.option("--runtime", "runtimes", multiple=True, default=("tflite", "executorch", "coreml"))
@click.option("--out", type=Path, default=Path("docs/performance.md"), show_default=True)
def main(bundle: Path, folders: tuple[Path, ...], count: int, runtimes: tuple[str, ...], out: Path) -> None:
    """Measure, save the figures and write the page."""
    torch.set_num_threads(1)
    paths = [path for folder in folders for path in spread(folder, count)]
    photos = {path.name: load_image(path) for path in paths}
    first = photos[paths[0].name]
    sides = opened(bundle, runtimes)
    reference = decoded_scores(sides[0], first)
    found = {
        side.name: {"everything": everything(side, photos), "prompt": per_prompt(side, first, reference)}
        for side in sides
    }
    for figures in found.values():
        figures["prompt"].pop("scores")
    grown = growth(sides[1], first)
    result = {"photos": len(photos), "runtimes": found, "growth": grown, "of": sides[1].name}
    click.echo(save("performance", result))
    out.write_text(page(result), encoding="utf-8")
    click.echo(out)


if __name__ == "__main__":
    main()
