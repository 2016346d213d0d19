"""Everything from boxes (MobileSAMv2, arXiv 2312.09579): one mask for each box of any detector.

Nothing is filtered and nothing overlaps less for it: as many masks as boxes, in their order.  MobileSAMv2
takes the decoder's token for single masks (`load_checkpoint(..., single_mask=True)`); with a decoder of
several masks the one to show is taken.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from tinysam_mobile.errors import InputError, UsageError
from tinysam_mobile.imaging.images import RGBImage, as_rgb
from tinysam_mobile.imaging.masks import RunLengths, mask_boxes, stability_scores
from tinysam_mobile.segment.everything import SegmentedObject
from tinysam_mobile.segment.predictor import Prediction, Predictor
from tinysam_mobile.segment.prompts import check_inside, make_prompt

__all__ = ["MAX_BOXES", "objects_from_boxes", "read_box_list", "read_boxes_of"]

MAX_BOXES = 320
"""Of one photo, as in the official code, whose detector gives 300 at most."""
MAX_FILE_BYTES = 16 * 2**20


def objects_from_boxes(predictor: Predictor, image: RGBImage, boxes: ArrayLike) -> list[SegmentedObject]:
    """Return one object for each of `boxes` (n, 4) x0, y0, x1, y1 in pixels of `image`, in their order.

    A mask may be empty, and its box is then 0, 0, 0, 0.  Raises `UsageError` for boxes that are malformed,
    outside the photo or more than `MAX_BOXES`.
    """
    corners = np.array(boxes, np.float64).reshape(-1, 4) if np.size(boxes) else np.zeros((0, 4))
    if len(corners) > MAX_BOXES:
        raise UsageError(_too_many(corners))
    photo = as_rgb(image)
    predictor.set_image(photo)
    whole = (0, 0, photo.shape[1], photo.shape[0])
    prompts = [make_prompt(box=box) for box in corners]
    return [
        _object(box, prediction, whole)
        for box, prediction in zip(corners, predictor.predict_batch(prompts), strict=True)
    ]


def _object(
    box: NDArray[np.float64], prediction: Prediction, whole: tuple[int, int, int, int]
) -> SegmentedObject:
    best = prediction.best
    x0, y0, x1, y1 = (int(value) for value in mask_boxes(prediction.best_mask[None])[0])
    low = prediction.low_res_logits[best : best + 1]
    return SegmentedObject(
        runs=RunLengths.encode(prediction.best_mask),
        box=(x0, y0, x1, y1),
        score=float(prediction.scores[best]),
        stability=float(stability_scores(low)[0]),
        point=((box[0] + box[2]) / 2, (box[1] + box[3]) / 2),
        mask_index=best,
        crop_box=whole,
    )


def _too_many(boxes: NDArray[np.float64]) -> str:
    return f"{len(boxes)} boxes: at most {MAX_BOXES} of a photo are taken"


def read_boxes_of(path: Path, size: tuple[int, ...]) -> NDArray[np.float64]:
    """Read the boxes of a photo of `size` (H, W), as `read_box_list` does, and check each against it.

    Raises `InputError` also for a box without area, and for one that lies outside the photo.
    """
    boxes = read_box_list(path)
    if len(boxes) > MAX_BOXES:
        raise InputError(f"{path}: {_too_many(boxes)}")
    for index, box in enumerate(boxes):
        try:
            check_inside(make_prompt(box=box), (size[0], size[1]))
        except UsageError as error:
            raise InputError(f"{path}: box {index}: {error}") from error
    return boxes


def read_box_list(path: Path) -> NDArray[np.float64]:
    """Read boxes (n, 4) x0, y0, x1, y1 from JSON: a list of such lists, or COCO results of one photo.

    COCO's `bbox` is x, y, width, height.  Raises `InputError` that says which entry is wrong.
    """
    try:
        if path.stat().st_size > MAX_FILE_BYTES:
            raise InputError(f"{path}: larger than any list of boxes; not read")
        data = json.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise InputError(f"{path}: cannot be read ({error.strerror})") from error
    except (ValueError, RecursionError) as error:
        raise InputError(f"{path}: is not valid JSON ({error})") from error
    if not isinstance(data, list):
        raise InputError(f"{path}: must hold a list of boxes, or COCO results")
    _check_one_photo(path, data)
    return np.array([_corners(path, i, item) for i, item in enumerate(data)]).reshape(-1, 4)


def _check_one_photo(path: Path, data: Sequence[Any]) -> None:
    photos = [item["image_id"] for item in data if isinstance(item, dict) and "image_id" in item]
    if any(first != second for first, second in pairwise(photos)):
        raise InputError(f"{path}: holds boxes of several photos; give those of one")


def _corners(path: Path, index: int, item: Any) -> list[float]:
    is_coco = isinstance(item, dict)
    values = item.get("bbox") if is_coco else item
    numbers = isinstance(values, list) and all(type(v) in (int, float) and np.isfinite(v) for v in values)
    if not numbers or len(values) != 4:
        raise InputError(f"{path}: box {index} must be four numbers, not {json.dumps(item)[:80]}")
    x, y, right, bottom = map(float, values)
    return [x, y, x + right, y + bottom] if is_coco else [x, y, right, bottom]
