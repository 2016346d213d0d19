"""TFLite's own: what delegates take of the graphs, signatures, constants and metadata of the files."""

from __future__ import annotations

import json
import subprocess
import sys
import zipfile
from collections.abc import Mapping
from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from ai_edge_litert.interpreter import Interpreter

from tests.converters.conftest import GetConverted
from tests.converters.tester import CONTRACT, Converted, lowered_once, request_of
from tinysam_mobile.artifacts.tflite_delegates import delegation
from tinysam_mobile.artifacts.tflite_graph import read_graph
from tinysam_mobile.converters import tflite
from tinysam_mobile.errors import ConversionError
from tinysam_mobile.modeling.entry_points import EntryPoint

MAX_PARTITIONS = 2
"""Integer comparisons of labels and sizes stay outside XNNPACK; they may split off one small piece."""
LABEL_AND_SIZE_OPS = {
    *("SLICE", "RESHAPE", "CAST", "SELECT_V2", "EQUAL", "GREATER", "GREATER_EQUAL", "LESS", "LESS_EQUAL"),
    *("LOGICAL_AND", "LOGICAL_OR", "LOGICAL_NOT", "BROADCAST_TO"),
}
"""What may stay outside XNNPACK: the handling of labels and sizes, and the mask tokens for each prompt."""


@pytest.fixture(scope="module")
def converted(small: GetConverted) -> dict[str, Converted]:
    """The small network by recipe."""
    return {recipe: small("tflite", recipe) for recipe in ("fp32", "fp16")}


@pytest.fixture(scope="module")
def entries(converted: dict[str, Converted]) -> Mapping[str, EntryPoint]:
    return converted["fp32"].entries


@pytest.fixture(scope="module")
def folders(converted: dict[str, Converted], converters_folder: Path) -> dict[str, Path]:
    """Where the files of each recipe are."""
    for model in converted.values():
        assert [file.path.name for file in model.files] == ["encoder.tflite", "decoder.tflite"]
    # Each component was lowered once for both recipes.
    assert len(list((converters_folder / "lowered").iterdir())) == 2
    return {recipe: model.files[0].path.parent for recipe, model in converted.items()}


@pytest.mark.parametrize("recipe", ["fp32", "fp16"])
@pytest.mark.parametrize("file", ["encoder.tflite", "decoder.tflite"])
def test_graph_suits_every_delegate(folders: dict[str, Path], recipe: str, file: str) -> None:
    graph = read_graph(folders[recipe] / file)
    assert graph.max_rank <= 4
    assert graph.custom_ops == ()
    assert graph.dynamic_tensors == ()
    for subgraph in graph.subgraphs:
        assert subgraph.ops_with_computed_weights() == []
        transposed = {op.outputs[0] for op in subgraph.ops if op.name == "TRANSPOSE"}
        assert not [op for op in subgraph.ops if op.name == "BATCH_MATMUL" and op.inputs[1] in transposed]


@pytest.mark.parametrize("recipe", ["fp32", "fp16"])
def test_signatures_are_the_contract(converted: dict[str, Converted], recipe: str) -> None:
    model = converted[recipe]
    for name, signature in model.contract.signatures.items():
        interpreter = Interpreter(model_path=str(model.file_of(name).path))
        runner = interpreter.get_signature_runner(name)
        for specs, details in (
            (signature.inputs, runner.get_input_details()),
            (signature.outputs, runner.get_output_details()),
        ):
            found = {key: (tuple(d["shape"]), np.dtype(d["dtype"]).name) for key, d in details.items()}
            assert found == {spec.name: (spec.shape, spec.dtype) for spec in specs}


@pytest.mark.parametrize("file", ["encoder.tflite", "decoder.tflite"])
def test_float16_halves_the_constants(folders: dict[str, Path], file: str) -> None:
    single, half = (read_graph(folders[recipe] / file).constant_bytes for recipe in ("fp32", "fp16"))
    assert half["FLOAT16"] == (single["FLOAT32"] - half["FLOAT32"]) / 2
    # At this size small constants, which stay float32, are a tenth.
    assert half["FLOAT32"] < 0.1 * single["FLOAT32"]


@pytest.mark.parametrize("recipe", ["fp32", "fp16"])
def test_decoders_share_their_weights(folders: dict[str, Path], recipe: str) -> None:
    graph = read_graph(folders[recipe] / "decoder.tflite")
    buffers = {
        name: {t.buffer: len(t.constant) for t in graph.subgraph_of(name).tensors if t.constant is not None}
        for name in ("decode", "decode_batch", "score_batch")
    }
    first, *others = buffers.values()
    # `score_batch` multiplies weights of attention with each other at conversion: those products are its own.
    for constants, most in zip(others, (0.01, 0.3), strict=True):
        own = {b: size for b, size in constants.items() if b not in first}
        assert sum(own.values()) < most * sum(first.values())


@pytest.mark.parametrize("recipe", ["fp32", "fp16"])
def test_xnnpack_takes_all_but_the_edges(converted: dict[str, Converted], recipe: str) -> None:
    model = converted[recipe]
    for name in model.contract.signatures:
        division = delegation(model.file_of(name).path, name)
        assert 1 <= division.partitions <= MAX_PARTITIONS, name
        assert set(division.outside) <= LABEL_AND_SIZE_OPS, name


@pytest.mark.parametrize("file", ["encoder.tflite", "decoder.tflite"])
def test_constants_lie_at_multiples_of_16(folders: dict[str, Path], file: str) -> None:
    data = (folders["fp16"] / file).read_bytes()
    graph = read_graph(folders["fp16"] / file)
    found = [
        data.find(bytes(t.constant))
        for s in graph.subgraphs
        for t in s.tensors
        if t.dtype == "FLOAT16" and t.constant
    ]
    assert found
    assert all(offset > 0 and offset % 16 == 0 for offset in found)


@pytest.mark.parametrize("file", ["encoder.tflite", "decoder.tflite"])
def test_contract_is_a_zip_behind_the_graph(folders: dict[str, Path], file: str) -> None:
    path = folders["fp32"] / file
    with zipfile.ZipFile(BytesIO(path.read_bytes())) as archive:
        (entry,) = archive.infolist()
        assert (entry.filename, entry.compress_type) == ("contract.json", zipfile.ZIP_STORED)
        assert json.loads(archive.read(entry)) == CONTRACT
    assert read_graph(path).metadata["TFLITE_METADATA"][4:8] == b"M001"


READ_METADATA = """
import ctypes, json, sys
ctypes.CDLL(sys.argv[1] + "/libusb_package/libusb-1.0.so")
from tensorflow_lite_support.metadata.python.metadata import MetadataDisplayer
displayer = MetadataDisplayer.with_model_file(sys.argv[2])
contract = json.loads(displayer.get_associated_file_buffer("contract.json"))
print(json.dumps([json.loads(displayer.get_metadata_json()), contract]))
"""


@pytest.mark.slow
def test_official_displayer_reads_the_metadata(
    folders: dict[str, Path], converted: dict[str, Converted], tmp_path: Path
) -> None:
    entries = converted["fp32"].entries
    # tflite-support pins a protobuf that no SDK here accepts, which the displayer does not use.
    install = [sys.executable, "-m", "pip", "install", "--quiet", "--no-deps", "--target", str(tmp_path)]
    subprocess.run([*install, "tflite-support==0.4.4", "libusb-package==1.0.30.0"], check=True)
    for made in converted["fp32"].files:
        file, names = made.path.name, list(made.entry_points)
        command = [sys.executable, "-c", READ_METADATA, str(tmp_path), str(folders["fp32"] / file)]
        output = subprocess.run(
            command, check=True, capture_output=True, env={"PYTHONPATH": str(tmp_path)}
        ).stdout
        metadata, contract = json.loads(output)
        assert contract == CONTRACT
        assert metadata["license"] == "Apache-2.0"
        assert metadata["associated_files"][0]["name"] == "contract.json"
        assert [part["name"] for part in metadata["subgraph_metadata"]] == names
        for part in metadata["subgraph_metadata"]:
            signature = entries[part["name"]].signature
            for kind, specs in (("input", signature.inputs), ("output", signature.outputs)):
                tensors = part[f"{kind}_tensor_metadata"]
                assert [tensor["name"] for tensor in tensors] == [spec.name for spec in specs]
                assert [len(t["dimension_names"]) for t in tensors] == [len(spec.shape) for spec in specs]
                assert all(tensor["description"] for tensor in tensors)
        if file == "encoder.tflite":
            image = metadata["subgraph_metadata"][0]["input_tensor_metadata"][0]
            assert image["content"]["content_properties"]["default_size"] == {"width": 128, "height": 128}
            assert image["process_units"][0]["options"] == {"mean": [0.0], "std": [1.0]}
            assert image["stats"] == {"max": [255.0] * 3, "min": [0.0] * 3}


def test_equal_requests_give_equal_bytes(
    folders: dict[str, Path], entries: Mapping[str, EntryPoint], converters_folder: Path, tmp_path: Path
) -> None:
    with lowered_once(converters_folder / "lowered"):
        tflite.convert(request_of(entries, tmp_path, "fp16"))
    for file in ("encoder.tflite", "decoder.tflite"):
        assert (tmp_path / file).read_bytes() == (folders["fp16"] / file).read_bytes()


def test_unknown_recipe_is_refused(entries: Mapping[str, EntryPoint], tmp_path: Path) -> None:
    with pytest.raises(ConversionError, match="nearest that it can is weight_only_w8"):
        tflite.convert(request_of(entries, tmp_path, "palettized_w6"))


def test_a_failed_conversion_leaves_nothing(
    entries: Mapping[str, EntryPoint], converters_folder: Path, tmp_path: Path
) -> None:
    with lowered_once(converters_folder / "lowered"), pytest.MonkeyPatch.context() as patch:
        lower = tflite._lower

        def no_decoder(sdk: Any, parts: dict[str, EntryPoint]) -> bytes:
            if "encode" not in parts:
                raise ConversionError("no decoder")
            return lower(sdk, parts)

        patch.setattr(tflite, "_lower", no_decoder)
        with pytest.raises(ConversionError, match="no decoder"):
            tflite.convert(request_of(entries, tmp_path))
    assert list(tmp_path.iterdir()) == []
