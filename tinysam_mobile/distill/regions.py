"""Masks for photos without annotations: graph-based regions at several scales, and the centred object.

Regions are those of Felzenszwalb and Huttenlocher (IJCV 2004); the object in the middle of a catalogue
photo is cut out by GrabCut (Rother et al., SIGGRAPH 2004) started from the photo's own frame.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from PIL import Image

__all__ = ["centred_object", "region_layers"]

WORKING_SIDE = 208
"""Segmentation runs on photos of at most this side: edges stay good enough and it is four times cheaper."""
REGION_SCALES = (60.0, 300.0, 1500.0)
"""A part, a thing and a group of things; a region that two scales agree on is kept once."""
MIN_REGION_SHARE, MAX_REGION_SHARE = 0.0012, 0.6
MIN_BOX_FILL = 0.3
"""Thinner or more scattered regions are rarely things that anybody would point at."""
MAX_LABELS = 255


def _scaled_down(pixels: NDArray[np.uint8]) -> NDArray[np.uint8]:
    image = Image.fromarray(pixels)
    image.thumbnail((WORKING_SIDE, WORKING_SIDE), Image.Resampling.BILINEAR)
    return np.asarray(image)


def _scaled_up(labels: NDArray[np.uint8], height: int, width: int) -> NDArray[np.uint8]:
    return np.asarray(Image.fromarray(labels).resize((width, height), Image.Resampling.NEAREST))


def _kept(labels: NDArray[np.int64]) -> NDArray[np.uint8]:
    """Number the good regions of a partition from 1, largest first; the rest becomes 0."""
    from scipy.ndimage import find_objects

    areas = np.bincount(labels.ravel())
    boxes = find_objects(labels + 1)
    table = np.zeros(len(areas), np.uint8)
    kept = 0
    for label in np.argsort(-areas):
        share = areas[label] / labels.size
        if share < MIN_REGION_SHARE or kept == MAX_LABELS:
            break
        rows, columns = boxes[label]
        fill = areas[label] / ((rows.stop - rows.start) * (columns.stop - columns.start))
        if share <= MAX_REGION_SHARE and fill >= MIN_BOX_FILL:
            kept += 1
            table[label] = kept
    return table[labels]


def region_layers(pixels: NDArray[np.uint8], objects: NDArray[np.uint8] | None = None) -> NDArray[np.uint8]:
    """Return one layer of regions for each of `REGION_SCALES`: uint8 (H, W, 3) → uint8 (3, H, W).

    Where `objects`, labels uint8 (H, W), is given, regions are cut at the borders of the objects.
    """
    from skimage.segmentation import felzenszwalb

    height, width, _ = pixels.shape
    small = _scaled_down(pixels)
    cut = np.zeros(small.shape[:2], np.int64)
    if objects is not None:
        resized = Image.fromarray(objects).resize(small.shape[1::-1], Image.Resampling.NEAREST)
        cut = np.asarray(resized).astype(np.int64)
    layers: list[NDArray[np.uint8]] = []
    for scale in REGION_SCALES:
        partition = felzenszwalb(small, scale=scale, sigma=0.8, min_size=40)
        pieces = np.unique(partition * (cut.max() + 1) + cut, return_inverse=True)[1].reshape(cut.shape)
        layer = _kept(pieces)
        _drop_repeated(layer, layers)
        layers.append(layer)
    return np.stack([_scaled_up(layer, height, width) for layer in layers])


def _drop_repeated(layer: NDArray[np.uint8], finer: list[NDArray[np.uint8]]) -> None:
    """Set regions of `layer` to 0 that a finer layer holds already, to within a tenth of their union."""
    areas = np.bincount(layer.ravel(), minlength=256)
    for other in finer:
        shared = np.bincount(layer.ravel().astype(np.int64) * 256 + other.ravel(), minlength=65536)
        shared = shared.reshape(256, 256)[:, 1:]
        other_areas = np.bincount(other.ravel(), minlength=256)[1:]
        iou = shared / np.maximum(areas[:, None] + other_areas - shared, 1)
        repeated = iou.max(1) > 0.9
        repeated[0] = False
        layer[repeated[layer]] = 0


def centred_object(pixels: NDArray[np.uint8], *, margin: float = 0.04) -> NDArray[np.uint8] | None:
    """Cut out the object in the middle of a photo: uint8 (H, W) of 0 and 1, or None if it is doubtful.

    `margin` is the share of each side that is taken as background to begin with.  Doubtful means under
    6 % or over 75 % of the photo, in pieces, or touching most of the frame.
    """
    import cv2

    cv2.setNumThreads(1)
    height, width, _ = pixels.shape
    small = _scaled_down(pixels)
    rows, columns = small.shape[:2]
    dy, dx = max(2, round(margin * rows)), max(2, round(margin * columns))
    state = np.zeros((rows, columns), np.uint8)
    frame = (dx, dy, columns - 2 * dx, rows - 2 * dy)
    cv2.setRNGSeed(0)
    cv2.grabCut(
        np.ascontiguousarray(small[..., ::-1]), state, frame, np.zeros((1, 65)), np.zeros((1, 65)), 3, 0
    )
    mask = (state & 1).astype(np.uint8)
    mask = cv2.morphologyEx(mask, cv2.MORPH_OPEN, np.ones((3, 3), np.uint8))
    _, labels, stats, _ = cv2.connectedComponentsWithStats(mask)
    if len(stats) < 2:
        return None
    largest = 1 + int(np.argmax(stats[1:, cv2.CC_STAT_AREA]))
    area = int(stats[largest, cv2.CC_STAT_AREA])
    if not 0.06 <= area / mask.size <= 0.75 or area < 0.8 * mask.sum():
        return None
    return _scaled_up((labels == largest).astype(np.uint8), height, width)
