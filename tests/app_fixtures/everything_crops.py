"""Everything mode on a photo and its crops, in both modes.

The recording answers by the point of the S frame alone, so every crop looks like the photo: what is tested is
where crops lie, which of their masks count, and how those of all crops are merged.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from tinysam_mobile.contract.everything_settings import CROP_OVERLAP_RATIO
from tinysam_mobile.contract.spec import Contract
from tinysam_mobile.imaging.preprocess import Geometry
from tinysam_mobile.segment.everything import EverythingConfig, EverythingResult
from tinysam_mobile.segment.point_lattice import crop_boxes, grid_points

from .everything import (
    BUSY,
    EVERYWHERE,
    SCALE,
    Disc,
    Recording,
    Scene,
    case_of,
    discs,
    only_asked,
    record_at,
    replay,
)
from .everything_fast import FastRules, replay_fast
from .masks import exact_logits, tie_bound
from .store import Array, Case, Store

MIDDLE: tuple[Disc, ...] = ((0.4, 0.35, 0.12), (0.6, 0.4, 0.1), (0.5, 0.55, 0.08))
"""Of which some are whole in a crop."""


def settings(layers: int, side: int, **others: float) -> dict[str, float | bool]:
    return {"hierarchical": False, "points_per_side": side, "crop_layers": layers, **others}


SCENES = {
    "landscape": Scene(size=(97, 131), discs=MIDDLE, settings=settings(1, 6)),
    "portrait": Scene(size=(151, 97), discs=MIDDLE, settings=settings(1, 5), seed=1),
    "busy": Scene(size=(181, 223), settings=settings(1, 8), seed=2),
    "two_layers": Scene(
        size=(241, 301), discs=MIDDLE, settings=settings(2, 8, crop_points_downscale=2), seed=3
    ),
    "tied_scores": Scene(size=(97, 131), discs=MIDDLE, settings=settings(1, 6), tied_scores=True),
    "covered": Scene(size=(97, 131), discs=EVERYWHERE, settings=settings(1, 2)),
    "smaller_than_an_edge": Scene(size=(23, 31), discs=BUSY, settings=settings(1, 4), seed=4),
    "small_regions": Scene(size=(181, 223), discs=MIDDLE, settings=settings(1, 6, min_region_area=200)),
    "budget": Scene(size=(181, 223), discs=MIDDLE, settings=settings(1, 6, max_decoder_calls=4)),
}
CROP_SETTINGS = ("crop_layers", "crop_points_downscale")


def everything_crops_cases(store: Store, contract: Contract) -> Iterator[Case]:
    made: dict[bytes, str] = {}
    for name, scene in SCENES.items():
        logits = _without_ties(scene, contract)
        recording = record_at(_points(scene, contract), scene, logits, contract)
        picture = made.setdefault(logits.tobytes(), f"everything_crops/{name}_logits")
        config = EverythingConfig(**scene.settings)
        result, engine = replay(recording, scene.size, scene.settings, contract)
        case = _case(store, f"{name}_exact", picture, scene, recording, result, engine.asked)
        yield {**case, "settings": {**case["settings"], **_of_crops(config)}}
        rules = FastRules()
        result, engine = replay_fast(recording, scene.size, scene.settings, rules, contract)
        case = _case(store, f"{name}_fast", picture, scene, recording, result, engine.asked)
        yield {
            **case,
            "settings": {**case["settings"], **_of_crops(config)},
            "score_error": 0.0,
            "score_calls": engine.calls["score_batch"],
            "decoder_calls_without_scores": None,
            "rules": rules.data(),
        }


def _case(
    store: Store,
    name: str,
    picture: str,
    scene: Scene,
    recording: Recording,
    result: EverythingResult,
    asked: list[int],
) -> Case:
    chosen = only_asked(recording, sorted(set(asked)))
    return {**case_of(store, f"everything_crops/{name}", picture, scene, chosen, result), "name": name}


def _of_crops(config: EverythingConfig) -> dict[str, int]:
    return {key: getattr(config, key) for key in CROP_SETTINGS}


def _geometries(scene: Scene, contract: Contract) -> Iterator[tuple[int, Geometry]]:
    """Layer and geometry of every crop."""
    for layer, (x0, y0, x1, y1) in crop_boxes(scene.size, scene.settings["crop_layers"], CROP_OVERLAP_RATIO):
        yield layer, Geometry.of((y1 - y0, x1 - x0), contract.image_size)


def _points(scene: Scene, contract: Contract) -> Array:
    """Points f32 (P, 2) of the S frame that any crop asks for, none twice."""
    config = EverythingConfig(**scene.settings)
    asked = []
    for layer, geometry in _geometries(scene, contract):
        side = max(1, config.points_per_side // config.crop_points_downscale**layer)
        asked.append(geometry.to_model(grid_points(side, geometry.original_size)).astype(np.float32))
    return np.unique(np.concatenate(asked), axis=0)


def _without_ties(scene: Scene, contract: Contract) -> Array:
    """Logits of which in no crop a rounding decides over a pixel, neither in float32 nor in float16."""
    geometries = {geometry.original_size: geometry for _, geometry in _geometries(scene, contract)}
    config = EverythingConfig(**scene.settings)
    offset = config.stability_score_offset
    for nudge in range(300):
        logits = discs(contract.mask_size, list(scene.discs), scene.steepness, nudge)
        # Multiples of a power of two are the same in float16.
        values = logits.astype(np.float32) * SCALE
        full = [(exact_logits(low, geometry), low) for low in values for geometry in geometries.values()]
        if all(
            np.abs(pixels - cut).min() > tie_bound(low)
            for pixels, low in full
            for cut in (0.0, offset, -offset, config.high_score_thresh)
        ):
            return logits
    raise AssertionError(f"every nudge of {scene.discs} has a tie")
