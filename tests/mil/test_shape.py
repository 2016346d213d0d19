"""Ops of the MIL interpreter that rearrange, slice, fill, sort, gather and scatter, against numpy."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch.nn import functional

from tests.mil.builder import Const, Program, run
from tinysam_mobile.errors import MilError

X = np.arange(2 * 3 * 4, dtype=np.float32).reshape(2, 3, 4)


@pytest.mark.parametrize("dtype", ["float32", "int32", "bool", "int8", "uint8", "int16", "uint16"])
def test_data_movement_keeps_values_of_every_type(dtype: str) -> None:
    x = (X % 2 if dtype == "bool" else X).astype(dtype)
    np.testing.assert_array_equal(run("reshape", x=x, shape=[4, 6]), x.reshape(4, 6))
    np.testing.assert_array_equal(run("transpose", x=x, perm=[2, 0, 1]), x.transpose(2, 0, 1))
    np.testing.assert_array_equal(run("reverse", x=x, axes=[0, -1]), x[::-1, :, ::-1])
    np.testing.assert_array_equal(run("concat", values=(x, x), axis=1), np.concatenate([x, x], 1))
    np.testing.assert_array_equal(run("tile", x=x, reps=[2, 1, 3]), np.tile(x, (2, 1, 3)))


@pytest.mark.parametrize(
    ("opset", "shape", "expected"),
    [
        ("ios15", [-1], (24,)), ("ios15", [0, -1, 0], (2, 3, 4)), ("ios16", [3, 0, -1], (3, 3, -1)),
        ("ios17", [1, 0, -1, 0], (1, 2, 3, 4)),
        ("ios17", [0, 0, 0, 0], (1, 2, 3, 4)), ("ios18", [-1, 0], (6, 4)),
    ],
)  # fmt: skip
def test_reshape_zero_and_minus_one(opset: str, shape: list[int], expected: tuple[int, ...]) -> None:
    if -1 in expected:
        with pytest.raises(MilError, match="reshape"):
            run("reshape", opset=opset, x=X, shape=shape)
        return
    assert run("reshape", opset=opset, x=X, shape=shape).shape == expected


def test_shapes_of_small_ops() -> None:
    assert run("expand_dims", x=X, axes=[0, -1]).shape == (1, 2, 3, 4, 1)
    assert run("expand_dims", x=X, axes=[1, 3]).shape == (2, 1, 3, 1, 4)
    y = np.zeros((1, 3, 1, 2), np.float32)
    assert run("squeeze", x=y).shape == (3, 2)
    assert run("squeeze", x=y, axes=[0, 1]).shape == (3, 1, 2), "axes of another size stay, as in torch"
    assert run("flatten2d", x=X, axis=-1).shape == (6, 4)
    assert run("flatten2d", x=X, axis=0).shape == (1, 24)
    np.testing.assert_array_equal(run("shape", x=X), [2, 3, 4])
    assert run("shape", x=X).dtype == np.int32


def test_reshape_like() -> None:
    refs = (np.zeros((2, 3, 4), np.float32), np.zeros((1, 5, 4), np.float32))
    x = np.arange(2 * 3 * 5 * 4, dtype=np.float32)
    result = run(
        "reshape_like",
        x=x,
        ref_tensors=refs,
        begins=(0, 1),
        ends=(2, 0),
        end_masks=(Const(False), Const(True)),
    )
    assert result.shape == (2, 3, 5, 4)


@pytest.mark.parametrize("interleave", [True, False])
@pytest.mark.parametrize("axis", [0, 1, -1])
def test_concat_interleaves(interleave: bool, axis: int) -> None:
    y = -X
    result = run("concat", values=(X, y), axis=axis, interleave=interleave)
    if not interleave:
        np.testing.assert_array_equal(result, np.concatenate([X, y], axis))
        return
    moved = np.moveaxis(result, axis, 0)
    np.testing.assert_array_equal(moved[0::2], np.moveaxis(X, axis, 0))
    np.testing.assert_array_equal(moved[1::2], np.moveaxis(y, axis, 0))


def test_split_and_stack() -> None:
    parts = run("split", outputs=3, x=X, axis=1, split_sizes=[1, 0, 2])
    assert [p.shape for p in parts] == [(2, 1, 4), (2, 0, 4), (2, 2, 4)]
    halves = run("split", outputs=2, x=X, axis=-1, num_splits=2)
    np.testing.assert_array_equal(halves[1], X[..., 2:])
    np.testing.assert_array_equal(run("split", x=X, axis=0, num_splits=1), X)
    np.testing.assert_array_equal(run("stack", values=(X, X), axis=-1), np.stack([X, X], -1))


def _depth_to_space(x: np.ndarray, b: int) -> np.ndarray:
    n, c, h, w = x.shape
    out = np.empty((n, c // (b * b), h * b, w * b), x.dtype)
    for i in range(b):
        for j in range(b):
            first = (i * b + j) * (c // (b * b))
            out[:, :, i::b, j::b] = x[:, first : first + c // (b * b)]
    return out


def test_blocks() -> None:
    x = np.arange(2 * 8 * 4 * 6, dtype=np.float32).reshape(2, 8, 4, 6)
    deep = _depth_to_space(x, 2)
    np.testing.assert_array_equal(run("depth_to_space", x=x, block_size=2), deep)
    np.testing.assert_array_equal(run("space_to_depth", x=deep, block_size=2), x)
    shuffled = functional.pixel_shuffle(torch.from_numpy(x), 2).numpy()
    np.testing.assert_array_equal(run("pixel_shuffle", x=x, upscale_factor=2), shuffled)
    np.testing.assert_array_equal(run("pixel_unshuffle", x=shuffled, downscale_factor=2), x)


def test_space_to_batch_and_back() -> None:
    x = np.arange(2 * 3 * 3 * 6, dtype=np.float32).reshape(2, 3, 3, 6)
    batch = run("space_to_batch", x=x, block_shape=[2, 3], paddings=[[0, 1], [0, 0]])
    padded = np.pad(x, [(0, 0), (0, 0), (0, 1), (0, 0)])
    expected = np.concatenate([padded[:, :, i::2, j::3] for i in range(2) for j in range(3)])
    np.testing.assert_array_equal(batch, expected)
    np.testing.assert_array_equal(
        run("batch_to_space", x=batch, block_shape=[2, 3], crops=[[0, 1], [0, 0]]), x
    )


def test_windows_and_crop() -> None:
    view = np.lib.stride_tricks.sliding_window_view(X, 2, 1)[:, ::1]
    result = run("sliding_windows", x=X, axis=1, size=2, stride=1)
    np.testing.assert_array_equal(result, np.moveaxis(view, -1, 2))
    y = np.arange(2 * 5 * 6, dtype=np.float32).reshape(1, 2, 5, 6)
    np.testing.assert_array_equal(run("crop", x=y, crop_height=[1, 2], crop_width=[0, 3]), y[:, :, 1:3, 0:3])


@pytest.mark.parametrize(("seq_axis", "batch_axis"), [(0, 1), (1, 0), (2, 0), (1, 2)])
def test_reverse_sequence(seq_axis: int, batch_axis: int) -> None:
    lengths = np.array([1, 3, 0, 2][: X.shape[batch_axis]], np.int32) % (X.shape[seq_axis] + 1)
    expected = X.copy()
    for i, length in enumerate(lengths):
        part = np.moveaxis(expected, (batch_axis, seq_axis), (0, 1))
        part[i, :length] = part[i, :length][::-1].copy()
    result = run("reverse_sequence", x=X, lengths=lengths, seq_axis=seq_axis, batch_axis=batch_axis)
    np.testing.assert_array_equal(result, expected)


SLICE = st.tuples(
    st.integers(-5, 5), st.integers(-5, 5), st.sampled_from([1, 2, 3, -1, -2]), st.booleans(), st.booleans()
)


@given(st.lists(SLICE, min_size=2, max_size=2), st.booleans(), st.booleans())
def test_slice_by_index_is_numpys(parts: list[Any], squeeze: bool, dynamic: bool) -> None:
    x = np.arange(20, dtype=np.float32).reshape(4, 5)
    index: list[Any] = [slice(None if bm else b, None if em else e, s) for b, e, s, bm, em in parts]
    begin = [p[0] for p in parts]
    if squeeze:
        begin[0] %= 4
        index[0] = 0 if parts[0][3] else begin[0]
    ends: Any = [p[1] for p in parts]
    result = run(
        "slice_by_index", x=x, stride=[p[2] for p in parts], begin_mask=[p[3] for p in parts],
        begin=np.array(begin, np.int32) if dynamic else begin,
        end=np.array(ends, np.int32) if dynamic else ends,
        end_mask=[p[4] for p in parts], squeeze_mask=[squeeze, False],
    )  # fmt: skip
    np.testing.assert_array_equal(result, x[tuple(index)])


@given(st.lists(SLICE, min_size=2, max_size=2))
def test_slice_update_is_numpys(parts: list[Any]) -> None:
    x = np.arange(20, dtype=np.float32).reshape(4, 5)
    index = tuple(slice(None if bm else b, None if em else e, s) for b, e, s, bm, em in parts)
    update = -np.arange(1, x[index].size + 1, dtype=np.float32).reshape(x[index].shape)
    expected = x.copy()
    expected[index] = update
    result = run(
        "slice_update", opset="ios18", x=x, update=update, begin=[p[0] for p in parts],
        end=[p[1] for p in parts], stride=[p[2] for p in parts],
        begin_mask=[p[3] for p in parts], end_mask=[p[4] for p in parts],
    )  # fmt: skip
    np.testing.assert_array_equal(result, expected)


def test_slice_by_size() -> None:
    np.testing.assert_array_equal(run("slice_by_size", x=X, begin=[0, 1, -2], size=[1, -1, 2]), X[:1, 1:, 2:])


@pytest.mark.parametrize("mode", ["constant", "reflect", "replicate"])
@pytest.mark.parametrize("pad", [[0, 0, 1, 2], [1, 0, 2, 1, 0, 2], [1, 1]])
def test_pad(mode: str, pad: list[int]) -> None:
    if mode == "reflect" and len(pad) == 6:
        pad = [1, 0, 2, 1, 0, 2]
    pairs = [(0, 0)] * (3 - len(pad) // 2) + list(zip(pad[::2], pad[1::2], strict=True))
    kinds: dict[str, Any] = {
        "constant": {"mode": "constant", "constant_values": 1.5},
        "reflect": {"mode": "reflect"},
        "replicate": {"mode": "edge"},
    }
    result = run("pad", x=X, pad=pad, mode=mode, constant_val=1.5)
    np.testing.assert_array_equal(result, np.pad(X, pairs, **kinds[mode]))


def test_fills_and_ranges() -> None:
    filled = run("fill", shape=np.array([2, 3], np.int32), value=Const(np.int32(7)))
    np.testing.assert_array_equal(filled, np.full((2, 3), 7, np.int32))
    assert filled.dtype == np.int32
    np.testing.assert_array_equal(run("fill_like", ref_tensor=X, value=2.5), np.full(X.shape, 2.5))
    np.testing.assert_array_equal(
        run("range_1d", start=Const(np.int32(2)), end=Const(np.int32(11)), step=Const(np.int32(3))), [2, 5, 8]
    )
    np.testing.assert_allclose(run("range_1d", start=1.0, end=2.0, step=0.3), np.arange(1, 2, 0.3), rtol=1e-6)
    np.testing.assert_array_equal(
        run("range_1d", start=Const(np.int32(3)), end=Const(np.int32(0)), step=Const(np.int32(-1))), [3, 2, 1]
    )


def test_band_one_hot_and_non_zero() -> None:
    np.testing.assert_array_equal(run("band_part", x=X, lower=0, upper=-1), np.triu(X))
    np.testing.assert_array_equal(run("band_part", x=X, lower=1, upper=0), np.tril(np.triu(X, -1)))
    indices = np.array([[1, 0], [3, -1]], np.int32)
    expected = (indices[..., None] == np.arange(3)).astype(np.int32) * 4 + 1
    result = run("one_hot", indices=indices, one_hot_vector_size=3, on_value=5, off_value=1)
    np.testing.assert_array_equal(result, expected)
    np.testing.assert_array_equal(
        run("one_hot", indices=indices, one_hot_vector_size=3, axis=0, on_value=5, off_value=1),
        expected.transpose(2, 0, 1),
    )
    np.testing.assert_array_equal(run("non_zero", x=X % 5), np.argwhere(X % 5))


@pytest.mark.parametrize("axis", [0, 1, -1])
@pytest.mark.parametrize("exclusive", [True, False])
@pytest.mark.parametrize("reverse", [True, False])
@pytest.mark.parametrize("dtype", ["float32", "int32"])
def test_cumsum(axis: int, exclusive: bool, reverse: bool, dtype: str) -> None:
    x = X.astype(dtype)
    data = np.flip(x, axis) if reverse else x
    total = np.cumsum(data, axis) - (data if exclusive else 0)
    expected = np.flip(total, axis) if reverse else total
    np.testing.assert_allclose(run("cumsum", x=x, axis=axis, exclusive=exclusive, reverse=reverse), expected)


@pytest.mark.parametrize("ascending", [True, False])
@pytest.mark.parametrize("axis", [0, 1, -1])
def test_sorting(ascending: bool, axis: int) -> None:
    x = np.random.default_rng(0).permutation(24).astype(np.float32).reshape(2, 3, 4)
    order = np.argsort(x if ascending else -x, axis)
    np.testing.assert_array_equal(run("argsort", x=x, axis=axis, ascending=ascending), order)
    values, indices = run("topk", outputs=2, x=x, k=2, axis=axis, ascending=ascending)
    np.testing.assert_array_equal(indices, np.take(order, range(2), axis))
    np.testing.assert_array_equal(values, np.take_along_axis(x, indices.astype(np.int64), axis))
    alone = run("topk", x=x, k=-1, axis=axis, ascending=ascending, return_indices=False)
    np.testing.assert_array_equal(alone, np.take_along_axis(x, order, axis))


@pytest.mark.parametrize("opset", ["ios15", "ios16", "ios17", "ios18"])
@pytest.mark.parametrize(
    "indices", [np.int32(2), np.array([1, 0, 1], np.int32), np.array([[0], [1]], np.int32)]
)
@pytest.mark.parametrize("axis", [0, 1, -1])
def test_gather(opset: str, indices: Any, axis: int) -> None:
    index = np.minimum(indices, X.shape[axis] - 1).astype(np.int32)
    result = run("gather", opset=opset, x=X, indices=Const(index), axis=axis)
    np.testing.assert_array_equal(result, np.take(X, index, axis))


def test_gather_batch_dims() -> None:
    indices = np.array([[0, 2, 1], [3, 3, 0]], np.int32)
    result = run("gather", x=X, indices=indices, axis=2, batch_dims=1)
    expected = np.stack([X[b][:, indices[b]] for b in range(2)])
    np.testing.assert_array_equal(result, expected)
    nested = run("gather_nd", x=X, indices=indices[:, :, None] % 3, batch_dims=1)
    np.testing.assert_array_equal(nested, np.stack([X[b][indices[b] % 3] for b in range(2)]))


def test_gather_nd_and_along_axis() -> None:
    indices = np.array([[0, 2], [1, 0]], np.int32)
    np.testing.assert_array_equal(run("gather_nd", x=X, indices=indices), X[[0, 1], [2, 0]])
    along = np.random.default_rng(0).integers(0, 3, (2, 5, 4)).astype(np.int32)
    result = run("gather_along_axis", x=X, indices=along, axis=1)
    np.testing.assert_array_equal(result, np.take_along_axis(X, along.astype(np.int64), 1))


def test_negative_and_outside_indices_by_opset() -> None:
    np.testing.assert_array_equal(
        run("gather", opset="ios15", x=X, indices=np.array([-1], np.int32), axis=2), X[..., -1:]
    )
    with pytest.raises(MilError, match="out of bounds"):
        run("gather", opset="ios16", x=X, indices=np.array([4], np.int32), axis=2)
    for index in (-1, 4):
        with pytest.raises(MilError, match="out of bounds"):
            run("gather", x=X, indices=np.array([index], np.int32), axis=2, validate_indices=True)
        assert run(
            "gather", x=X, indices=np.array([index], np.int32), axis=2, validate_indices=False
        ).shape == (2, 3, 1)
    updates = np.ones((1, 3, 4), np.float32)
    kept = run("scatter", data=X, indices=np.array([9], np.int32), updates=updates, validate_indices=False)
    np.testing.assert_array_equal(kept, X)


UFUNCS: dict[str, Any] = {
    "add": np.add, "sub": np.subtract, "mul": np.multiply, "div": np.divide, "max": np.maximum,
    "min": np.minimum,
}  # fmt: skip


@pytest.mark.parametrize("mode", ["update", *UFUNCS])
@pytest.mark.parametrize("opset", ["ios15", "ios17"])
def test_scatters_apply_updates_one_after_another(mode: str, opset: str) -> None:
    rng = np.random.default_rng(0)
    data = rng.uniform(1, 2, (4, 3)).astype(np.float32)
    indices = np.array([2, 0, 2] if mode != "update" else [2, 0, 3], np.int32)
    updates = rng.uniform(1, 2, (3, 3)).astype(np.float32)
    expected = data.copy()
    if mode == "update":
        expected[indices] = updates
    else:
        UFUNCS[mode].at(expected, indices, updates)
    options: dict[str, Any] = {"opset": opset, "data": data, "updates": updates, "mode": mode}
    np.testing.assert_allclose(run("scatter", indices=indices, axis=0, **options), expected, rtol=1e-6)
    np.testing.assert_allclose(run("scatter_nd", indices=indices[:, None], **options), expected, rtol=1e-6)
    wide = np.broadcast_to(indices[:, None], (3, 3)).copy()
    np.testing.assert_allclose(
        run("scatter_along_axis", indices=wide, axis=0, **options), expected, rtol=1e-6
    )


def test_scatter_along_another_axis() -> None:
    indices, updates = np.array([2, 0], np.int32), np.ones((2, 2, 4), np.float32)
    expected = X.copy()
    expected[:, [2, 0]] += 1
    np.testing.assert_array_equal(run("scatter", data=X, indices=indices, updates=updates, axis=1), expected)


def _iou(a: np.ndarray, b: np.ndarray) -> float:
    low = np.maximum(a[:2] - a[2:] / 2, b[:2] - b[2:] / 2)
    high = np.minimum(a[:2] + a[2:] / 2, b[:2] + b[2:] / 2)
    common = np.prod(np.maximum(high - low, 0))
    return float(common / (a[2] * a[3] + b[2] * b[3] - common))


@pytest.mark.parametrize("opset", ["ios15", "ios17"])
def test_non_maximum_suppression(opset: str) -> None:
    rng = np.random.default_rng(3)
    boxes = np.concatenate([rng.uniform(0, 6, (1, 20, 2)), rng.uniform(1, 3, (1, 20, 2))], -1).astype(
        np.float32
    )
    scores = rng.permutation(20).reshape(1, 20, 1).astype(np.float32)
    kept: list[int] = []
    for i in np.argsort(-scores[0, :, 0]):
        if scores[0, i, 0] > 2 and all(_iou(boxes[0, i], boxes[0, j]) <= 0.3 for j in kept):
            kept.append(int(i))
    kept = kept[:6]
    if opset == "ios15":
        out = run(
            "non_maximum_suppression", opset=opset, outputs=4, boxes=boxes, scores=scores, iou_threshold=0.3,
            score_threshold=2.0, max_boxes=6,
        )  # fmt: skip
        assert out[3].tolist() == [len(kept)]
    else:
        out = run(
            "non_maximum_suppression", outputs=3, boxes=boxes.transpose(0, 2, 1).copy(),
            scores=scores.transpose(0, 2, 1).copy(), iou_threshold=0.3, max_boxes=6,
        )  # fmt: skip
        out = (out[0].transpose(0, 2, 1), out[1].transpose(0, 2, 1), out[2])
    assert out[2][0, : len(kept)].tolist() == kept
    np.testing.assert_array_equal(out[0][0, : len(kept)], boxes[0, kept])
    np.testing.assert_array_equal(out[1][0, : len(kept)], scores[0, kept])


def test_dynamic_shapes_are_computed() -> None:
    """reshape(x, concat(gather(shape(x)), -1)): how converters flatten an unknown batch."""
    program = Program()
    program.add_input("x", X)
    program.add_op("shape", {"x": "%x"}, ("s",), 23)
    program.add_op("gather", {"x": "%s", "indices": Const(np.array([0], np.int32)), "axis": 0}, ("n",), 23)
    program.add_op("concat", {"values": ("%n", Const(np.array([-1], np.int32))), "axis": 0}, ("target",), 23)
    program.add_op("reshape", {"x": "%x", "shape": "%target"}, ("y",))
    program.returns("y")
    np.testing.assert_array_equal(program.run()[0], X.reshape(2, -1))
