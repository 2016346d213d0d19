"""Everything mode on any backend: flat (Segment Anything, section 3) and hierarchical (TinySAM, section 3.4).

Points are decoded K at a time; of each point's three masks those with a high predicted IoU and a stable
outline survive, and box NMS leaves one of each.  The hierarchical mode decodes a quarter of the grid in each
direction first and skips, in its second round, every point on a mask of high score.

`mode="exact"` replays the official generator: same points, same order, same survivors.  `mode="fast"` asks
for the predicted IoU first and decodes, in full batches, only the points that may have a mask.  It judges
masks on the low-resolution logits, drops duplicates as it goes and takes only what is left to full size.  Its
second round is a chessboard: first the white points, then of the black ones those beside a point whose score
came near to the threshold, since scores change little from point to point.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from time import perf_counter
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from tinysam_mobile.contract.everything_settings import (
    COARSE_FACTOR,
    CROP_NMS_THRESH,
    CROP_OVERLAP_RATIO,
    NEAR_IOU_SLACK,
    SCORE_SLACK,
)
from tinysam_mobile.errors import UnknownNameError, UsageError
from tinysam_mobile.imaging.images import RGBImage, as_rgb
from tinysam_mobile.imaging.masks import RunLengths, mask_boxes, non_maximum_suppression, remove_small_regions
from tinysam_mobile.imaging.preprocess import Geometry
from tinysam_mobile.segment.candidates import Candidate, ExactJudge, FastJudge, Judge, Thresholds, as_box
from tinysam_mobile.segment.point_lattice import (
    Box,
    Lattice,
    Points,
    beside,
    coarse_lattice,
    crop_boxes,
    grid_points,
    is_cut_by_crop,
    second_round,
)
from tinysam_mobile.segment.predictor import LowResolution, Predictor
from tinysam_mobile.segment.prompts import make_prompt

PROGRESS_POINTS = 256
"""Points between two lines of progress."""

POINTS_PER_BATCH = 64
"""Prompts K of one call where the backend leaves the choice, as in the official code."""

__all__ = [
    "POINTS_PER_BATCH",
    "EverythingConfig",
    "EverythingGenerator",
    "EverythingResult",
    "SegmentedObject",
]

JUDGES: dict[str, Callable[[Geometry, Thresholds, Points], Judge]] = {"exact": ExactJudge, "fast": FastJudge}


@dataclass(frozen=True, kw_only=True)
class EverythingConfig:
    """Thresholds and grid; the defaults are the official ones.

    `high_score_thresh` is the paper's τ, a mask logit; `stability_score_offset` is a logit too.  Crops apply
    to the flat mode only.  In fast mode a score came near to its threshold if it lacks at most
    `near_iou_slack`.  `max_decoder_calls` and `budget_ms` end the search early with what was found.
    """

    hierarchical: bool = True
    mode: str = "fast"
    points_per_side: int = 32
    pred_iou_thresh: float = 0.88
    stability_score_thresh: float = 0.95
    stability_score_offset: float = 1.0
    high_score_thresh: float = 8.5
    near_iou_slack: float = NEAR_IOU_SLACK
    box_nms_thresh: float = 0.7
    crop_layers: int = 0
    crop_overlap_ratio: float = CROP_OVERLAP_RATIO
    crop_nms_thresh: float = CROP_NMS_THRESH
    crop_points_downscale: int = 1
    min_region_area: int = 0
    max_decoder_calls: int | None = None
    budget_ms: float | None = None

    def __post_init__(self) -> None:
        if self.mode not in JUDGES:
            raise UnknownNameError("everything mode", self.mode, JUDGES)
        if self.points_per_side < (COARSE_FACTOR if self.hierarchical else 1):
            raise UsageError(
                f"points_per_side must be at least {COARSE_FACTOR}, flat 1: not {self.points_per_side}"
            )
        if self.hierarchical and self.crop_layers:
            raise UsageError("crops belong to the flat mode: set hierarchical=False or crop_layers=0")


@dataclass(frozen=True, kw_only=True)
class SegmentedObject:
    """One mask of the photo.

    `runs` holds the mask; `box` xyxy are the first and last pixel inside it; `point` (x, y) is the prompt
    that found it, all in original-image pixels; `score` is the predicted IoU; `mask_index` 0 to 2.
    """

    runs: RunLengths
    box: Box
    score: float
    stability: float
    point: tuple[float, float]
    mask_index: int
    crop_box: Box


@dataclass(frozen=True, kw_only=True)
class EverythingResult:
    """Objects by falling score, and what they cost.

    `points` (P, 2) are the prompts that were scored or decoded, in order; `decoder_calls` counts the calls
    that make masks; `stopped_early` says that a budget ended it.
    """

    objects: tuple[SegmentedObject, ...]
    points: Points
    decoder_calls: int
    stopped_early: bool


class EverythingGenerator:
    """Find every object of a photo; `predictor` may stand on any runtime."""

    def __init__(self, predictor: Predictor, config: EverythingConfig) -> None:
        self.predictor = predictor
        self.config = config

    def generate(
        self, image: RGBImage, *, progress: Callable[[str], None] = lambda _: None
    ) -> EverythingResult:
        """Segment `image` uint8 (H, W, 3) RGB or (H, W) grey; raises `ImageError` for another array."""
        photo = as_rgb(image)
        height, width = photo.shape[:2]
        search = _Search(self.predictor, self.config, progress)
        if self.config.hierarchical:
            objects = search.hierarchical(photo)
        else:
            crops = crop_boxes((height, width), self.config.crop_layers, self.config.crop_overlap_ratio)
            objects = [found for layer, box in crops for found in search.flat(photo, box, layer)]
            if len(crops) > 1:
                objects = _merge_crops(objects, self.config.crop_nms_thresh)
        if self.config.min_region_area:
            objects = _clean(objects, self.config)
        objects = sorted(objects, key=lambda found: -found.score)
        points = np.array(search.visited, np.float64).reshape(-1, 2)
        return EverythingResult(
            objects=tuple(objects),
            points=points,
            decoder_calls=search.decoder_calls,
            stopped_early=search.stopped_early,
        )


class _Found(NamedTuple):
    """The survivors of some points, and for each point (P,) the best predicted IoU of its masks."""

    candidates: list[Candidate]
    best_scores: NDArray[np.float32]


class _Search:
    """One run over one photo: what was visited, what it cost, when to stop."""

    def __init__(
        self, predictor: Predictor, config: EverythingConfig, progress: Callable[[str], None]
    ) -> None:
        self.predictor = predictor
        self.config = config
        self.progress = progress
        self.visited: list[tuple[float, float]] = []
        self.decoder_calls = 0
        self.stopped_early = False
        self._start = perf_counter()

    def hierarchical(self, photo: RGBImage) -> list[SegmentedObject]:
        """Both rounds on the whole photo, one NMS; survivors of round 2 come first in ties."""
        size = (photo.shape[0], photo.shape[1])
        side = self.config.points_per_side
        coarse, fine = coarse_lattice(side, size), second_round(side, size)
        judge = self._judge(photo, fine.points)
        self.progress("round 1: the coarse grid")
        first = self._decode(judge, coarse.points)
        fine = fine[~judge.covered]
        self.progress(f"round 2: {len(fine.points)} points that round 1 left open")
        if self.config.mode == "fast":
            second = self._refine(judge, coarse, first, fine)
        else:
            second = self._decode(judge, fine.points).candidates
        box = (0, 0, size[1], size[0])
        return self._finish(judge, second + first.candidates, box, size)

    def _refine(self, judge: Judge, coarse: Lattice, first: _Found, fine: Lattice) -> list[Candidate]:
        """Decode the white points of `fine`, then the black ones that may have a mask."""
        is_white = fine.cells.sum(axis=1) % 2 == 0
        white, black = fine[is_white], fine[~is_white]
        second = self._decode(judge, white.points)
        decoded = np.concatenate([coarse.cells, white.cells])
        scores = np.concatenate([first.best_scores, second.best_scores])
        near = decoded[scores > self.config.pred_iou_thresh - self.config.near_iou_slack]
        # Nothing is known of a point whose neighbours are all covered.
        side = self.config.points_per_side
        black = black[beside(black.cells, near, side) | ~beside(black.cells, decoded, side)]
        return second.candidates + self._decode(judge, black.points).candidates

    def flat(self, photo: RGBImage, crop: Box, layer: int) -> list[SegmentedObject]:
        """SAM's grid on one crop xyxy of the photo."""
        x0, y0, x1, y1 = crop
        judge = self._judge(photo[y0:y1, x0:x1], np.zeros((0, 2)))
        side = max(1, self.config.points_per_side // self.config.crop_points_downscale**layer)
        self.progress(f"crop {crop}: {side * side} points")
        found = self._decode(judge, grid_points(side, (y1 - y0, x1 - x0)), offset=(x0, y0))
        return self._finish(judge, found.candidates, crop, (photo.shape[0], photo.shape[1]))

    def _judge(self, photo: RGBImage, watched: Points) -> Judge:
        encoded = self.predictor.set_image(np.ascontiguousarray(photo))
        config = self.config
        thresholds = Thresholds(
            pred_iou_thresh=config.pred_iou_thresh,
            stability_score_thresh=config.stability_score_thresh,
            stability_score_offset=config.stability_score_offset,
            high_score_thresh=config.high_score_thresh,
        )
        return JUDGES[config.mode](encoded.geometry, thresholds, watched)

    def _decode(self, judge: Judge, points: Points, *, offset: tuple[int, int] = (0, 0)) -> _Found:
        """Decode every point, or in fast mode those whose scores may pass."""
        places = [(float(x), float(y)) for x, y in points]
        best_scores, promising = np.zeros(len(points), np.float32), list(range(len(points)))
        if self.config.mode == "fast":
            best_scores = self._scores(places, offset)
            floor = self.config.pred_iou_thresh - SCORE_SLACK
            promising = np.flatnonzero(best_scores > floor).tolist()
        found: list[Candidate] = []
        batch = self.predictor.batch
        for start in range(0, len(promising), batch):
            if self._must_stop():
                break
            chosen = promising[start : start + batch]
            for i, low in zip(chosen, self._answers([places[i] for i in chosen]), strict=True):
                found += judge.survivors(low, _moved(places[i], offset))
                best_scores[i] = low.scores.max()
            if self.config.mode == "exact":
                self.visited += [_moved(places[i], offset) for i in chosen]
            found = judge.thin(found)
            self._tell(start, len(chosen), len(promising))
        return _Found(candidates=found, best_scores=best_scores)

    def _scores(self, places: list[tuple[float, float]], offset: tuple[int, int]) -> NDArray[np.float32]:
        """The best predicted IoU of each point's masks; 0 where a budget ended the search before."""
        best = np.zeros(len(places), np.float32)
        batch = self.predictor.score_batch
        for start in range(0, len(places), batch):
            if self._must_stop():
                break
            asked = places[start : start + batch]
            scores = self.predictor.score_many([make_prompt([place], [1]) for place in asked])
            best[start : start + batch] = scores.max(axis=1)
            self.visited += [_moved(place, offset) for place in asked]
        return best

    def _answers(self, places: list[tuple[float, float]]) -> Iterator[LowResolution]:
        self.decoder_calls += 1
        return self.predictor.decode_many([make_prompt([place], [1]) for place in places])

    def _tell(self, start: int, count: int, total: int) -> None:
        done = start + count
        if done < total and done % PROGRESS_POINTS < count:
            self.progress(f"point {done} of {total}")

    def _must_stop(self) -> bool:
        calls, milliseconds = self.config.max_decoder_calls, self.config.budget_ms
        over = calls is not None and self.decoder_calls >= calls
        over = over or (milliseconds is not None and (perf_counter() - self._start) * 1e3 >= milliseconds)
        self.stopped_early = self.stopped_early or over
        return over

    def _finish(
        self, judge: Judge, found: list[Candidate], crop: Box, size: tuple[int, int]
    ) -> list[SegmentedObject]:
        """NMS, then full-size masks where they are not made yet, placed in the whole photo."""
        finished = judge.finished(found, self.config.box_nms_thresh)
        if self.config.crop_layers:
            finished = [c for c in finished if not is_cut_by_crop(c.box, crop, size)]
        return [_placed(candidate, crop, size) for candidate in finished]


def _moved(place: tuple[float, float], offset: tuple[int, int]) -> tuple[float, float]:
    """A point of a crop as a point of the photo."""
    return place[0] + offset[0], place[1] + offset[1]


def _placed(candidate: Candidate, crop: Box, size: tuple[int, int]) -> SegmentedObject:
    x, y = crop[:2]
    x0, y0, x1, y1 = candidate.box
    runs = candidate.runs
    if runs.size != size:
        mask = np.zeros(size, np.bool_)
        mask[y : crop[3], x : crop[2]] = runs.decode()
        runs = RunLengths.encode(mask)
    return SegmentedObject(
        runs=runs,
        box=(x0 + x, y0 + y, x1 + x, y1 + y),
        score=candidate.score,
        stability=candidate.stability,
        point=candidate.point,
        mask_index=candidate.mask_index,
        crop_box=crop,
    )


def _merge_crops(objects: list[SegmentedObject], threshold: float) -> list[SegmentedObject]:
    """NMS over crops that prefers masks from smaller crops."""
    areas = [
        (found.crop_box[2] - found.crop_box[0]) * (found.crop_box[3] - found.crop_box[1]) for found in objects
    ]
    return _suppressed(objects, 1 / np.array(areas, np.float64), threshold)


def _clean(objects: list[SegmentedObject], config: EverythingConfig) -> list[SegmentedObject]:
    """Fill small holes and drop small islands, then NMS that prefers masks which needed neither."""
    cleaned, untouched = [], []
    for found in objects:
        mask, filled = remove_small_regions(found.runs.decode(), area=config.min_region_area, mode="holes")
        mask, dropped = remove_small_regions(mask, area=config.min_region_area, mode="islands")
        if filled or dropped:
            found = replace(found, runs=RunLengths.encode(mask), box=as_box(mask_boxes(mask[None])[0]))
        cleaned.append(found)
        untouched.append(float(not (filled or dropped)))
    threshold = max(config.box_nms_thresh, config.crop_nms_thresh)
    return _suppressed(cleaned, np.array(untouched), threshold)


def _suppressed(
    objects: list[SegmentedObject], priority: NDArray[np.float64], threshold: float
) -> list[SegmentedObject]:
    if not objects:
        return []
    boxes = np.array([found.box for found in objects], np.float64)
    return [objects[i] for i in non_maximum_suppression(boxes, priority, iou_threshold=threshold)]
