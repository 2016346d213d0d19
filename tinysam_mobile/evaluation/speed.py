"""How long a model takes: a photo with 1 and with 50 boxes (as the survey measures), everything mode."""

from __future__ import annotations

import resource
import sys
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, replace
from functools import partial
from statistics import median
from time import perf_counter
from typing import Any

import numpy as np

from tinysam_mobile.contract.backend import Backend
from tinysam_mobile.imaging.images import RGBImage
from tinysam_mobile.segment.everything import EverythingConfig, EverythingGenerator
from tinysam_mobile.segment.predictor import Predictor
from tinysam_mobile.segment.prompts import Prompt, make_prompt

__all__ = ["Timing", "boxes_on", "measure_everything_speed", "measure_speed", "peak_memory_bytes", "timed"]

SURVEY_BOXES = 50
GRIDS = (16, 32, 64)


@dataclass(frozen=True, kw_only=True)
class Timing:
    """Milliseconds of repeated runs after a warm-up: median, and the quarter points as the spread."""

    latency_ms: float
    lower_quartile_ms: float
    upper_quartile_ms: float
    runs: int
    warm_up_runs: int

    def to_json(self) -> dict[str, Any]:
        """Return plain JSON data, with `per_s`, runs in a second at the median."""
        return {**asdict(self), "per_s": 1e3 / self.latency_ms}


def timed(work: Callable[[], Any], *, runs: int, warm_up: int = 1) -> Timing:
    """Time `work` on the wall clock; `runs` at least 1."""
    for _ in range(warm_up):
        work()
    milliseconds = []
    for _ in range(runs):
        start = perf_counter()
        work()
        milliseconds.append((perf_counter() - start) * 1e3)
    lower, upper = np.quantile(milliseconds, (0.25, 0.75)).tolist()
    return Timing(
        latency_ms=median(milliseconds),
        lower_quartile_ms=lower,
        upper_quartile_ms=upper,
        runs=runs,
        warm_up_runs=warm_up,
    )


def boxes_on(photo: RGBImage, count: int) -> list[Prompt]:
    """Return `count` boxes of a quarter of the photo's sides, spread over it by a fixed draw."""
    height, width = photo.shape[:2]
    corners = np.random.default_rng(0).random((count, 2)) * (0.75 * width, 0.75 * height)
    return [make_prompt(box=(x, y, x + width / 4, y + height / 4)) for x, y in corners]


def measure_speed(backend: Backend, photo: RGBImage, *, runs: int = 5) -> dict[str, Timing]:
    """Time `encode` (a photo to its embedding), `decode` (one prompt to full-size masks), and a whole photo
    with 1 and 50 boxes (`photo_1_box`, `photo_50_boxes`), preprocessing and full-size masks included.
    """
    predictor = Predictor(backend)
    box = boxes_on(photo, 1)
    many = boxes_on(photo, SURVEY_BOXES)
    predictor.set_image(photo)
    corners = box[0].box
    return {
        "encode": timed(lambda: predictor.encode(photo), runs=runs),
        "decode": timed(lambda: predictor.predict(box=corners), runs=runs),
        "photo_1_box": timed(lambda: _whole(predictor, photo, box), runs=runs),
        f"photo_{SURVEY_BOXES}_boxes": timed(lambda: _whole(predictor, photo, many), runs=runs),
    }


def _whole(predictor: Predictor, photo: RGBImage, prompts: Sequence[Prompt]) -> None:
    predictor.set_image(photo)
    for prediction in predictor.predict_batch(prompts):
        _ = prediction.best_mask


def measure_everything_speed(
    backend: Backend,
    photo: RGBImage,
    config: EverythingConfig,
    *,
    grids: Sequence[int] = GRIDS,
    runs: int = 1,
) -> dict[str, Timing]:
    """Time everything mode with so many points in each direction, by `everything_GRID`; no warm-up."""
    predictor = Predictor(backend)
    timings = {}
    for grid in grids:
        generator = EverythingGenerator(predictor, replace(config, points_per_side=grid))
        timings[f"everything_{grid}"] = timed(partial(generator.generate, photo), runs=runs, warm_up=0)
    return timings


def peak_memory_bytes() -> int:
    """Most memory that this process has ever had resident."""
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak if sys.platform == "darwin" else peak * 1024
