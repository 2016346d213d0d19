"""What each operation becomes for XNNPACK, which partitions fewer forms than torch.export produces.

Read from ExecuTorch 1.5 `backends/xnnpack/partition/config`: no layer norm, expand, stack, select, split
or unsqueeze before the last axis; no sum, and a mean only over [2, 3] of rank 4; weights of a linear layer
constant; no float16 GELU.
"""

from __future__ import annotations

import operator
from collections.abc import Sequence
from functools import partial, reduce
from math import pi, prod, sqrt
from typing import Any

import torch

# Registers the quantized_decomposed operations; torch has no public module for it.
import torch.ao.quantization.fx._decomposed
from torch import Tensor, fx

from tinysam_mobile.converters.executorch_rewrite import GraphRewriter, Rule, Value, dtype_of, shape_of

__all__ = ["XNNPACK_RULES"]

_A = torch.ops.aten
_QUANTIZED = torch.ops.quantized_decomposed

MAX_HALF_TERMS = 256
"""XNNPACK adds up products of float16 in float16, as phones do: a sum of 4,096 terms loses all but five bits.
Longer sums of a linear layer are made of sums of at most this many."""
HALF_AVERAGED = 64
"""Length of the short sums where two activations are multiplied: attention's averages, whose terms have one
sign, lose most."""
MAX_SLICES = 16
"""Longest axis, other than the last, along which a softmax is written out: the tokens of `score_batch`."""
HALF_NORM_SCALE = 0.25
"""Deviations are squared after this factor in float16, so that those up to 1,000 do not overflow; a power
of two that leaves 1e-5, the usual epsilon, above float16's smallest number (6e-8)."""


def _layer_norm(
    r: GraphRewriter, x: Value, shape: Sequence[int], weight: Tensor, bias: Tensor, eps: float = 1e-5, *_: Any
) -> Value:
    """Layer norm over the last axis; the mean of a row is a linear layer with one output and weights 1/C.

    Scale and shift join the weights of the linear layer that follows, if that alone reads the result.
    """
    if len(shape) != 1:
        return r.emit(_A.layer_norm.default, x, shape, weight, bias, eps)
    average = r.filled(1 / shape[0], (1, shape[0]))
    deviation = r.emit(_A.sub.Tensor, x, r.emit(_A.linear.default, x, average))
    scale = HALF_NORM_SCALE if r.dtype == torch.float16 else 1.0
    if scale != 1:
        deviation = r.emit(_A.mul.Tensor, deviation, r.filled(scale))
    square = r.emit(_A.mul.Tensor, deviation, deviation)
    variance = r.emit(_A.linear.default, square, average, r.filled(eps * scale**2))
    normal = r.emit(_A.mul.Tensor, deviation, r.emit(_A.rsqrt.default, variance))
    users = list(r.source.users)
    if len(users) == 1 and users[0].target is _A.linear.default and isinstance(normal, fx.Node):
        r.affine[normal] = (weight, bias)
        return normal
    return r.emit(_A.add.Tensor, r.emit(_A.mul.Tensor, normal, weight), bias)


def _linear(r: GraphRewriter, x: Value, weight: Value, bias: Value | None = None) -> Value:
    """(..., I) by (O, I) → (..., O), with the scale and shift of the layer norm before it, if any."""
    pending = r.affine.get(x) if isinstance(x, fx.Node) else None
    if pending is not None:
        assert isinstance(weight, Tensor)
        assert bias is None or isinstance(bias, Tensor)
        scale, shift = (value.double() for value in pending)
        shifted = weight.double() @ shift + (0.0 if bias is None else bias.double())
        weight, bias = (weight.double() * scale).float(), shifted.float()
    if r.dtype == torch.float32 or shape_of(x)[-1] <= MAX_HALF_TERMS:
        return r.emit(_A.linear.default, x, weight, bias)
    parts = [
        r.emit(_A.linear.default, a, b, None if start else bias)
        for start, (a, b) in enumerate(
            zip(_split(r, x, MAX_HALF_TERMS, -1), _split(r, weight, MAX_HALF_TERMS, -1), strict=True)
        )
    ]
    return reduce(partial(r.emit, _A.add.Tensor), parts)


def _bmm(r: GraphRewriter, a: Value, b: Value) -> Value:
    """(B, M, K) by (B, K, N); a long sum in float16 is many short ones, which are then added up."""
    batch, rows, terms = shape_of(a)
    columns = shape_of(b)[-1]
    chunks = -(-terms // HALF_AVERAGED)
    if r.dtype == torch.float32 or terms <= MAX_HALF_TERMS or terms % chunks:
        return r.emit(_A.bmm.default, a, b)
    size = terms // chunks
    left = _permute(r, r.view(a, [batch, rows, chunks, size]), [0, 2, 1, 3])
    short = r.emit(
        _A.bmm.default, r.view(left, [batch * chunks, rows, size]), r.view(b, [batch * chunks, size, columns])
    )
    ones = r.filled(1.0, (batch, 1, chunks))
    return r.view(
        r.emit(_A.bmm.default, ones, r.view(short, [batch, chunks, rows * columns])), [batch, rows, columns]
    )


def _matmul(r: GraphRewriter, a: Value, b: Value) -> Value:
    if isinstance(b, Tensor) and b.ndim == 2:
        return r.emit(_A.linear.default, a, b.t().contiguous())
    return r.emit(_A.matmul.default, a, b)


def _gelu(r: GraphRewriter, x: Value, **kwargs: Any) -> Value:
    """GELU; XNNPACK has none in float16: there x·σ(2√(2/π)(x + 0.044715 x³)) of arXiv 1606.08415 (< 5e-4).

    The same for GELU by tanh, which that is: ExecuTorch's XNNPACK takes it for the exact one, 71 dB away.
    """
    if r.dtype == torch.float32 and kwargs.get("approximate", "none") == "none":
        return r.emit(_A.gelu.default, x, **kwargs)
    slope = 2 * sqrt(2 / pi)
    cubic = r.emit(_A.mul.Tensor, r.emit(_A.mul.Tensor, x, x), r.filled(0.044715 * slope))
    gate = r.emit(_A.mul.Tensor, x, r.emit(_A.add.Tensor, cubic, r.filled(slope)))
    return r.emit(_A.mul.Tensor, x, r.emit(_A.sigmoid.default, gate))


def _softmax(r: GraphRewriter, x: Value, dim: int, *_: Any) -> Value:
    """Softmax; XNNPACK has it over the last axis, elsewhere it is written out, slice by slice."""
    shape = shape_of(x)
    dim %= len(shape)
    if dim == len(shape) - 1 or shape[dim] > MAX_SLICES:
        return r.emit(_A._softmax.default, x, dim, False)
    largest = reduce(partial(r.emit, _A.maximum.default), _split(r, x, 1, dim))
    powers = r.emit(_A.exp.default, r.emit(_A.sub.Tensor, x, largest))
    return r.emit(_A.div.Tensor, powers, _sum(r, powers, [dim], keepdim=True))


def _sum(r: GraphRewriter, x: Value, dims: Sequence[int], keepdim: bool = False, **_: Any) -> Value:
    """A sum over one axis as a product with ones: XNNPACK sums over rows and columns of images only."""
    return _weighted(r, x, dims, keepdim, 1.0)


def _mean(r: GraphRewriter, x: Value, dims: Sequence[int], keepdim: bool = False, **_: Any) -> Value:
    return _weighted(r, x, dims, keepdim, 1 / prod(shape_of(x)[dim] for dim in dims))


def _weighted(r: GraphRewriter, x: Value, dims: Sequence[int], keepdim: bool, weight: float) -> Value:
    shape = list(shape_of(x))
    axes = [dim % len(shape) for dim in dims]
    if len(axes) != 1 or isinstance(x, Tensor):
        op = _A.sum.dim_IntList if weight == 1 else _A.mean.dim
        return r.emit(op, x, axes, keepdim)
    (axis,) = axes
    before, length, after = prod(shape[:axis]), shape[axis], prod(shape[axis + 1 :])
    if after == 1:
        out = r.emit(_A.linear.default, r.view(x, [before, length]), r.filled(weight, (1, length)))
    else:
        rows = r.filled(weight, (before, 1, length))
        out = r.emit(_A.bmm.default, rows, r.view(x, [before, length, after]))
    return r.view(out, shape[:axis] + [1] * keepdim + shape[axis + 1 :])


def _reciprocal(r: GraphRewriter, x: Value) -> Value:
    return r.emit(_A.div.Tensor, r.filled(1.0), x)


def _masked_fill(r: GraphRewriter, x: Value, mask: Value, value: float) -> Value:
    return r.emit(_A.where.self, mask, r.filled(value, (1,)), x)


def _permute(r: GraphRewriter, x: Value, dims: Sequence[int]) -> Value:
    """Permute; one that only moves axes of length 1 is a view."""
    shape = shape_of(x)
    dims = [dim % len(shape) for dim in dims]
    moved = [dim for dim in dims if shape[dim] != 1]
    if moved == sorted(moved):
        return r.view(x, [shape[dim] for dim in dims])
    return r.emit(_A.permute_copy.default, x, dims)


def _transpose(r: GraphRewriter, x: Value, first: int, second: int) -> Value:
    dims = list(range(len(shape_of(x))))
    dims[first], dims[second] = dims[second], dims[first]
    return _permute(r, x, dims)


def _t(r: GraphRewriter, x: Value) -> Value:
    return _permute(r, x, list(reversed(range(len(shape_of(x))))))


def _reshape(r: GraphRewriter, x: Value, shape: Sequence[int]) -> Value:
    known = prod(size for size in shape if size != -1)
    return r.view(x, [prod(shape_of(x)) // known if size == -1 else size for size in shape])


def _as_source(r: GraphRewriter, x: Value, *_: Any, **__: Any) -> Value:
    """A view of any kind: the shape is the one that the old graph had."""
    return r.view(x, list(r.source.meta["val"].shape))


def _slice(
    r: GraphRewriter, x: Value, dim: int = 0, start: int | None = None, end: int | None = None, step: int = 1
) -> Value:
    size = shape_of(x)[dim]
    first, last, step = slice(start, end, step).indices(size)
    if (first, last, step) == (0, size, 1):
        return x
    return r.emit(_A.slice_copy.Tensor, x, dim % len(shape_of(x)), first, last, step)


def _split(r: GraphRewriter, x: Value, size: int, dim: int = 0) -> list[Value]:
    return [_slice(r, x, dim, start, start + size) for start in range(0, shape_of(x)[dim], size)]


def _select(r: GraphRewriter, x: Value, dim: int, index: int) -> Value:
    shape = list(shape_of(x))
    index %= shape[dim]
    part = _slice(r, x, dim, index, index + 1)
    del shape[dim]
    return r.view(part, shape)


def _unbind(r: GraphRewriter, x: Value, dim: int = 0) -> list[Value]:
    return [_select(r, x, dim, index) for index in range(shape_of(x)[dim])]


def _stack(r: GraphRewriter, parts: Sequence[Value], dim: int = 0) -> Value:
    shape = list(r.source.meta["val"].shape)
    dim %= len(shape)
    shape[dim] = 1
    if len(parts) == 1:
        return r.view(parts[0], shape)
    return r.emit(_A.cat.default, [r.view(part, shape) for part in parts], dim)


def _expand(r: GraphRewriter, x: Value, *_: Any, **__: Any) -> Value:
    shape = tuple(r.source.meta["val"].shape)
    if shape_of(x) == shape:
        return x
    if isinstance(x, Tensor):
        return x.expand(shape).contiguous()
    # XNNPACK broadcasts the operands of a product, and has no other way to repeat a value.
    return r.emit(_A.mul.Tensor, x, r.filled(1.0, shape))


def _pad(
    r: GraphRewriter, x: Value, sizes: Sequence[int], mode: str = "constant", value: float | None = None
) -> Value:
    if mode != "constant":
        return r.emit(_A.pad.default, x, sizes, mode, value)
    value = value or 0.0
    if value == 0 and isinstance(x, fx.Node) and x.target is _QUANTIZED.dequantize_per_tensor.default:
        # ExecuTorch writes a pad of integers with zeros as one in integers, but leaves its input float: a
        # file that does not load ("Failed to create StaticConstantPad").  Any other value stays float.
        value = torch.finfo(torch.float32).tiny
    return r.emit(_A.constant_pad_nd.default, x, sizes, value)


def _to_copy(r: GraphRewriter, x: Value, target: torch.dtype | None = None, *_: Any, **kwargs: Any) -> Value:
    target = target or kwargs.get("dtype") or dtype_of(x)
    if target.is_floating_point:
        target = r.dtype
    return r.cast(x, target) if isinstance(x, fx.Node) else x.to(target)


def _identity(_: GraphRewriter, x: Value, *__: Any, **___: Any) -> Value:
    return x


def _nothing(*_: Any, **__: Any) -> None:
    """An assertion about a tensor, which static shapes have already fulfilled."""


def _getitem(r: GraphRewriter, parts: Sequence[Value] | fx.Node, index: int) -> Value:
    return r.emit(operator.getitem, parts, index) if isinstance(parts, fx.Node) else parts[index]


def _kept(op: Any) -> Rule:
    """An operation between floats and integers, with the arguments that it has."""

    def rule(r: GraphRewriter, *args: Any, **kwargs: Any) -> Value:
        return r.keep(op, *args, **kwargs)

    return rule


def _binary(op: Any) -> Rule:
    def rule(r: GraphRewriter, a: Value | float, b: Value | float, *rest: Any, **kwargs: Any) -> Value:
        like = a if isinstance(a, (Tensor, fx.Node)) else b
        assert isinstance(like, (Tensor, fx.Node))
        left, right = (
            v if isinstance(v, (Tensor, fx.Node)) else r.filled(v, dtype=dtype_of(like)) for v in (a, b)
        )
        if op is _A.div.Tensor and isinstance(right, Tensor):
            return r.emit(_A.mul.Tensor, left, 1 / right)
        return r.emit(op, left, right, *rest, **kwargs)

    return rule


def _rsub(r: GraphRewriter, a: Value, b: Value | float, *rest: Any) -> Value:
    return _BINARY[_A.sub.Tensor](r, b, a, *rest)  # type: ignore[no-any-return]


_BINARY: dict[Any, Rule] = {
    overload: _binary(packet.Tensor)
    for packet in (_A.add, _A.sub, _A.mul, _A.div)
    for overload in (packet.Tensor, packet.Scalar)
}

_INTEGER = (
    _QUANTIZED.quantize_per_tensor.default,
    _QUANTIZED.quantize_per_tensor.tensor,
    _QUANTIZED.dequantize_per_tensor.default,
    _QUANTIZED.dequantize_per_tensor.tensor,
    _QUANTIZED.dequantize_per_channel.default,
    _QUANTIZED.choose_qparams.tensor,
)

XNNPACK_RULES: dict[Any, Rule] = {
    **{op: _kept(op) for op in _INTEGER},
    **_BINARY,
    _A.rsub.Scalar: _rsub,
    _A.layer_norm.default: _layer_norm,
    _A.linear.default: _linear,
    _A.matmul.default: _matmul,
    _A.bmm.default: _bmm,
    _A.gelu.default: _gelu,
    _A.softmax.int: _softmax,
    _A.sum.dim_IntList: _sum,
    _A.mean.dim: _mean,
    _A.reciprocal.default: _reciprocal,
    _A.masked_fill.Scalar: _masked_fill,
    _A.permute.default: _permute,
    _A.transpose.int: _transpose,
    _A.t.default: _t,
    _A.view.default: _reshape,
    _A.reshape.default: _reshape,
    _A._unsafe_view.default: _reshape,
    _A.flatten.using_ints: _as_source,
    _A.unsqueeze.default: _as_source,
    _A.squeeze.dim: _as_source,
    _A.slice.Tensor: _slice,
    _A.split.Tensor: _split,
    _A.select.int: _select,
    _A.unbind.int: _unbind,
    _A.stack.default: _stack,
    _A.expand.default: _expand,
    _A.pad.default: _pad,
    _A.to.dtype: _to_copy,
    _A._to_copy.default: _to_copy,
    _A.clone.default: _identity,
    _A.contiguous.default: _identity,
    _A.dropout.default: _identity,
    _A._assert_tensor_metadata.default: _nothing,
    operator.getitem: _getitem,
}
"""Rules by ATen overload; an operation without one is kept."""
