"""`mil.enable()`: coremltools' own predict, states, batches, images, pipelines, compiled models on Linux."""

from __future__ import annotations

import asyncio
import sys
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from torch import nn

from tests.mil.builder import Program, ct, doubled
from tests.mil.convert import quiet
from tinysam_mobile import mil
from tinysam_mobile.errors import MilError, UsageError
from tinysam_mobile.mil.coremltools_predictor import is_enabled

X = np.arange(6, dtype=np.float32).reshape(2, 3)


@pytest.fixture
def enabled() -> Iterator[None]:
    """Enabled for one test, without coremltools' warnings about this machine."""
    mil.enable()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        yield
    mil.disable()


class _Doubled(nn.Module):
    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return x * 2


def _converted(module: nn.Module, kind: Any = None, **options: Any) -> Any:
    with quiet():
        traced = torch.jit.trace(module.eval(), torch.zeros(1, 3, 4, 5))
        taken = kind or ct.TensorType(name="x", shape=(1, 3, 4, 5))
        target = options.pop("target", ct.target.iOS16)
        return ct.convert(traced, inputs=[taken], minimum_deployment_target=target, **options)


@pytest.mark.usefixtures("enabled")
def test_a_converted_model_predicts() -> None:
    model = _converted(_Doubled(), outputs=[ct.TensorType(name="y")])
    x = np.random.default_rng(0).normal(size=(1, 3, 4, 5)).astype(np.float32)
    half = (x.astype(np.float16) * 2).astype(np.float32)  # converted to fp16, as by default
    result = model.predict({"x": x})["y"]
    assert result.dtype == np.float32
    np.testing.assert_array_equal(result, half)
    both = model.predict([{"x": x}, {"x": -x}])
    np.testing.assert_array_equal(both[1]["y"], -half)
    assert model.last_predict_duration_in_nano_seconds > 0


@pytest.mark.usefixtures("enabled")
def test_errors_are_those_of_coremltools_and_core_ml() -> None:
    model = _converted(_Doubled())
    with pytest.raises(KeyError, match="does not match any of the model input name"):
        model.predict({"z": X})
    with pytest.raises(RuntimeError, match="does not match the model's"):
        model.predict({"x": X})
    with pytest.raises(RuntimeError, match="an array of int64, which Core ML does not take"):
        model.predict({"x": np.zeros((1, 3, 4, 5), np.int64)})
    with pytest.raises(TypeError, match="must be either a dict or list of dict"):
        model.predict(X)


@pytest.mark.usefixtures("enabled")
def test_images_go_in_as_rgb_and_come_out_as_rgba() -> None:
    kind = ct.ImageType(name="x", shape=(1, 3, 4, 5))
    model = _converted(_Doubled(), kind, outputs=[ct.ImageType(name="y")])
    pixels = np.random.default_rng(0).integers(0, 256, (4, 5, 3), dtype=np.uint8)
    result = model.predict({"x": Image.fromarray(pixels)})["y"]
    assert (result.mode, result.size) == ("RGBA", (5, 4))
    np.testing.assert_array_equal(np.asarray(result)[..., :3], np.minimum(pixels.astype(int) * 2, 255))


class _Counter(nn.Module):
    total: torch.Tensor

    def __init__(self) -> None:
        super().__init__()
        self.register_buffer("total", torch.zeros(1, 3, 4, 5))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        self.total.add_(x)
        return self.total * 1


@pytest.mark.usefixtures("enabled")
def test_states_are_made_read_and_written() -> None:
    wrapped = ct.TensorType(shape=(1, 3, 4, 5))
    model = _converted(
        _Counter(), target=ct.target.iOS18, states=[ct.StateType(wrapped_type=wrapped, name="total")]
    )
    x = np.ones((1, 3, 4, 5), np.float32)
    state = model.make_state()
    model.predict({"x": x}, state)
    (second,) = model.predict({"x": x}, state).values()
    np.testing.assert_array_equal(second, 2 * x)
    state.write_state("total", 10 * x)
    np.testing.assert_array_equal(state.read_state("total"), 10 * x)
    (third,) = model.predict({"x": x}, state).values()
    np.testing.assert_array_equal(third, 11 * x)
    with pytest.raises(RuntimeError, match="no state 'other'"):
        state.read_state("other")


@pytest.mark.usefixtures("enabled")
def test_compiled_models_and_assets(tmp_path: Path) -> None:
    model = _converted(_Doubled(), outputs=[ct.TensorType(name="y")])
    package = tmp_path / "model.mlpackage"
    model.save(str(package))
    compiled = ct.models.utils.compile_model(str(package), str(tmp_path / "model.mlmodelc"))
    x = {"x": np.ones((1, 3, 4, 5), np.float32)}
    expected = model.predict(dict(x))["y"]
    np.testing.assert_array_equal(ct.models.CompiledMLModel(compiled).predict(dict(x))["y"], expected)
    again = ct.models.CompiledMLModel(model.get_compiled_model_path())
    np.testing.assert_array_equal(again.predict(dict(x))["y"], expected)


@pytest.mark.usefixtures("enabled")
def test_the_asynchronous_wrapper_predicts(tmp_path: Path) -> None:
    from coremltools.models.ml_program.experimental.async_wrapper import MLModelAsyncWrapper

    model = _converted(_Doubled(), outputs=[ct.TensorType(name="y")])
    model.save(str(tmp_path / "model.mlpackage"))
    wrapper = MLModelAsyncWrapper.from_spec_or_path(str(tmp_path / "model.mlpackage"), weights_dir="")
    x = np.ones((1, 3, 4, 5), np.float32)
    np.testing.assert_array_equal(asyncio.run(wrapper.predict({"x": x}))["y"], 2 * x)


@pytest.mark.usefixtures("enabled")
def test_pipelines_of_programs_run() -> None:
    first = _converted(_Doubled(), outputs=[ct.TensorType(name="y")])
    second = _converted(
        _Doubled(), ct.TensorType(name="y", shape=(1, 3, 4, 5)), outputs=[ct.TensorType(name="z")]
    )
    pipeline = ct.utils.make_pipeline(first, second)
    x = np.ones((1, 3, 4, 5), np.float32)
    np.testing.assert_array_equal(pipeline.predict({"x": x})["z"], 4 * x)
    loaded = mil.load(pipeline)
    assert isinstance(loaded, mil.MilPipeline)
    np.testing.assert_array_equal(loaded.predict({"x": x})["z"], 4 * x)
    with pytest.raises(MilError, match=r"a pipeline: load it with tinysam_mobile\.mil\.load"):
        mil.MilModel.load(pipeline)


class _Scores(nn.Module):
    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return torch.softmax(x.mean((2, 3)), -1)


@pytest.mark.usefixtures("enabled")
def test_classifiers_give_a_label_and_its_probabilities() -> None:
    model = _converted(_Scores(), classifier_config=ct.ClassifierConfig(["cat", "dog", "hen"]))
    x = np.zeros((1, 3, 4, 5), np.float32)
    x[:, 1] = 2
    result = model.predict({"x": x})
    probabilities = next(value for value in result.values() if isinstance(value, dict))
    assert "dog" in result.values()
    expected = np.exp([0, 2, 0]) / np.exp([0, 2, 0]).sum()
    np.testing.assert_allclose([probabilities[n] for n in ("cat", "dog", "hen")], expected, atol=1e-3)


def test_disable_leaves_coremltools_as_it_was() -> None:
    from coremltools.models import model, utils

    before = (model._MLModelProxy, model._is_macos, utils._macos_version, ct.utils._is_macos())
    assert "coremltools.libcoremlpython" not in sys.modules
    mil.enable(precision="fp32")
    mil.enable()
    assert is_enabled()
    assert ct.utils._is_macos()
    mil.disable()
    mil.disable()
    assert not is_enabled()
    assert before == (model._MLModelProxy, model._is_macos, utils._macos_version, ct.utils._is_macos())
    assert "coremltools.libcoremlpython" not in sys.modules


def test_enable_refuses_an_unknown_precision() -> None:
    with pytest.raises(MilError, match="unknown precision 'int8'"):
        mil.enable(precision="int8")
    assert not is_enabled()


@pytest.mark.usefixtures("enabled")
def test_precision_is_chosen_when_enabling() -> None:
    mil.enable(precision="fp32")
    model = _converted(_Doubled(), outputs=[ct.TensorType(name="y")])
    x = np.full((1, 3, 4, 5), 0.1, np.float32)
    np.testing.assert_array_equal(model.predict({"x": x})["y"], 2 * x)


def test_activations_are_calibrated_by_coremltools_itself(enabled: None) -> None:  # noqa: ARG001
    """Its post-training quantization runs the model; ours gives it the ranges that `calibrate` finds."""
    import coremltools.optimize as cto

    torch.manual_seed(0)
    model = _converted(nn.Sequential(nn.Conv2d(3, 4, 3), nn.ReLU()), target=ct.target.iOS17)
    rng = np.random.default_rng(0)
    samples = [{"x": rng.normal(size=(1, 3, 4, 5)).astype(np.float32)} for _ in range(2)]
    config = cto.coreml.OptimizationConfig(
        global_config=cto.coreml.OpLinearQuantizerConfig(mode="linear_symmetric")
    )
    with quiet():
        quantized = cto.coreml.linear_quantize_activations(model, config, [dict(s) for s in samples])
    types = {operation.op_type for operation in quantized._mil_program.functions["main"].operations}
    assert {"quantize", "dequantize"} <= types


def test_ranges_of_calibrate_are_handed_to_coremltools(enabled: None) -> None:  # noqa: ARG001
    """The same scales as coremltools finds with the same samples, and others where a range is changed."""
    import coremltools.optimize as cto

    torch.manual_seed(0)
    model = _converted(nn.Sequential(nn.Conv2d(3, 4, 3), nn.ReLU()), target=ct.target.iOS17)
    rng = np.random.default_rng(0)
    # One: of several, coremltools 9 keeps the range of the last.
    samples = [{"x": rng.normal(size=(1, 3, 4, 5)).astype(np.float32)}]
    config = cto.coreml.OptimizationConfig(
        global_config=cto.coreml.OpLinearQuantizerConfig(mode="linear_symmetric")
    )
    ranges = mil.calibrate(mil.MilModel.load(model), samples)
    with quiet():
        theirs = cto.coreml.linear_quantize_activations(model, config, [dict(s) for s in samples])
        ours = mil.quantize_activations(model, config, ranges)
        wider = {name: {"rmin": -1e3, "rmax": 1e3} for name in ranges}
        other = mil.quantize_activations(model, config, wider)
    # coremltools' own stores fp16 ranges; 11 bits.
    np.testing.assert_allclose(_scales(ours), _scales(theirs), rtol=2**-10)
    assert not np.allclose(_scales(other), _scales(theirs))
    with pytest.raises(UsageError, match="no ranges"):
        mil.quantize_activations(model, config, {})


def _scales(model: Any) -> list[float]:
    ops = model._mil_program.functions["main"].find_ops(op_type="quantize")
    assert ops
    return [float(op.scale.val) for op in ops]


def test_loading_imports_no_coremltools(tmp_path: Path) -> None:
    """Its protobuf classes are read without it: 5 seconds and 270 MB less."""
    import subprocess

    path = tmp_path / "model.mlmodel"
    path.write_bytes(doubled(X).spec.SerializeToString())
    code = (
        "import sys; import tinysam_mobile.mil as mil\n"
        f"mil.load({str(path)!r}); print('coremltools' in sys.modules)\n"
        "import coremltools; from coremltools.proto import Model_pb2\n"
        "from tinysam_mobile.mil.proto import model_proto\n"
        "print(model_proto().Model is Model_pb2.Model)"
    )
    done = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", code], capture_output=True, text=True, check=True
    )
    assert done.stdout.split() == ["False", "True"]


def test_a_git_lfs_pointer_and_what_is_no_file_are_named(tmp_path: Path) -> None:
    import os

    pointer = tmp_path / "model.mlmodel"
    pointer.write_text("version https://git-lfs.github.com/spec/v1\noid sha256:0\nsize 1\n")
    with pytest.raises(MilError, match="is a git-LFS pointer, not the file itself: run `git lfs pull`"):
        mil.load(pointer)
    os.mkfifo(tmp_path / "fifo.mlmodel")
    with pytest.raises(MilError, match="is not a regular file"):
        mil.load(tmp_path / "fifo.mlmodel")


def test_the_home_folder_is_expanded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    (tmp_path / "model.mlmodel").write_bytes(doubled(X).spec.SerializeToString())
    assert "x: float32 (2, 3) -> y" in repr(mil.load("~/model.mlmodel"))


def test_bfloat16_tensors_are_taken() -> None:
    value = torch.from_numpy(X).to(torch.bfloat16)
    np.testing.assert_array_equal(doubled(X).load().predict({"x": value})["y"], 2 * X)


def test_pipelines_of_other_models_are_refused() -> None:
    spec = Program().spec
    spec.ClearField("mlProgram")
    spec.pipeline.models.add().glmRegressor.SetInParent()
    with pytest.raises(MilError, match="model 0 of this one is a glmRegressor"):
        mil.load(spec)
