"""What survives of a decoded point in everything mode, judged at full size or at low resolution."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from tinysam_mobile.contract.everything_settings import (
    BOX_MARGIN,
    DUPLICATE_IOUS,
    MAX_WAITING_BYTES,
    STABILITY_MARGIN_CELLS,
    WINDOW_MARGIN_CELLS,
)
from tinysam_mobile.contract.spec import MASK_THRESHOLD
from tinysam_mobile.imaging.masks import (
    RunLengths,
    box_ious,
    mask_boxes,
    non_maximum_suppression,
    stability_scores,
)
from tinysam_mobile.imaging.preprocess import Geometry
from tinysam_mobile.imaging.upscale import upscale_at, upscale_blocks, window_above
from tinysam_mobile.segment.point_lattice import Box, Points
from tinysam_mobile.segment.predictor import LowResolution

__all__ = ["Candidate", "ExactJudge", "FastJudge", "Judge", "Thresholds", "as_box", "suppress"]

EMPTY = RunLengths(size=(0, 0), counts=())
Point = tuple[float, float]
Floats = NDArray[np.float32]


@dataclass(frozen=True, kw_only=True)
class LogitWindow:
    """What decides where a low-resolution mask is: its f16 `logits` from `corner` (row, column) on.

    It reaches `WINDOW_MARGIN_CELLS` cells beyond the last one above the threshold.  Farther out a pixel
    averages over cells below it only, whatever they are.
    """

    logits: NDArray[np.float16]
    corner: tuple[int, int]
    side: int

    @classmethod
    def of(cls, logits: Floats) -> LogitWindow:
        """Cut the window out of a mask f32 (m, m)."""
        above = logits > MASK_THRESHOLD
        spans = [_span(above.any(axis=1 - axis)) for axis in (0, 1)]
        part = logits[spans[0], spans[1]].astype(np.float16)
        return cls(logits=part, corner=(spans[0].start, spans[1].start), side=logits.shape[0])

    def whole(self) -> Floats:
        """Return the mask f32 (m, m), with −1 outside the window."""
        mask = np.full((self.side, self.side), MASK_THRESHOLD - 1, np.float32)
        (y, x), (height, width) = self.corner, self.logits.shape
        mask[y : y + height, x : x + width] = self.logits
        return mask


def _span(above: Any) -> slice:
    places = np.flatnonzero(above)
    if not len(places):
        return slice(0, 0)
    return slice(max(int(places[0]) - WINDOW_MARGIN_CELLS, 0), int(places[-1]) + 1 + WINDOW_MARGIN_CELLS)


@dataclass(frozen=True, kw_only=True)
class Candidate:
    """A mask that passed both thresholds; `box` xyxy inclusive and `runs` in pixels of the photo or crop.

    The fast judge leaves `runs` empty until it is finished, and until then `box` is right to about a pixel.
    """

    box: Box
    score: float
    stability: float
    point: Point
    mask_index: int
    runs: RunLengths = EMPTY
    logits: LogitWindow | None = None


class Judge(Protocol):
    """Decides which masks of a point survive, and remembers what the survivors cover with high score.

    `covered` bool (P,): whether a survivor's logit at the pixel under a watched point (P, 2) is above the
    high-score threshold.
    """

    covered: NDArray[np.bool_]

    def survivors(self, low: LowResolution, point: Point) -> list[Candidate]:
        """Those of a point's three masks that pass the thresholds."""

    def thin(self, found: list[Candidate]) -> list[Candidate]:
        """Drop duplicates if the candidates take too much memory to wait for the end."""

    def finished(self, found: Sequence[Candidate], iou_threshold: float) -> list[Candidate]:
        """Box NMS, then full-size masks and boxes of what is left; empty masks are dropped."""


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

    def __init__(self, geometry: Geometry, thresholds: Thresholds, watched: Points) -> None:
        self.covered = np.zeros(len(watched), np.bool_)
        self._geometry = geometry
        self._thresholds = thresholds
        self._watched = watched.astype(np.int64)

    def survivors(self, low: LowResolution, point: Point) -> list[Candidate]:
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
            x, y = self._watched.T
            self.covered |= high[stable][:, y, x].any(axis=0)
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

    def thin(self, found: list[Candidate]) -> list[Candidate]:
        return found

    def finished(self, found: Sequence[Candidate], iou_threshold: float) -> list[Candidate]:
        return [candidate for candidate in suppress(found, iou_threshold) if candidate.runs.area]


def as_box(row: NDArray[np.int64]) -> Box:
    """A row of four numbers as plain integers."""
    x0, y0, x1, y1 = (int(value) for value in row)
    return x0, y0, x1, y1


class FastJudge:
    """The same thresholds, as far as possible on the low-resolution logits.

    Only what comes near to a threshold, and what is left in the end, is taken to full size, and of that only
    the window around the mask.
    """

    def __init__(self, geometry: Geometry, thresholds: Thresholds, watched: Points) -> None:
        self.covered = np.zeros(len(watched), np.bool_)
        self._geometry = geometry
        self._thresholds = thresholds
        self._watched = watched.astype(np.int64)

    def survivors(self, low: LowResolution, point: Point) -> list[Candidate]:
        t = self._thresholds
        promising = np.flatnonzero(low.scores > t.pred_iou_thresh)
        if not len(promising):
            return []
        stability = self._stability(low.logits[promising])
        stable = stability >= t.stability_score_thresh
        self._cover(low.logits[promising[stable]])
        return [
            Candidate(
                box=self._rough_box(low.logits[i]),
                score=float(low.scores[i]),
                stability=float(value),
                point=point,
                mask_index=int(i),
                logits=LogitWindow.of(low.logits[i]),
            )
            for i, value in zip(promising[stable], stability[stable], strict=True)
        ]

    def thin(self, found: list[Candidate]) -> list[Candidate]:
        for iou_threshold in DUPLICATE_IOUS:
            waiting = sum(candidate.logits.logits.nbytes for candidate in found if candidate.logits)
            if waiting <= MAX_WAITING_BYTES:
                break
            found = suppress(found, iou_threshold)
        return found

    def finished(self, found: Sequence[Candidate], iou_threshold: float) -> list[Candidate]:
        """As `suppress` on full-size boxes, of which only those are made that decide."""
        kept: list[Candidate] = []
        boxes = np.zeros((len(found), 4), np.float32)
        for candidate in sorted(found, key=lambda candidate: -candidate.score):
            ious = box_ious(candidate.box, boxes[: len(kept)])
            if (ious > iou_threshold + BOX_MARGIN).any():
                continue
            unsure = np.flatnonzero(ious > iou_threshold - BOX_MARGIN).tolist()
            if unsure:
                candidate = self._full_size(candidate)
            for i in unsure:
                kept[i] = self._full_size(kept[i])
                boxes[i] = kept[i].box
            if not (box_ious(candidate.box, boxes[unsure]) > iou_threshold).any():
                boxes[len(kept)] = candidate.box
                kept.append(candidate)
        full = [self._full_size(candidate) for candidate in kept]
        return [candidate for candidate in full if candidate.runs.area]

    def _stability(self, logits: Floats) -> Floats:
        """Stability (M,) of masks (M, m, m), at full size where that may decide."""
        t, (rows, columns) = self._thresholds, self._inside(logits)
        inside = logits[:, :rows, :columns]
        rough = stability_scores(inside, offset=t.stability_score_offset)
        cells = np.count_nonzero(inside > MASK_THRESHOLD - t.stability_score_offset, axis=(1, 2))
        margin = STABILITY_MARGIN_CELLS / np.sqrt(np.maximum(cells, 1))
        for i in np.flatnonzero(np.abs(rough - t.stability_score_thresh) <= margin):
            rough[i] = self._full_stability(logits[i])
        return rough

    def _full_stability(self, logits: Floats) -> float:
        offset = self._thresholds.stability_score_offset
        window = window_above(logits, self._geometry, MASK_THRESHOLD - offset)
        inner = outer = 0
        for _, block in upscale_blocks(logits[None], self._geometry, window):
            inner += int(np.count_nonzero(block > MASK_THRESHOLD + offset))
            outer += int(np.count_nonzero(block > MASK_THRESHOLD - offset))
        return inner / max(outer, 1)

    def _cover(self, logits: Floats) -> None:
        high = logits[logits.max(axis=(1, 2)) > self._thresholds.high_score_thresh]
        if len(high) and len(self._watched):
            at = upscale_at(high, self._geometry, self._watched)
            self.covered |= (at > self._thresholds.high_score_thresh).any(axis=0)

    def _full_size(self, candidate: Candidate) -> Candidate:
        if candidate.logits is None:
            return candidate
        logits = candidate.logits.whole()
        rows, columns = window_above(logits, self._geometry, MASK_THRESHOLD)
        mask = np.zeros((rows.stop - rows.start, columns.stop - columns.start), np.bool_)
        for at, block in upscale_blocks(logits[None], self._geometry, (rows, columns)):
            np.greater(block[0], MASK_THRESHOLD, out=mask[at.start - rows.start : at.stop - rows.start])
        corner = (rows.start, columns.start)
        box = as_box(mask_boxes(mask[None])[0] + (*corner[::-1], *corner[::-1]))
        runs = RunLengths.encode_window(mask, corner, self._geometry.original_size)
        return replace(candidate, box=box, runs=runs, logits=None)

    def _inside(self, logits: Floats) -> tuple[int, int]:
        """Rows and columns of low-resolution logits (M, m, m) that lie on the photo."""
        rows, columns = (max(1, round(cells)) for cells in self._cells(logits.shape[-1]))
        return rows, columns

    def _cells(self, size: int) -> tuple[float, float]:
        """Height and width of the photo in cells of a low-resolution mask of side `size`."""
        height, width = (valid * size / self._geometry.image_size for valid in self._geometry.valid_size)
        return height, width

    def _rough_box(self, logits: Floats) -> Box:
        """Inclusive box in photo pixels, from where the largest logit of a row or column passes 0."""
        (rows, columns), cells = self._inside(logits[None]), self._cells(logits.shape[-1])
        inside = logits[:rows, :columns]
        sides = []
        for axis, length in ((0, columns), (1, rows)):
            pixels = self._geometry.original_size[1 - axis]
            low, high = _extent(inside.max(axis=axis), length)
            scale = pixels / cells[1 - axis]
            first, last = np.ceil(low * scale - 0.5), np.ceil(high * scale - 0.5) - 1
            sides.append(np.clip((first, last), 0, pixels - 1))
        (x0, x1), (y0, y1) = (side.astype(np.int64).tolist() for side in sides)
        return x0, y0, x1, y1


def _extent(profile: Floats, length: int) -> tuple[float, float]:
    """Where the first and the last run of a profile (length,) above 0 begin and end, in cells."""
    above = np.flatnonzero(profile > MASK_THRESHOLD)
    if not len(above):
        return 0.0, 0.0
    first, last = int(above[0]), int(above[-1])
    low, high = 0.0, float(length)
    if first:
        low = first + 0.5 - profile[first] / (profile[first] - profile[first - 1])
    if last < length - 1:
        high = last + 0.5 + profile[last] / (profile[last] - profile[last + 1])
    return float(low), float(high)
