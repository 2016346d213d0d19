"""Grids against PyTorch's own integers."""

from __future__ import annotations

import numpy as np
import pytest
import torch

# Registers the quantized_decomposed operations.
import torch.ao.quantization.fx._decomposed
from hypothesis import given
from hypothesis import strategies as st

from tinysam_mobile.errors import UsageError
from tinysam_mobile.quant.numerics import (
    dequantize,
    grid_of_range,
    quantize,
    quantize_weight,
    weight_scales,
)

RNG = np.random.default_rng(0)


@pytest.mark.parametrize(("low", "high"), [(-1.0, 3.0), (0.0, 6.0), (0.5, 2.0), (-4.0, -1.0), (0.0, 0.0)])
def test_affine_grid_against_torch(low: float, high: float) -> None:
    grid = grid_of_range(low, high)
    x = RNG.normal(0, 3, 1000).astype(np.float32)
    oracle = torch.ops.quantized_decomposed.quantize_per_tensor(
        torch.from_numpy(x), grid.scale, grid.zero_point, grid.q_min, grid.q_max, torch.int8
    )
    # torch multiplies by the float32 inverse: values on a boundary may fall one step away.
    steps = np.abs(quantize(x, grid) - oracle.numpy())
    assert steps.max() <= 1
    assert (steps > 0).mean() < 0.01


@given(low=st.floats(-1e4, 0), high=st.floats(0, 1e4), bits=st.sampled_from([6, 8]))
def test_a_grid_holds_zero_exactly_and_its_range_to_half_a_step(low: float, high: float, bits: int) -> None:
    grid = grid_of_range(low, high, bits=bits)
    ends = np.array([low, 0.0, high])
    back = dequantize(quantize(ends, grid), grid)
    assert back[1] == 0.0
    np.testing.assert_allclose(back, ends, atol=grid.scale * 1.01)
    assert grid.q_min <= grid.zero_point <= grid.q_max


def test_sixteen_bits_are_symmetric() -> None:
    grid = grid_of_range(-1.0, 3.0, bits=16)
    assert (grid.zero_point, grid.q_max) == (0, 32767)
    assert grid.scale == pytest.approx(3.0 / 32767)


def test_a_range_must_be_finite() -> None:
    with pytest.raises(UsageError, match="must be finite"):
        grid_of_range(float("nan"), 1.0)


def test_weights_per_channel_against_torch() -> None:
    weight = RNG.normal(0, 1, (5, 4, 3, 3)).astype(np.float32)
    scales = weight_scales(weight, 0)
    np.testing.assert_allclose(scales, np.abs(weight).reshape(5, -1).max(1) / 127, rtol=1e-6)
    oracle = torch.ops.quantized_decomposed.quantize_per_channel(
        torch.from_numpy(weight), torch.from_numpy(scales), torch.zeros(5, dtype=torch.long), 0, -127, 127,
        torch.int8,
    )  # fmt: skip
    np.testing.assert_array_equal(quantize_weight(weight, scales, 0), oracle.numpy())


def test_clip_shrinks_the_grid_and_saturates() -> None:
    weight = np.array([[1.0, -4.0], [2.0, 2.0]], np.float32)
    scales = weight_scales(weight, 0, clip=np.array([0.5, 1.0]))
    np.testing.assert_allclose(scales, np.array([2.0, 2.0]) / 127, rtol=1e-6)
    np.testing.assert_array_equal(quantize_weight(weight, scales, 0), [[64, -127], [127, 127]])


def test_one_scale_for_all() -> None:
    weight = RNG.normal(0, 1, (2, 3, 4)).astype(np.float32)
    assert weight_scales(weight, None).shape == (1,)
    assert np.abs(quantize_weight(weight, weight_scales(weight, None), None)).max() == 127
