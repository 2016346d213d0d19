"""Mask data against the official helpers' answers (tests/golden/amg.npz), pycocotools and SciPy."""

from __future__ import annotations

from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from numpy.typing import NDArray
from pycocotools import mask as coco
from scipy import ndimage

from tinysam_mobile.errors import InputError, UsageError
from tinysam_mobile.imaging.masks import (
    RunLengths,
    mask_boxes,
    non_maximum_suppression,
    outlines,
    remove_small_regions,
    stability_scores,
)

any_mask = arrays(np.bool_, st.tuples(st.integers(1, 24), st.integers(1, 24)))


@pytest.fixture(scope="module")
def official() -> dict[str, NDArray[Any]]:
    with np.load(Path(__file__).parents[1] / "golden" / "amg.npz") as data:
        return dict(data)


@pytest.fixture(scope="module")
def blobs(official: dict[str, NDArray[Any]]) -> NDArray[np.bool_]:
    return official["logits_f16"] > 0


def test_official_boxes_and_areas(official: dict[str, NDArray[Any]], blobs: NDArray[np.bool_]) -> None:
    np.testing.assert_array_equal(mask_boxes(blobs), official["boxes_xyxy"])
    np.testing.assert_array_equal([RunLengths.encode(mask).area for mask in blobs], official["areas"])


def test_official_stability(official: dict[str, NDArray[Any]]) -> None:
    ours = stability_scores(official["logits_f16"].astype(np.float32), offset=1.0)
    np.testing.assert_array_equal(ours, official["stability_1.0"])


def test_official_run_lengths(official: dict[str, NDArray[Any]], blobs: NDArray[np.bool_]) -> None:
    expected = np.split(official["rle_counts"], np.cumsum(official["rle_lengths"])[:-1])
    for mask, counts in zip(blobs, expected, strict=True):
        ours = RunLengths.encode(mask)
        assert list(ours.counts) == counts.tolist()
        np.testing.assert_array_equal(ours.decode(), mask)


@pytest.mark.parametrize("threshold", ["0.3", "0.5", "0.7", "0.9"])
def test_official_suppression(official: dict[str, NDArray[Any]], threshold: str) -> None:
    kept = non_maximum_suppression(official["boxes_xyxy"], official["scores"], iou_threshold=float(threshold))
    np.testing.assert_array_equal(kept, official[f"nms_keep_{threshold}"])


@pytest.mark.parametrize("mode", ["holes", "islands"])
def test_official_small_regions(
    official: dict[str, NDArray[Any]], blobs: NDArray[np.bool_], mode: str
) -> None:
    results = [remove_small_regions(mask, area=30, mode=mode) for mask in blobs]
    np.testing.assert_array_equal([mask.sum() for mask, _ in results], official[f"small_{mode}_areas"])
    np.testing.assert_array_equal([changed for _, changed in results], official[f"small_{mode}_changed"])


@given(any_mask)
def test_run_lengths_are_pycocotools(mask: NDArray[np.bool_]) -> None:
    theirs = coco.encode(np.asfortranarray(mask.astype(np.uint8)))
    ours = RunLengths.encode(mask)
    assert ours.to_coco() == {"size": theirs["size"], "counts": theirs["counts"].decode()}
    assert coco.frPyObjects(ours.to_coco(compressed=False), *mask.shape) == theirs
    for data in (theirs, ours.to_coco(), ours.to_coco(compressed=False)):
        np.testing.assert_array_equal(RunLengths.from_coco(data).decode(), mask)


@given(any_mask, st.integers(0, 3), st.integers(0, 3), st.integers(0, 2), st.integers(0, 2))
def test_a_window_encodes_as_the_whole(
    window: NDArray[np.bool_], y: int, x: int, below: int, right: int
) -> None:
    whole = np.pad(window, ((y, below), (x, right)))
    assert RunLengths.encode_window(window, (y, x), whole.shape) == RunLengths.encode(whole)
    theirs = coco.encode(np.asfortranarray(whole.astype(np.uint8)))
    assert RunLengths.encode(whole).to_coco()["counts"] == theirs["counts"].decode()


@given(st.lists(st.integers(0, 2**24), min_size=1, max_size=12))
def test_long_runs_are_pycocotools(counts: list[int]) -> None:
    # pycocotools writes lists as they are, so runs of 0 pixels and differences of any sign come up.
    height, width = 1, sum(counts)
    ours = RunLengths(size=(height, width), counts=tuple(counts))
    theirs = coco.frPyObjects({"size": [height, width], "counts": counts}, height, width)
    assert ours.to_coco()["counts"] == theirs["counts"].decode()
    assert RunLengths.from_coco(ours.to_coco()) == ours


@pytest.mark.parametrize(
    ("data", "message"),
    [
        ({}, "size"),
        ({"size": [2, 2]}, "counts"),
        ({"size": [2], "counts": [4]}, "size"),
        ({"size": [2, 2], "counts": [3]}, "their sum is 3"),
        ({"size": [2, 2], "counts": [5, -1]}, "at least 0"),
        ({"size": [-2, -2], "counts": [4]}, "at least 0"),
        ({"size": [2, 2], "counts": "4é"}, "alphabet"),
        ({"size": [2, 2], "counts": "4\x00"}, "alphabet"),
        ({"size": [2, 2], "counts": "Q"}, "cut"),
        ({"size": [2, 2], "counts": "o" * 1000}, "32 bits"),
        ({"size": [2, 2], "counts": None}, "counts"),
        ({"size": [10**6, 10**6], "counts": [10**12]}, "more than"),
    ],
)
def test_damaged_run_lengths(data: dict[str, Any], message: str) -> None:
    with pytest.raises(InputError, match=message):
        RunLengths.from_coco(data)


def test_empty_masks() -> None:
    assert mask_boxes(np.zeros((2, 3, 4), np.bool_)).tolist() == [[0, 0, 0, 0]] * 2
    assert stability_scores(np.full((1, 3, 4), -9, np.float32)).tolist() == [0]
    assert mask_boxes(np.zeros((0, 3, 4), np.bool_)).shape == (0, 4)


def naive_suppression(boxes: NDArray[Any], scores: NDArray[Any], threshold: float) -> list[int]:
    """The definition, pair by pair."""
    kept: list[int] = []
    for i in sorted(range(len(boxes)), key=lambda i: (-scores[i], i)):
        x0, y0, x1, y1 = boxes[i]
        ious = []
        for j in kept:
            a0, b0, a1, b1 = boxes[j]
            shared = max(0, min(x1, a1) - max(x0, a0)) * max(0, min(y1, b1) - max(y0, b0))
            union = (x1 - x0) * (y1 - y0) + (a1 - a0) * (b1 - b0) - shared
            ious.append(shared / union if union else 0)
        if all(iou <= threshold for iou in ious):
            kept.append(i)
    return kept


@given(st.lists(st.tuples(*[st.integers(0, 9)] * 4, st.integers(0, 3)), max_size=12))
def test_suppression_is_its_definition(rows: list[tuple[int, ...]]) -> None:
    table = np.array(rows, np.float32).reshape(-1, 5)
    boxes = np.sort(table[:, :4].reshape(-1, 2, 2), axis=1).reshape(-1, 4)
    # No ratio of two small integers comes close to this, so rounding decides nothing.
    threshold = np.pi / 7
    kept = non_maximum_suppression(boxes, table[:, 4], iou_threshold=threshold)
    assert kept.tolist() == naive_suppression(boxes, table[:, 4], threshold)


def test_a_box_at_the_threshold_itself_stays() -> None:
    boxes = np.array([[0, 0, 2, 1], [0, 0, 1, 1]])  # IoU 1/2
    assert non_maximum_suppression(boxes, np.array([2, 1]), iou_threshold=0.5).tolist() == [0, 1]
    assert non_maximum_suppression(boxes, np.array([2, 1]), iou_threshold=0.49).tolist() == [0]


@given(any_mask, st.integers(1, 9))
def test_small_islands_against_scipy(mask: NDArray[np.bool_], area: int) -> None:
    labels, _ = ndimage.label(mask, structure=np.ones((3, 3)))
    sizes = np.bincount(labels.ravel())
    sizes[0] = 0
    result, changed = remove_small_regions(mask, area=area, mode="islands")
    assert changed == bool((sizes[1:] < area).any())
    if (sizes >= area).any():
        np.testing.assert_array_equal(result, (sizes >= area)[labels])
    elif mask.any():
        # Everything is small: one of the largest islands stays.
        assert result.sum() == sizes.max()
        assert (result <= mask).all()


@given(any_mask, st.integers(1, 9))
def test_small_holes_against_scipy(mask: NDArray[np.bool_], area: int) -> None:
    labels, _ = ndimage.label(~mask, structure=np.ones((3, 3)))
    sizes = np.bincount(labels.ravel())
    small = sizes < area
    small[0] = False
    result, changed = remove_small_regions(mask, area=area, mode="holes")
    assert changed == small[1:].any()
    np.testing.assert_array_equal(result, mask | small[labels])


def test_small_regions_of_another_kind() -> None:
    with pytest.raises(UsageError, match="holes"):
        remove_small_regions(np.ones((2, 2), np.bool_), area=1, mode="edges")


def signed_area(polygon: NDArray[np.int64]) -> float:
    closed = [*polygon.tolist(), polygon[0].tolist()]
    return sum(x0 * y1 - x1 * y0 for (x0, y0), (x1, y1) in pairwise(closed)) / 2


def fill(polygons: list[NDArray[np.int64]], shape: tuple[int, int]) -> NDArray[np.bool_]:
    """Even-odd rule: each vertical edge flips the pixels of its rows from there to the right."""
    filled = np.zeros(shape, np.bool_)
    for polygon in polygons:
        for (x0, y0), (x1, y1) in pairwise([*polygon, polygon[0]]):
            if x0 == x1:
                filled[min(y0, y1) : max(y0, y1), x0:] ^= True
    return filled


@given(any_mask)
def test_outlines_bound_the_mask_exactly(mask: NDArray[np.bool_]) -> None:
    polygons = outlines(mask)
    assert sum(map(signed_area, polygons)) == mask.sum()
    np.testing.assert_array_equal(fill(polygons, mask.shape), mask)
    # One clockwise polygon for each 4-connected island.
    assert sum(signed_area(polygon) > 0 for polygon in polygons) == ndimage.label(mask)[1]
    for polygon in polygons:
        steps = np.abs(np.diff(np.concatenate([polygon, polygon[:1]]), axis=0)) > 0
        # Only corners are listed: steps go along x and y in turn.
        assert (steps.sum(axis=1) == 1).all()
        assert (steps[1:] != steps[:-1]).all()


def test_outline_of_a_ring() -> None:
    ring = np.ones((3, 3), np.bool_)
    ring[1, 1] = False
    outer, hole = (polygon.tolist() for polygon in outlines(ring))
    assert sorted(outer) == [[0, 0], [0, 3], [3, 0], [3, 3]]
    assert sorted(hole) == [[1, 1], [1, 2], [2, 1], [2, 2]]
