"""Ops that rearrange elements.

Source: coremltools, `mil/ops/defs/iOS15/tensor_transformation.py`, `iOS15/tensor_operation.py`, and
their iOS 16 and iOS 17 versions.
"""

from __future__ import annotations

import torch
from torch.nn import functional

from tinysam_mobile.mil.registry import Ints, Tensor, Tensors, mil_op

__all__: list[str] = []


@mil_op("reshape", moves_data=True)
def reshape(x: Tensor, shape: Ints) -> Tensor:
    """`x` with `shape`; 0 keeps the axis of the same position, -1 takes what is left."""
    if 0 in shape and x.numel() and len(shape) == x.dim():
        shape = tuple(size or x.shape[i] for i, size in enumerate(shape))
    return x.reshape(shape)


@mil_op("reshape", since="ios17", moves_data=True)
def reshape_ios17(x: Tensor, shape: Ints) -> Tensor:
    """As `reshape`, but a 0 means the axis of the same position from the right, or 1 beyond x's rank."""
    if 0 in shape and x.numel():
        missing = len(shape) - x.dim()
        shape = tuple(size or (x.shape[i - missing] if i >= missing else 1) for i, size in enumerate(shape))
    return x.reshape(shape)


@mil_op("reshape_like", since="ios16", moves_data=True)
def reshape_like(
    x: Tensor, ref_tensors: Tensors, begins: Tensors, ends: Tensors, end_masks: Tensors
) -> Tensor:
    """`x` with the shape joined from `ref_tensors[i].shape[begins[i]:ends[i]]`."""
    shape: list[int] = []
    for reference, begin, end, whole in zip(ref_tensors, begins, ends, end_masks, strict=True):
        shape.extend(reference.shape[int(begin) : None if bool(whole) else int(end)])
    return x.reshape(shape)


@mil_op("expand_dims", moves_data=True)
def expand_dims(x: Tensor, axes: Ints) -> Tensor:
    """`x` with axes of size 1 at `axes` of the result."""
    rank = x.dim() + len(axes)
    for axis in sorted(axis % rank for axis in axes):
        x = x.unsqueeze(axis)
    return x


@mil_op("squeeze", moves_data=True)
def squeeze(x: Tensor, axes: Ints | None = None) -> Tensor:
    """`x` without its axes of size 1, or those of `axes` that are of size 1."""
    return x.squeeze() if axes is None else x.squeeze(axes)


@mil_op("transpose", moves_data=True)
def transpose(x: Tensor, perm: Ints) -> Tensor:
    """`x` with its axes in the order `perm`."""
    return x.permute(perm)


@mil_op("reverse", moves_data=True)
def reverse(x: Tensor, axes: Ints | None = None) -> Tensor:
    """`x` reversed along `axes` (all when None)."""
    return x.flip(tuple(range(x.dim())) if axes is None else axes)


@mil_op("reverse_sequence", moves_data=True)
def reverse_sequence(x: Tensor, lengths: Tensor, seq_axis: int = 0, batch_axis: int = 0) -> Tensor:
    """For each i along `batch_axis`, the first `lengths[i]` elements of `seq_axis` reversed."""
    rank, steps = x.dim(), torch.arange(x.shape[seq_axis])
    last = lengths.to(torch.int64)[:, None]
    order = torch.where(steps < last, last - 1 - steps, steps)
    form = [1] * rank
    form[batch_axis], form[seq_axis] = order.shape
    if batch_axis % rank > seq_axis % rank:
        order = order.T
    return torch.take_along_dim(x, order.reshape(form).expand(x.shape), seq_axis)


@mil_op("flatten2d", moves_data=True)
def flatten2d(x: Tensor, axis: int = 1) -> Tensor:
    """`x` as a matrix: the axes before `axis` by the others."""
    rows = 1
    for size in x.shape[:axis]:
        rows *= size
    return x.reshape(rows, x.numel() // rows if rows else 0)


@mil_op("shape", moves_data=True)
def shape_(x: Tensor) -> Tensor:
    """The shape of `x`, int32."""
    return torch.tensor(x.shape, dtype=torch.int32)


@mil_op("identity", moves_data=True)
def identity(x: Tensor) -> Tensor:
    """`x`."""
    return x


@mil_op("tile", moves_data=True)
def tile(x: Tensor, reps: Ints) -> Tensor:
    """`x` repeated `reps[i]` times along axis i."""
    return x.repeat(reps)


@mil_op("concat", moves_data=True)
def concat(values: Tensors, axis: int, interleave: bool = False) -> Tensor:
    """`values` joined along `axis`; interleaved, their elements take turns."""
    if not values[0].dim():
        return torch.stack(values)
    if not interleave:
        return torch.cat(values, dim=axis)
    axis %= values[0].dim()
    return torch.stack(values, dim=axis + 1).flatten(axis, axis + 1)


@mil_op("stack", moves_data=True)
def stack(values: Tensors, axis: int) -> Tensor:
    """`values` along a new `axis`."""
    return torch.stack(values, dim=axis)


@mil_op("split", moves_data=True)
def split(
    x: Tensor, axis: int, num_splits: int | None = None, split_sizes: Ints | None = None
) -> Tensor | tuple[Tensor, ...]:
    """`x` cut along `axis` into `split_sizes`, or into `num_splits` equal parts."""
    if split_sizes is None:
        if not num_splits or x.shape[axis] % num_splits:
            raise ValueError(f"num_splits {num_splits} does not divide the axis of size {x.shape[axis]}")
        split_sizes = (x.shape[axis] // num_splits,) * num_splits
    parts = torch.split(x, list(split_sizes), dim=axis)
    return parts[0] if len(parts) == 1 else tuple(parts)


@mil_op("pixel_shuffle", moves_data=True)
def pixel_shuffle(x: Tensor, upscale_factor: int) -> Tensor:
    """(n, C * f * f, H, W) to (n, C, H * f, W * f), channel by channel, as PyTorch does."""
    return functional.pixel_shuffle(x, upscale_factor)


@mil_op("pixel_unshuffle", since="ios16", moves_data=True)
def pixel_unshuffle(x: Tensor, downscale_factor: int) -> Tensor:
    """(n, C, H * f, W * f) to (n, C * f * f, H, W), as PyTorch does."""
    return functional.pixel_unshuffle(x, downscale_factor)


@mil_op("depth_to_space", moves_data=True)
def depth_to_space(x: Tensor, block_size: int) -> Tensor:
    """(n, b * b * C, H, W) to (n, C, H * b, W * b), block by block, as TensorFlow does."""
    n, c, h, w = x.shape
    b = block_size
    blocks = x.reshape(n, b, b, c // (b * b), h, w).permute(0, 3, 4, 1, 5, 2)
    return blocks.reshape(n, c // (b * b), h * b, w * b)


@mil_op("space_to_depth", moves_data=True)
def space_to_depth(x: Tensor, block_size: int) -> Tensor:
    """(n, C, H * b, W * b) to (n, b * b * C, H, W), block by block, as TensorFlow does."""
    n, c, h, w = x.shape
    b = block_size
    blocks = x.reshape(n, c, h // b, b, w // b, b).permute(0, 3, 5, 1, 2, 4)
    return blocks.reshape(n, c * b * b, h // b, w // b)


@mil_op("space_to_batch", moves_data=True)
def space_to_batch(x: Tensor, block_shape: Ints, paddings: Tensor) -> Tensor:
    """Blocks of the padded H and W of (n, C, H, W) moved to the batch axis."""
    top, bottom, left, right = paddings.reshape(-1).tolist()
    x = functional.pad(x, (left, right, top, bottom))
    n, c, h, w = x.shape
    a, b = block_shape
    blocks = x.reshape(n, c, h // a, a, w // b, b).permute(3, 5, 0, 1, 2, 4)
    return blocks.reshape(n * a * b, c, h // a, w // b)


@mil_op("batch_to_space", moves_data=True)
def batch_to_space(x: Tensor, block_shape: Ints, crops: Tensor) -> Tensor:
    """The inverse of `space_to_batch`, then `crops` taken off H and W."""
    top, bottom, left, right = crops.reshape(-1).tolist()
    n, c, h, w = x.shape
    a, b = block_shape
    joined = x.reshape(a, b, n // (a * b), c, h, w).permute(2, 3, 4, 0, 5, 1)
    joined = joined.reshape(n // (a * b), c, h * a, w * b)
    return joined[:, :, top : h * a - bottom, left : w * b - right]


@mil_op("sliding_windows", moves_data=True)
def sliding_windows(x: Tensor, axis: int, size: int, stride: int = 1) -> Tensor:
    """Windows of `size` along `axis`, as a new axis behind it."""
    axis %= x.dim()
    return x.unfold(axis, size, stride).movedim(-1, axis + 1)


@mil_op("crop", moves_data=True)
def crop(x: Tensor, crop_height: Ints, crop_width: Ints) -> Tensor:
    """`x` (*D, H, W) without `crop_height` rows above and below and `crop_width` columns beside."""
    (top, bottom), (left, right) = crop_height, crop_width
    return x[..., top : x.shape[-2] - bottom, left : x.shape[-1] - right]
