""".mlmodelc: MIL text against the packages it was written from, and text in the forms that Core ML writes.

The text of the last tests follows what `xcrun coremlc compile` writes, as published in public repositories:
https://github.com/argmaxinc/whisperkittools and the `model.mil` files of models on Hugging Face (their
grammar only; none of their content is here).
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

from tests.mil.builder import Const, Program, ct
from tests.mil.convert import quiet
from tinysam_mobile.errors import MilError
from tinysam_mobile.mil import MilModel, load
from tinysam_mobile.mil.compiled import write_compiled
from tinysam_mobile.mil.package import open_model
from tinysam_mobile.mil.text import parse_program
from tinysam_mobile.mil.text_writer import write_program


class _Net(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.conv = nn.Conv2d(3, 8, 3, padding=1)
        self.norm = nn.LayerNorm(8)
        self.head = nn.Linear(8, 70)

    def forward(self, x: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        y = torch.relu(self.conv(x)).permute(0, 2, 3, 1)
        a, b = self.head(self.norm(y)).split([30, 40], dim=-1)
        return torch.softmax(a, -1), b.mean((1, 2))


def _converted(tmp_path: Path, target: str, precision: str, compress: str = "") -> Path:
    torch.manual_seed(0)
    path = tmp_path / "net.mlpackage"
    with quiet():
        traced = torch.jit.trace(_Net().eval(), torch.zeros(1, 3, 8, 8))
        model = ct.convert(
            traced, inputs=[ct.TensorType(name="x", shape=(1, 3, 8, 8))],
            minimum_deployment_target=getattr(ct.target, target),
            compute_precision=getattr(ct.precision, precision),
        )  # fmt: skip
        if compress:
            model = _compressed(model, compress)
        model.save(str(path))
        del model
    return path


def _compressed(model: Any, scheme: str) -> Any:
    import coremltools.optimize as cto

    if scheme == "linear":
        operation: Any = cto.coreml.OpLinearQuantizerConfig(weight_threshold=0)
        compress = cto.coreml.linear_quantize_weights
    else:
        operation = cto.coreml.OpPalettizerConfig(mode="uniform", nbits=4, weight_threshold=0)
        compress = cto.coreml.palettize_weights
    return compress(model, cto.coreml.OptimizationConfig(global_config=operation))


@pytest.mark.parametrize(
    ("target", "precision", "compress"),
    [("iOS15", "FLOAT32", ""), ("iOS17", "FLOAT16", "linear"), ("iOS18", "FLOAT16", "palette")],
)
def test_a_compiled_model_computes_what_its_package_does(
    tmp_path: Path, target: str, precision: str, compress: str
) -> None:
    package = _converted(tmp_path, target, precision, compress)
    opened = open_model(package)
    folder = tmp_path / "net.mlmodelc"
    write_compiled(opened.spec, opened.weights_dir, folder)
    compiled, original = load(folder), load(package)
    assert {n: f.describe() for n, f in compiled.inputs.items()} == {
        n: f.describe() for n, f in original.inputs.items()
    }
    x = {"x": np.random.default_rng(0).normal(size=(1, 3, 8, 8)).astype(np.float32)}
    expected, found = original.predict(x), compiled.predict(x)
    assert list(found) == list(expected)
    for name, value in expected.items():
        np.testing.assert_array_equal(found[name], value)


def test_reading_what_was_written_gives_the_same_program(tmp_path: Path) -> None:
    """Text loses nothing but docstrings: written again, it is the same."""
    program = open_model(_converted(tmp_path, "iOS18", "FLOAT16", "palette")).spec.mlProgram
    text = write_program(program)
    assert write_program(parse_program(text, "text")) == text


SCALARS_AS_TENSORS = """program(1.0)
[buildInfo = dict<tensor<string, []>, tensor<string, []>>({{"coremlc-component-MIL", "5.33"}, {"note", "a \\"b\\""}})]
{
    func main<ios16>(tensor<fp16, [1, ?]> x) [FlexibleShapeInformation = tuple<tuple<tensor<string, []>, dict<tensor<string, []>, tensor<int32, [?]>>>, tuple<tensor<string, []>, dict<tensor<string, []>, list<tensor<int32, [2]>, ?>>>>((("DefaultShapes", {{"x", [1, 3]}}), ("RangeDims", {{"x", [[1, 1], [1, 4]]}})))] {
            tensor<fp16, []> two = const()[name = tensor<string, []>("two"), val = tensor<fp16, []>(0x1p+1)];
            tensor<fp16, [1, ?]> doubled = mul(x = x, y = two)[name = tensor<string, []>("doubled")];
            tensor<int32, []> axis = const()[name = tensor<string, []>("axis"), val = tensor<int32, []>(-1)];
            tensor<bool, []> no = const()[name = tensor<string, []>("no"), val = tensor<bool, []>(false)];
            tensor<fp16, [1, ?]> joined = concat(axis = axis, interleave = no, values = (doubled, x))[name = tensor<string, []>("joined")];
        } -> (joined);
}
"""  # noqa: E501 (as long as Core ML writes them)
BARE_SCALARS = """program(1.3)
[buildInfo = dict<string, string>({{"coremlc-component-MIL", "3400.43.1"}, {"coremlc-version", "3400.58.2"}})]
{
    func main<ios18>(tensor<fp16, [1, 4]> x, state<tensor<fp16, [1, 4]>> total) {
            tensor<fp16, [1, 4]> before = read_state(input = total)[name = string("before")];
            tensor<fp16, [1, 4]> after = add(x = before, y = x)[name = string("after")];
            write_state(data = after, input = total)[name = string("written")];
            int32 axis = const()[name = string("axis"), val = int32(1)];
            tensor<int32, [2]> sizes = const()[name = string("sizes"), val = tensor<int32, [2]>([1, 3])];
            tensor<fp16, [1, 1]> head, tensor<fp16, [1, 3]> tail = split(axis = axis, split_sizes = sizes, x = after)[name = string("split")];
        } -> (head, tail);
}
"""  # noqa: E501


def _folder(tmp_path: Path, text: str) -> Path:
    folder = tmp_path / "model.mlmodelc"
    folder.mkdir()
    (folder / "model.mil").write_text(text)
    return folder


def test_text_with_scalars_as_tensors(tmp_path: Path) -> None:
    x = np.float32([[1, 2, 3]])
    (joined,) = load(_folder(tmp_path, SCALARS_AS_TENSORS)).predict({"x": x}).values()
    np.testing.assert_array_equal(joined, [[2, 4, 6, 1, 2, 3]])


def test_text_with_bare_scalars_states_and_several_results(tmp_path: Path) -> None:
    model = load(_folder(tmp_path, BARE_SCALARS))
    assert isinstance(model, MilModel)
    state = model.make_state()
    x = np.float32([[1, 2, 3, 4]])
    model.predict({"x": x}, state)
    result = model.predict({"x": x}, state)
    np.testing.assert_array_equal(result["head"], [[2]])
    np.testing.assert_array_equal(result["tail"], [[4, 6, 8]])


@pytest.mark.parametrize(
    ("dtype", "values"),
    [
        ("float16", [0.1, -2.5, np.inf]), ("float32", [0.1, 3e38, -np.inf]), ("int32", [-(2**31), 7, 0]),
        ("int8", [-128, 127, 0]), ("uint8", [255, 0, 1]), ("uint4", [15, 0, 3]),
        ("bool", [True, False, True]),
    ],
)  # fmt: skip
def test_values_of_every_type_survive_text(dtype: str, values: list[Any]) -> None:
    program = Program("ios18")
    program.add_input("x", np.zeros(3, np.float32))
    array = np.array(values, np.uint8 if dtype == "uint4" else dtype)
    program.add_op("identity", {"x": Const(array, dtype)}, ("y",), 0)
    numbers = {"float16": 10, "float32": 11, "int32": 23, "int8": 21, "uint8": 31, "uint4": 35, "bool": 1}
    tensor = program.block.operations[0].outputs[0].type.tensorType
    tensor.dataType, tensor.rank = numbers[dtype], 1
    tensor.dimensions.add().constant.size = 3
    program.returns("y")
    program.spec.mlProgram.CopyFrom(parse_program(write_program(program.spec.mlProgram), "text"))
    np.testing.assert_array_equal(program.run(precision="fp32")[0], array)


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("mul(x = x", "mul(x = z", "'z', which no operation before it makes"),
        ("ios16", "ios99", "line 4: unknown opset 'ios99'"),
        ("0x1p+1", "0x1p+", "line 5: "),
        ("tensor<fp16, []>(0x1p+1)", "tensor<fp16, [2]>(0x1p+1)", "a value of shape [2] has 1 elements"),
        ("concat(", "while_loop(", "while_loop is not read"),
        ("-> (joined);", "", "expected '->'"),
        ("[1, ?]", "[1, -7]", "a dimension cannot be -7"),
    ],
)
def test_faulty_text_is_refused_with_its_place(tmp_path: Path, old: str, new: str, message: str) -> None:
    folder = _folder(tmp_path, SCALARS_AS_TENSORS.replace(old, new, 1))
    with pytest.raises(MilError) as caught:
        load(folder)
    assert message in str(caught.value)
    assert "\n" not in str(caught.value)


def test_a_compiled_neural_network_is_refused_by_name(tmp_path: Path) -> None:
    folder = tmp_path / "old.mlmodelc"
    folder.mkdir()
    (folder / "model.espresso.net").touch()
    with pytest.raises(MilError, match="a compiled neural network"):
        load(folder)
    with pytest.raises(MilError, match=r"no model\.mil"):
        load(_empty(tmp_path))


def _empty(tmp_path: Path) -> Path:
    folder = tmp_path / "empty.mlmodelc"
    folder.mkdir()
    return folder
