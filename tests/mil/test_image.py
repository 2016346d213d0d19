"""Resizing, cropping and resampling of the MIL interpreter against torch and the documented formulas."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from torch.nn import functional

from tests.mil.builder import run

X = np.random.default_rng(0).normal(size=(2, 3, 5, 6)).astype(np.float32)
MODES = ("STRICT_ALIGN_CORNERS", "ALIGN_CORNERS", "DEFAULT", "OFFSET_CORNERS", "UNALIGN_CORNERS")


def _grid(size_in: int, size_out: int, mode: str) -> np.ndarray:
    """The grid of the documentation of `resize_bilinear`, word for word."""
    i = np.arange(size_out)
    if mode == "ALIGN_CORNERS" and size_out == 1:
        return np.array([(size_in - 1) / 2])
    if mode in ("STRICT_ALIGN_CORNERS", "ALIGN_CORNERS"):
        points = i * ((size_in - 1) / max(size_out - 1, 1))
    elif mode == "DEFAULT":
        points = i * ((size_in - size_in / size_out) / max(size_out - 1, 1))
    elif mode == "OFFSET_CORNERS":
        delta = max(1, size_in - 1) / size_out
        points = 0.5 * delta + i * delta
    else:
        spacing = size_in / size_out
        points = i * spacing + 0.5 * spacing - 0.5
    return np.clip(points, 0, size_in - 1)


def _interpolate(x: np.ndarray, rows: np.ndarray, columns: np.ndarray) -> np.ndarray:
    by_column = np.apply_along_axis(lambda v: np.interp(columns, np.arange(v.size), v), -1, x)
    return np.apply_along_axis(lambda v: np.interp(rows, np.arange(v.size), v), -2, by_column)


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("size", [(1, 1), (3, 4), (5, 6), (9, 13), (10, 2)])
def test_resize_bilinear_samples_the_documented_grid(mode: str, size: tuple[int, int]) -> None:
    expected = _interpolate(X, _grid(5, size[0], mode), _grid(6, size[1], mode))
    old = run(
        "resize_bilinear", x=X, target_size_height=size[0], target_size_width=size[1], sampling_mode=mode
    )
    np.testing.assert_allclose(old, expected, rtol=1e-5, atol=1e-5)
    new = run("resize", x=X, shape=[1, *size], resized_dims=2, sampling_mode=mode)
    np.testing.assert_allclose(new, expected, rtol=1e-5, atol=1e-5)


def test_documented_grids_are_torchs_and_tensorflows() -> None:
    for align, mode in ((True, "STRICT_ALIGN_CORNERS"), (False, "UNALIGN_CORNERS")):
        expected = functional.interpolate(torch.from_numpy(X), (9, 4), mode="bilinear", align_corners=align)
        result = run("resize_bilinear", x=X, target_size_height=9, target_size_width=4, sampling_mode=mode)
        np.testing.assert_allclose(result, expected.numpy(), rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("align", [True, False])
@pytest.mark.parametrize("scale", [(2.0, 3.0), (2.5, 0.5), (1.0, 1.7)])
def test_upsample_bilinear(align: bool, scale: tuple[float, float]) -> None:
    expected = functional.interpolate(
        torch.from_numpy(X),
        scale_factor=scale,
        mode="bilinear",
        align_corners=align,
        recompute_scale_factor=True,
    )
    result = run(
        "upsample_bilinear",
        x=X,
        scale_factor_height=scale[0],
        scale_factor_width=scale[1],
        align_corners=align,
    )
    np.testing.assert_allclose(result, expected.numpy(), rtol=1e-5, atol=1e-5)


def test_upsample_bilinear_without_half_pixels() -> None:
    result = run(
        "upsample_bilinear", opset="ios16", x=X, scale_factor_height=2.0, scale_factor_width=2.0,
        align_corners=False, half_pixel_centers=False,
    )  # fmt: skip
    expected = _interpolate(X, _grid(5, 10, "DEFAULT"), _grid(6, 12, "DEFAULT"))
    np.testing.assert_allclose(result, expected, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("size", [(10, 12), (7, 4), (3, 9)])
def test_nearest_neighbours(size: tuple[int, int]) -> None:
    exact = functional.interpolate(torch.from_numpy(X), size, mode="nearest-exact").numpy()
    result = run("resize_nearest_neighbor", x=X, target_size_height=size[0], target_size_width=size[1])
    np.testing.assert_array_equal(result, exact)
    result = run("resize", x=X, shape=[*size], resized_dims=2, interpolation_mode="NEAREST_NEIGHBOR")
    np.testing.assert_array_equal(result, exact)


@pytest.mark.parametrize("scale", [(2, 3), (1, 2)])
def test_upsample_nearest_neighbor(scale: tuple[int, int]) -> None:
    result = run("upsample_nearest_neighbor", x=X, scale_factor_height=scale[0], scale_factor_width=scale[1])
    np.testing.assert_array_equal(result, X.repeat(scale[0], 2).repeat(scale[1], 3))


def test_resize_keeps_the_axes_that_shape_says_zero_for() -> None:
    assert run("resize", x=X, shape=[0, 8], resized_dims=2).shape == (2, 3, 5, 8)
    assert run("resize", x=X, shape=np.array([9, 8], np.int32), resized_dims=1).shape == (2, 3, 5, 8)


@pytest.mark.parametrize("opset", ["ios16", "ios17"])
@pytest.mark.parametrize(
    "coordinates",
    ["CORNERS_HEIGHT_FIRST", "CORNERS_WIDTH_FIRST", "CENTER_SIZE_HEIGHT_FIRST", "CENTER_SIZE_WIDTH_FIRST"],
)
@pytest.mark.parametrize("normalized", [True, False])
def test_crop_resize(opset: str, coordinates: str, normalized: bool) -> None:
    corners = np.array(
        [[0.5, 1.0, 3.5, 4.0], [1.0, 2.0, 6.0, 5.0]]
    )  # top, left, bottom, right; one leaves the image
    top, left, bottom, right = corners.T / (np.array([[4], [5], [4], [5]]) if normalized else 1)
    if coordinates.startswith("CENTER"):
        parts = [(top + bottom) / 2, (left + right) / 2, bottom - top, right - left]
    else:
        parts = [top, left, bottom, right]
    if coordinates.endswith("WIDTH_FIRST"):
        parts = [parts[1], parts[0], parts[3], parts[2]]
    boxes = np.stack(parts, 1).astype(np.float32)
    options: dict[str, Any] = {
        "x": X, "target_height": 4, "target_width": 3, "normalized_coordinates": normalized, "pad_value": 7.0,
        "box_coordinate_mode": coordinates, "sampling_mode": "ALIGN_CORNERS", "opset": opset,
    }  # fmt: skip
    if opset == "ios16":
        roi = np.concatenate([[[0.0], [1.0]], boxes], 1).astype(np.float32).reshape(2, 1, 5, 1, 1)
        result = run("crop_resize", roi=roi, **options)[:, 0]
        assert run("crop_resize", roi=roi[:, :, 1:], **options).shape == (2, 2, 3, 4, 3)
    else:
        result = run("crop_resize", boxes=boxes, box_indices=np.array([0, 1], np.int32), **options)
    for i, (t, le, b, r) in enumerate(corners):
        rows, columns = np.linspace(t, b, 4), np.linspace(le, r, 3)
        expected = _interpolate(X[i], rows, columns)
        expected[:, rows > 4 + 1e-6] = 7.0
        np.testing.assert_allclose(result[i], expected, rtol=1e-4, atol=1e-4)


PADDING = {"constant": "zeros", "border": "border", "reflection": "reflection", "symmetric": "reflection"}


@pytest.mark.parametrize("sampling", ["bilinear", "nearest"])
@pytest.mark.parametrize("padding", PADDING)
@pytest.mark.parametrize("align", [True, False])
def test_resample_is_torchs_grid_sample(sampling: str, padding: str, align: bool) -> None:
    if align != (padding != "symmetric") and padding in ("reflection", "symmetric"):
        return  # torch reflects at the pixels' centres when aligned, and at their edges when not
    grid = np.random.default_rng(1).uniform(-1.8, 1.8, (2, 4, 7, 2)).astype(np.float32)
    expected = functional.grid_sample(
        torch.from_numpy(X),
        torch.from_numpy(grid),
        mode=sampling,
        padding_mode=PADDING[padding],
        align_corners=align,
    )
    options: dict[str, Any] = {
        "x": X, "sampling_mode": sampling, "padding_mode": padding, "padding_value": 0.0,
        "align_corners": align,
    }  # fmt: skip
    result = run("resample", coordinates=grid, coordinates_mode="normalized_minus_one_to_one", **options)
    np.testing.assert_allclose(result, expected.numpy(), rtol=1e-4, atol=1e-4)
    unit = run("resample", coordinates=(grid + 1) / 2, coordinates_mode="normalized_zero_to_one", **options)
    np.testing.assert_allclose(unit, expected.numpy(), rtol=1e-3, atol=1e-3)


def test_resample_padding_value_and_pixels() -> None:
    grid = np.array([[[[-5.0, 0.0], [1.0, 2.0]]]], np.float32).repeat(2, 0)
    result = run(
        "resample", x=X, coordinates=grid, sampling_mode="bilinear", padding_mode="constant",
        padding_value=9.0, coordinates_mode="unnormalized", align_corners=True,
    )  # fmt: skip
    np.testing.assert_array_equal(result[:, :, 0, 0], np.full((2, 3), 9.0))
    np.testing.assert_array_equal(result[:, :, 0, 1], X[:, :, 2, 1])


@pytest.mark.parametrize("batch", [1, 2])
def test_affine_is_torchs(batch: int) -> None:
    theta = np.random.default_rng(2).normal(0, 0.6, (batch, 2, 3)).astype(np.float32)
    full = torch.from_numpy(np.broadcast_to(theta, (2, 2, 3)).copy())
    grid = functional.affine_grid(full, [2, 3, 4, 7], align_corners=True)
    expected = functional.grid_sample(torch.from_numpy(X), grid, align_corners=True)
    result = run(
        "affine", x=X, transform_matrix=theta.reshape(batch, 6), output_height=4, output_width=7,
        sampling_mode="bilinear", padding_mode="constant", padding_value=0.0,
        coordinates_mode="normalized_minus_one_to_one", align_corners=True,
    )  # fmt: skip
    np.testing.assert_allclose(result, expected.numpy(), rtol=1e-4, atol=1e-4)
