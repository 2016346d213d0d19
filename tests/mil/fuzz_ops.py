"""Ops for random programs: how to draw their arguments, and what numpy says they give.

Each entry draws its arguments from values that exist, and returns them with the expected results, computed by
numpy (or torch, for convolutions and pools) from those very values, so that errors do not add up.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import torch

from tests.mil.fuzz_drawing import MAX_SIZE, Drawer, Drawn, broadcasts

__all__ = ["MAKERS"]


def _unary(
    op_type: str, function: Callable[[np.ndarray], np.ndarray], kinds: str = "f"
) -> Callable[[Drawer], Drawn]:
    def make(draw: Drawer) -> Drawn:
        x = draw.value(kinds)
        return Drawn(op_type=op_type, arguments={"x": x}, expected=(function(x.array).astype(x.array.dtype),))

    return make


def _binary(op_type: str, function: Any, kinds: str, dtype: Any = None) -> Callable[[Drawer], Drawn]:
    def make(draw: Drawer) -> Drawn:
        x = draw.value(kinds)
        y = draw.like(x)
        result = np.asarray(function(x.array, y.array))
        return Drawn(
            op_type=op_type, arguments={"x": x, "y": y}, expected=(result.astype(dtype or x.array.dtype),)
        )

    return make


def _reduce(op_type: str, function: Any, kinds: str) -> Callable[[Drawer], Drawn]:
    def make(draw: Drawer) -> Drawn:
        x = draw.value(kinds, rank=1, where=lambda a: a.size > 0)
        axes = sorted({draw.integer(0, x.array.ndim - 1) for _ in range(draw.integer(1, x.array.ndim))})
        keep = draw.flag()
        wide = x.array.astype(np.float64 if x.array.dtype.kind == "f" else np.int64)
        result = np.asarray(function(wide, axis=tuple(axes), keepdims=keep))
        arguments = {"x": x, "axes": np.int32(axes), "keep_dims": keep}
        return Drawn(op_type=op_type, arguments=arguments, expected=(result.astype(x.array.dtype),))

    return make


def _sigmoid(x: np.ndarray) -> np.ndarray:
    return 1 / (1 + np.exp(-x.astype(np.float64)))


def _transpose(draw: Drawer) -> Drawn:
    x = draw.value(rank=1)
    order = list(range(x.array.ndim))
    for i in range(len(order)):
        j = draw.integer(i, len(order) - 1)
        order[i], order[j] = order[j], order[i]
    return Drawn(
        op_type="transpose", arguments={"x": x, "perm": np.int32(order)}, expected=(x.array.transpose(order),)
    )


def _reshape(draw: Drawer) -> Drawn:
    x = draw.value(rank=1, where=lambda a: a.size > 0)
    shape, left = [], x.array.size
    while left > 1 and len(shape) < 4 and draw.flag():
        size = draw.pick([d for d in range(1, left + 1) if left % d == 0])
        shape.append(size)
        left //= size
    shape.insert(draw.integer(0, len(shape)), left)
    given = list(shape)
    if draw.flag():
        given[draw.integer(0, len(given) - 1)] = -1
    return Drawn(
        op_type="reshape", arguments={"x": x, "shape": np.int32(given)}, expected=(x.array.reshape(shape),)
    )


def _expand_dims(draw: Drawer) -> Drawn:
    x = draw.value(where=lambda a: a.ndim < 5)
    axis = draw.integer(-x.array.ndim - 1, x.array.ndim)
    expected = np.expand_dims(x.array, axis)
    return Drawn(op_type="expand_dims", arguments={"x": x, "axes": np.int32([axis])}, expected=(expected,))


def _squeeze(draw: Drawer) -> Drawn:
    x = draw.value(rank=2, where=lambda a: 1 in a.shape)
    axis = draw.pick([i for i, size in enumerate(x.array.shape) if size == 1])
    expected = x.array.squeeze(axis)
    return Drawn(op_type="squeeze", arguments={"x": x, "axes": np.int32([axis])}, expected=(expected,))


def _concat(draw: Drawer) -> Drawn:
    x = draw.value(rank=1, where=lambda a: a.size <= MAX_SIZE // 2)
    axis = draw.axis(x.array)

    def fits(a: np.ndarray) -> bool:
        sizes = [
            (p, q) for i, (p, q) in enumerate(zip(a.shape, x.array.shape, strict=True)) if i != axis % a.ndim
        ]
        return all(p == q for p, q in sizes)

    kind = x.array.dtype.kind
    y = draw.value(kind, where=lambda a: a.ndim == x.array.ndim and fits(a) and a.size <= MAX_SIZE // 2)
    arguments = {"values": (x, y), "axis": axis, "interleave": False}
    expected = np.concatenate((x.array, y.array), axis)
    return Drawn(op_type="concat", arguments=arguments, expected=(expected,))


def _stack(draw: Drawer) -> Drawn:
    x = draw.value(where=lambda a: a.ndim < 5 and a.size <= MAX_SIZE // 2)
    axis = draw.integer(-x.array.ndim - 1, x.array.ndim)
    return Drawn(
        op_type="stack",
        arguments={"values": (x, x), "axis": axis},
        expected=(np.stack((x.array,) * 2, axis),),
    )


def _slice(draw: Drawer) -> Drawn:
    x = draw.value(rank=1, where=lambda a: a.size > 0)
    index, begin, end, stride = [], [], [], []
    begin_mask, end_mask = [], []
    for size in x.array.shape:
        step = draw.pick([1, 1, 2, -1, -2])
        first, last = (draw.integer(-size, size - 1) for _ in range(2))
        masks = draw.flag(), draw.flag()
        index.append(slice(None if masks[0] else first, None if masks[1] else last, step))
        begin.append(first)
        end.append(last)
        stride.append(step)
        begin_mask.append(masks[0])
        end_mask.append(masks[1])
    arguments = {
        "x": x, "begin": np.int32(begin), "end": np.int32(end), "stride": np.int32(stride),
        "begin_mask": np.array(begin_mask), "end_mask": np.array(end_mask),
    }  # fmt: skip
    return Drawn(op_type="slice_by_index", arguments=arguments, expected=(x.array[tuple(index)],))


def _reverse(draw: Drawer) -> Drawn:
    x = draw.value(rank=1)
    axis = draw.axis(x.array)
    return Drawn(
        op_type="reverse", arguments={"x": x, "axes": np.int32([axis])}, expected=(np.flip(x.array, axis),)
    )


def _tile(draw: Drawer) -> Drawn:
    x = draw.value(rank=1, where=lambda a: a.size <= MAX_SIZE // 4)
    reps = [1] * x.array.ndim
    reps[draw.integer(0, len(reps) - 1)] = draw.integer(1, 4)
    return Drawn(
        op_type="tile", arguments={"x": x, "reps": np.int32(reps)}, expected=(np.tile(x.array, reps),)
    )


def _pad(draw: Drawer) -> Drawn:
    x = draw.value("f", rank=1, where=lambda a: 0 < a.size <= 64 and min(a.shape) > 0)
    mode = draw.pick(["constant", "reflect", "replicate"])
    last = x.array.shape[-1]
    before, after = (draw.integer(0, min(3, last - 1 if mode == "reflect" else 3)) for _ in range(2))
    pairs = [(0, 0)] * (x.array.ndim - 1) + [(before, after)]
    form: dict[str, Any] = {"constant": {"constant_values": 1.5}}.get(mode, {})
    numpy_mode: Any = {"replicate": "edge"}.get(mode, mode)
    expected = np.pad(x.array, pairs, mode=numpy_mode, **form)
    flat = np.int32([0, 0] * (x.array.ndim - 1) + [before, after])
    arguments = {"x": x, "pad": flat, "mode": mode, "constant_val": 1.5}
    return Drawn(op_type="pad", arguments=arguments, expected=(expected,))


def _gather(draw: Drawer) -> Drawn:
    x = draw.value(rank=1, where=lambda a: a.size > 0)
    axis = draw.axis(x.array)
    size = x.array.shape[axis]
    indices = np.int32([draw.integer(0, size - 1) for _ in range(draw.integer(1, 4))])
    expected = np.take(x.array, indices, axis)
    if expected.size > MAX_SIZE:
        raise LookupError
    return Drawn(op_type="gather", arguments={"x": x, "indices": indices, "axis": axis}, expected=(expected,))


def _split(draw: Drawer) -> Drawn:
    x = draw.value(rank=1, where=lambda a: a.shape[-1] >= 2)
    first = draw.integer(1, x.array.shape[-1] - 1)
    sizes = np.int32([first, x.array.shape[-1] - first])
    expected = tuple(np.split(x.array, [first], -1))
    return Drawn(op_type="split", arguments={"x": x, "axis": -1, "split_sizes": sizes}, expected=expected)


def _select(draw: Drawer) -> Drawn:
    cond = draw.value("b")
    shape = cond.array.shape
    a = draw.value("f", where=lambda v: broadcasts(v.shape, shape))
    joined = np.broadcast_shapes(shape, a.array.shape)
    b = draw.value("f", where=lambda v: broadcasts(v.shape, joined))
    expected = np.where(cond.array, a.array, b.array)
    return Drawn(op_type="select", arguments={"cond": cond, "a": a, "b": b}, expected=(expected,))


def _cast(draw: Drawer) -> Drawn:
    x = draw.value(where=lambda a: a.dtype.kind != "f" or bool((np.abs(a) < 2**31).all()))
    name, dtype = draw.pick([("fp32", np.float32), ("int32", np.int32), ("bool", np.bool_)])
    with np.errstate(invalid="ignore"):
        expected = x.array.astype(dtype)
    return Drawn(op_type="cast", arguments={"x": x, "dtype": name}, expected=(expected,))


def _matmul(draw: Drawer) -> Drawn:
    x = draw.value("f", rank=2)
    inner = x.array.shape[-1]

    def fits(a: np.ndarray) -> bool:
        return (
            a.ndim >= 2 and a.shape[-2] == inner and broadcasts(a.shape[:-2], x.array.shape[:-2])
            and x.array.size * max(1, a.shape[-1]) <= 16 * MAX_SIZE
        )  # fmt: skip

    y = draw.value("f", where=fits)
    expected = np.matmul(x.array.astype(np.float64), y.array.astype(np.float64)).astype(np.float32)
    return Drawn(op_type="matmul", arguments={"x": x, "y": y}, expected=(expected,))


def _softmax(draw: Drawer) -> Drawn:
    x = draw.value("f", rank=1, where=lambda a: a.size > 0 and bool(np.isfinite(a).all()))
    axis = draw.axis(x.array)
    grown = np.exp(x.array.astype(np.float64) - x.array.max(axis, keepdims=True))
    expected = (grown / grown.sum(axis, keepdims=True)).astype(np.float32)
    return Drawn(op_type="softmax", arguments={"x": x, "axis": axis}, expected=(expected,))


def _cumsum(draw: Drawer) -> Drawn:
    x = draw.value("f", rank=1, where=lambda a: a.size > 0)
    axis, exclusive, reverse = draw.axis(x.array), draw.flag(), draw.flag()
    data = np.flip(x.array, axis) if reverse else x.array
    total = np.cumsum(data.astype(np.float64), axis)
    if exclusive:
        total = np.roll(total, 1, axis)
        np.moveaxis(total, axis, 0)[0] = 0
    total = np.flip(total, axis) if reverse else total
    arguments = {"x": x, "axis": axis, "exclusive": exclusive, "reverse": reverse}
    return Drawn(op_type="cumsum", arguments=arguments, expected=(total.astype(np.float32),))


def _argmax(draw: Drawer) -> Drawn:
    x = draw.value("f", rank=1, where=lambda a: a.size > 0 and not bool(np.isnan(a).any()))
    axis = draw.axis(x.array)
    expected = np.asarray(x.array.argmax(axis)).astype(np.int32)
    return Drawn(
        op_type="reduce_argmax", arguments={"x": x, "axis": axis, "keep_dims": False}, expected=(expected,)
    )


def _topk(draw: Drawer) -> Drawn:
    x = draw.value("f", rank=1, where=lambda a: a.size > 0 and not bool(np.isnan(a).any()))
    k = draw.integer(1, x.array.shape[-1])
    order = np.argsort(-x.array, axis=-1, kind="stable")[..., :k]
    expected = (np.take_along_axis(x.array, order, -1), order.astype(np.int32))
    return Drawn(
        op_type="topk", arguments={"x": x, "k": k, "axis": -1, "ascending": False}, expected=expected
    )


def _shape(draw: Drawer) -> Drawn:
    x = draw.value(rank=1)
    return Drawn(op_type="shape", arguments={"x": x}, expected=(np.int32(x.array.shape),))


def _clip(draw: Drawer) -> Drawn:
    x = draw.value("f")
    expected = np.clip(x.array, -0.5, 0.75)
    return Drawn(op_type="clip", arguments={"x": x, "alpha": -0.5, "beta": 0.75}, expected=(expected,))


def _conv(draw: Drawer) -> Drawn:
    x = draw.value("f", where=lambda a: a.ndim in (3, 4) and a.size > 0 and min(a.shape[2:]) >= 2)
    spatial = x.array.ndim - 2
    rng = np.random.default_rng(draw.integer(0, 99))
    weight = rng.normal(size=(2, x.array.shape[1], *[2] * spatial)).astype(np.float32)
    pads, stride = [draw.integer(0, 2) for _ in range(spatial)], draw.integer(1, 2)
    function = torch.conv1d if spatial == 1 else torch.conv2d
    result = function(torch.from_numpy(x.array.copy()), torch.from_numpy(weight), None, stride, pads)
    arguments = {
        "x": x, "weight": weight, "strides": np.int32([stride] * spatial), "pad_type": "custom",
        "pad": np.int32(np.repeat(pads, 2)), "dilations": np.int32([1] * spatial), "groups": 1,
    }  # fmt: skip
    if result.numel() > MAX_SIZE:
        raise LookupError
    return Drawn(op_type="conv", arguments=arguments, expected=(result.numpy(),))


def _pool(draw: Drawer) -> Drawn:
    x = draw.value("f", where=lambda a: a.ndim == 4 and a.size > 0 and min(a.shape[2:]) >= 2)
    tensor = torch.from_numpy(x.array.copy())
    op_type = draw.pick(["max_pool", "avg_pool"])
    function = torch.max_pool2d if op_type == "max_pool" else torch.nn.functional.avg_pool2d
    arguments = {
        "x": x, "kernel_sizes": np.int32([2, 2]), "strides": np.int32([1, 2]), "pad_type": "valid",
        "pad": np.int32([0, 0, 0, 0]), "ceil_mode": False,
    }  # fmt: skip
    if op_type == "avg_pool":
        arguments["exclude_padding_from_average"] = False
    return Drawn(op_type=op_type, arguments=arguments, expected=(function(tensor, [2, 2], [1, 2]).numpy(),))


def _layer_norm(draw: Drawer) -> Drawn:
    x = draw.value(
        "f", rank=1, where=lambda a: a.shape[-1] > 1 and a.size > 0 and bool((np.abs(a) < 1e3).all())
    )
    wide = x.array.astype(np.float64)
    centred = wide - wide.mean(-1, keepdims=True)
    expected = centred / np.sqrt(wide.var(-1, keepdims=True) + 1e-2)
    arguments = {"x": x, "axes": np.int32([-1]), "epsilon": 1e-2}
    return Drawn(op_type="layer_norm", arguments=arguments, expected=(expected.astype(np.float32),))


def _not(draw: Drawer) -> Drawn:
    x = draw.value("b")
    return Drawn(op_type="logical_not", arguments={"x": x}, expected=(~x.array,))


def _floor_mod(function: Any) -> Any:
    def divided(x: np.ndarray, y: np.ndarray) -> np.ndarray:
        with np.errstate(divide="ignore"):
            return np.asarray(function(x, y))

    return divided


MAKERS: list[Callable[[Drawer], Drawn]] = [
    _unary("abs", np.abs, "fi"), _unary("exp", np.exp), _unary("relu", lambda x: np.maximum(x, 0)),
    _unary("sigmoid", _sigmoid), _unary("tanh", np.tanh), _unary("floor", np.floor), _unary("ceil", np.ceil),
    _unary("round", np.rint), _unary("square", np.square), _unary("sin", np.sin), _unary("cos", np.cos),
    _unary("sign", np.sign), _unary("sqrt", np.sqrt), _unary("atan", np.arctan), _clip,
    _binary("add", np.add, "fi"), _binary("sub", np.subtract, "fi"), _binary("mul", np.multiply, "fi"),
    _binary("maximum", np.maximum, "fi"), _binary("minimum", np.minimum, "fi"),
    _binary("real_div", np.divide, "f"), _binary("floor_div", _floor_mod(np.floor_divide), "i"),
    _binary("mod", _floor_mod(np.mod), "i"), _binary("less", np.less, "fi", bool),
    _binary("greater_equal", np.greater_equal, "fi", bool), _binary("equal", np.equal, "fi", bool),
    _binary("logical_and", np.logical_and, "b"), _binary("logical_or", np.logical_or, "b"),
    _binary("logical_xor", np.logical_xor, "b"), _not,
    _reduce("reduce_sum", np.sum, "fi"), _reduce("reduce_mean", np.mean, "f"),
    _reduce("reduce_max", np.max, "fi"), _reduce("reduce_min", np.min, "fi"), _argmax, _topk, _softmax,
    _cumsum, _layer_norm, _transpose, _reshape, _expand_dims, _squeeze, _concat, _stack, _slice, _reverse,
    _tile, _pad, _gather, _split, _select, _cast, _matmul, _shape, _conv, _pool,
]  # fmt: skip
