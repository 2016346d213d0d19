"""Convolutions, pooling, products, norms and reductions of the MIL interpreter, against torch and numpy."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch.nn import functional

from tests.mil.builder import Const, run

# Sums of up to a few hundred products of numbers of about 1, in another order.
TOLERANCE = {"rtol": 1e-4, "atol": 1e-4}
CONV = {1: functional.conv1d, 2: functional.conv2d, 3: functional.conv3d}
TRANSPOSED = {1: functional.conv_transpose1d, 2: functional.conv_transpose2d, 3: functional.conv_transpose3d}


def _normal(*shape: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).normal(size=shape).astype(np.float32)


def _padded(x: np.ndarray, pairs: list[tuple[int, int]], value: float = 0.0) -> torch.Tensor:
    return torch.from_numpy(np.pad(x, [(0, 0), (0, 0), *pairs], constant_values=value))


@given(
    rank=st.integers(1, 3),
    groups=st.sampled_from([1, 2, 4]),
    stride=st.integers(1, 3),
    dilation=st.integers(1, 2),
    kernel=st.integers(1, 3),
    pads=st.lists(st.integers(0, 2), min_size=6, max_size=6),
    bias=st.booleans(),
)
def test_conv_custom_padding(
    rank: int, groups: int, stride: int, dilation: int, kernel: int, pads: list[int], bias: bool
) -> None:
    x = _normal(2, 4, *([7, 6, 5][:rank]))
    weight = _normal(8, 4 // groups, *([kernel] * rank), seed=1)
    pairs = [(pads[2 * i], pads[2 * i + 1]) for i in range(rank)]
    arguments: dict[str, Any] = {"bias": Const(_normal(8, seed=2))} if bias else {}
    result = run(
        "conv", x=x, weight=Const(weight), strides=[stride] * rank, dilations=[dilation] * rank,
        groups=groups, pad_type="custom", pad=pads[: 2 * rank], **arguments,
    )  # fmt: skip
    offset = torch.from_numpy(_normal(8, seed=2)) if bias else None
    expected = CONV[rank](
        _padded(x, pairs), torch.from_numpy(weight), offset, stride=stride, dilation=dilation, groups=groups
    )
    np.testing.assert_allclose(result, expected.numpy(), **TOLERANCE)


@pytest.mark.parametrize("per_channel", [False, True])
def test_conv_quantized(per_channel: bool) -> None:
    x = _normal(1, 3, 6, 5)
    weight = np.random.default_rng(1).integers(0, 255, (4, 3, 3, 3), np.uint8)
    scale = _normal(4 if per_channel else 1, seed=2)
    shift = _normal(4 if per_channel else 1, seed=3)
    result = run(
        "conv_quantized", opset="ios15", x=x, weight=Const(weight), quantization_type="linear",
        quant_scale=Const(scale), quant_bias=Const(shift), pad_type="valid", strides=[1, 2],
        bias=Const(_normal(4)),
    )  # fmt: skip
    floats = weight * scale.reshape(-1, 1, 1, 1) + shift.reshape(-1, 1, 1, 1)
    expected = functional.conv2d(
        torch.from_numpy(x), torch.from_numpy(floats), torch.from_numpy(_normal(4)), stride=(1, 2)
    )
    # Weights reach 255, so sums are of the order of a thousand: float32 leaves 1e-4 of that.
    np.testing.assert_allclose(result, expected.numpy(), rtol=1e-4, atol=1e-1)


def _same_pairs(sizes: tuple[int, ...], extent: int, stride: int, lower: bool) -> list[tuple[int, int]]:
    pairs = []
    for size in sizes:
        total = max(0, (math.ceil(size / stride) - 1) * stride + extent - size)
        pairs.append((total - total // 2, total // 2) if lower else (total // 2, total - total // 2))
    return pairs


@pytest.mark.parametrize("pad_type", ["same", "same_lower"])
@pytest.mark.parametrize(
    ("kernel", "stride", "dilation"), [(3, 1, 1), (2, 1, 1), (4, 2, 1), (3, 2, 2), (1, 3, 1)]
)
def test_conv_same_padding(pad_type: str, kernel: int, stride: int, dilation: int) -> None:
    x, weight = _normal(1, 2, 8, 7), _normal(3, 2, kernel, kernel, seed=1)
    pairs = _same_pairs((8, 7), (kernel - 1) * dilation + 1, stride, pad_type == "same_lower")
    result = run(
        "conv", x=x, weight=weight, strides=[stride] * 2, dilations=[dilation] * 2, pad_type=pad_type
    )
    expected = functional.conv2d(
        _padded(x, pairs), torch.from_numpy(weight), stride=stride, dilation=dilation
    )
    assert result.shape[2:] == (math.ceil(8 / stride), math.ceil(7 / stride))
    np.testing.assert_allclose(result, expected.numpy(), **TOLERANCE)


@pytest.mark.parametrize("rank", [1, 2, 3])
@pytest.mark.parametrize(
    ("stride", "dilation", "groups", "kernel"), [(1, 1, 1, 3), (2, 1, 2, 3), (3, 2, 1, 2), (2, 1, 1, 1)]
)
@pytest.mark.parametrize("pad_type", ["valid", "custom", "same"])
def test_conv_transpose(
    rank: int, stride: int, dilation: int, groups: int, kernel: int, pad_type: str
) -> None:
    x = _normal(2, 4, *([5, 4, 3][:rank]))
    weight = _normal(4, 6 // groups, *([kernel] * rank), seed=1)
    bias = _normal(6, seed=2)
    pad = [1, 0] * rank
    result = run(
        "conv_transpose", x=x, weight=Const(weight), bias=Const(bias), strides=[stride] * rank,
        dilations=[dilation] * rank, groups=groups, pad_type=pad_type, pad=pad,
    )  # fmt: skip
    full = TRANSPOSED[rank](
        torch.from_numpy(x), torch.from_numpy(weight), None, stride=stride, groups=groups, dilation=dilation
    ).numpy()
    if pad_type == "custom":
        full = full[(..., *([slice(1, None)] * rank))]
    if pad_type == "same":
        index: list[slice] = []
        for axis, size in enumerate(x.shape[2:], start=2):
            extra = full.shape[axis] - size * stride
            if extra < 0:
                full = np.pad(full, [(0, -extra if i == axis else 0) for i in range(full.ndim)])
            index.append(slice(max(extra, 0) // 2, max(extra, 0) // 2 + size * stride))
        full = full[(..., *index)]
    np.testing.assert_allclose(result, full + bias.reshape(1, 6, *([1] * rank)), **TOLERANCE)


def test_conv_transpose_output_shape_is_torchs_output_padding() -> None:
    x, weight, bias = _normal(1, 2, 4, 4), _normal(2, 3, 3, 3, seed=1), _normal(3, seed=2)
    expected = functional.conv_transpose2d(
        torch.from_numpy(x),
        torch.from_numpy(weight),
        torch.from_numpy(bias),
        stride=2,
        padding=1,
        output_padding=1,
    )
    result = run(
        "conv_transpose", x=x, weight=Const(weight), bias=Const(bias), strides=[2, 2], pad_type="custom",
        pad=[1, 1, 1, 1], output_shape=[1, 3, 8, 8],
    )  # fmt: skip
    np.testing.assert_allclose(result, expected.numpy(), **TOLERANCE)


POOL_KINDS = st.sampled_from(["max", "average", "average of what is there", "l2"])


@given(
    rank=st.integers(1, 3), kind=POOL_KINDS, kernel=st.integers(1, 3), stride=st.integers(1, 3),
    pads=st.lists(st.integers(0, 1), min_size=6, max_size=6),
)  # fmt: skip
def test_pooling_matches_windows_taken_by_hand(
    rank: int, kind: str, kernel: int, stride: int, pads: list[int]
) -> None:
    x = _normal(1, 2, *([6, 5, 4][:rank]))
    pairs = [(pads[2 * i], pads[2 * i + 1]) for i in range(rank)]
    op, arguments = {
        "max": ("max_pool", {}), "l2": ("l2_pool", {}), "average": ("avg_pool", {}),
        "average of what is there": ("avg_pool", {"exclude_padding_from_average": True}),
    }[kind]  # fmt: skip
    result = run(
        op, x=x, kernel_sizes=[kernel] * rank, strides=[stride] * rank, pad_type="custom",
        pad=pads[: 2 * rank], **arguments,
    )  # fmt: skip
    filled = _padded(x, pairs, math.nan).numpy()
    windows = np.lib.stride_tricks.sliding_window_view(filled, [kernel] * rank, tuple(range(2, 2 + rank)))
    windows = windows[(slice(None), slice(None), *([slice(None, None, stride)] * rank))]
    flat = windows.reshape(*windows.shape[: 2 + rank], -1)
    zeroed, real = np.nan_to_num(flat), ~np.isnan(flat)
    if kind == "max":
        expected = np.where(real, flat, -np.inf).max(-1)
    elif kind == "l2":
        expected = np.sqrt((zeroed**2).sum(-1))
    elif kind == "average":
        expected = zeroed.mean(-1)
    else:
        with np.errstate(invalid="ignore"):
            expected = zeroed.sum(-1) / real.sum(-1)
    np.testing.assert_allclose(result, expected, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("op", ["max_pool", "avg_pool"])
@pytest.mark.parametrize("exclude", [True, False])
@pytest.mark.parametrize(
    ("size", "kernel", "stride", "pad"),
    [(7, 3, 2, 1), (8, 3, 2, 1), (5, 2, 2, 0), (6, 3, 3, 1), (9, 2, 3, 1)],
)
def test_ceil_mode_is_torchs(op: str, exclude: bool, size: int, kernel: int, stride: int, pad: int) -> None:
    x = _normal(1, 2, size, size + 1)
    arguments: dict[str, Any] = {"exclude_padding_from_average": exclude} if op == "avg_pool" else {}
    result = run(
        op, x=x, kernel_sizes=[kernel] * 2, strides=[stride] * 2, pad_type="custom", pad=[pad] * 4,
        ceil_mode=True, **arguments,
    )  # fmt: skip
    if op == "max_pool":
        expected = functional.max_pool2d(torch.from_numpy(x), kernel, stride, pad, ceil_mode=True)
    else:
        expected = functional.avg_pool2d(
            torch.from_numpy(x), kernel, stride, pad, ceil_mode=True, count_include_pad=not exclude
        )
    np.testing.assert_allclose(result, expected.numpy(), rtol=1e-5, atol=1e-6)


def test_linear_and_matmul() -> None:
    x, weight, bias = _normal(2, 3, 4), _normal(5, 4, seed=1), _normal(5, seed=2)
    np.testing.assert_allclose(
        run("linear", x=x, weight=Const(weight), bias=Const(bias)), x @ weight.T + bias, **TOLERANCE
    )
    ints = np.arange(6, dtype=np.int32).reshape(2, 3)
    np.testing.assert_array_equal(run("matmul", x=ints, y=ints, transpose_y=True), ints @ ints.T)


@pytest.mark.parametrize(
    ("a", "b", "tx", "ty"),
    [
        ((4,), (4,), False, False), ((4,), (2, 4, 3), False, False), ((2, 3, 4), (4,), False, False),
        ((5, 1, 3, 4), (2, 4, 6), False, False), ((4, 3), (4, 5), True, False),
        ((2, 3, 4), (5, 4), False, True),
        ((2, 4, 3), (1, 5, 4), True, True),
    ],
)  # fmt: skip
def test_matmul_ranks_and_transposes(a: tuple[int, ...], b: tuple[int, ...], tx: bool, ty: bool) -> None:
    x, y = _normal(*a), _normal(*b, seed=1)
    expected = np.matmul(x.swapaxes(-1, -2) if tx else x, y.swapaxes(-1, -2) if ty else y)
    result = run("matmul", x=x, y=y, transpose_x=tx, transpose_y=ty)
    np.testing.assert_allclose(result.reshape(expected.shape), expected, **TOLERANCE)


@pytest.mark.parametrize(
    ("equation", "a", "b"),
    [
        ("nchw,nwhu->nchu", (2, 3, 4, 5), (2, 5, 4, 6)),
        ("nchw,nwhu->nchu", (2, 3, 1, 5), (1, 5, 4, 6)),
        ("chw,whr->chr", (3, 4, 5), (5, 4, 2)),
    ],
)
def test_einsum(equation: str, a: tuple[int, ...], b: tuple[int, ...]) -> None:
    x, y = _normal(*a), _normal(*b, seed=1)
    if len(a) == 4:  # n and h broadcast
        n, h = max(a[0], b[0]), max(a[2], b[2])
        full_x, full_y = np.broadcast_to(x, (n, a[1], h, a[3])), np.broadcast_to(y, (n, b[1], h, b[3]))
    else:
        full_x, full_y = x, y
    expected = np.einsum(equation, full_x, full_y)
    np.testing.assert_allclose(run("einsum", values=(x, y), equation=equation), expected, **TOLERANCE)


@pytest.mark.parametrize("mask", [None, "bool", "float"])
def test_attention(mask: str | None) -> None:
    q, k, v = _normal(2, 3, 5, 4), _normal(2, 3, 7, 4, seed=1), _normal(2, 3, 7, 6, seed=2)
    arguments: dict[str, Any] = {}
    scores = q @ k.swapaxes(-1, -2) / math.sqrt(4)
    if mask == "bool":
        keep = np.random.default_rng(3).random((2, 1, 5, 7)) > 0.3
        keep[..., 0] = True
        arguments["attn_mask"], scores = keep, np.where(keep, scores, -np.inf)
    elif mask == "float":
        arguments["attn_mask"] = _normal(5, 7, seed=4)
        scores = scores + arguments["attn_mask"]
    weights = np.exp(scores - scores.max(-1, keepdims=True))
    expected = weights / weights.sum(-1, keepdims=True) @ v
    result = run("scaled_dot_product_attention", opset="ios18", query=q, key=k, value=v, **arguments)
    np.testing.assert_allclose(result, expected, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("rank", [3, 4, 5])
def test_batch_and_instance_norm(rank: int) -> None:
    x = _normal(2, 3, *([4, 5, 2][: rank - 2]))
    mean, variance, gamma, beta = (np.abs(_normal(3, seed=i)) + 0.1 for i in range(4))
    form = (1, 3) + (1,) * (rank - 2)
    expected = (x - mean.reshape(form)) / np.sqrt(variance.reshape(form) + 1e-3)
    expected = expected * gamma.reshape(form) + beta.reshape(form)
    given_ = {"gamma": Const(gamma), "beta": Const(beta), "epsilon": 1e-3}
    result = run("batch_norm", x=x, mean=Const(mean), variance=Const(variance), **given_)
    np.testing.assert_allclose(result, expected, rtol=1e-4, atol=1e-5)
    axes = tuple(range(2, rank))
    own = (x - x.mean(axes, keepdims=True)) / np.sqrt(x.var(axes, keepdims=True) + 1e-3)
    own = own * gamma.reshape(form) + beta.reshape(form)
    np.testing.assert_allclose(run("instance_norm", x=x, **given_), own, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("axes", [[-1], [1], [1, 2], [0, 2], [0, 1, 2], None])
@pytest.mark.parametrize("affine", [True, False])
def test_layer_norm(axes: list[int] | None, affine: bool) -> None:
    x = _normal(3, 4, 5)
    over = sorted(a % 3 for a in axes) if axes else [0, 1, 2]
    shape = tuple(x.shape[a] for a in over)
    form = tuple(x.shape[i] if i in over else 1 for i in range(3))
    gamma, beta = _normal(*shape, seed=1), _normal(*shape, seed=2)
    expected = (x - x.mean(tuple(over), keepdims=True)) / np.sqrt(x.var(tuple(over), keepdims=True) + 1e-4)
    arguments: dict[str, Any] = {"epsilon": 1e-4}
    if axes is not None:
        arguments["axes"] = axes
    if affine:
        arguments |= {"gamma": Const(gamma), "beta": Const(beta)}
        expected = expected * gamma.reshape(form) + beta.reshape(form)
    np.testing.assert_allclose(run("layer_norm", x=x, **arguments), expected, rtol=1e-4, atol=1e-5)


def test_l2_and_local_response_norm() -> None:
    x = _normal(2, 5, 3, 4)
    total = (x**2).sum((1, 2, 3), keepdims=True)
    np.testing.assert_allclose(run("l2_norm", x=x, epsilon=1e-3), x / np.sqrt(total + 1e-3), rtol=1e-5)
    expected = np.empty_like(x)
    for c in range(5):
        near = (x[:, max(0, c - 1) : c + 2] ** 2).sum(1)
        expected[:, c] = x[:, c] / (1.5 + 0.2 / 3 * near) ** 0.6
    result = run("local_response_norm", x=x, size=3, alpha=0.2, beta=0.6, k=1.5)
    np.testing.assert_allclose(result, expected, rtol=1e-5)


REDUCTIONS: dict[str, Any] = {
    "reduce_sum": np.sum, "reduce_mean": np.mean, "reduce_max": np.max, "reduce_min": np.min,
    "reduce_prod": np.prod, "reduce_l1_norm": lambda x, **k: np.abs(x).sum(**k),
    "reduce_l2_norm": lambda x, **k: np.sqrt((x**2).sum(**k)),
    "reduce_sum_square": lambda x, **k: (x**2).sum(**k), "reduce_log_sum": lambda x, **k: np.log(x.sum(**k)),
    "reduce_log_sum_exp": lambda x, **k: np.log(np.exp(x).sum(**k)),
}  # fmt: skip


@given(
    st.sampled_from(sorted(REDUCTIONS)),
    st.sampled_from([None, [0], [-1], [0, 2], [1, -1], [0, 1, 2]]),
    st.booleans(),
    st.booleans(),
)
def test_reductions_match_numpy(name: str, axes: list[int] | None, keep: bool, integers: bool) -> None:
    rng = np.random.default_rng(5)
    x = (
        rng.integers(1, 4, (2, 3, 4)).astype(np.int32)
        if integers
        else rng.uniform(0.5, 2, (2, 3, 4)).astype(np.float32)
    )
    expected = REDUCTIONS[name](x, axis=tuple(axes) if axes else None, keepdims=keep)
    arguments = {} if axes is None else {"axes": axes}
    result = run(name, x=x, keep_dims=keep, **arguments)
    assert result.dtype == x.dtype
    np.testing.assert_allclose(
        result, np.reshape(np.trunc(expected) if integers else expected, result.shape), rtol=1e-5
    )


@pytest.mark.parametrize("name", ["argmax", "argmin"])
@pytest.mark.parametrize("axis", [0, 1, -1])
@pytest.mark.parametrize("keep", [True, False])
def test_arg_reductions(name: str, axis: int, keep: bool) -> None:
    x = _normal(3, 4, 5)
    result = run(f"reduce_{name}", x=x, axis=axis, keep_dims=keep)
    assert result.dtype == np.int32
    np.testing.assert_array_equal(result, getattr(np, name)(x, axis=axis, keepdims=keep))
