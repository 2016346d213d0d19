"""Calling a model: inputs and outputs of every kind, and what Core ML checks of them."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

from tests.mil.builder import Program, doubled
from tinysam_mobile.errors import MilError

X = np.arange(6, dtype=np.float32).reshape(2, 3)


@pytest.mark.parametrize(
    ("data", "message"),
    [
        ({}, "missing inputs: x"), ({"x": X, "z": X}, "unknown inputs 'z'; the model's inputs are: x"),
        ({"x": X.T}, r"shape \(3 x 2\) does not match the model's \(2, 3\)"),
        ({"x": "text"}, "array of numbers"),
        ({"x": [[1, 2], [3]]}, "not an array"), (3, "a dict of inputs, or a list"),
    ],
)  # fmt: skip
def test_wrong_inputs(data: Any, message: str) -> None:
    with pytest.raises(MilError, match=message):
        doubled(X).load().predict(data)


@pytest.mark.parametrize(
    "value",
    [
        X,
        X.tolist(),
        torch.from_numpy(X),
        X.astype(np.float64),
        X.astype(np.float16),
        X.astype(np.int32),
        X[::-1][::-1],
    ],
)
def test_inputs_of_many_kinds(value: Any) -> None:
    np.testing.assert_array_equal(doubled(X).load().predict({"x": value})["y"], 2 * X)


def test_inputs_are_not_changed_and_outputs_are_the_callers_own() -> None:
    program = Program()
    program.add_input("x", X)
    program.add_op("identity", {"x": "%x"}, ("y",))
    program.returns("y")
    x = X.copy()
    result = program.load().predict({"x": x})["y"]
    result[:] = -1
    np.testing.assert_array_equal(x, X)


def test_nan_and_infinity_pass_through() -> None:
    x = np.array([[np.nan, np.inf, -np.inf], [0, 1, 2]], np.float32)
    np.testing.assert_array_equal(doubled(X).load().predict({"x": x})["y"], 2 * x)


def test_lists_of_inputs() -> None:
    results = doubled(X).load().predict([{"x": X}, {"x": -X}])
    np.testing.assert_array_equal(results[1]["y"], -2 * X)


def test_enumerated_shapes() -> None:
    program = doubled(X, shape=(None, 3))
    kind = program.spec.description.input[0].type.multiArrayType
    for rows in (2, 4):
        kind.enumeratedShapes.shapes.add().shape.extend([rows, 3])
    model = program.load()
    assert model.predict({"x": np.zeros((4, 3))})["y"].shape == (4, 3)
    with pytest.raises(
        MilError, match=r"\(3 x 3\) is not in the enumerated set of allowed shapes: \(2, 3\), \(4, 3\)"
    ):
        model.predict({"x": np.zeros((3, 3))})


def test_range_shapes() -> None:
    program = doubled(X, shape=(None, None))
    ranges = program.spec.description.input[0].type.multiArrayType.shapeRange.sizeRanges
    ranges.add(lowerBound=2, upperBound=4)
    ranges.add(lowerBound=1, upperBound=-1)
    model = program.load()
    assert model.predict({"x": np.zeros((4, 99))})["y"].shape == (4, 99)
    for shape in ((5, 1), (1, 1), (2,), (2, 1, 1)):
        with pytest.raises(MilError, match=r"not in the allowed range float32 \(2\.\.4, 1\.\.\)"):
            model.predict({"x": np.zeros(shape)})


def test_optional_inputs_have_defaults() -> None:
    program = doubled(X)
    kind = program.spec.description.input[0].type
    kind.isOptional = True
    np.testing.assert_array_equal(program.load().predict({})["y"], np.zeros((2, 3)))
    kind.multiArrayType.floatDefaultValue = 1.5
    np.testing.assert_array_equal(program.load().predict({})["y"], np.full((2, 3), 3.0))


@pytest.mark.parametrize(("color", "mode"), [(20, "RGB"), (30, "RGB"), (10, "L"), (40, "F")])
def test_image_inputs_and_outputs(color: int, mode: str) -> None:
    channels = 3 if mode == "RGB" else 1
    pixels = (
        np.random.default_rng(0).integers(0, 256, (4, 5, 3) if channels == 3 else (4, 5)).astype(np.uint8)
    )
    image = Image.fromarray(pixels.astype(np.float32) if mode == "F" else pixels)
    program = Program()
    program.add_input("image", np.zeros((1, channels, 4, 5), np.float32))
    program.add_op("identity", {"x": "%image"}, ("array",))
    program.add_op("sub", {"x": 255.0, "y": "%image"}, ("inverted",))
    program.returns("array", "inverted")
    for feature in (program.spec.description.input[0], program.spec.description.output[1]):
        feature.type.imageType.width, feature.type.imageType.height, feature.type.imageType.colorSpace = (
            5,
            4,
            color,
        )
    model = program.load()
    result = model.predict({"image": image})
    planes = pixels.transpose(2, 0, 1) if channels == 3 else pixels[None]
    np.testing.assert_array_equal(result["array"][0], planes[::-1] if color == 30 else planes)
    # coremltools' binding gives colour images an alpha channel (CoreMLPythonUtils.mm, 32BGRA to RGBA).
    shown = result["inverted"]
    assert shown.mode == ("RGBA" if mode == "RGB" else mode)
    colours = np.asarray(shown)[..., :3] if mode == "RGB" else np.asarray(shown)
    np.testing.assert_array_equal(colours, 255 - pixels.astype(np.float32))
    if mode == "RGB":
        assert (np.asarray(shown)[..., 3] == 255).all()
        with_alpha = model.predict({"image": image.convert("RGBA")})
        np.testing.assert_array_equal(with_alpha["array"], result["array"])
    with pytest.raises(MilError, match=r"must be a PIL\.Image\.Image"):
        model.predict({"image": planes})
    with pytest.raises(MilError, match="of mode"):
        model.predict({"image": Image.new("CMYK", (5, 4))})
    with pytest.raises(MilError, match="does not match"):
        model.predict({"image": image.resize((8, 8))})


def test_output_types_are_those_of_the_description() -> None:
    program = doubled(X)
    program.spec.description.output[0].type.multiArrayType.dataType = 65552
    assert program.run()[0].dtype == np.float32  # as coremltools' binding returns fp16 arrays
