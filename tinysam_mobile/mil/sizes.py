"""How many elements an op would make, told by its arguments before it makes them.

A few bytes of a program can ask for any amount of memory: a shape to fill, a pad, a factor to upsample by.
Each rule here takes the arguments of its op and gives the size of the result, or of the largest thing on the
way to it; `bounded` refuses what is beyond `MAX_ELEMENTS`.  Ops without a rule make no more than they are
given.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable
from functools import wraps
from typing import Any

import torch

from tinysam_mobile.mil.registry import Ints, Tensor, Tensors

__all__ = ["MAX_ELEMENTS", "RULES", "bounded", "require_size"]

MAX_ELEMENTS = 1 << 28
"""1 GiB of float32: the attention of SAM's largest encoder at 1024, 16 x 4096 x 4096."""

Rule = Callable[..., float]


def require_size(count: float) -> None:
    """Raise ValueError when `count` elements are too many."""
    if not count <= MAX_ELEMENTS:
        raise ValueError(f"it would make {count:.4g} elements, but a value may have {MAX_ELEMENTS} at most")


def bounded(op_type: str, function: Callable[..., Any]) -> Callable[..., Any]:
    """`function` of the op `op_type`, refused with ValueError when its result would be too large."""
    rule = RULES.get(op_type)
    if rule is None:
        return function

    @wraps(function)
    def checked(**arguments: Any) -> Any:
        require_size(rule(**arguments))
        return function(**arguments)

    return checked


def _broadcast(*tensors: Tensor) -> float:
    # The product bounds every broadcast shape; only when that is large is the shape worth computing.
    if math.prod(t.numel() for t in tensors) <= MAX_ELEMENTS:
        return 0
    return int(torch.broadcast_shapes(*(t.shape for t in tensors)).numel())


def _binary(x: Tensor, y: Tensor) -> float:
    return _broadcast(x, y)


def _select(cond: Tensor, a: Tensor, b: Tensor) -> float:
    return _broadcast(cond, a, b)


def _threshold(x: Tensor, alpha: Tensor) -> float:
    return _broadcast(x, alpha)


def _matmul(x: Tensor, y: Tensor, transpose_x: bool = False, transpose_y: bool = False) -> float:
    if x.numel() * y.numel() <= MAX_ELEMENTS or x.dim() < 2 or y.dim() < 2:
        return 0
    batch = int(torch.broadcast_shapes(x.shape[:-2], y.shape[:-2]).numel())
    return batch * x.shape[-1 if transpose_x else -2] * y.shape[-2 if transpose_y else -1]


def _linear(x: Tensor, weight: Tensor, bias: Tensor | None = None) -> float:  # noqa: ARG001
    return x.numel() / max(1, x.shape[-1] if x.dim() else 1) * weight.shape[0]


def _einsum(values: Tensors, equation: str) -> float:
    sizes: dict[str, int] = {}
    terms, _, result = equation.replace(" ", "").partition("->")
    for term, value in zip(terms.split(","), values, strict=True):
        for letter, size in zip(term, value.shape, strict=False):
            sizes[letter] = max(size, sizes.get(letter, 1))
    return math.prod(sizes.get(letter, 1) for letter in result)


def _attention(query: Tensor, key: Tensor, **_: Any) -> float:
    return math.prod(query.shape[:-1]) * key.shape[-2]


def _shape(shape: Ints, **_: Any) -> float:
    return math.prod(max(size, 0) for size in shape)


def _tile(x: Tensor, reps: Ints) -> float:
    return x.numel() * math.prod(reps)


def _range(start: Tensor, end: Tensor, step: Tensor) -> float:
    return (float(end) - float(start)) / float(step) if float(step) else 0


def _one_hot(indices: Tensor, one_hot_vector_size: int, **_: Any) -> float:
    return indices.numel() * one_hot_vector_size


def _padded(sizes: Iterable[int], pads: Ints) -> float:
    """Elements of the axes `sizes`, whose last ones get (before, after) of `pads`."""
    all_sizes = list(sizes)
    for i in range(len(pads) // 2):
        axis = len(all_sizes) - len(pads) // 2 + i
        all_sizes[axis] += max(pads[2 * i], 0) + max(pads[2 * i + 1], 0)
    return math.prod(all_sizes)


def _pad(x: Tensor, pad: Ints, **_: Any) -> float:
    return _padded(x.shape, pad)


def _space_to_batch(x: Tensor, block_shape: Ints, paddings: Tensor) -> float:  # noqa: ARG001
    return _padded(x.shape, tuple(paddings.reshape(-1).tolist()))


def _conv(
    x: Tensor, weight: Tensor, pad_type: str = "valid", pad: Ints | None = None,
    strides: Ints | None = None, **_: Any,
) -> float:  # fmt: skip
    padded = _padded(x.shape, (pad or ()) if pad_type == "custom" else ())
    result = padded / max(1, x.shape[1]) * weight.shape[0] / max(1, math.prod(strides or ()))
    return max(padded, result)


def _conv_transpose(
    x: Tensor, weight: Tensor, strides: Ints | None = None, dilations: Ints | None = None,
    output_shape: Ints | None = None, groups: int = 1, pad: Ints | None = None, **_: Any,
) -> float:  # fmt: skip
    rank = x.dim() - 2
    channels = x.shape[0] * weight.shape[1] * groups
    ones = (1,) * rank
    full = [
        (d - 1) * s + (k - 1) * e + 1
        for d, s, k, e in zip(x.shape[2:], strides or ones, weight.shape[2:], dilations or ones, strict=True)
    ]
    negative = tuple(max(-p, 0) for p in pad or ())
    wanted = math.prod(output_shape[-rank:]) if output_shape else 0
    return channels * max(_padded(full, negative), wanted)


def _pool(x: Tensor, kernel_sizes: Ints, pad_type: str = "valid", pad: Ints | None = None, **_: Any) -> float:
    # A window that is larger than the axis is padded up to (same, ceil_mode).
    reached = [max(size, k) for size, k in zip(x.shape[2:], kernel_sizes, strict=True)]
    pads = (pad or ()) if pad_type.lower() == "custom" else ()
    return x.shape[0] * x.shape[1] * _padded(reached, pads)


def _upsample(
    x: Tensor, scale_factor_height: float = 1.0, scale_factor_width: float = 1.0, **_: Any
) -> float:
    return x.numel() * max(1.0, scale_factor_height) * max(1.0, scale_factor_width)


def _resize_to(x: Tensor, target_size_height: int = 1, target_size_width: int = 1, **_: Any) -> float:
    planes = math.prod(x.shape[:-2])
    return planes * max(x.shape[-2], target_size_height) * max(x.shape[-1], target_size_width)


def _resize(x: Tensor, shape: Ints, resized_dims: int, **_: Any) -> float:
    if not 0 < resized_dims <= min(len(shape), x.dim()):
        raise ValueError(f"resized_dims {resized_dims} does not fit the shape {shape}")
    split = x.dim() - resized_dims
    tail = shape[len(shape) - resized_dims :]
    return math.prod(x.shape[:split]) * math.prod(
        max(a, b) for a, b in zip(x.shape[split:], tail, strict=True)
    )


def _resample(x: Tensor, coordinates: Tensor, **_: Any) -> float:
    return coordinates.numel() * max(1, x.shape[1])


def _affine(x: Tensor, output_height: int, output_width: int, **_: Any) -> float:
    return x.shape[0] * max(3, x.shape[1]) * max(output_height, 0) * max(output_width, 0)


def _crop_resize(x: Tensor, target_height: int = 1, target_width: int = 1, **boxes: Any) -> float:
    count = len(boxes["roi"] if "roi" in boxes else boxes["boxes"])
    per_box = max(target_height * target_width, target_height * x.shape[-1])
    images = x.shape[0] if "roi" in boxes else 1
    return float(count * images * x.shape[1] * per_box)


def _joined(values: Tensors, **_: Any) -> float:
    return sum(value.numel() for value in values)


def _gather(x: Tensor, indices: Tensor, axis: int = 0, batch_dims: int = 0, **_: Any) -> float:
    kept = x.numel() / max(1, x.shape[axis] if x.dim() else 1)
    return indices.numel() * kept / max(1, math.prod(x.shape[:batch_dims]))


def _gather_nd(x: Tensor, indices: Tensor, batch_dims: int = 0, **_: Any) -> float:
    depth = indices.shape[-1]
    return indices.numel() / max(1, depth) * math.prod(x.shape[batch_dims + depth :])


def _windows(x: Tensor, axis: int, size: int, stride: int = 1) -> float:
    steps = max(0, (x.shape[axis] - size) // max(1, stride) + 1)
    return x.numel() / max(1, x.shape[axis]) * steps * size


def _suppression(boxes: Tensor, scores: Tensor, max_boxes: int, **_: Any) -> float:
    return boxes.shape[0] * max_boxes * max(4, math.prod(scores.shape[1:]) / max(1, min(scores.shape[1:])))


def _make_list(elem_shape: Any, init_length: int = 1, **_: Any) -> float:
    sizes = [1 if isinstance(size, str) else int(size) for size in elem_shape]
    return max(math.prod(sizes), 64 * init_length)


def _list_write(ls: Any, index: int, value: Tensor) -> float:
    return max(0, index + 1 - len(ls)) * max(64, value.numel())


def _list_scatter(ls: Any, indices: Tensor, value: Tensor) -> float:
    highest = int(indices.max()) if indices.numel() else 0
    return max(0, highest + 1 - len(ls)) * max(64, value[0].numel() if len(value) else 1)


def _categorical(x: Tensor, size: int = 1, **_: Any) -> float:
    return x.numel() / max(1, x.shape[-1]) * size


RULES: dict[str, Rule] = {
    **dict.fromkeys(
        ("add", "sub", "mul", "real_div", "floor_div", "mod", "pow", "maximum", "minimum", "equal",
         "not_equal", "greater", "greater_equal", "less", "less_equal", "logical_and", "logical_or",
         "logical_xor"), _binary
    ),
    **dict.fromkeys(("fill", "random_bernoulli", "random_normal", "random_uniform"), _shape),
    **dict.fromkeys(("upsample_nearest_neighbor", "upsample_bilinear"), _upsample),
    **dict.fromkeys(("resize_nearest_neighbor", "resize_bilinear"), _resize_to),
    **dict.fromkeys(("max_pool", "avg_pool", "l2_pool"), _pool),
    **dict.fromkeys(("concat", "stack"), _joined),
    "select": _select, "threshold": _threshold, "matmul": _matmul, "linear": _linear, "einsum": _einsum,
    "scaled_dot_product_attention": _attention, "tile": _tile, "range_1d": _range, "one_hot": _one_hot,
    "pad": _pad, "space_to_batch": _space_to_batch, "conv": _conv, "conv_quantized": _conv,
    "conv_transpose": _conv_transpose, "resize": _resize, "resample": _resample, "affine": _affine,
    "crop_resize": _crop_resize, "gather": _gather, "gather_nd": _gather_nd, "sliding_windows": _windows,
    "non_maximum_suppression": _suppression, "make_list": _make_list, "list_write": _list_write,
    "list_scatter": _list_scatter, "random_categorical": _categorical,
}  # fmt: skip
