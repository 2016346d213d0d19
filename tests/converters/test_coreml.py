"""Core ML's own: image inputs, weights and metadata of the packages, their graphs and precisions."""

from __future__ import annotations

import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from tests.converters.conftest import GetConverted
from tests.converters.tester import DEPLOYMENT_TARGETS, THREADS, Converted, open_file, photo
from tinysam_mobile.artifacts.coreml_sdk import import_coremltools, quiet
from tinysam_mobile.errors import InputError
from tinysam_mobile.mil import MilModel
from tinysam_mobile.quant.recipe import RECIPES
from tinysam_mobile.simulator.coreml import op_histogram, open_session
from tinysam_mobile.version import __version__


@pytest.fixture(scope="module", params=["fp32", "fp16"])
def case(request: pytest.FixtureRequest, small: GetConverted) -> Converted:
    """The small network converted with one recipe."""
    return small("coreml", request.param)


def functions(case: Converted) -> dict[str, tuple[Path, str]]:
    """Where each entry point is: package and function."""
    return {e: (file.path, name) for file in case.files for e, name in file.entry_points.items()}


def test_image_input_gives_the_same_embedding(case: Converted) -> None:
    square, valid_size = photo(case.contract.image_size)
    (file,) = [file for file in case.files if "image_functions" in file.details]
    image = file.details["image_functions"]["encode"]
    model = MilModel.load(
        file.path, function_name=image["function"], precision=case.recipe, num_threads=THREADS
    )
    actual = model.predict({image["input"]: Image.fromarray(square), "valid_size": valid_size})
    expected = case.run("encode", case.inputs("encode"))
    np.testing.assert_array_equal(actual["image_embeddings"], expected["image_embeddings"])


def test_weights_are_stored_once_where_the_format_can(case: Converted) -> None:
    parts = {
        "encoder": case.entries["encode"].module,
        "decoder": case.entries["decode"].module.get_submodule("model.mask_decoder"),
    }
    for stem, module in parts.items():
        weights = case.file(stem).path / "Data" / "com.apple.CoreML" / "weights" / "weight.bin"
        bits = RECIPES[case.recipe].weight_bits
        stored = sum(parameter.numel() for parameter in module.parameters()) * bits // 8
        # Expanded attention biases, the positional encoding and each blob's padding come on top; the unused
        # mask token's MLP is left out.
        assert 0.9 * stored <= weights.stat().st_size <= 1.6 * stored, stem
    notes = {file.path.stem: " ".join(file.notes) for file in case.files}
    if case.recipe == "fp16":
        assert notes == {"encoder": "", "decoder": ""}
    else:
        alone = {stem for stem, note in notes.items() if "from iOS 18 on" in note}
        # Each component's first function has the plain name, every further one a package of its own.
        assert alone == set(notes) - {"encoder", "decoder"} >= {"encoder_image", "decoder_batch"}


def test_metadata(case: Converted) -> None:
    for file in case.files:
        with quiet():
            spec = import_coremltools().utils.load_spec(str(file.path))
        assert spec.specificationVersion == {"iOS16": 7, "iOS18": 9}[DEPLOYMENT_TARGETS[case.recipe]]
        metadata = spec.description.metadata
        assert metadata.license == "Apache-2.0"
        assert metadata.versionString == __version__
        assert "2312.13789" in metadata.author
        assert file.component.value in metadata.shortDescription
        assert metadata.userDefined["tinysam_mobile.recipe"] == case.recipe
        described = {f.name: f for f in spec.description.functions} or {"main": spec.description}
        for name, function in file.entry_points.items():
            signature = case.entries[name].signature
            assert [i.name for i in described[function].input] == [s.name for s in signature.inputs]
            assert [o.name for o in described[function].output] == [s.name for s in signature.outputs]
        for function in described.values():
            assert all(feature.shortDescription for feature in (*function.input, *function.output))


def test_graph_is_static_and_folded(case: Converted) -> None:
    costly = {"gather", "gather_nd", "gather_along_axis", "tile", "while_loop", "cond", "shape", "fill"}
    for package, function in functions(case).values():
        assert not costly & set(op_histogram(package, function))
        plan = MilModel.load(package, function_name=function).plan
        assert max(len(info.shape) for info in plan.values) <= 4


def test_what_fp16_keeps_in_fp32(case: Converted) -> None:
    in_fp32: dict[str, set[str]] = {}
    for name, (package, function) in functions(case).items():
        plan = MilModel.load(package, function_name=function).plan
        made = {
            (node.op_type, plan.values[node.outputs[0]].is_fp16)
            for node in plan.nodes()
            if node.op_type != "cast" and plan.values[node.outputs[0]].is_float
        }
        in_fp32[name] = {op for op, is_fp16 in made if not is_fp16}
        assert {(op, case.recipe == "fp16") for op in ("linear", "matmul", "softmax")} <= made
    if case.recipe == "fp16":
        assert in_fp32["encode"] == {"sub", "mul", "select"}
        for decoder in in_fp32.keys() - {"encode"}:
            assert in_fp32[decoder] >= {"sin", "cos", "layer_norm"}
            assert not in_fp32[decoder] & {"softmax", "gelu", "conv", "reshape", "transpose"}


def test_precision_follows_the_package_unless_named(case: Converted) -> None:
    inputs = case.inputs("encode")
    default = case.run("encode", inputs)["image_embeddings"]
    file = case.file("encoder")
    for precision in ("fp32", "fp16"):
        session = open_session(
            file.path,
            signatures={"encode": case.entries["encode"].signature},
            entry_points=file.entry_points,
            num_threads=THREADS,
            precision=precision,
        )
        named = session.run("encode", inputs)["image_embeddings"]
        assert np.array_equal(default, named) == (precision == case.recipe)


def test_a_specification_cut_off_at_its_end_is_refused(case: Converted, tmp_path: Path) -> None:
    package = tmp_path / "encoder.mlpackage"
    shutil.copytree(case.file("encoder").path, package)
    path = package / "Data/com.apple.CoreML/model.mlmodel"
    path.write_bytes(path.read_bytes()[:-500])
    with pytest.raises(InputError):
        open_file(case, replace(case.file("encoder"), path=package)).run("encode", case.inputs("encode"))
