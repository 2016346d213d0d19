"""Ops that resample images.

Source: coremltools, `mil/ops/defs/iOS15/image_resizing.py` and its iOS 16 and iOS 17 versions;
the documentation of `resize_bilinear` defines the sampling modes.
"""

from __future__ import annotations

import math

import torch
from torch.nn import functional

from tinysam_mobile.mil.registry import Ints, Tensor, mil_op

__all__: list[str] = []


def _grid(size_in: int, size_out: int, mode: str) -> Tensor:
    """Positions in [0, size_in - 1] that the `size_out` outputs sample, float64."""
    steps = torch.arange(size_out, dtype=torch.float64)
    if mode in ("STRICT_ALIGN_CORNERS", "ALIGN_CORNERS"):
        if size_out == 1:
            middle = (size_in - 1) / 2 if mode == "ALIGN_CORNERS" else 0.0
            return torch.tensor([middle], dtype=torch.float64)
        points = steps * ((size_in - 1) / (size_out - 1))
    elif mode == "DEFAULT":
        points = steps * (size_in / size_out)
    elif mode == "OFFSET_CORNERS":
        points = (steps + 0.5) * (max(1, size_in - 1) / size_out)
    elif mode == "UNALIGN_CORNERS":
        points = (steps + 0.5) * (size_in / size_out) - 0.5
    else:
        raise ValueError(f"unknown sampling mode {mode!r}")
    return points.clamp(0, size_in - 1)


def _lerp_axis(x: Tensor, points: Tensor, axis: int) -> Tensor:
    """`x` sampled linearly along `axis` at `points`, which lie inside."""
    low = points.floor().clamp(0, x.shape[axis] - 1)
    high = (low + 1).clamp(max=x.shape[axis] - 1)
    form = [1] * x.dim()
    form[axis] = -1
    share = (points - low).to(torch.float32).reshape(form)
    first = x.index_select(axis, low.long())
    return first + share * (x.index_select(axis, high.long()) - first)


def _resize(x: Tensor, sizes: Ints, mode: str) -> Tensor:
    """The last axes of `x` resized to `sizes`, linearly."""
    for axis, size in enumerate(sizes, start=x.dim() - len(sizes)):
        if size != x.shape[axis] or mode == "OFFSET_CORNERS":
            x = _lerp_axis(x, _grid(x.shape[axis], size, mode), axis)
    return x


def _resize_nearest(x: Tensor, sizes: Ints, mode: str) -> Tensor:
    """The last axes of `x` resized to `sizes`, taking whole elements.

    DEFAULT takes `floor((i + 0.5) * in / out)`, as TensorFlow's half-pixel centres do: that is what
    coremltools converts to it, and what its test of `resize` expects.
    """
    for axis, size in enumerate(sizes, start=x.dim() - len(sizes)):
        old = x.shape[axis]
        if size == old and mode != "OFFSET_CORNERS":
            continue
        if mode == "DEFAULT":
            places = (2 * torch.arange(size) + 1) * old // (2 * size)
        else:
            places = (_grid(old, size, mode) + 0.5).floor().long().clamp(0, old - 1)
        x = x.index_select(axis, places)
    return x


def _scaled(x: Tensor, height: float, width: float) -> Ints:
    # In fp32, as the factors are stored: 10 * 2.6f must not fall short of 26.
    return tuple(
        math.floor(float(torch.tensor(size, dtype=torch.float32) * factor))
        for size, factor in zip(x.shape[-2:], (height, width), strict=True)
    )


@mil_op("upsample_nearest_neighbor", moves_data=True)
def upsample_nearest_neighbor(
    x: Tensor, scale_factor_height: float = 1.0, scale_factor_width: float = 1.0
) -> Tensor:
    """H and W times the factors, rounded down; each output takes input `floor(i * in / out)`."""
    for axis, size in zip((-2, -1), _scaled(x, scale_factor_height, scale_factor_width), strict=True):
        if size != x.shape[axis]:
            x = x.index_select(axis, torch.arange(size) * x.shape[axis] // size)
    return x


@mil_op("resize_nearest_neighbor", moves_data=True)
def resize_nearest_neighbor(x: Tensor, target_size_height: int, target_size_width: int) -> Tensor:
    """H and W as given (see `_resize_nearest`)."""
    return _resize_nearest(x, (target_size_height, target_size_width), "DEFAULT")


@mil_op("upsample_bilinear")
def upsample_bilinear(
    x: Tensor,
    scale_factor_height: float = 1.0,
    scale_factor_width: float = 1.0,
    align_corners: bool = True,
    half_pixel_centers: bool | None = None,
) -> Tensor:
    """H and W times the factors, rounded down, with the spacing recomputed from the sizes."""
    half = not align_corners if half_pixel_centers is None else half_pixel_centers
    mode = "STRICT_ALIGN_CORNERS" if align_corners else "UNALIGN_CORNERS" if half else "DEFAULT"
    return _resize(x, _scaled(x, scale_factor_height, scale_factor_width), mode)


@mil_op("resize_bilinear")
def resize_bilinear(
    x: Tensor, target_size_height: int = 1, target_size_width: int = 1, sampling_mode: str = "DEFAULT"
) -> Tensor:
    """H and W as given."""
    return _resize(x, (target_size_height, target_size_width), sampling_mode)


@mil_op("resize", since="ios17")
def resize(
    x: Tensor,
    shape: Ints,
    resized_dims: int,
    interpolation_mode: str = "LINEAR",
    sampling_mode: str = "DEFAULT",
) -> Tensor:
    """The last `resized_dims` axes as at the end of `shape`, where 0 keeps the axis."""
    tail = shape[len(shape) - resized_dims :]
    kept = x.shape[x.dim() - resized_dims :]
    sizes = tuple(size or old for size, old in zip(tail, kept, strict=True))
    if interpolation_mode == "NEAREST_NEIGHBOR":
        return _resize_nearest(x, sizes, sampling_mode)
    if interpolation_mode != "LINEAR":
        raise ValueError(f"unknown interpolation_mode {interpolation_mode!r}")
    return _resize(x.float(), sizes, sampling_mode).to(x.dtype)


def _corners(boxes: Tensor, mode: str, scale: tuple[float, float]) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """(first row, first column, last row, last column) of boxes (N, 4), in pixels, float64."""
    a, b, c, d = boxes.double().unbind(1)
    if mode.endswith("WIDTH_FIRST"):
        a, b, c, d = b, a, d, c
    if mode.startswith("CENTER_SIZE"):
        a, b, c, d = a - c / 2, b - d / 2, a + c / 2, b + d / 2
    elif not mode.startswith("CORNERS"):
        raise ValueError(f"unknown box_coordinate_mode {mode!r}")
    return a * scale[0], b * scale[1], c * scale[0], d * scale[1]


def _box_grid(first: float, last: float, count: int, mode: str) -> Tensor:
    """Positions that `count` outputs sample between `first` and `last`; backwards when last < first."""
    steps = torch.arange(count, dtype=torch.float64)
    span = last - first
    if mode in ("STRICT_ALIGN_CORNERS", "ALIGN_CORNERS"):
        if count == 1:
            offset = span / 2 if mode == "ALIGN_CORNERS" else 0.0
            return torch.tensor([first + offset], dtype=torch.float64)
        return first + steps * (span / (count - 1))
    sign = -1.0 if span < 0 else 1.0
    size = abs(span) + 1
    if mode == "DEFAULT":
        return first + sign * (steps * (size / count)).clamp(0, size - 1)
    if mode == "OFFSET_CORNERS":
        return first + sign * (steps + 0.5) * (max(1.0, abs(span)) / count)
    if mode == "UNALIGN_CORNERS":
        return first + sign * ((steps + 0.5) * (size / count) - 0.5).clamp(0, size - 1)
    raise ValueError(f"unknown sampling mode {mode!r}")


def _sample_box(image: Tensor, rows: Tensor, columns: Tensor, pad_value: float) -> Tensor:
    """`image` (..., H, W) at the crossings of `rows` and `columns`; `pad_value` outside."""
    height, width = image.shape[-2:]
    inside_y = (rows >= 0) & (rows <= height - 1)
    inside_x = (columns >= 0) & (columns <= width - 1)
    patch = _lerp_axis(image, rows.clamp(0, height - 1), image.dim() - 2)
    patch = _lerp_axis(patch, columns.clamp(0, width - 1), image.dim() - 1)
    return patch.masked_fill(~(inside_y[:, None] & inside_x), pad_value)


@mil_op("crop_resize")
def crop_resize(
    x: Tensor,
    roi: Tensor,
    target_height: int = 1,
    target_width: int = 1,
    normalized_coordinates: bool = False,
    spatial_scale: float = 1.0,
    box_coordinate_mode: str = "CORNERS_HEIGHT_FIRST",
    sampling_mode: str = "DEFAULT",
    pad_value: float = 0.0,
) -> Tensor:
    """Boxes roi (N, 1, 4 or 5, 1, 1) of x (B, C, H, W), resized: (N, B or 1, C, height, width).

    The first of five numbers is the image's index; with four, every image is cropped.  Outside the
    image is `pad_value`; UNALIGN_CORNERS mirrors there, as coremltools' test of it has it.
    """
    rows = roi.reshape(roi.shape[0], -1)
    boxes = rows[:, -4:]
    per_box = [x] * len(rows) if rows.shape[1] == 4 else [x[int(r[0])].unsqueeze(0) for r in rows]
    scale = _box_scale(x, normalized_coordinates, spatial_scale)
    corners = _corners(boxes, box_coordinate_mode, scale)
    patches = [
        _crop(image, corners, i, (target_height, target_width), sampling_mode, pad_value)
        for i, image in enumerate(per_box)
    ]
    return torch.stack(patches)


@mil_op("crop_resize", since="ios17")
def crop_resize_ios17(
    x: Tensor,
    boxes: Tensor,
    box_indices: Tensor | None = None,
    target_height: int = 1,
    target_width: int = 1,
    normalized_coordinates: bool = False,
    spatial_scale: float = 1.0,
    box_coordinate_mode: str = "CORNERS_HEIGHT_FIRST",
    sampling_mode: str = "DEFAULT",
    pad_value: float = 0.0,
) -> Tensor:
    """Boxes (N, 4) of the images `box_indices` (N,) of x (B, C, H, W): (N, C, height, width)."""
    indices = range(len(boxes)) if box_indices is None else box_indices.tolist()
    scale = _box_scale(x, normalized_coordinates, spatial_scale)
    corners = _corners(boxes, box_coordinate_mode, scale)
    patches = [
        _crop(x[index], corners, i, (target_height, target_width), sampling_mode, pad_value)
        for i, index in enumerate(indices)
    ]
    return torch.stack(patches)


def _box_scale(x: Tensor, normalized: bool, spatial_scale: float) -> tuple[float, float]:
    height, width = x.shape[-2:]
    return (
        spatial_scale * (height - 1 if normalized else 1),
        spatial_scale * (width - 1 if normalized else 1),
    )


def _crop(
    image: Tensor, corners: tuple[Tensor, ...], i: int, target: tuple[int, int], mode: str, pad_value: float
) -> Tensor:
    top, left, bottom, right = (float(values[i]) for values in corners)
    rows = _box_grid(top, bottom, target[0], mode)
    columns = _box_grid(left, right, target[1], mode)
    if mode == "UNALIGN_CORNERS":
        rows = _reflected(rows, 0.0, image.shape[-2] - 1.0)
        columns = _reflected(columns, 0.0, image.shape[-1] - 1.0)
    return _sample_box(image, rows, columns, pad_value)


def _to_pixels(values: Tensor, size: int, mode: str, align_corners: bool) -> Tensor:
    if mode == "unnormalized":
        return values
    if mode == "normalized_zero_to_one":
        values = values * 2 - 1
    elif mode != "normalized_minus_one_to_one":
        raise ValueError(f"unknown coordinates_mode {mode!r}")
    if align_corners:
        return (values + 1) / 2 * (size - 1)
    return ((values + 1) * size - 1) / 2


def _reflected(points: Tensor, low: float, high: float) -> Tensor:
    if high <= low:
        return torch.zeros_like(points)
    offset = (points - low).remainder(2 * (high - low))
    return low + torch.minimum(offset, 2 * (high - low) - offset)


def _fold(points: Tensor, size: int, padding_mode: str) -> Tensor:
    """Positions brought inside the image, except where constant padding is to be seen."""
    if padding_mode == "constant":
        return points
    if padding_mode == "reflection":
        points = _reflected(points, 0.0, size - 1.0)
    elif padding_mode == "symmetric":
        points = _reflected(points, -0.5, size - 0.5)
    elif padding_mode != "border":
        raise ValueError(f"unknown padding_mode {padding_mode!r}")
    return points.clamp(0, size - 1)


def _pixels(x: Tensor, rows: Tensor, columns: Tensor, padding_value: float) -> Tensor:
    """x (B, C, H, W) at whole rows and columns (B, h, w), `padding_value` outside."""
    height, width = x.shape[-2:]
    inside = (rows >= 0) & (rows < height) & (columns >= 0) & (columns < width)
    places = (rows.clamp(0, height - 1) * width + columns.clamp(0, width - 1)).long()
    flat = places.flatten(1).unsqueeze(1).expand(-1, x.shape[1], -1)
    taken = torch.gather(x.flatten(2), 2, flat).reshape(*x.shape[:2], *places.shape[1:])
    return torch.where(inside.unsqueeze(1), taken, torch.tensor(padding_value, dtype=x.dtype))


@mil_op("resample")
def resample(
    x: Tensor,
    coordinates: Tensor,
    sampling_mode: str,
    padding_mode: str,
    padding_value: float,
    coordinates_mode: str,
    align_corners: bool,
) -> Tensor:
    """x (B, C, H, W) at coordinates (B, h, w, 2), column first: (B, C, h, w)."""
    torchs = _torchs_padding(padding_mode, padding_value, align_corners)
    if sampling_mode == "bilinear" and coordinates_mode == "normalized_minus_one_to_one" and torchs:
        grid = coordinates.float()
        if bool(torch.isfinite(grid).all()):
            return functional.grid_sample(
                x, grid, mode="bilinear", padding_mode=torchs, align_corners=align_corners
            )
    points = coordinates.double()
    if not torch.isfinite(points).all():
        points = torch.nan_to_num(points, nan=-1e9, posinf=1e9, neginf=-1e9)
    columns = _to_pixels(points[..., 0], x.shape[3], coordinates_mode, align_corners)
    rows = _to_pixels(points[..., 1], x.shape[2], coordinates_mode, align_corners)
    columns, rows = _fold(columns, x.shape[3], padding_mode), _fold(rows, x.shape[2], padding_mode)
    if sampling_mode == "nearest":
        return _pixels(x, rows.round(), columns.round(), padding_value)
    if sampling_mode != "bilinear":
        raise ValueError(f"unknown sampling_mode {sampling_mode!r}")
    top, left = rows.floor(), columns.floor()
    down, across = (rows - top).float().unsqueeze(1), (columns - left).float().unsqueeze(1)
    above = _pixels(x, top, left, padding_value) * (1 - across) + across * _pixels(
        x, top, left + 1, padding_value
    )
    below = _pixels(x, top + 1, left, padding_value) * (1 - across) + across * _pixels(
        x, top + 1, left + 1, padding_value
    )
    return above * (1 - down) + below * down


def _torchs_padding(padding_mode: str, padding_value: float, align_corners: bool) -> str:
    """What torch's kernel calls the padding; empty where it has none that is the same."""
    if padding_mode == "constant":
        return "zeros" if padding_value == 0 else ""
    if padding_mode == ("reflection" if align_corners else "symmetric"):
        return "reflection"
    return padding_mode if padding_mode == "border" else ""


@mil_op("affine")
def affine(
    x: Tensor,
    transform_matrix: Tensor,
    output_height: int,
    output_width: int,
    sampling_mode: str,
    padding_mode: str,
    padding_value: float,
    coordinates_mode: str,
    align_corners: bool,
) -> Tensor:
    """x (B, C, H, W) at `A @ (column, row, 1)` of each output; transform_matrix (B or 1, 6)."""
    if coordinates_mode != "normalized_minus_one_to_one":
        raise ValueError(f"coordinates_mode {coordinates_mode!r} is not supported by affine")
    rows = _unit_steps(output_height, align_corners)[:, None].expand(output_height, output_width)
    columns = _unit_steps(output_width, align_corners)[None].expand(output_height, output_width)
    base = torch.stack((columns, rows, torch.ones_like(rows)), dim=-1)
    matrix = transform_matrix.double().reshape(-1, 2, 3)
    points = torch.einsum("hwk,bck->bhwc", base, matrix).expand(x.shape[0], -1, -1, -1)
    return resample(x, points, sampling_mode, padding_mode, padding_value, coordinates_mode, align_corners)


def _unit_steps(count: int, align_corners: bool) -> Tensor:
    """Centres of `count` outputs in [-1, 1], float64."""
    steps = torch.arange(count, dtype=torch.float64)
    if align_corners:
        return steps * (2 / (count - 1)) - 1 if count > 1 else torch.zeros(1, dtype=torch.float64)
    return (steps + 0.5) * (2 / count) - 1
