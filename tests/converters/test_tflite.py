"""TFLite conversion: the graphs, their numbers against torch, their metadata."""

from __future__ import annotations

import json
import subprocess
import sys
import zipfile
from collections.abc import Iterator
from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from ai_edge_litert.interpreter import Interpreter
from numpy.typing import NDArray

from tinysam_mobile.artifacts.tflite_delegates import delegation
from tinysam_mobile.artifacts.tflite_graph import read_graph
from tinysam_mobile.contract.backend import Arrays
from tinysam_mobile.contract.spec import Component, Contract, Signature
from tinysam_mobile.converters import tflite
from tinysam_mobile.converters.base import ConversionRequest, ConvertedFile
from tinysam_mobile.errors import ConversionError
from tinysam_mobile.modeling.config import CONFIGS, TINYSAM
from tinysam_mobile.modeling.entry_points import EntryPoint, contract_of, entry_points
from tinysam_mobile.modeling.stand_in import stand_in_model
from tinysam_mobile.quant.recipe import RECIPES, QuantRecipe
from tinysam_mobile.simulator.tflite import TfliteSession, open_session

ENTRY_POINTS = ("encode", "decode", "decode_batch")
FILES = {"encode": "encoder.tflite", "decode": "decoder.tflite", "decode_batch": "decoder.tflite"}
ENCODER_MIN_DB, DECODER_MIN_DB = 100.0, 90.0
"""Bounds of the project for float32 against torch; other summation orders cost about 120 dB."""
FP16_MIN_DB = 50.0
"""Rounding each weight to 11 bits is noise of 2^-12 / sqrt(3), 77 dB; some fifty layers add 17 dB."""
SPARE_SLOTS_MIN_DB = 100.0
MAX_PARTITIONS = 2
"""Integer comparisons of labels and sizes stay outside XNNPACK; they may split off one small piece."""
LABEL_AND_SIZE_OPS = {
    *("SLICE", "RESHAPE", "CAST", "SELECT_V2", "EQUAL", "GREATER", "GREATER_EQUAL", "LESS", "LESS_EQUAL"),
    *("LOGICAL_AND", "LOGICAL_OR", "LOGICAL_NOT", "BROADCAST_TO"),
}
"""What may stay outside XNNPACK: the handling of labels and sizes, and the mask tokens for each prompt."""
CONTRACT = {"sizes": {"image_size": 128}, "licence": "Apache-2.0"}
EXAMPLE_SEED = 7


def sqnr_db(reference: NDArray[Any], other: NDArray[Any]) -> float:
    """Signal to error ratio, in float64."""
    signal, error = reference.astype(np.float64), reference.astype(np.float64) - other.astype(np.float64)
    return float(10 * np.log10((signal**2).sum() / max((error**2).sum(), 1e-300)))


def run_torch(entry_point: EntryPoint, inputs: Arrays) -> Arrays:
    with torch.inference_mode():
        out = entry_point.module(*(torch.from_numpy(inputs[s.name]) for s in entry_point.signature.inputs))
    outputs = out if isinstance(out, tuple) else (out,)
    return {s.name: o.numpy() for s, o in zip(entry_point.signature.outputs, outputs, strict=True)}


def make_inputs(contract: Contract, embeddings: NDArray[np.float32] | None = None) -> dict[str, Arrays]:
    """Inputs of every entry point: a noisy photo that fills three quarters, point or box prompts."""
    rng = np.random.default_rng(EXAMPLE_SEED)
    size, mask, grid = contract.image_size, contract.mask_size, contract.grid_size
    if embeddings is None:
        embeddings = rng.standard_normal((1, contract.channels, grid, grid)).astype(np.float32)
    valid = np.array([size * 3 // 4, size], np.int32)
    encode: Arrays = {
        "image": rng.uniform(0, 255, (1, 3, size, size)).astype(np.float32),
        "valid_size": valid,
    }
    inputs = {"encode": encode}
    for name, prompts in (("decode", 1), ("decode_batch", contract.batch)):
        labels = np.full((prompts, contract.slots), -2, np.int32)
        labels[::2, :3], labels[1::2, :2] = (1, 0, -1), (2, 3)
        coords = rng.uniform(0, size, (prompts, contract.slots, 2)).astype(np.float32)
        inputs[name] = {"image_embeddings": embeddings, "point_coords": coords, "point_labels": labels}
    inputs["decode"]["mask_input"] = 5 * rng.standard_normal((1, 1, mask, mask)).astype(np.float32)
    inputs["decode"]["has_mask_input"] = np.ones(1, np.float32)
    return inputs


@pytest.fixture(scope="module")
def entries() -> dict[str, EntryPoint]:
    model = stand_in_model(CONFIGS["tiny-test"])
    return entry_points(model, contract_of(model))


@pytest.fixture(scope="module")
def contract() -> Contract:
    return contract_of(stand_in_model(CONFIGS["tiny-test"]))


@pytest.fixture(scope="module")
def lowered() -> Iterator[dict[Signature, bytes]]:
    """Lower each component once for all recipes: tracing takes most of a conversion."""
    results: dict[Signature, bytes] = {}
    lower = tflite._lower

    def once(sdk: Any, parts: dict[str, EntryPoint]) -> bytes:
        key = next(iter(parts.values())).signature
        if key not in results:
            results[key] = lower(sdk, parts)
        return results[key]

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(tflite, "_lower", once)
        yield results


@pytest.fixture(scope="module")
def folders(
    entries: dict[str, EntryPoint], lowered: dict[Signature, bytes], tmp_path_factory: pytest.TempPathFactory
) -> dict[str, Path]:
    """The converted files by recipe."""
    folders = {}
    for recipe in ("fp32", "fp16"):
        folders[recipe] = tmp_path_factory.mktemp(recipe)
        files = run_convert(entries, RECIPES[recipe], folders[recipe])
        assert [file.path for file in files] == [
            folders[recipe] / n for n in ("encoder.tflite", "decoder.tflite")
        ]
    assert len(lowered) == 2
    return folders


def run_convert(entries: dict[str, EntryPoint], recipe: QuantRecipe, folder: Path) -> list[ConvertedFile]:
    return tflite.convert(
        ConversionRequest(entry_points=entries, recipe=recipe, contract=CONTRACT, folder=folder)
    )


def open_entry(folder: Path, name: str, entries: dict[str, EntryPoint]) -> TfliteSession:
    return open_session(
        folder / FILES[name],
        signatures={name: entries[name].signature},
        entry_points={name: name},
        num_threads=2,
    )


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


@pytest.mark.parametrize("name", ENTRY_POINTS)
def test_signatures_are_the_contract(
    folders: dict[str, Path], entries: dict[str, EntryPoint], name: str
) -> None:
    runner = Interpreter(model_path=str(folders["fp16"] / FILES[name])).get_signature_runner(name)
    signature = entries[name].signature
    for specs, details in (
        (signature.inputs, runner.get_input_details()),
        (signature.outputs, runner.get_output_details()),
    ):
        expected = {spec.name: (spec.shape, spec.dtype) for spec in specs}
        assert {k: (tuple(d["shape"]), np.dtype(d["dtype"]).name) for k, d in details.items()} == expected


@pytest.mark.parametrize("name", ENTRY_POINTS)
def test_float32_equals_torch(
    folders: dict[str, Path], entries: dict[str, EntryPoint], contract: Contract, name: str
) -> None:
    inputs = make_inputs(contract)[name]
    expected, actual = (
        run_torch(entries[name], inputs),
        open_entry(folders["fp32"], name, entries).run(name, inputs),
    )
    bound = ENCODER_MIN_DB if name == "encode" else DECODER_MIN_DB
    assert sorted(actual) == sorted(expected)
    for key, value in expected.items():
        assert actual[key].dtype == np.float32
        assert sqnr_db(value, actual[key]) >= bound


@pytest.mark.parametrize("name", ENTRY_POINTS)
def test_float16_weights_stay_near_torch(
    folders: dict[str, Path], entries: dict[str, EntryPoint], contract: Contract, name: str
) -> None:
    inputs = make_inputs(contract)[name]
    expected, actual = (
        run_torch(entries[name], inputs),
        open_entry(folders["fp16"], name, entries).run(name, inputs),
    )
    for key, value in expected.items():
        assert sqnr_db(value, actual[key]) >= FP16_MIN_DB


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
        for name in ("decode", "decode_batch")
    }
    own = {b: size for b, size in buffers["decode_batch"].items() if b not in buffers["decode"]}
    assert sum(own.values()) < 0.01 * sum(buffers["decode"].values())


@pytest.mark.parametrize("name", ENTRY_POINTS)
@pytest.mark.parametrize("recipe", ["fp32", "fp16"])
def test_xnnpack_takes_all_but_the_edges(folders: dict[str, Path], recipe: str, name: str) -> None:
    division = delegation(folders[recipe] / FILES[name], name)
    assert 1 <= division.partitions <= MAX_PARTITIONS
    assert set(division.outside) <= LABEL_AND_SIZE_OPS


@pytest.mark.parametrize("used", [2, 3, 8])
@pytest.mark.parametrize("name", ["decode", "decode_batch"])
def test_spare_slots_change_nothing(
    folders: dict[str, Path], entries: dict[str, EntryPoint], contract: Contract, name: str, used: int
) -> None:
    inputs = make_inputs(contract)[name]
    labels, coords = inputs["point_labels"], inputs["point_coords"]
    labels[:], labels[:, :used] = -2, np.arange(used) % 4
    coords[labels == -2] = np.nan
    exact = {**inputs, "point_coords": coords[:, :used].copy(), "point_labels": labels[:, :used].copy()}
    expected, actual = (
        run_torch(entries[name], exact),
        open_entry(folders["fp32"], name, entries).run(name, inputs),
    )
    for key, value in expected.items():
        assert sqnr_db(value, actual[key]) >= SPARE_SLOTS_MIN_DB


@pytest.mark.parametrize("recipe", ["fp32", "fp16"])
def test_padding_is_not_read(
    folders: dict[str, Path], entries: dict[str, EntryPoint], contract: Contract, recipe: str
) -> None:
    session, inputs = open_entry(folders[recipe], "encode", entries), make_inputs(contract)["encode"]
    height = inputs["valid_size"][0]
    before = session.run("encode", inputs)["image_embeddings"]
    for pad in (0.0, 255.0, np.nan, np.inf):
        image = inputs["image"].copy()
        image[:, :, height:] = pad
        after = session.run("encode", {**inputs, "image": image})["image_embeddings"]
        np.testing.assert_array_equal(after, before)


def test_mask_prompt_counts_only_with_its_flag(
    folders: dict[str, Path], entries: dict[str, EntryPoint], contract: Contract
) -> None:
    session, inputs = open_entry(folders["fp32"], "decode", entries), make_inputs(contract)["decode"]
    inputs["has_mask_input"] = np.zeros(1, np.float32)
    nan = np.full_like(inputs["mask_input"], np.nan)
    without = run_torch(entries["decode"], inputs)["low_res_masks"]
    assert (
        sqnr_db(without, session.run("decode", {**inputs, "mask_input": nan})["low_res_masks"])
        >= DECODER_MIN_DB
    )


def test_results_belong_to_the_caller(
    folders: dict[str, Path], entries: dict[str, EntryPoint], contract: Contract
) -> None:
    session, inputs = open_entry(folders["fp32"], "encode", entries), make_inputs(contract)["encode"]
    first = session.run("encode", inputs)["image_embeddings"]
    kept = first.copy()
    session.run("encode", {**inputs, "image": np.zeros_like(inputs["image"])})
    assert first.flags["C_CONTIGUOUS"]
    np.testing.assert_array_equal(first, kept)


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
def test_contract_travels_in_the_file(folders: dict[str, Path], file: str) -> None:
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
    folders: dict[str, Path], entries: dict[str, EntryPoint], tmp_path: Path
) -> None:
    # tflite-support pins a protobuf that no SDK here accepts, which the displayer does not use.
    install = [sys.executable, "-m", "pip", "install", "--quiet", "--no-deps", "--target", str(tmp_path)]
    subprocess.run([*install, "tflite-support==0.4.4", "libusb-package==1.0.30.0"], check=True)
    for file, names in (("encoder.tflite", ["encode"]), ("decoder.tflite", ["decode", "decode_batch"])):
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
    folders: dict[str, Path], entries: dict[str, EntryPoint], tmp_path: Path
) -> None:
    run_convert(entries, RECIPES["fp16"], tmp_path)
    for file in ("encoder.tflite", "decoder.tflite"):
        assert (tmp_path / file).read_bytes() == (folders["fp16"] / file).read_bytes()


def test_unknown_recipe_is_refused(entries: dict[str, EntryPoint], tmp_path: Path) -> None:
    with pytest.raises(ConversionError, match="nearest that it can is weight_only_w8"):
        run_convert(entries, RECIPES["palettized_w6"], tmp_path)


def test_a_failed_conversion_leaves_nothing(
    folders: dict[str, Path], entries: dict[str, EntryPoint], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def no_decoder(component: Component) -> bytes:
        if component is Component.DECODER:
            raise ConversionError("no decoder")
        return (folders["fp32"] / "encoder.tflite").read_bytes()

    monkeypatch.setattr(tflite, "_lower", lambda _sdk, component, _parts: no_decoder(component))
    with pytest.raises(ConversionError, match="no decoder"):
        run_convert(entries, RECIPES["fp32"], tmp_path)
    assert list(tmp_path.iterdir()) == []


@pytest.fixture(scope="module")
def official() -> tuple[Contract, dict[str, EntryPoint]]:
    model = stand_in_model(TINYSAM)
    return contract_of(model), entry_points(model, contract_of(model))


@pytest.mark.slow
@pytest.mark.usefixtures("lowered")
@pytest.mark.parametrize("recipe", ["fp32", "fp16"])
def test_official_configuration(
    official: tuple[Contract, dict[str, EntryPoint]], tmp_path: Path, recipe: str
) -> None:
    contract, entries = official
    run_convert(entries, RECIPES[recipe], tmp_path)
    encoder = make_inputs(contract)["encode"]
    inputs = make_inputs(contract, run_torch(entries["encode"], encoder)["image_embeddings"])
    for name in ENTRY_POINTS:
        bound = FP16_MIN_DB if recipe == "fp16" else ENCODER_MIN_DB if name == "encode" else DECODER_MIN_DB
        actual = open_entry(tmp_path, name, entries).run(name, inputs[name])
        for key, value in run_torch(entries[name], inputs[name]).items():
            found = sqnr_db(value, actual[key])
            print(f"{recipe} {name} {key}: {found:.1f} dB, {(tmp_path / FILES[name]).stat().st_size} bytes")
            assert found >= bound, (name, key)
