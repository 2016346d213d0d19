"""The way to the S frame and back, against torch's `interpolate` in float64 and the official formulas."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray
from PIL import Image
from torch.nn.functional import interpolate

from tinysam_mobile.errors import ImageError
from tinysam_mobile.imaging.preprocess import Geometry, preprocess
from tinysam_mobile.imaging.upscale import (
    upscale_at,
    upscale_blocks,
    upscale_logits,
    upscale_masks,
    window_above,
)

S, LOW = 128, 32
# Two float32 products of about a dozen terms of size 1.
UPSCALE_ERROR = 4 * np.finfo(np.float32).eps * 12
SHAPES = [(96, 128), (128, 96), (128, 128), (1, 1), (1, 700), (700, 1), (37, 53), (500, 333), (5, 20_000)]
sides = st.integers(1, 5000)


def official_upscale(low_res: NDArray[np.float32], geometry: Geometry) -> NDArray[np.float64]:
    """SAM's `postprocess_masks`, in float64."""
    height, width = geometry.valid_size
    masks = torch.from_numpy(low_res.astype(np.float64))[None]
    masks = interpolate(masks, (geometry.image_size,) * 2, mode="bilinear", align_corners=False)
    masks = masks[..., :height, :width]
    return interpolate(masks, geometry.original_size, mode="bilinear", align_corners=False)[0].numpy()


@pytest.fixture
def low_res() -> NDArray[np.float32]:
    return np.random.default_rng(0).standard_normal((3, LOW, LOW)).astype(np.float32)


@pytest.mark.parametrize(
    ("original", "valid"),
    [
        ((770, 769), (1024, 1023)),
        ((534, 800), (684, 1024)),
        ((1024, 1024), (1024, 1024)),
        ((3000, 4000), (768, 1024)),
        ((1, 3000), (1, 1024)),
        ((3000, 1), (1024, 1)),
        ((20, 20_000), (1, 1024)),
        ((1, 1), (1024, 1024)),
        # 18.432 is rounded down, 2.5 up (Python's own round() would give 2).
        ((1000, 18), (1024, 18)),
        ((2048, 5), (1024, 3)),
    ],
)
def test_size_of_the_photo_in_the_s_frame(original: tuple[int, int], valid: tuple[int, int]) -> None:
    # The first two are the sizes of the official answers' photos; the rule is int(side * S / longest + 0.5).
    assert Geometry.of(original, 1024).valid_size == valid


@given(height=sides, width=sides)
def test_the_photo_always_has_a_place(height: int, width: int) -> None:
    valid = Geometry.of((height, width), S).valid_size
    assert max(valid) == S
    assert min(valid) >= 1


@given(height=sides, width=sides, x=st.floats(0, 1), y=st.floats(0, 1))
def test_points_there_and_back(height: int, width: int, x: float, y: float) -> None:
    geometry = Geometry.of((height, width), S)
    points = np.array([[x * width, y * height]])
    moved = geometry.to_model(points)
    valid_height, valid_width = geometry.valid_size
    np.testing.assert_allclose(moved, [[x * valid_width, y * valid_height]], rtol=1e-12, atol=1e-12)
    np.testing.assert_allclose(geometry.to_original(moved), points, rtol=1e-12, atol=1e-12)


def test_each_axis_has_the_scale_of_the_rounded_size() -> None:
    # 769 x 770 becomes 1023 x 1024: the scales differ, as in the official `apply_coords`.
    geometry = Geometry.of((770, 769), 1024)
    assert geometry.to_model(np.array([769, 770])).tolist() == [1023, 1024]


def test_boxes_are_pairs_of_points() -> None:
    geometry = Geometry.of((200, 100), 100)
    box = np.array([10, 20, 30, 40])
    assert geometry.to_model(box.reshape(2, 2)).ravel().tolist() == [5, 10, 15, 20]


@pytest.mark.parametrize("shape", SHAPES)
def test_preprocess_is_pillows_resize_padded_with_zeros(shape: tuple[int, int]) -> None:
    photo = np.random.default_rng(1).integers(0, 256, (*shape, 3), np.uint8)
    ready = preprocess(photo, S)
    height, width = ready.geometry.valid_size
    assert ready.image.shape == (1, 3, S, S)
    assert ready.image.dtype == np.float32
    assert ready.valid_size.dtype == np.int32
    assert ready.valid_size.tolist() == [height, width]
    expected = np.asarray(Image.fromarray(photo).resize((width, height), Image.Resampling.BILINEAR))
    np.testing.assert_array_equal(ready.image[0, :, :height, :width].transpose(1, 2, 0), expected)
    assert not ready.image[:, :, height:].any()
    assert not ready.image[:, :, :, width:].any()


def test_a_photo_of_size_s_is_not_touched() -> None:
    photo = np.random.default_rng(2).integers(0, 256, (S, S, 3), np.uint8)
    np.testing.assert_array_equal(preprocess(photo, S).image[0].transpose(1, 2, 0), photo)


def test_grey_arrays_are_photos_too() -> None:
    grey = np.random.default_rng(3).integers(0, 256, (40, 60), np.uint8)
    np.testing.assert_array_equal(preprocess(grey, S).image, preprocess(np.dstack([grey] * 3), S).image)


def test_preprocess_refuses_what_is_no_photo() -> None:
    with pytest.raises(ImageError, match="uint8"):
        preprocess(np.zeros((4, 4, 3)), S)  # type: ignore[arg-type]


@pytest.mark.parametrize("shape", SHAPES)
def test_upscaled_logits_are_the_official_ones(shape: tuple[int, int], low_res: NDArray[np.float32]) -> None:
    geometry = Geometry.of(shape, S)
    full = upscale_logits(low_res, geometry)
    assert full.shape == (3, *shape)
    assert full.dtype == np.float32
    expected = official_upscale(low_res, geometry)
    np.testing.assert_allclose(full, expected, rtol=0, atol=UPSCALE_ERROR * np.abs(low_res).max())


@given(height=st.integers(1, 300), width=st.integers(1, 300), ratio=st.sampled_from([1, 2, 4, 8]))
def test_upscaling_of_any_size(height: int, width: int, ratio: int) -> None:
    low_res = np.random.default_rng(height * 300 + width).standard_normal((1, S // ratio, S // ratio))
    geometry = Geometry.of((height, width), S)
    full = upscale_logits(low_res.astype(np.float32), geometry)
    expected = official_upscale(low_res.astype(np.float32), geometry)
    np.testing.assert_allclose(full, expected, rtol=0, atol=UPSCALE_ERROR * np.abs(low_res).max())


@pytest.mark.parametrize("threshold", [0.0, 0.7])
def test_masks_are_cut_at_full_size(threshold: float, low_res: NDArray[np.float32]) -> None:
    geometry = Geometry.of((333, 500), S)
    masks = upscale_masks(low_res, geometry, threshold)
    assert masks.dtype == np.bool_
    np.testing.assert_array_equal(masks, upscale_logits(low_res, geometry) > threshold)
    # Cutting first gives another mask: the order is part of the method.
    cut_first = official_upscale((low_res > threshold).astype(np.float32), geometry) > 0.5
    assert (masks != cut_first).any()


def test_the_threshold_itself_is_outside() -> None:
    assert not upscale_masks(np.zeros((1, LOW, LOW), np.float32), Geometry.of((7, 9), S)).any()


def test_nothing_of_the_padding_is_read() -> None:
    low_res = np.full((1, LOW, LOW), np.nan, np.float32)
    # A photo of 40 x 128 lies in the first 10 of 32 rows; bilinear weights reach one row further.
    low_res[:, :11] = 1
    np.testing.assert_allclose(upscale_logits(low_res, Geometry.of((40, 128), S)), 1, rtol=1e-6)


def test_blocks_cover_the_photo_in_order(low_res: NDArray[np.float32]) -> None:
    geometry = Geometry.of((205, 77), S)
    rows = [(block.start, block.stop, logits.shape) for block, logits in upscale_blocks(low_res, geometry)]
    assert rows[0][0] == 0
    assert rows[-1][1] == 205
    assert all(before[1] == after[0] for before, after in pairwise(rows))
    assert all(shape == (3, stop - start, 77) for start, stop, shape in rows)


@given(
    height=st.integers(1, 300),
    width=st.integers(1, 300),
    ratio=st.sampled_from([1, 4]),
    seed=st.integers(0, 9),
)
def test_a_window_and_single_pixels_are_parts_of_the_whole(
    height: int, width: int, ratio: int, seed: int
) -> None:
    rng = np.random.default_rng(seed)
    geometry = Geometry.of((height, width), S)
    low_res = rng.standard_normal((2, S // ratio, S // ratio)).astype(np.float32)
    full = upscale_logits(low_res, geometry)
    tolerance = UPSCALE_ERROR * np.abs(low_res).max()
    y, x = np.sort(rng.integers(0, height + 1, 2)), np.sort(rng.integers(0, width + 1, 2))
    rows, columns = slice(*y.tolist()), slice(*x.tolist())
    blocks = [block.copy() for _, block in upscale_blocks(low_res, geometry, (rows, columns))]
    part = np.concatenate([*blocks, np.empty((2, 0, columns.stop - columns.start), np.float32)], axis=1)
    np.testing.assert_allclose(part, full[:, rows, columns], rtol=0, atol=tolerance)
    pixels = np.stack([rng.integers(0, width, 20), rng.integers(0, height, 20)], axis=1)
    expected = full[:, pixels[:, 1], pixels[:, 0]]
    np.testing.assert_allclose(upscale_at(low_res, geometry, pixels), expected, rtol=0, atol=tolerance)


@given(height=st.integers(1, 300), width=st.integers(1, 300), seed=st.integers(0, 99))
def test_nothing_above_a_threshold_lies_outside_its_window(height: int, width: int, seed: int) -> None:
    geometry = Geometry.of((height, width), S)
    low_res = np.full((LOW, LOW), -1, np.float32)
    y, x = np.random.default_rng(seed).integers(0, LOW, 2)
    low_res[y : y + 3, x : x + 2] = 1
    full = upscale_logits(low_res[None], geometry)[0]
    rows, columns = window_above(low_res, geometry, 0.5)
    assert (full[rows, columns] > 0.5).sum() == (full > 0.5).sum()
    # Near: one more input is read on either side.
    cell = max(height, width) / LOW
    assert (rows.stop - rows.start) * (columns.stop - columns.start) <= (6 * cell + 2) * (5 * cell + 2)
