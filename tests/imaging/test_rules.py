"""Rules of other families, against torch and Pillow: stretching, truncation, filters, masks at once."""

from __future__ import annotations

import json
from dataclasses import replace

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from PIL import Image

from tinysam_mobile.contract.rules import (
    SAM_RULES,
    Filter,
    PadPoint,
    PointScale,
    Resize,
    Rounding,
    Rules,
    Selection,
    Upscale,
)
from tinysam_mobile.errors import InputError
from tinysam_mobile.imaging.masks import selection_scores
from tinysam_mobile.imaging.preprocess import Geometry, preprocess
from tinysam_mobile.imaging.upscale import upscale_at, upscale_logits, upscale_masks
from tinysam_mobile.segment.prompts import make_prompt, pack_prompts

S, LOW = 128, 32
STRETCHED = Rules(resize=Resize.STRETCH, antialias=False, whole_values=False)
NANO = Rules(
    rounding=Rounding.DOWN,
    filter=Filter.BICUBIC,
    point_scale=PointScale.UNIFORM,
    pad_point=PadPoint.NEVER,
    num_masks=4,
    upscale=Upscale.AT_ONCE,
)
F32 = 1e-4
"""Absolute, of values to 255: a few roundings of float32."""


def photo(height: int, width: int) -> NDArray[np.uint8]:
    pixels: NDArray[np.uint8] = (
        np.random.RandomState(height).randint(0, 256, (height, width, 3)).astype(np.uint8)
    )
    return pixels


def floats(pixels: NDArray[np.uint8]) -> torch.Tensor:
    return torch.from_numpy(pixels.transpose(2, 0, 1).astype(np.float32))[None]


@pytest.mark.parametrize("size", [(300, 500), (90, 40), (128, 128), (1, 700)])
def test_stretching_without_antialiasing_is_that_of_torch(size: tuple[int, int]) -> None:
    ready = preprocess(photo(*size), S, STRETCHED)
    expected = F.interpolate(floats(photo(*size)), (S, S), mode="bilinear")
    np.testing.assert_allclose(ready.image, expected.numpy(), atol=F32)
    assert ready.valid_size.tolist() == [S, S]


@pytest.mark.parametrize("size", [(300, 500), (90, 40), (500, 129)])
def test_stretching_with_antialiasing_is_that_of_torch(size: tuple[int, int]) -> None:
    ready = preprocess(photo(*size), S, replace(STRETCHED, antialias=True))
    expected = F.interpolate(floats(photo(*size)), (S, S), mode="bilinear", antialias=True)
    np.testing.assert_allclose(ready.image, expected.numpy(), atol=F32)


@pytest.mark.parametrize(
    ("size", "valid"), [((534, 800), (85, 128)), ((800, 534), (128, 85)), ((7, 7), (128, 128))]
)
def test_truncated_side_and_bicubic_filter(size: tuple[int, int], valid: tuple[int, int]) -> None:
    ready = preprocess(photo(*size), S, NANO)
    assert tuple(ready.valid_size) == valid
    expected = Image.fromarray(photo(*size)).resize(valid[::-1], Image.Resampling.BICUBIC)
    inside = ready.image[0, :, : valid[0], : valid[1]]
    np.testing.assert_array_equal(inside, np.asarray(expected).transpose(2, 0, 1))


def test_points_scaled_alike_on_both_axes() -> None:
    geometry = Geometry.of((534, 800), 1024, NANO)
    np.testing.assert_allclose(geometry.to_model(np.array([[100.0, 50.0]])), [[128.0, 64.0]])
    np.testing.assert_allclose(geometry.to_original(geometry.to_model(np.array([[3.0, 4.0]]))), [[3.0, 4.0]])


def test_the_frame_of_prompts_may_be_larger_than_the_input() -> None:
    geometry = Geometry.of((534, 800), 512, Rules(frame_scale=2))
    assert geometry.valid_size == (342, 512)
    assert geometry.frame_valid_size == (684, 1024)
    np.testing.assert_allclose(geometry.to_model(np.array([800.0, 534.0])), [1024, 684])
    low = np.random.RandomState(1).standard_normal((2, 256, 256)).astype(np.float32)
    same = Geometry.of((534, 800), 1024)
    np.testing.assert_array_equal(upscale_logits(low, geometry), upscale_logits(low, same))


@pytest.mark.parametrize("kernel", list(Filter))
@pytest.mark.parametrize("size", [(60, 90), (33, 20), (200, 200)])
def test_masks_at_once_are_those_of_torch(size: tuple[int, int], kernel: Filter) -> None:
    rules = replace(NANO, upscale_filter=kernel)
    low = np.random.RandomState(2).standard_normal((3, LOW, LOW)).astype(np.float32)
    geometry = Geometry.of(size, S, rules)
    rows, columns = int(LOW * size[0] / max(size)), int(LOW * size[1] / max(size))
    part = torch.from_numpy(low[None, :, :rows, :columns])
    expected = F.interpolate(part, size, mode=str(kernel))[0].numpy()
    np.testing.assert_allclose(upscale_logits(low, geometry), expected, atol=1e-5)
    np.testing.assert_array_equal(upscale_masks(low, geometry), upscale_logits(low, geometry) > 0)
    pixels = np.array([[0, 0], [size[1] - 1, size[0] - 1], [5, 7]])
    at = upscale_at(low, geometry, pixels)
    np.testing.assert_allclose(at, expected[:, pixels[:, 1], pixels[:, 0]], atol=1e-5)


def test_stretched_masks_at_once_use_the_whole_of_the_low_resolution() -> None:
    rules = replace(STRETCHED, upscale=Upscale.AT_ONCE, upscale_filter=Filter.BICUBIC)
    low = np.random.RandomState(3).standard_normal((1, LOW, LOW)).astype(np.float32)
    expected = F.interpolate(torch.from_numpy(low[None]), (50, 170), mode="bicubic")[0].numpy()
    np.testing.assert_allclose(upscale_logits(low, Geometry.of((50, 170), S, rules)), expected, atol=1e-5)


def test_no_pad_point() -> None:
    for rules, labels in ((SAM_RULES, [1, -1, -2, -2]), (NANO, [1, -2, -2, -2])):
        geometry = Geometry.of((50, 60), S, rules)
        packed = pack_prompts([make_prompt([[1, 2]], [1])], geometry, slots=4, batch=1)
        assert packed.point_labels.tolist() == [labels]
    pack_prompts([make_prompt(4 * [[1, 2]], 4 * [1])], Geometry.of((50, 60), S, NANO), slots=4, batch=1)


def test_selection_by_stability() -> None:
    shaky = np.full((8, 8), 0.5, np.float32)
    shaky[0, 0] = 2
    steady = np.where(np.arange(64).reshape(8, 8) < 9, 3.0, -3.0).astype(np.float32)
    logits, scores = np.stack([shaky, steady, np.full_like(steady, -5)]), np.float32([0.9, 0.2, 0.5])
    assert selection_scores(logits, scores, SAM_RULES).argmax() == 0
    stability = selection_scores(logits, scores, Rules(selection=Selection.STABILITY))
    np.testing.assert_allclose(stability, [1 / 64, 1, 0])


def test_rules_survive_json_and_name_what_is_wrong() -> None:
    for rules in (SAM_RULES, STRETCHED, NANO):
        assert Rules.from_json(json.loads(json.dumps(rules.to_json()))) == rules
    good = SAM_RULES.to_json()
    wrong = {
        "resize": "crop",
        "num_masks": 9,
        "frame_scale": True,
        "pad_point": "sometimes",
        "negative_points": 1,
        "fixed_points": 65,
        "upscale_filter": "bicubic",
        "antialias": False,
    }
    for key, value in wrong.items():
        with pytest.raises(InputError, match=key.split("_filter")[0]):
            Rules.from_json({**good, key: value})
    for data in ([], {}, {**good, "more": 1}, None):
        with pytest.raises(InputError, match="keys"):
            Rules.from_json(data)
