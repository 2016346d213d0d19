"""Quantized activations and compressed weights of the MIL interpreter against the documented formulas."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.mil.builder import Const, run
from tinysam_mobile.mil.datatypes import unpack_bits

RNG = np.random.default_rng(0)


def _pack(values: np.ndarray, bits: int) -> np.ndarray:
    stream = ((values.reshape(-1, 1).astype(np.int64) >> np.arange(bits)) & 1).astype(np.uint8)
    return np.packbits(stream.reshape(-1), bitorder="little")


@given(
    st.sampled_from([1, 2, 3, 4, 6, 7]), st.lists(st.integers(0, 127), min_size=1, max_size=40), st.booleans()
)
def test_unpacking_inverts_packing(bits: int, numbers: list[int], signed: bool) -> None:
    values = np.array(numbers) % (1 << bits)
    if signed:
        values = values - (1 << (bits - 1))
    packed = _pack(values, bits)
    np.testing.assert_array_equal(unpack_bits(packed, bits, len(numbers), signed=signed), values)


@pytest.mark.parametrize("dtype", ["int8", "uint8"])
@pytest.mark.parametrize("axis", [None, 0, 1, -1])
@pytest.mark.parametrize("zero", [True, False])
def test_quantize_and_dequantize(dtype: str, axis: int | None, zero: bool) -> None:
    x = np.random.default_rng(1).normal(0, 30, (2, 3, 4)).astype(np.float32)
    count = 1 if axis is None else x.shape[axis]
    form = [1, 1, 1]
    if axis is not None:
        form[axis] = count
    scale = np.linspace(0.3, 0.9, count, dtype=np.float32)
    offset = (np.arange(count) * 3 + 2).astype(dtype)
    arguments: dict[str, Any] = {"scale": Const(scale if axis is not None else scale[0])}
    if axis is not None:
        arguments["axis"] = axis
    if zero:
        arguments["zero_point"] = Const(offset if axis is not None else offset[0])
    shift = offset.reshape(form).astype(np.float64) if zero else 0
    bounds = np.iinfo(dtype)
    expected = np.clip(np.round(x / scale.reshape(form)) + shift, bounds.min, bounds.max).astype(dtype)
    codes = run("quantize", input=x, output_dtype=dtype, **arguments)
    assert codes.dtype == dtype
    np.testing.assert_array_equal(codes, expected)
    back = run("dequantize", input=codes, **arguments)
    np.testing.assert_allclose(back, (expected - shift) * scale.reshape(form), rtol=1e-6)


@pytest.mark.parametrize("dtype", ["int8", "uint8"])
def test_affine_dequantize(dtype: str) -> None:
    data = RNG.integers(0, 120, (3, 4)).astype(dtype)
    scale, zero = np.array([0.5, 1, 2], np.float32), np.array([1, 2, 3], dtype)
    result = run(
        "constexpr_affine_dequantize", opset="ios16", quantized_data=Const(data), zero_point=Const(zero),
        scale=Const(scale), axis=0,
    )  # fmt: skip
    np.testing.assert_allclose(result, scale[:, None] * (data.astype(np.float32) - zero[:, None]))


@pytest.mark.parametrize("bits", [1, 2, 4, 6, 8])
def test_lut_to_dense_of_ios16(bits: int) -> None:
    lut = RNG.normal(size=1 << bits).astype(np.float32)
    indices = RNG.integers(0, 1 << bits, (3, 5)).astype(np.uint8)
    packed = indices.reshape(-1) if bits == 8 else _pack(indices, bits)
    result = run(
        "constexpr_lut_to_dense", opset="ios16", indices=Const(packed), lut=Const(lut),
        shape=Const(np.array([3, 5]), "int32"),
    )  # fmt: skip
    np.testing.assert_array_equal(result, lut[indices])


@pytest.mark.parametrize("bits", [1, 2, 3, 4, 6, 8])
@pytest.mark.parametrize("groups", [(1, 1), (2, 1), (2, 4)])
@pytest.mark.parametrize("vector", [None, 0, 1])
def test_lut_to_dense_of_ios18(bits: int, groups: tuple[int, int], vector: int | None) -> None:
    size = 1 if vector is None else 3
    lut = RNG.normal(size=(*groups, 1 << bits, size)).astype(np.float32)
    indices = RNG.integers(0, 1 << bits, (4, 8))
    shape = [4, 8]
    if vector is not None:
        shape[vector] *= size
    expected = np.empty(shape, np.float32)
    for i in range(4):
        for j in range(8):
            entry = lut[i * groups[0] // 4, j * groups[1] // 8, indices[i, j]]
            if vector == 0:
                expected[i * size : (i + 1) * size, j] = entry
            else:
                expected[i, j * size : (j + 1) * size] = entry
    arguments: dict[str, Any] = {} if vector is None else {"vector_axis": vector}
    codes = Const(indices.astype(np.uint8)) if bits == 8 else Const(indices, f"uint{bits}")
    result = run("constexpr_lut_to_dense", opset="ios18", indices=codes, lut=Const(lut), **arguments)
    np.testing.assert_array_equal(result, expected)


def test_sparse_to_dense() -> None:
    mask = RNG.random((3, 7)) < 0.4
    values = RNG.normal(size=int(mask.sum())).astype(np.float32)
    expected = np.zeros((3, 7), np.float32)
    expected[mask] = values
    packed = np.packbits(mask.reshape(-1), bitorder="little")
    old = run(
        "constexpr_sparse_to_dense", opset="ios16", nonzero_data=Const(values), mask=Const(packed),
        shape=Const(np.array([3, 7]), "int32"),
    )  # fmt: skip
    new = run(
        "constexpr_sparse_to_dense", opset="ios18", nonzero_data=Const(values), mask=Const(mask, "uint1")
    )
    np.testing.assert_array_equal(old, expected)
    np.testing.assert_array_equal(new, expected)


@pytest.mark.parametrize("dtype", ["int4", "uint4", "int8", "uint8"])
@pytest.mark.parametrize("blocks", [(1, 1), (4, 1), (2, 3), (4, 6)])
@pytest.mark.parametrize("shifted", [True, False])
def test_blockwise_shift_scale(dtype: str, blocks: tuple[int, int], shifted: bool) -> None:
    low, high = (-8, 8) if dtype == "int4" else (0, 16)
    data, offset = RNG.integers(low, high, (4, 6)), RNG.integers(low, high, blocks)
    scale = RNG.uniform(0.1, 1, blocks).astype(np.float32)
    rows, columns = 4 // blocks[0], 6 // blocks[1]
    whole = scale.repeat(rows, 0).repeat(columns, 1)
    shift = offset.repeat(rows, 0).repeat(columns, 1) if shifted else 0
    form = {"int8": np.int8, "uint8": np.uint8}.get(dtype)

    def const(values: np.ndarray) -> Const:
        return Const(values.astype(form)) if form else Const(values, dtype)

    arguments = {"offset": const(offset)} if shifted else {}
    result = run(
        "constexpr_blockwise_shift_scale", opset="ios18", data=const(data), scale=Const(scale), **arguments
    )
    np.testing.assert_allclose(result, whole * (data - shift), rtol=1e-6)


def test_sparse_blockwise_and_sparse_lut() -> None:
    """The examples of the documentation."""
    mask = np.array([[1, 1, 0, 0], [1, 1, 1, 0], [0, 0, 1, 1], [1, 1, 0, 0]])
    data = np.array([10, 11, 3, 4, 5, 6, 7, 8, 9], np.int8)
    scale, offset = np.array([[0.1, 0.2, 0.3, 0.4]], np.float32), np.array([[1, 2, 3, 4]], np.int8)
    out_mask, values = run(
        "constexpr_sparse_blockwise_shift_scale", opset="ios18", outputs=2, data_mask=Const(mask, "uint1"),
        nonzero_data=Const(data), scale=Const(scale), offset=Const(offset),
    )  # fmt: skip
    np.testing.assert_array_equal(out_mask, mask)
    np.testing.assert_allclose(values, [0.9, 1.8, 0.2, 0.4, 0.6, 0.9, 1.2, 0.7, 1.4], rtol=1e-5)
    lut = np.array([[2.0, 2.5], [3.0, 3.5]], np.float32).reshape(1, 1, 2, 2)
    small = np.array([[1, 0], [1, 1]])
    wide, entries = run(
        "constexpr_lut_to_sparse", opset="ios18", outputs=2, indices_mask=Const(small, "uint1"),
        indices_nonzero_data=Const(np.array([0, 1, 0]), "uint1"), lut=Const(lut), vector_axis=0,
    )  # fmt: skip
    np.testing.assert_array_equal(wide, [[1, 0], [1, 0], [1, 1], [1, 1]])
    np.testing.assert_array_equal(entries, [2.0, 2.5, 3.0, 2.0, 3.5, 2.5])
