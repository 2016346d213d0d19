"""Thresholds of everything mode for one checkpoint, chosen on annotated photos that it was not trained on.

Every point of both rounds is decoded once per photo; masks, scores and overlaps with the annotated objects
are kept at low resolution, and each combination of thresholds is tried on what was kept.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from itertools import product
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from safetensors import safe_open

from tinysam_mobile.contract.everything_settings import COARSE_FACTOR, EVERYTHING_KEY
from tinysam_mobile.errors import UsageError
from tinysam_mobile.evaluation.coco import read_coco
from tinysam_mobile.evaluation.instances import CocoImage
from tinysam_mobile.evaluation.miou import targets_of
from tinysam_mobile.imaging.images import load_image
from tinysam_mobile.imaging.masks import mask_boxes, non_maximum_suppression, stability_scores
from tinysam_mobile.imaging.overlaps import match_one_to_one
from tinysam_mobile.imaging.preprocess import Geometry
from tinysam_mobile.imaging.upscale import upscale_at
from tinysam_mobile.modeling.checkpoint import load_checkpoint
from tinysam_mobile.modeling.entry_points import contract_of
from tinysam_mobile.modeling.safetensors_writer import write_safetensors
from tinysam_mobile.segment.point_lattice import coarse_lattice, second_round
from tinysam_mobile.segment.predictor import Predictor
from tinysam_mobile.segment.prompts import make_prompt
from tinysam_mobile.simulator.registry import open_model

__all__ = ["Choice", "PhotoMasks", "choose", "choose_for_checkpoint", "collect", "store_thresholds"]

POINTS_PER_SIDE = 32
BOX_NMS_IOU = 0.7
RECALL_LEVELS = np.arange(0.5, 0.96, 0.05)
SCORE_PERCENTILES = (50, 70, 76, 80, 82, 84, 86, 90, 95)
STABILITIES = (0.7, 0.8, 0.88, 0.95)
STABILITY_OFFSETS = (0.3, 1.0)
"""SAM's 1.0, and one for a network whose logits are small."""
HIGH_SCORE_SHARES = (0.0, 0.06, 0.15, 0.25, 0.4, 0.5, 0.6, 0.8, 1.0)
"""Of the median of the masks' largest logits: candidates for τ."""
MAX_PROMPT_SHARE = 2 / 3
"""Prompts of both rounds, as a share of the flat grid's.  The fast mode decodes about two thirds of them."""

Floats = NDArray[np.float32]


@dataclass(frozen=True, kw_only=True)
class PhotoMasks:
    """The masks of all points of a photo, M of them, at low resolution.

    `scores` (M,); `stability` (M,) by offset; `boxes` (M, 4) in cells; `first` (M,) whether of round 1;
    `point` (M,) the place in round 2 or −1; `ious` (M, G) with the annotated objects; `high` (F, P) full-size
    logits of the round-1 masks, `first` in order, at the P points of round 2; `peaks` (M,) the largest ones.
    """

    scores: Floats
    stability: Mapping[float, Floats]
    boxes: NDArray[np.int64]
    first: NDArray[np.bool_]
    point: NDArray[np.int64]
    ious: Floats
    high: Floats
    peaks: Floats


@dataclass(frozen=True, kw_only=True)
class Choice:
    """Thresholds, and what they give on the photos: `average_recall` 0 to 1, masks and prompts per photo."""

    pred_iou_thresh: float
    stability_score_thresh: float
    stability_score_offset: float
    high_score_thresh: float
    average_recall: float
    masks_per_photo: float
    prompts_per_photo: float

    def settings(self) -> dict[str, float]:
        """The thresholds alone, as a checkpoint stores them."""
        return {key: value for key, value in asdict(self).items() if "thresh" in key or "offset" in key}


def collect(predictor: Predictor, image: CocoImage) -> PhotoMasks:
    """Decode all points of both rounds on one photo, which has at least one object that counts."""
    photo = load_image(image.path)
    size = (photo.shape[0], photo.shape[1])
    geometry = predictor.set_image(photo).geometry
    coarse, fine = coarse_lattice(POINTS_PER_SIDE, size), second_round(POINTS_PER_SIDE, size)
    points = np.concatenate([coarse.points, fine.points])
    lows = list(predictor.decode_many([make_prompt([point], [1]) for point in points]))
    logits = np.concatenate([low.logits for low in lows])
    of_point = np.repeat(np.arange(len(points)), len(lows[0].scores)) - len(coarse.points)
    rows, columns = _inside(geometry, logits.shape[-1])
    inside = logits[:, :rows, :columns]
    truth = np.stack([_shrunk(target.mask, (rows, columns)) for target in targets_of(image)])
    return PhotoMasks(
        scores=np.concatenate([low.scores for low in lows]),
        stability={offset: stability_scores(inside, offset=offset) for offset in STABILITY_OFFSETS},
        boxes=mask_boxes(inside > 0),
        first=of_point < 0,
        point=np.maximum(of_point, -1),
        ious=_ious(inside > 0, truth),
        high=upscale_at(logits[of_point < 0], geometry, fine.points.astype(np.int64)),
        peaks=inside.max(axis=(1, 2)),
    )


def _inside(geometry: Geometry, side: int) -> tuple[int, int]:
    rows, columns = (max(1, round(valid * side / geometry.image_size)) for valid in geometry.valid_size)
    return rows, columns


def _shrunk(mask: NDArray[np.bool_], shape: tuple[int, int]) -> NDArray[np.bool_]:
    """The mask at the centres of low-resolution cells."""
    ys, xs = (
        ((np.arange(n) + 0.5) * side / n).astype(np.int64) for n, side in zip(shape, mask.shape, strict=True)
    )
    small: NDArray[np.bool_] = mask[ys[:, None], xs]
    return small


def _ious(masks: NDArray[np.bool_], truth: NDArray[np.bool_]) -> Floats:
    left, right = (m.reshape(len(m), -1).astype(np.float32) for m in (masks, truth))
    shared = left @ right.T
    union = left.sum(axis=1)[:, None] + right.sum(axis=1) - shared
    ious: Floats = np.divide(shared, union, out=np.zeros_like(shared), where=union > 0)
    return ious


def choose(
    photos: Sequence[PhotoMasks],
    *,
    max_masks: float,
    progress: Callable[[str], None] = lambda _: None,
) -> tuple[Choice, list[Choice]]:
    """The best combination, and all that were tried.

    The highest average recall among those that leave at most `max_masks` masks per photo and take at most
    `MAX_PROMPT_SHARE` of the flat grid's prompts.  Raises `UsageError` if there are none.
    """
    scores = np.percentile(np.concatenate([photo.scores for photo in photos]), SCORE_PERCENTILES)
    peak = float(np.median(np.concatenate([photo.peaks for photo in photos])))
    highs = [round(share * peak, 2) for share in HIGH_SCORE_SHARES]
    grid = list(product(np.round(scores, 3).tolist(), STABILITIES, STABILITY_OFFSETS))
    progress(f"{len(grid)} combinations on {len(photos)} photos")
    tried = [_tried(photos, score, stability, offset, np.inf) for score, stability, offset in grid]
    # Masks that τ keeps from being found number fewer than those that it leaves.
    good = [choice for choice in tried if choice.masks_per_photo <= 2 * max_masks]
    progress(f"{len(good) * len(highs)} combinations with τ")
    tried += [
        _tried(photos, c.pred_iou_thresh, c.stability_score_thresh, c.stability_score_offset, high)
        for c in good
        for high in highs
    ]
    allowed = [
        choice
        for choice in tried
        if choice.masks_per_photo <= max_masks
        and choice.prompts_per_photo <= MAX_PROMPT_SHARE * POINTS_PER_SIDE**2
    ]
    if not allowed:
        raise UsageError(
            f"no thresholds leave at most {max_masks:g} masks per photo and skip a third of the points: "
            "allow more masks, or train further"
        )
    return max(allowed, key=lambda c: (c.average_recall, -c.prompts_per_photo)), tried


def _tried(
    photos: Sequence[PhotoMasks], score: float, stability: float, offset: float, high: float
) -> Choice:
    recalls, masks, prompts = [], [], []
    for photo in photos:
        passed = (photo.scores > score) & (photo.stability[offset] >= stability)
        open_points = np.all(photo.high[passed[photo.first]] <= high, axis=0)
        left = np.flatnonzero(passed & (photo.first | open_points[photo.point]))
        kept = left[non_maximum_suppression(photo.boxes[left], photo.scores[left], iou_threshold=BOX_NMS_IOU)]
        ious = photo.ious[kept].astype(np.float64)
        found = [len(match_one_to_one(ious, min_iou=float(level))) for level in RECALL_LEVELS]
        recalls.append(np.array([*found, len(RECALL_LEVELS) * ious.shape[1]]))
        masks.append(len(kept))
        prompts.append(int(open_points.sum()) + (POINTS_PER_SIDE // COARSE_FACTOR) ** 2)
    total = np.sum(recalls, axis=0)
    return Choice(
        pred_iou_thresh=score,
        stability_score_thresh=stability,
        stability_score_offset=offset,
        high_score_thresh=high,
        average_recall=float(total[:-1].sum() / total[-1]),
        masks_per_photo=float(np.mean(masks)),
        prompts_per_photo=float(np.mean(prompts)),
    )


def store_thresholds(checkpoint: Path, settings: Mapping[str, Any], out: Path) -> None:
    """Write `checkpoint` (.safetensors) to `out` with other thresholds in its metadata; weights stay."""
    with safe_open(checkpoint, framework="pt") as file:
        # safetensors objects are not iterable, though they have keys().
        state = {key: file.get_tensor(key) for key in file.keys()}  # noqa: SIM118
        metadata = dict(file.metadata() or {})
    metadata |= {EVERYTHING_KEY: json.dumps(dict(settings))}
    write_safetensors(out, state, metadata)


def choose_for_checkpoint(
    checkpoint: Path,
    photos: Path,
    *,
    last: int,
    count: int,
    max_masks: float,
    out: Path,
    threads: int | None = None,
    progress: Callable[[str], None] = lambda _: None,
) -> Choice:
    """Choose thresholds for `checkpoint` on annotated `photos`, and store it with them as `out`.

    Of the `last` photos of the data set `count` are taken, evenly spread.  Raises `UsageError` if no
    thresholds suit, and as `load_checkpoint` and `read_coco` do.
    """
    model = load_checkpoint(checkpoint).model
    predictor = Predictor(open_model(model, contract_of(model, slots=2), num_threads=threads))
    held_back = list(read_coco(photos).images)[-last:]
    step = max(len(held_back) // count, 1)
    chosen = [image for image in held_back[::step][:count] if targets_of(image)]
    if not chosen:
        raise UsageError(f"{photos}: the last {last} photos have no annotated object; name another data set")
    masks = []
    for i, image in enumerate(chosen, start=1):
        progress(f"photo {i} of {len(chosen)}")
        masks.append(collect(predictor, image))
    best, _ = choose(masks, max_masks=max_masks, progress=progress)
    store_thresholds(checkpoint, best.settings(), out)
    return best
