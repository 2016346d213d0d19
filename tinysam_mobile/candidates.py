"""What survives of a decoded point in everything mode, judged at full size or at low resolution."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from tinysam_mobile.masks import RunLengths, mask_boxes, non_maximum_suppression, stability_scores
from tinysam_mobile.point_lattice import Box
from tinysam_mobile.predictor import LowResolution
from tinysam_mobile.preprocess import Geometry, upscale_blocks, upscale_masks
from tinysam_mobile.spec import MASK_THRESHOLD

__all__ = ["Candidate", "ExactJudge", "FastJudge", "Judge", "Thresholds", "as_box", "suppress"]

EMPTY = RunLengths(size=(0, 0), counts=())


@dataclass(frozen=True, kw_only=True)
class Candidate:
    """A mask that passed both thresholds; `box` xyxy inclusive and `runs` in pixels of the photo or crop.

    The fast judge leaves `runs` empty until `finished` and keeps the `logits` f16 (S/4, S/4) instead.
    """

    box: Box
    score: float
    stability: float
    point: tuple[float, float]
    mask_index: int
    runs: RunLengths = EMPTY
    logits: NDArray[np.float16] | None = None


class Judge(Protocol):
    """Decides which masks of a point survive, and remembers what the survivors cover with high score."""

    def candidates(self, low: LowResolution, point: tuple[float, float]) -> list[Candidate]:
        """Return the survivors among a point's three masks."""

    def covered(self) -> NDArray[np.bool_]:
        """Pixels bool (H, W) where a survivor's logit is above the high-score threshold."""

    def covers(self, point: tuple[float, float]) -> bool:
        """Whether the pixel under `point` (x, y) is covered."""

    def thin(self, found: list[Candidate], iou_threshold: float) -> list[Candidate]:
        """Drop what need not be kept in memory, if that cannot wait."""

    def finished(self, candidate: Candidate) -> Candidate:
        """Return the candidate with its full-size mask."""


def suppress(found: Sequence[Candidate], iou_threshold: float) -> list[Candidate]:
    """Box NMS by predicted IoU; of equal scores the earlier candidate stays."""
    if not found:
        return []
    boxes = np.array([candidate.box for candidate in found], np.float64)
    scores = np.array([candidate.score for candidate in found], np.float32)
    return [found[i] for i in non_maximum_suppression(boxes, scores, iou_threshold=iou_threshold)]


@dataclass(frozen=True, kw_only=True)
class Thresholds:
    """See `EverythingConfig`."""

    pred_iou_thresh: float
    stability_score_thresh: float
    stability_score_offset: float
    high_score_thresh: float


class ExactJudge:
    """The official order at full size: predicted IoU, then stability, then the covered area.

    Only masks that pass the first threshold are taken to full size, and that in strips, so that no
    full-size logits of all candidates exist at once.
    """

    def __init__(self, geometry: Geometry, thresholds: Thresholds) -> None:
        self._geometry = geometry
        self._thresholds = thresholds
        self._covered = np.zeros(geometry.original_size, np.bool_)

    def candidates(self, low: LowResolution, point: tuple[float, float]) -> list[Candidate]:
        t = self._thresholds
        promising = np.flatnonzero(low.scores > t.pred_iou_thresh)
        if not len(promising):
            return []
        cuts = (MASK_THRESHOLD + t.stability_score_offset, MASK_THRESHOLD - t.stability_score_offset)
        masks = np.empty((len(promising), *self._geometry.original_size), np.bool_)
        high = np.empty_like(masks)
        counts = np.zeros((2, len(promising)), np.int64)
        for rows, logits in upscale_blocks(low.logits[promising], self._geometry):
            np.greater(logits, MASK_THRESHOLD, out=masks[:, rows])
            np.greater(logits, t.high_score_thresh, out=high[:, rows])
            counts += [np.count_nonzero(logits > cut, axis=(1, 2)) for cut in cuts]
        stability = counts[0].astype(np.float32) / np.maximum(counts[1], 1).astype(np.float32)
        stable = np.flatnonzero(stability >= t.stability_score_thresh)
        if len(stable):
            self._covered |= high[stable].any(axis=0)
        boxes = mask_boxes(masks[stable])
        return [
            Candidate(
                box=as_box(box),
                score=float(low.scores[promising[i]]),
                stability=float(stability[i]),
                point=point,
                mask_index=int(promising[i]),
                runs=RunLengths.encode(masks[i]),
            )
            for box, i in zip(boxes, stable, strict=True)
        ]

    def covered(self) -> NDArray[np.bool_]:
        return self._covered

    def covers(self, point: tuple[float, float]) -> bool:
        return bool(self._covered[int(point[1]), int(point[0])])

    def thin(self, found: list[Candidate], iou_threshold: float) -> list[Candidate]:  # noqa: ARG002
        return found

    def finished(self, candidate: Candidate) -> Candidate:
        return candidate


def as_box(row: NDArray[np.int64]) -> Box:
    """A row of four numbers as plain integers."""
    x0, y0, x1, y1 = (int(value) for value in row)
    return x0, y0, x1, y1


class FastJudge:
    """The same thresholds on the low-resolution logits, of which only the photo's part counts."""

    def __init__(self, geometry: Geometry, thresholds: Thresholds) -> None:
        self._geometry = geometry
        self._thresholds = thresholds
        self._covered: NDArray[np.bool_] | None = None

    def candidates(self, low: LowResolution, point: tuple[float, float]) -> list[Candidate]:
        t = self._thresholds
        promising = np.flatnonzero(low.scores > t.pred_iou_thresh)
        if not len(promising):
            return []
        inside = self._inside(low.logits[promising])
        stability = stability_scores(inside, offset=t.stability_score_offset)
        stable = np.flatnonzero(stability >= t.stability_score_thresh)
        if len(stable):
            covered: NDArray[np.bool_] = np.any(inside[stable] > t.high_score_thresh, axis=0)
            self._covered = covered if self._covered is None else self._covered | covered
        boxes = self._to_photo(
            mask_boxes(inside[stable] > MASK_THRESHOLD), (inside.shape[1], inside.shape[2])
        )
        return [
            Candidate(
                box=as_box(box),
                score=float(low.scores[promising[i]]),
                stability=float(stability[i]),
                point=point,
                mask_index=int(promising[i]),
                logits=low.logits[promising[i]].astype(np.float16),
            )
            for box, i in zip(boxes, stable, strict=True)
        ]

    def covered(self) -> NDArray[np.bool_]:
        height, width = self._geometry.original_size
        if self._covered is None:
            return np.zeros((height, width), np.bool_)
        rows, columns = self._covered.shape
        y = np.minimum(np.arange(height) * rows // height, rows - 1)
        x = np.minimum(np.arange(width) * columns // width, columns - 1)
        covered: NDArray[np.bool_] = self._covered[y[:, None], x]
        return covered

    def covers(self, point: tuple[float, float]) -> bool:
        if self._covered is None:
            return False
        (height, width), (rows, columns) = self._geometry.original_size, self._covered.shape
        return bool(self._covered[int(point[1]) * rows // height, int(point[0]) * columns // width])

    def thin(self, found: list[Candidate], iou_threshold: float) -> list[Candidate]:
        return suppress(found, iou_threshold)

    def finished(self, candidate: Candidate) -> Candidate:
        assert candidate.logits is not None
        mask = upscale_masks(candidate.logits[None].astype(np.float32), self._geometry)
        box = as_box(mask_boxes(mask)[0])
        return replace(candidate, box=box, runs=RunLengths.encode(mask[0]), logits=None)

    def _inside(self, logits: NDArray[np.float32]) -> NDArray[np.float32]:
        """The part of low-resolution logits (M, m, m) that lies on the photo."""
        size, side = logits.shape[-1], self._geometry.image_size
        rows, columns = (max(1, round(valid * size / side)) for valid in self._geometry.valid_size)
        return logits[:, :rows, :columns]

    def _to_photo(self, boxes: NDArray[np.int64], shape: tuple[int, int]) -> NDArray[np.int64]:
        """Inclusive boxes over `shape` (rows, columns) low-resolution cells → the pixels that they span."""
        rows, columns = shape
        height, width = self._geometry.original_size
        scale = np.array([width / columns, height / rows] * 2)
        edges = np.add(boxes, (0, 0, 1, 1)) * scale
        pixels: NDArray[np.int64] = np.maximum(np.round(np.subtract(edges, (0, 0, 1, 1))), 0).astype(np.int64)
        return pixels
