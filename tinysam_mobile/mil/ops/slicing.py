"""Slices.

Source: coremltools, `mil/ops/defs/iOS15/tensor_transformation.py`, `_utils.py`
(`solve_slice_by_index_slice`), and `iOS18/tensor_transformation.py`.
"""

from __future__ import annotations

from tinysam_mobile.mil.registry import Bools, Ints, Tensor, mil_op

__all__: list[str] = []


def _slices(
    sizes: Ints,
    begin: Ints,
    end: Ints,
    stride: Ints | None,
    begin_mask: Bools | None,
    end_mask: Bools | None,
    squeeze_mask: Bools | None,
) -> tuple[list[slice | int], list[int]]:
    """What to index each axis with, always forwards, and which axes of the result to flip then."""
    index: list[slice | int] = []
    flipped: list[int] = []
    kept = 0
    for i, size in enumerate(sizes):
        first = None if begin_mask and begin_mask[i] else begin[i]
        if squeeze_mask and squeeze_mask[i]:
            index.append(first or 0)
            continue
        last = None if end_mask and end_mask[i] else end[i]
        span = range(*slice(first, last, stride[i] if stride else 1).indices(size))
        if not span:
            index.append(slice(0, 0))
        elif span.step > 0:
            index.append(slice(span.start, span.stop, span.step))
        else:
            index.append(slice(span[-1], span[0] + 1, -span.step))
            flipped.append(kept)
        kept += 1
    return index, flipped


@mil_op("slice_by_index", moves_data=True)
def slice_by_index(
    x: Tensor,
    begin: Ints,
    end: Ints,
    stride: Ints | None = None,
    begin_mask: Bools | None = None,
    end_mask: Bools | None = None,
    squeeze_mask: Bools | None = None,
) -> Tensor:
    """`x[begin[0]:end[0]:stride[0], ...]` as numpy slices; axes in `squeeze_mask` are indexed."""
    index, flipped = _slices(x.shape, begin, end, stride, begin_mask, end_mask, squeeze_mask)
    part = x[tuple(index)]
    return part.flip(flipped) if flipped else part


@mil_op("slice_by_size", moves_data=True)
def slice_by_size(x: Tensor, begin: Ints, size: Ints) -> Tensor:
    """`size[i]` elements from `begin[i]` on; -1 means all the rest."""
    index = []
    for total, first, count in zip(x.shape, begin, size, strict=True):
        start = first + total if first < 0 else first
        index.append(slice(start, total if count == -1 else start + count))
    return x[tuple(index)]


@mil_op("slice_update", since="ios18", moves_data=True)
def slice_update(
    x: Tensor,
    update: Tensor,
    begin: Ints,
    end: Ints,
    stride: Ints | None = None,
    begin_mask: Bools | None = None,
    end_mask: Bools | None = None,
    squeeze_mask: Bools | None = None,
) -> Tensor:
    """A copy of `x` whose slice (as `slice_by_index` takes it) is `update`."""
    index, flipped = _slices(x.shape, begin, end, stride, begin_mask, end_mask, squeeze_mask)
    result = x.clone()
    target = result[tuple(index)]
    update = update.reshape(target.shape)
    target.copy_(update.flip(flipped) if flipped else update)
    return result
