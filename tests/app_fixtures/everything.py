"""Everything mode in exact mode, on an engine that replays recorded answers."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from tinysam_mobile.contract.backend import Arrays
from tinysam_mobile.contract.rules import SAM_RULES
from tinysam_mobile.contract.spec import Contract, Label
from tinysam_mobile.imaging.preprocess import Geometry
from tinysam_mobile.segment.everything import (
    EverythingConfig,
    EverythingGenerator,
    EverythingResult,
    SegmentedObject,
)
from tinysam_mobile.segment.predictor import Predictor

from .masks import exact_logits, tie_bound
from .store import Array, Case, Store, flat

SCALE = 0.25
"""Of the recorded int8 logits: a power of two, so that they are exact in float32."""
SETTINGS = (
    "hierarchical",
    "points_per_side",
    "pred_iou_thresh",
    "stability_score_thresh",
    "stability_score_offset",
    "high_score_thresh",
    "box_nms_thresh",
    "crop_nms_thresh",
    "min_region_area",
    "max_decoder_calls",
)


@dataclass(frozen=True, kw_only=True)
class Recording:
    """What an engine answers: to the point i (P, 2) of the S frame `logits`[`answers`[i]], `scores`[i].

    `score_batch` answers scores that are off by `score_error`, as those of a rounded model are.
    """

    points: Array
    answers: Array
    logits: Array
    scores: Array
    scale: float
    score_error: float = 0.0


class ReplayEngine:
    """A backend that answers prompts from a recording, and notes which it was asked and how often."""

    def __init__(self, contract: Contract, recording: Recording) -> None:
        self.contract = contract
        self.asked: list[int] = []
        self.calls: Counter[str] = Counter()
        self._recording = recording
        self._place = {tuple(point): i for i, point in enumerate(recording.points.tolist())}

    def run(self, entry_point: str, inputs: Mapping[str, Array]) -> Arrays:
        contract, recording = self.contract, self._recording
        if entry_point == "encode":
            shape = (1, contract.channels, contract.grid_size, contract.grid_size)
            return {"image_embeddings": np.zeros(shape, np.float32)}
        self.calls[entry_point] += 1
        side, batch = contract.mask_size, len(inputs["point_coords"])
        logits = np.zeros((batch, SAM_RULES.num_masks, side, side), np.float32)
        scores = np.zeros((batch, SAM_RULES.num_masks), np.float32)
        for row, (points, labels) in enumerate(
            zip(inputs["point_coords"], inputs["point_labels"], strict=True)
        ):
            if labels[0] == Label.UNUSED:
                continue
            assert labels[0] in (Label.FOREGROUND, Label.BOX_TOP_LEFT)
            i = self._place[tuple(points[0].tolist())]
            self.asked.append(i)
            logits[row] = recording.logits[recording.answers[i]].astype(np.float32) * recording.scale
            scores[row] = recording.scores[i]
        if entry_point == "score_batch":
            return {"iou_predictions": scores + np.float32(recording.score_error)}
        return {"low_res_masks": logits, "iou_predictions": scores}


Disc = tuple[float, float, float]
"""x, y and radius in parts of the square."""


def discs(side: int, found: list[Disc], steepness: float, nudge: int) -> Array:
    """Logits int8 (len(found) + 1, 3, side, side): the background, then each disc whole, its half, a ring.

    Another `nudge` moves the discs by less than half a cell each.
    """
    random = np.random.default_rng(nudge)
    y, x = (np.mgrid[:side, :side] + 0.5) / side
    answers = [np.full((SAM_RULES.num_masks, side, side), -6.0)]
    for centre_x, centre_y, radius in found:
        cx, cy = np.array([centre_x, centre_y]) + random.uniform(0, 0.5 / side, 2)
        distance = np.hypot(x - cx, y - cy)
        whole = (radius - distance) * steepness
        half = np.minimum(whole, (cx - x) * steepness)
        ring = np.minimum(whole, (distance - radius / 2) * steepness)
        answers.append(np.stack([whole, half, ring]))
    return np.clip(np.round(np.array(answers) / SCALE), -127, 127).astype(np.int8)


BUSY = (
    *((0.25, 0.2, 0.15), (0.7, 0.25, 0.2), (0.3, 0.6, 0.12)),
    *((0.62, 0.62, 0.09), (0.68, 0.3, 0.07), (0.1, 0.45, 0.04)),
)
EVERYWHERE = ((0.493, 0.487, 9.0),)


@dataclass(frozen=True, kw_only=True)
class Scene:
    """Discs (later ones on top) on a photo of `size` (H, W), and `settings` over the defaults."""

    settings: Mapping[str, Any]
    size: tuple[int, int] = (97, 131)
    discs: tuple[Disc, ...] = BUSY
    steepness: float = 1200.0
    tied_scores: bool = False
    seed: int = 0


FLAT: dict[str, Any] = {"hierarchical": False, "points_per_side": 8}
HIERARCHICAL: dict[str, Any] = {"hierarchical": True, "points_per_side": 16}
SCENES = {
    "hierarchical_landscape": Scene(settings=HIERARCHICAL),
    "hierarchical_portrait": Scene(size=(131, 97), settings=HIERARCHICAL, seed=1),
    "hierarchical_square": Scene(size=(128, 128), settings=HIERARCHICAL, seed=2),
    "hierarchical_tied_scores": Scene(settings=HIERARCHICAL, tied_scores=True),
    "hierarchical_small_photo": Scene(size=(23, 31), settings=HIERARCHICAL, seed=3),
    "hierarchical_larger_photo": Scene(size=(141, 173), settings=HIERARCHICAL, seed=4),
    "hierarchical_strict_nms": Scene(settings=HIERARCHICAL | {"box_nms_thresh": 0.2}),
    "hierarchical_high_score_never": Scene(settings=HIERARCHICAL | {"high_score_thresh": 31.9}),
    "hierarchical_soft_outlines": Scene(settings=HIERARCHICAL, steepness=300.0),
    "hierarchical_wide_offset": Scene(
        settings=HIERARCHICAL | {"stability_score_offset": 3.0, "stability_score_thresh": 0.8}
    ),
    "hierarchical_ten_per_side": Scene(settings=HIERARCHICAL | {"points_per_side": 10}),
    "hierarchical_budget": Scene(settings=HIERARCHICAL | {"max_decoder_calls": 3}),
    "hierarchical_budget_round_1": Scene(settings=HIERARCHICAL | {"max_decoder_calls": 1}),
    "no_budget_at_all": Scene(settings=HIERARCHICAL | {"max_decoder_calls": 0}),
    "hierarchical_small_regions": Scene(settings=HIERARCHICAL | {"min_region_area": 300}, seed=2),
    "flat_landscape": Scene(settings=FLAT),
    "flat_portrait": Scene(size=(131, 97), settings=FLAT, seed=1),
    "flat_tied_scores": Scene(settings=FLAT, tied_scores=True),
    "flat_budget": Scene(settings=FLAT | {"max_decoder_calls": 2}),
    "flat_small_regions": Scene(settings=FLAT | {"min_region_area": 300}),
    "flat_one_point": Scene(discs=((0.4, 0.4, 0.3),), settings=FLAT | {"points_per_side": 1}),
    "fully_covered": Scene(discs=EVERYWHERE, settings=HIERARCHICAL),
    "fully_covered_flat": Scene(discs=EVERYWHERE, settings=FLAT),
    "no_survivor": Scene(discs=(), settings=HIERARCHICAL),
    "no_survivor_flat": Scene(discs=(), settings=FLAT),
    "one_pixel": Scene(size=(1, 1), discs=EVERYWHERE, settings=HIERARCHICAL),
    "one_pixel_without_object": Scene(size=(1, 1), discs=(), settings=HIERARCHICAL),
    "one_row": Scene(size=(1, 77), discs=((0.3, 0.0, 0.2), (0.7, 0.0, 0.1)), settings=HIERARCHICAL),
    "one_column_flat": Scene(size=(77, 1), discs=((0.0, 0.3, 0.2), (0.0, 0.7, 0.1)), settings=FLAT),
}


def everything_cases(store: Store, contract: Contract) -> Iterator[Case]:
    pictures = pictures_of(SCENES, contract)
    for name, scene in SCENES.items():
        picture, logits = pictures[(scene.discs, scene.steepness)]
        recording = record(scene, logits, contract)
        result, engine = replay(recording, scene.size, scene.settings, contract)
        asked = only_asked(recording, sorted(set(engine.asked)))
        case = case_of(store, f"everything/{name}", f"everything/{picture}", scene, asked, result)
        yield {**case, "name": name}


def pictures_of(scenes: Mapping[str, Scene], contract: Contract) -> dict[Any, tuple[str, Array]]:
    """Name and logits of the pictures of `scenes`, by discs and steepness."""
    pictures: dict[Any, tuple[str, Array]] = {}
    for scene in scenes.values():
        key = (scene.discs, scene.steepness)
        if key not in pictures:
            users = [other for other in scenes.values() if (other.discs, other.steepness) == key]
            pictures[key] = (f"picture_{len(pictures)}", _without_ties(users, contract))
    return pictures


def _without_ties(scenes: list[Scene], contract: Contract) -> Array:
    """Logits of one picture so that in none of its scenes a rounding decides over a pixel."""
    for nudge in range(100):
        logits = discs(contract.mask_size, list(scenes[0].discs), scenes[0].steepness, nudge)
        if not any(_has_ties(logits, scene, contract) for scene in scenes):
            return logits
    raise AssertionError(f"every nudge of {scenes[0].discs} has a tie")


def _has_ties(logits: Array, scene: Scene, contract: Contract) -> bool:
    config = EverythingConfig(mode="exact", **scene.settings)
    offset = config.stability_score_offset
    geometry = Geometry.of(scene.size, contract.image_size)
    for low_res in logits.astype(np.float32) * SCALE:
        full = exact_logits(low_res, geometry)
        for cut in (0.0, offset, -offset, config.high_score_thresh):
            if np.abs(full - cut).min() <= tie_bound(low_res):
                return True
    return False


def record(scene: Scene, logits: Array, contract: Contract) -> Recording:
    """Answer every point that either grid may ask for with the disc under it."""
    geometry = Geometry.of(scene.size, contract.image_size)
    everywhere = replay_points(scene, geometry)
    return record_at(geometry.to_model(everywhere).astype(np.float32), scene, logits, contract)


def record_at(model: Array, scene: Scene, logits: Array, contract: Contract) -> Recording:
    """Answer the points f32 (P, 2) of the S frame with the disc under each."""
    answers = np.zeros(len(model), np.int64)
    for i, (cx, cy, radius) in enumerate(scene.discs, start=1):
        distance = np.hypot(*(model / contract.image_size - (cx, cy)).T)
        answers[distance < radius] = i
    random = np.random.default_rng(scene.seed)
    scores = random.uniform(0.86, 0.99, (len(model), SAM_RULES.num_masks))
    # Some of the three are never good enough: the second mostly, the background always.
    scores[:, 1] -= 0.08
    scores[answers == 0] = random.uniform(0.1, 0.87, (int((answers == 0).sum()), SAM_RULES.num_masks))
    if scene.tied_scores:
        scores = np.round(scores * 20) / 20
    return Recording(
        points=model, answers=answers, logits=logits, scores=scores.astype(np.float32), scale=SCALE
    )


def replay_points(scene: Scene, geometry: Geometry) -> Array:
    """Every point (P, 2) that the scene's mode could visit, none twice."""
    from tinysam_mobile.segment.point_lattice import coarse_lattice, grid_points, second_round

    side, size = scene.settings["points_per_side"], geometry.original_size
    if not scene.settings["hierarchical"]:
        return np.unique(grid_points(side, size), axis=0)
    both = np.concatenate([coarse_lattice(side, size).points, second_round(side, size).points])
    return np.unique(both, axis=0)


def replay(
    recording: Recording, size: tuple[int, int], settings: Mapping[str, Any], contract: Contract
) -> tuple[EverythingResult, ReplayEngine]:
    """Run everything mode on a recording."""
    engine = ReplayEngine(contract, recording)
    config = EverythingConfig(mode="exact", **settings)
    photo = np.zeros((*size, 3), np.uint8)
    return EverythingGenerator(Predictor(engine), config).generate(photo), engine


def only_asked(recording: Recording, asked: list[int]) -> Recording:
    """What was asked for."""
    return replace(
        recording,
        points=recording.points[asked],
        answers=recording.answers[asked],
        scores=recording.scores[asked],
    )


def case_of(
    store: Store,
    name: str,
    picture: str,
    scene: Scene,
    recording: Recording,
    result: EverythingResult,
) -> Case:
    """The case as it is written; its files begin with `name`, scenes of one `picture` share its logits."""
    config = EverythingConfig(mode="exact", **scene.settings)
    return {
        "name": name,
        "height": scene.size[0],
        "width": scene.size[1],
        "settings": {key: getattr(config, key) for key in SETTINGS},
        "logits": store.tensor(picture, recording.logits),
        "scale": recording.scale,
        "recorded_points": store.tensor(f"{name}_points", recording.points),
        "answers": flat(recording.answers),
        "recorded_scores": store.tensor(f"{name}_scores", recording.scores),
        "visited": flat(result.points),
        "decoder_calls": result.decoder_calls,
        "stopped_early": result.stopped_early,
        "objects": objects_data(result.objects),
    }


def objects_data(objects: Sequence[SegmentedObject]) -> list[dict[str, Any]]:
    """Objects as a case holds them."""
    return [
        {
            "point": list(found.point),
            "mask_index": found.mask_index,
            "score": found.score,
            "stability": found.stability,
            "box": list(found.box),
            "counts": list(found.runs.counts),
        }
        for found in objects
    ]
