"""Label maps, COCO documents, overlaps and matching, on drawn masks with known answers."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from numpy.typing import NDArray
from pycocotools import mask as coco

from tinysam_mobile.errors import UsageError
from tinysam_mobile.evaluation.coco import decode_segmentation
from tinysam_mobile.imaging.masks import RunLengths, mask_boxes
from tinysam_mobile.imaging.overlaps import mask_ious, match_one_to_one
from tinysam_mobile.imaging.pictures import distinct_colours, overlay_labels
from tinysam_mobile.segment.everything import SegmentedObject
from tinysam_mobile.segment.label_map import label_map
from tinysam_mobile.segment.output import coco_document, coco_polygons

SIZE = (12, 17)
any_mask = arrays(np.bool_, SIZE)


def segmented(mask: NDArray[np.bool_], score: float = 0.9) -> SegmentedObject:
    x0, y0, x1, y1 = mask_boxes(mask[None])[0].tolist()
    return SegmentedObject(
        runs=RunLengths.encode(mask),
        box=(x0, y0, x1, y1),
        score=score,
        stability=0.9,
        point=(x0 + 0.5, y0 + 0.5),
        mask_index=0,
        crop_box=(0, 0, SIZE[1], SIZE[0]),
    )


def rectangle(x0: int, y0: int, x1: int, y1: int) -> NDArray[np.bool_]:
    mask = np.zeros(SIZE, np.bool_)
    mask[y0:y1, x0:x1] = True
    return mask


def test_the_smallest_object_owns_a_pixel() -> None:
    objects = [segmented(rectangle(2, 2, 5, 5)), segmented(rectangle(0, 0, 10, 10))]
    labels = label_map(objects, SIZE)
    assert (labels.dtype, labels.shape) == (np.uint16, SIZE)
    assert np.bincount(labels.ravel()).tolist() == [12 * 17 - 100, 9, 91]


def test_equal_areas_are_decided_by_score_and_then_by_place() -> None:
    low, high = segmented(rectangle(0, 0, 3, 3), 0.5), segmented(rectangle(1, 0, 4, 3), 0.8)
    assert label_map([low, high], SIZE)[0, 1] == 2
    assert label_map([high, low], SIZE)[0, 1] == 1
    assert label_map([high, high], SIZE)[0, 1] == 1


def test_no_object_is_an_empty_map() -> None:
    assert not label_map([], SIZE).any()


@given(any_mask)
def test_polygons_fill_to_the_mask(mask: NDArray[np.bool_]) -> None:
    polygons = coco_polygons(mask)
    np.testing.assert_array_equal(decode_segmentation(polygons, *SIZE), mask)
    if mask.any():
        theirs = coco.merge(coco.frPyObjects(polygons, *SIZE))
        assert theirs == coco.encode(np.asfortranarray(mask.astype(np.uint8)))


def test_document_numbers_are_those_of_the_label_map() -> None:
    objects = [segmented(rectangle(2, 3, 5, 9)), segmented(rectangle(8, 0, 17, 12))]
    document = coco_document(objects, "photo.jpg", SIZE)
    labels = label_map(objects, SIZE)
    assert document["images"] == [{"id": 1, "file_name": "photo.jpg", "height": 12, "width": 17}]
    for annotation in document["annotations"]:
        mask = RunLengths.from_coco(annotation["segmentation"]).decode()
        np.testing.assert_array_equal(mask, labels == annotation["id"])
        x, y, width, height = annotation["bbox"]
        np.testing.assert_array_equal(mask, rectangle(x, y, x + width, y + height))


@given(st.lists(any_mask, max_size=4), st.lists(any_mask, max_size=4))
def test_ious_are_pycocotools(left: list[NDArray[np.bool_]], right: list[NDArray[np.bool_]]) -> None:
    ours = mask_ious(*([RunLengths.encode(mask) for mask in masks] for masks in (left, right)))
    assert ours.shape == (len(left), len(right))
    if ours.size:
        encoded = (
            [coco.encode(np.asfortranarray(m.astype(np.uint8))) for m in side] for side in (left, right)
        )
        # Two empty masks share nothing here; pycocotools divides 0 by 0 there.
        np.testing.assert_allclose(ours, np.nan_to_num(coco.iou(*encoded, [0] * len(right))), rtol=1e-12)


def test_masks_of_different_photos_are_refused() -> None:
    small, large = (RunLengths.encode(np.ones(size, np.bool_)) for size in ((2, 2), (3, 3)))
    with pytest.raises(UsageError, match="different photos"):
        mask_ious([small], [large])


@pytest.mark.parametrize(
    ("ious", "pairs"),
    [
        ([[0.9, 0.8], [0.7, 0.2]], [(0, 0), (1, 1)]),
        ([[0.5, 0.9], [0.4, 0.8]], [(0, 1), (1, 0)]),
        ([[0.6, 0.6], [0.6, 0.6]], [(0, 0), (1, 1)]),
        ([[0.0, 0.0]], []),
    ],
)
def test_matching_takes_the_best_pair_first(
    ious: Sequence[Sequence[float]], pairs: list[tuple[int, int]]
) -> None:
    assert match_one_to_one(np.array(ious)) == pairs
    assert match_one_to_one(np.array(ious), min_iou=0.65) == [p for p in pairs if ious[p[0]][p[1]] >= 0.65]


def test_colours_differ_and_cover_exactly_the_objects() -> None:
    colours = distinct_colours(60)
    assert len(np.unique(colours, axis=0)) == 60
    # Neighbours in the list are far apart: 40 of 255 in at least one channel is visible.
    assert np.abs(np.diff(colours.astype(int), axis=0)).max(axis=1).min() > 40
    photo = np.full((*SIZE, 3), 100, np.uint8)
    labels = label_map([segmented(rectangle(3, 3, 9, 9))], SIZE)
    changed = (np.asarray(overlay_labels(photo, labels)) != photo).any(axis=2)
    assert changed[labels > 0].all()
    # The line around an area lies on its own or on the pixel before it.
    assert not changed[:2].any()
    assert not changed[:, 10:].any()
