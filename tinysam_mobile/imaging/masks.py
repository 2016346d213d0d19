"""Masks as data: COCO run lengths, boxes, areas, stability, non-maximum suppression, small regions, outlines.

Plain loops and arrays only, since the apps mirror this file in Swift and Kotlin.  Masks are bool (H, W) or
(M, H, W); run lengths go down the columns and begin with a run of 0s, as in COCO; boxes are x0, y0, x1, y1.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from tinysam_mobile.contract.rules import Rules, Selection
from tinysam_mobile.contract.spec import MASK_THRESHOLD
from tinysam_mobile.errors import InputError, UsageError

__all__ = [
    "RunLengths",
    "box_ious",
    "mask_boxes",
    "non_maximum_suppression",
    "outlines",
    "remove_small_regions",
    "selection_scores",
    "stability_scores",
]

Mask = NDArray[np.bool_]

# One character of COCO's compressed counts: 5 bits and a continuation bit, shifted to printable ASCII.
CHUNK_BITS = 5
CHUNK_VALUES = 1 << CHUNK_BITS
CHUNK_SIGN = CHUNK_VALUES >> 1
FIRST_CHARACTER = 48
MAX_CHUNKS = 7
"""Of one count: enough for 32 bits and a sign."""
MAX_PIXELS = 2**31 - 1
"""Of a mask that is read: a few characters could otherwise ask for any amount of memory."""


@dataclass(frozen=True, kw_only=True)
class RunLengths:
    """A mask as COCO run lengths: `size` (H, W) and `counts` of 0s, 1s, 0s, … down the columns."""

    size: tuple[int, int]
    counts: tuple[int, ...]

    @classmethod
    def encode(cls, mask: Mask) -> RunLengths:
        """Encode a mask bool (H, W)."""
        height, width = mask.shape
        return cls.encode_window(mask, (0, 0), (height, width))

    @classmethod
    def encode_window(cls, window: Mask, corner: tuple[int, int], size: tuple[int, int]) -> RunLengths:
        """Encode a mask of `size` (H, W) that is `window` bool (h, w) at `corner` (y, x), 0 elsewhere."""
        height = window.shape[0] + 1
        # One unset pixel below each column ends its last run.
        flat = np.pad(window, ((0, 1), (0, 0))).ravel(order="F")
        changes = np.flatnonzero(flat[1:] != flat[:-1]) + 1
        if flat.size and flat[0]:
            changes = np.concatenate([[0], changes])
        places = (changes // height + corner[1]) * size[0] + changes % height + corner[0]
        # A run that goes on at the top of the next column ends and begins at the same place: neither counts.
        meets = np.flatnonzero(places[1:] == places[:-1])
        places = np.delete(places, np.concatenate([meets, meets + 1]))
        total = size[0] * size[1]
        counts = np.diff(np.concatenate([[0], places, [total]])).tolist()
        # The last run has at least one pixel.
        return cls(size=size, counts=tuple(counts if counts[-1] or len(counts) == 1 else counts[:-1]))

    def decode(self) -> Mask:
        """Return the mask bool (H, W)."""
        values = np.arange(len(self.counts)) % 2 == 1
        return np.repeat(values, self.counts).reshape(self.size, order="F")

    @property
    def area(self) -> int:
        """Pixels of the mask."""
        return sum(self.counts[1::2])

    def to_coco(self, *, compressed: bool = True) -> dict[str, Any]:
        """Return COCO's JSON object: `size` [H, W] and `counts`, a string or, not `compressed`, a list."""
        counts = _compress(self.counts) if compressed else list(self.counts)
        return {"size": list(self.size), "counts": counts}

    @classmethod
    def from_coco(cls, data: Mapping[str, Any]) -> RunLengths:
        """Read COCO's JSON object, compressed (str or bytes) or not; raises `InputError` if it is not one."""
        try:
            height, width = (int(side) for side in data["size"])
            counts = data["counts"]
            if isinstance(counts, bytes):
                counts = counts.decode("ascii")
            counts = _decompress(counts) if isinstance(counts, str) else [int(count) for count in counts]
        except (KeyError, TypeError, ValueError) as error:
            raise InputError(f"run lengths must be an object with size [H, W] and counts: {error}") from error
        if height * width > MAX_PIXELS:
            raise InputError(f"run lengths of {height} x {width} pixels are more than this package decodes")
        if min(height, width, *counts) < 0 or sum(counts) != height * width:
            raise InputError(
                f"run lengths must be at least 0 and add up to {height} x {width}; their sum is {sum(counts)}"
            )
        return cls(size=(height, width), counts=tuple(counts))


def _compress(counts: Sequence[int]) -> str:
    """COCO's string: each count, from the fourth on less the one two before, in chunks, low bits first."""
    characters = []
    for i, count in enumerate(counts):
        value = count - counts[i - 2] if i > 2 else count
        more = True
        while more:
            chunk = value & (CHUNK_VALUES - 1)
            value >>= CHUNK_BITS
            # The last chunk's top bit is the sign of the number.
            more = value != (-1 if chunk & CHUNK_SIGN else 0)
            characters.append(chr(chunk + (CHUNK_VALUES if more else 0) + FIRST_CHARACTER))
    return "".join(characters)


def _decompress(text: str) -> list[int]:
    counts: list[int] = []
    value, shift = 0, 0
    for character in text:
        chunk = ord(character) - FIRST_CHARACTER
        if not 0 <= chunk < 2 * CHUNK_VALUES:
            raise ValueError(f"counts hold the character {character!r}, which is not in COCO's alphabet")
        value |= (chunk & (CHUNK_VALUES - 1)) << shift
        shift += CHUNK_BITS
        if chunk & CHUNK_VALUES:
            if shift == MAX_CHUNKS * CHUNK_BITS:
                raise ValueError("counts hold a number of more than 32 bits")
            continue
        if chunk & CHUNK_SIGN:
            value -= 1 << shift
        counts.append(value + counts[-2] if len(counts) > 2 else value)
        value, shift = 0, 0
    if shift:
        raise ValueError("counts end in the middle of a number: the string is cut")
    return counts


def mask_boxes(masks: Mask) -> NDArray[np.int64]:
    """Boxes i64 (M, 4) around masks (M, H, W): first and last column and row that are set, both inside.

    An empty mask gets (0, 0, 0, 0), as in the official helpers.
    """
    boxes = np.zeros((len(masks), 4), np.int64)
    for box, mask in zip(boxes, masks, strict=True):
        columns, rows = np.flatnonzero(mask.any(axis=0)), np.flatnonzero(mask.any(axis=1))
        if len(columns):
            box[:] = columns[0], rows[0], columns[-1], rows[-1]
    return boxes


def stability_scores(
    logits: NDArray[np.float32], *, threshold: float = MASK_THRESHOLD, offset: float = 1.0
) -> NDArray[np.float32]:
    """IoU of each mask (M, H, W) cut at `threshold` + `offset` with itself cut at `threshold` - `offset`.

    From Segment Anything (arXiv 2304.02643, appendix B); 0 where both are empty.
    """
    inner = np.count_nonzero(logits > threshold + offset, axis=(1, 2)).astype(np.float32)
    outer = np.count_nonzero(logits > threshold - offset, axis=(1, 2)).astype(np.float32)
    scores: NDArray[np.float32] = inner / np.maximum(outer, np.float32(1))
    return scores


def selection_scores(
    logits: NDArray[np.float32], scores: NDArray[np.float32], rules: Rules
) -> NDArray[np.float32]:
    """What decides which mask of a prompt is shown, (M,): the highest value, the first of equal ones.

    `logits` (M, m, m) at low resolution, `scores` (M,) predicted IoU.
    """
    return stability_scores(logits) if rules.selection is Selection.STABILITY else scores


def non_maximum_suppression(
    boxes: NDArray[Any], scores: NDArray[Any], *, iou_threshold: float
) -> NDArray[np.int64]:
    """Indices of the boxes (M, 4) that stay, by falling score; of equal scores the earlier one goes first.

    A box goes if its IoU (`box_ious`) with one that stays and has a higher score is above `iou_threshold`.
    """
    boxes = boxes.astype(np.float32)
    left = np.argsort(-scores, kind="stable")
    kept = []
    while len(left):
        best, left = left[0], left[1:]
        kept.append(best)
        left = left[box_ious(boxes[best], boxes[left]) <= iou_threshold]
    return np.array(kept, np.int64)


def box_ious(box: ArrayLike, others: NDArray[Any]) -> NDArray[np.float32]:
    """IoU f32 (M,) of a box x0, y0, x1, y1 with `others` (M, 4); widths are x1 - x0, without area it is 0."""
    ours, others = np.asarray(box, np.float32), others.astype(np.float32, copy=False)
    low, high = np.maximum(ours[:2], others[:, :2]), np.minimum(ours[2:], others[:, 2:])
    shared = np.prod(np.maximum(high - low, 0), axis=1)
    union = np.prod(ours[2:] - ours[:2]) + np.prod(others[:, 2:] - others[:, :2], axis=1) - shared
    ious: NDArray[np.float32] = np.divide(shared, union, out=np.zeros_like(union), where=union > 0)
    return ious


def remove_small_regions(mask: Mask, *, area: float, mode: str) -> tuple[Mask, bool]:
    """Fill holes (`mode` "holes") or drop islands ("islands") of fewer than `area` pixels; 8-connected.

    Returns the mask bool (H, W) and whether it changed.  If every island is small, the largest stays.
    Raises `UsageError` for another mode.
    """
    if mode not in ("holes", "islands"):
        raise UsageError(f"mode must be 'holes' or 'islands', not {mode!r}")
    runs = _runs(mask if mode == "islands" else ~mask)
    owner = _connected(runs)
    areas = np.bincount(owner, weights=runs[:, 2] - runs[:, 1], minlength=len(runs)).astype(np.int64)
    regions = np.unique(owner)
    small = regions[areas[regions] < area]
    if not len(small):
        return mask, False
    if mode == "islands" and len(small) == len(regions):
        small = np.delete(small, np.argmax(areas[small]))
    result = mask.copy()
    for row, start, end in runs[np.isin(owner, small)]:
        result[row, start:end] = mode == "holes"
    return result, True


def _runs(mask: Mask) -> NDArray[np.int64]:
    """Rows of (y, first x, last x + 1) for each horizontal run of set pixels, in reading order."""
    padded = np.pad(mask, ((0, 0), (1, 1)))
    rows, columns = np.nonzero(padded[:, 1:] != padded[:, :-1])
    return np.stack([rows[::2], columns[::2], columns[1::2]], axis=1).astype(np.int64)


def _connected(runs: NDArray[np.int64]) -> NDArray[np.int64]:
    """For each run, the first run of its 8-connected region (union-find over runs that touch)."""
    parent = list(range(len(runs)))

    def root(i: int) -> int:
        while parent[i] != i:
            parent[i] = parent[parent[i]]
            i = parent[i]
        return i

    rows, starts, ends = (column.tolist() for column in runs.T)
    above = 0
    for i in range(len(runs)):
        # Runs above that end before this one begins touch no later run of this row either.
        while rows[above] < rows[i] - 1 or (rows[above] == rows[i] - 1 and ends[above] < starts[i]):
            above += 1
        j = above
        while rows[j] == rows[i] - 1 and starts[j] <= ends[i]:
            first, second = sorted((root(i), root(j)))
            parent[second] = first
            j += 1
    return np.array([root(i) for i in range(len(runs))], np.int64)


RIGHT, DOWN, LEFT, UP = range(4)
STEPS = ((1, 0), (0, 1), (-1, 0), (0, -1))


def outlines(mask: Mask) -> list[NDArray[np.int64]]:
    """Closed polygons (P, 2) of x, y pixel corners that bound the mask bool (H, W) exactly.

    Outer outlines run clockwise on the screen, holes counter-clockwise; pixels that touch at a corner only
    are apart.  The signed areas (Σ x·dy) add up to the number of set pixels.
    """
    edges = _boundary(mask)
    left = dict.fromkeys(edges)
    polygons = []
    while left:
        start = edge = next(iter(left))
        corners = []
        while True:
            del left[edge]
            x, y, direction = edge
            end = (x + STEPS[direction][0], y + STEPS[direction][1])
            # The mask is on the right hand, so the right turn stays at the same pixel.
            turns = ((*end, (direction + turn) % 4) for turn in (1, 0, 3))
            edge = next(candidate for candidate in turns if candidate in edges)
            if edge[2] != direction:
                corners.append(end)
            if edge == start:
                break
        polygons.append(np.array(corners, np.int64))
    return polygons


def _boundary(mask: Mask) -> dict[tuple[int, int, int], None]:
    """Pixel edges between set and unset pixels as (x, y, direction) with the set pixel on the right hand."""
    padded = np.pad(mask, 1)
    inside = padded[1:-1, 1:-1]
    sides = {
        (RIGHT, 0, 0): inside & ~padded[:-2, 1:-1],
        (DOWN, 1, 0): inside & ~padded[1:-1, 2:],
        (LEFT, 1, 1): inside & ~padded[2:, 1:-1],
        (UP, 0, 1): inside & ~padded[1:-1, :-2],
    }
    edges: dict[tuple[int, int, int], None] = {}
    for (direction, dx, dy), side in sides.items():
        ys, xs = np.nonzero(side)
        corners = zip((xs + dx).tolist(), (ys + dy).tolist(), strict=True)
        edges.update(((x, y, direction), None) for x, y in corners)
    return edges
