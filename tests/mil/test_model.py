"""Loading and running: packages, functions, memory, traces; one clear error for what cannot run."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from tests.mil.builder import Const, Program, ct, doubled, run
from tests.mil.convert import quiet, save_converted
from tinysam_mobile.errors import MilError, UnsupportedOp, UsageError
from tinysam_mobile.mil import MilModel, calibrate, first_broken, supported_ops, trace
from tinysam_mobile.mil.table import supported_table

X = np.arange(6, dtype=np.float32).reshape(2, 3)


@pytest.fixture
def package(tmp_path: Path) -> Path:
    """A saved package with weights: linear (4, 3), fp16."""
    from coremltools.converters.mil.mil import Builder as mb  # noqa: N813

    weight = np.linspace(-1, 1, 12, dtype=np.float32).reshape(4, 3)

    @mb.program(input_specs=[mb.TensorSpec(shape=(2, 3))], opset_version=ct.target.iOS16)
    def program(x: Any) -> Any:
        return mb.linear(x=x, weight=weight, name="out")

    return save_converted(program, tmp_path / "linear.mlpackage", minimum_deployment_target=ct.target.iOS16)


def test_package_path_spec_and_mlmodel_agree(package: Path) -> None:
    expected = X @ np.linspace(-1, 1, 12, dtype=np.float32).reshape(4, 3).T
    model = ct.models.MLModel(str(package))
    for source, options in (
        (package, {}),
        (str(package), {}),
        (model, {}),
        (model.get_spec(), {"weights_dir": model.weights_dir}),
    ):
        result = MilModel.load(source, **options).predict({"x": X})["out"]
        assert result.dtype == np.float32
        # fp16 weights, of magnitude 1, and sums of three.
        np.testing.assert_allclose(result, expected, atol=3 * 5 * 2**-11)


def test_weights_are_decoded_on_first_use_and_once(package: Path) -> None:
    model = MilModel.load(package)
    assert model._bound is None
    model.predict({"x": X})
    assert model.executable() is model.executable()


def test_missing_weight_file(package: Path) -> None:
    weights = package / "Data/com.apple.CoreML/weights/weight.bin"
    weights.unlink()
    with pytest.raises(MilError, match=r"weight\.bin is missing"):
        MilModel.load(package)


@pytest.mark.parametrize("keep", [0, 10, 100, 140])
def test_truncated_weight_file(package: Path, keep: int) -> None:
    weights = package / "Data/com.apple.CoreML/weights/weight.bin"
    weights.write_bytes(weights.read_bytes()[:keep])
    with pytest.raises(MilError, match=r"truncated|cannot be read"):
        MilModel.load(package)


def test_weight_file_of_another_model(package: Path) -> None:
    weights = package / "Data/com.apple.CoreML/weights/weight.bin"
    weights.write_bytes(bytes(len(weights.read_bytes())))
    with pytest.raises(MilError, match="damaged or of another model"):
        MilModel.load(package)


def test_no_weights_folder(package: Path) -> None:
    with pytest.raises(MilError, match="no weights folder"):
        MilModel.load(ct.models.MLModel(str(package)).get_spec())


@pytest.mark.parametrize("break_it", ["Manifest.json", "Data/com.apple.CoreML/model.mlmodel"])
def test_damaged_package(package: Path, break_it: str) -> None:
    (package / break_it).write_bytes(b"\xff{")
    with pytest.raises(MilError, match=r"cannot be read|not a Core ML specification"):
        MilModel.load(package)
    (package / break_it).unlink()
    with pytest.raises(MilError, match=r"no Manifest|no specification"):
        MilModel.load(package)


def test_manifest_may_not_point_outside(package: Path) -> None:
    manifest = package / "Manifest.json"
    manifest.write_text(manifest.read_text().replace("com.apple.CoreML/model.mlmodel", "../../secret"))
    with pytest.raises(MilError, match="no specification"):
        MilModel.load(package)


@pytest.mark.parametrize("kind", ["neuralNetwork", "treeEnsembleRegressor", "glmRegressor"])
def test_other_kinds_of_model_are_refused(kind: str) -> None:
    spec = Program().spec
    spec.ClearField("mlProgram")
    getattr(spec, kind).SetInParent()
    with pytest.raises(MilError, match=f"ML Programs only, but this model is a {kind}"):
        MilModel.load(spec)


def test_paths_and_objects_that_are_no_model(tmp_path: Path) -> None:
    with pytest.raises(MilError, match="no such model"):
        MilModel.load(tmp_path / "none.mlpackage")
    with pytest.raises(MilError, match="cannot load a int"):
        MilModel.load(3)


def test_every_missing_op_is_listed_before_anything_runs() -> None:
    program = doubled(X)
    program.add_op("frobnicate", {"x": "%x"}, ("a",))
    program.add_op("slice_update", {"x": "%x"}, ("b",))
    program.add_op("frobnicate", {"x": "%x"}, ("c",))
    with pytest.raises(UnsupportedOp) as caught:
        program.load()
    assert caught.value.missing == [("frobnicate", "ios17"), ("slice_update", "ios17")]


def test_programs_that_contradict_themselves() -> None:
    program = doubled(X)
    program.add_op("add", {"x": "%nowhere", "y": 1.0}, ("z",))
    with pytest.raises(MilError, match="'nowhere', which no operation before it makes"):
        program.load()
    program = doubled(X)
    program.add_op("add", {"x": "%x", "z": 1.0}, ("z",))
    with pytest.raises(MilError, match="arguments that the interpreter does not know: z"):
        program.load()
    program = doubled(X)
    program.add_op("add", {"x": "%x"}, ("z",))
    with pytest.raises(MilError, match="lacks the arguments y"):
        program.load()
    program = doubled(X)
    program.function.opset = "CoreML99x"
    with pytest.raises(MilError, match="unknown opset"):
        program.load()


def test_an_op_that_fails_is_named() -> None:
    with pytest.raises(MilError, match=r"op 'out_0' \(matmul\) failed"):
        run("matmul", x=X, y=X)


def test_unknown_precision_and_function() -> None:
    with pytest.raises(MilError, match="unknown precision 'int8'; choose one of: declared, fp32, fp16"):
        doubled(X).load(precision="int8")
    with pytest.raises(MilError, match="no function 'other'"):
        doubled(X).load(function_name="other")


def test_multi_function_packages(tmp_path: Path) -> None:
    from coremltools.converters.mil.mil import Builder as mb  # noqa: N813
    from coremltools.models.utils import MultiFunctionDescriptor, save_multifunction

    descriptor = MultiFunctionDescriptor()
    for name, factor in (("once", 1.0), ("thrice", 3.0)):

        @mb.program(input_specs=[mb.TensorSpec(shape=(2, 3))], opset_version=ct.target.iOS18)
        def program(x: Any) -> Any:
            return mb.mul(x=x, y=np.full((2, 3), factor, np.float32), name="out")  # noqa: B023

        path = save_converted(
            program, tmp_path / f"{name}.mlpackage", minimum_deployment_target=ct.target.iOS18
        )
        descriptor.add_function(str(path), src_function_name="main", target_function_name=name)
    descriptor.default_function_name = "thrice"
    merged = tmp_path / "merged.mlpackage"
    with quiet():
        save_multifunction(descriptor, str(merged))
    for name, factor in (("once", 1), ("thrice", 3), (None, 3)):
        result = MilModel.load(merged, function_name=name).predict({"x": X})["out"]
        np.testing.assert_allclose(result, factor * X)
    with pytest.raises(MilError, match="no function 'main'; the model has: once, thrice"):
        MilModel.load(merged, function_name="main")


def test_values_are_freed_when_dead() -> None:
    """A chain of many large values holds two of them at a time."""
    program = Program()
    program.add_input("x", X)
    last = "x"
    for i in range(20):
        program.add_op("add", {"x": f"%{last}", "y": 1.0}, (f"v{i}",))
        last = f"v{i}"
    program.returns(last)
    model = program.load()
    steps = model.executable().steps
    assert all(len(step.dead) == 1 for step in steps)
    np.testing.assert_array_equal(model.predict({"x": X})[last], X + 20)


def test_constants_are_folded_once() -> None:
    program = Program()
    program.add_input("x", X)
    program.add_op("add", {"x": 1.0, "y": 2.0}, ("three",))
    program.add_op("exp", {"x": "%three"}, ("e3",))
    program.add_op("mul", {"x": "%x", "y": "%e3"}, ("y",))
    program.returns("y", "e3")
    model = program.load()
    assert [step.op_type for step in model.executable().steps] == ["mul"]
    np.testing.assert_allclose(program.run()[1], [np.exp(np.float32(3))], rtol=1e-6)


def test_threads_are_restored() -> None:
    before = torch.get_num_threads()
    doubled(X).load(num_threads=before + 1).predict({"x": X})
    assert torch.get_num_threads() == before


def test_trace_names_the_op_where_fp16_breaks() -> None:
    program = Program()
    program.add_input("x", np.array([300.0, 2.0], np.float32))
    program.add_op("mul", {"x": "%x", "y": "%x"}, ("square",))
    program.add_op("mul", {"x": "%square", "y": 1e-3}, ("small",))
    program.returns("small")
    for precision in ("fp32", "fp16"):
        rows = trace(program.load(precision=precision), program.data)
        assert [row.output for row in rows] == ["square", "small"]
        broken = first_broken(rows)
        assert broken is not None
        assert (broken.op_type, broken.output, broken.overflow_count) == ("mul", "square", 1)
    rows = trace(program.load(), {"x": np.array([np.nan, 5.0])})
    assert (rows[0].nan_count, rows[0].max_abs) == (1, 25.0)
    assert first_broken(trace(program.load(), {"x": np.array([1.0, 5.0])})) is None


def test_calibrate_gives_the_ranges_of_inputs_and_activations() -> None:
    program = Program()
    program.add_input("x", X)
    program.add_op("sub", {"x": "%x", "y": 2.0}, ("centred",))
    program.add_op("relu", {"x": "%centred"}, ("positive",))
    program.add_op("concat", {"values": ("%centred", "%positive"), "axis": 0}, ("both",))
    program.add_op("mul", {"x": "%both", "y": 2.0}, ("out",))
    program.returns("out")
    model = program.load()
    ranges = calibrate(model, [{"x": X}, {"x": X * 2}])
    assert ranges["x"] == {"rmin": 0.0, "rmax": 10.0}
    joined = {"rmin": -2.0, "rmax": 8.0}
    assert ranges["centred"] == ranges["positive"] == ranges["both"] == joined, "concat shares one range"
    assert "out" not in ranges
    narrow = calibrate(model, [{"x": X}], percentile=80.0)
    assert narrow["x"] == {"rmin": 1.0, "rmax": 4.0}
    with pytest.raises(MilError, match="at least one sample"):
        calibrate(model, [])
    with pytest.raises(UsageError, match="percentile"):
        calibrate(model, [{"x": X}], percentile=40.0)


def test_every_op_of_coremltools_is_supported() -> None:
    """All but those that no ML Program can hold: the symbolic constant and custom layers."""
    from coremltools.converters.mil.mil.ops.registry import SSAOpRegistry

    ours = supported_ops()
    lacking = []
    for name, versions in SSAOpRegistry.core_ops.items():
        opsets = {target.name.lower() for target in versions}
        lacking += [
            (name, o)
            for o in ("ios15", "ios16", "ios17", "ios18")
            if o in opsets and not ours.get(name, {}).get(o)
        ]
    assert {name for name, _ in lacking} == {"_const_symbolic"}


def test_documented_table_is_the_registrys() -> None:
    text = (Path(__file__).parents[2] / "docs/mil.md").read_text(encoding="utf-8")
    assert supported_table() in text


def test_constants_of_every_type() -> None:
    for dtype in ("float16", "float32", "int8", "uint8", "int16", "uint16", "int32", "bool"):
        values = np.array([0, 1, 1, 0], dtype)
        result = run("identity", x=Const(values))
        np.testing.assert_array_equal(result, values.astype(result.dtype))
