"""Core ML: the converted packages, their numbers against torch, their metadata, and damaged packages."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from PIL import Image

from tinysam_mobile.artifacts.coreml_sdk import import_coremltools, quiet
from tinysam_mobile.contract.backend import Arrays
from tinysam_mobile.contract.spec import Contract
from tinysam_mobile.converters import coreml
from tinysam_mobile.converters.base import ConversionRequest, ConvertedFile
from tinysam_mobile.errors import (
    BundleError,
    InputError,
    MilError,
)
from tinysam_mobile.mil import MilModel
from tinysam_mobile.modeling.config import CONFIGS, TINYSAM
from tinysam_mobile.modeling.entry_points import EntryPoint, contract_of, entry_points
from tinysam_mobile.modeling.sam import TinySAM
from tinysam_mobile.modeling.stand_in import stand_in_model
from tinysam_mobile.quant.recipe import RECIPES
from tinysam_mobile.simulator.coreml import MilSession, op_histogram, open_session
from tinysam_mobile.version import __version__

FP32_MIN_DB = 90.0
"""Bound of the project; other summation orders cost about 120 dB."""
FP16_MIN_DB = 50.0
"""Each rounded tensor is noise of about 2^-12, -72 dB; some hundred of them in a row add up to 20 dB more.
The small test network averages over fewer channels than the official one, whose bound is 55 dB."""
OFFICIAL_FP16_MIN_DB = 55.0
THREADS = 2
"""Of every run here: another number sums in another order, and equal inputs then differ by rounding."""
MAX_IOU_ERROR = {"fp32": 1e-5, "fp16": 5e-3}
SPARE_SLOTS_MIN_DB = {"fp32": 100.0, "fp16": 50.0}
CASES = {"fp32": "iOS16", "fp16": "iOS18"}
"""Recipe → deployment target; the two together cover packages of one and of several functions."""
CONTRACT = {"licence": "Apache-2.0", "sizes": {"image_size": 128}, "text": "Ü"}
SEED = 5


def sqnr_db(reference: NDArray[Any], other: NDArray[Any]) -> float:
    """Signal to error ratio, in float64."""
    signal, error = reference.astype(np.float64), reference.astype(np.float64) - other.astype(np.float64)
    return float(10 * np.log10((signal**2).sum() / max((error**2).sum(), 1e-300)))


def run_torch(entry: EntryPoint, inputs: Arrays) -> Arrays:
    with torch.inference_mode():
        out = entry.module(*(torch.from_numpy(inputs[s.name]) for s in entry.signature.inputs))
    outputs = out if isinstance(out, tuple) else (out,)
    return {s.name: o.numpy() for s, o in zip(entry.signature.outputs, outputs, strict=True)}


def photo(size: int) -> tuple[NDArray[np.uint8], Arrays]:
    """A smooth photo (H, W, 3) that fills three quarters of the square, and the inputs of `encode`."""
    y, x = np.mgrid[: size * 3 // 4, :size] / size
    waves = [np.sin(2 * np.pi * (a * x + b * y)) for a, b in ((3, 1), (-2, 5), (7, 4))]
    noise = np.random.default_rng(SEED).integers(0, 20, (*x.shape, 3))
    pixels = (np.stack(waves, -1) * 100 + 108 + noise).astype(np.uint8)
    square = np.zeros((size, size, 3), np.uint8)
    square[: len(pixels)] = pixels
    image = square.transpose(2, 0, 1)[None].astype(np.float32)
    return square, {"image": image, "valid_size": np.array(pixels.shape[:2], np.int32)}


def prompts(contract: Contract, count: int) -> tuple[NDArray[np.float32], NDArray[np.int32]]:
    """Coordinates and labels: points with their pad point, boxes, boxes with a point, in turn."""
    rng = np.random.default_rng(SEED)
    coords = np.zeros((count, contract.slots, 2), np.float32)
    labels = np.full((count, contract.slots), -2, np.int32)
    for k in range(count):
        used = ((1, -1), (2, 3), (1, 2, 3), (1, 0, 1, -1))[k % 4]
        labels[k, : len(used)] = used
        corners = np.sort(rng.uniform(0, contract.image_size, (len(used), 2)), axis=0)
        coords[k, : len(used)] = np.where(np.array(used)[:, None] == -1, 0, corners)
    return coords, labels


def decode_inputs(
    contract: Contract, embeddings: NDArray[np.float32], *, has_mask: bool, prompt: int = 0
) -> Arrays:
    coords, labels = prompts(contract, prompt + 1)
    mask = np.random.default_rng(SEED).standard_normal((1, 1, contract.mask_size, contract.mask_size))
    return {
        "image_embeddings": embeddings,
        "point_coords": coords[prompt:],
        "point_labels": labels[prompt:],
        "mask_input": (5 * mask).astype(np.float32),
        "has_mask_input": np.array([has_mask], np.float32),
    }


def batch_inputs(contract: Contract, embeddings: NDArray[np.float32]) -> Arrays:
    coords, labels = prompts(contract, contract.batch)
    return {"image_embeddings": embeddings, "point_coords": coords, "point_labels": labels}


def open_all(
    files: list[ConvertedFile], entries: dict[str, EntryPoint], precision: str | None = None
) -> dict[str, MilSession]:
    """The session of each entry point."""
    sessions: dict[str, MilSession] = {}
    for file in files:
        session = open_session(
            file.path,
            signatures={name: entries[name].signature for name in file.entry_points},
            entry_points=file.entry_points,
            num_threads=THREADS,
            precision=precision,
        )
        sessions |= dict.fromkeys(file.entry_points, session)
    return sessions


def a_request(
    entries: dict[str, EntryPoint], folder: Path, recipe: str = "fp32", target: str = "iOS16"
) -> ConversionRequest:
    return ConversionRequest(
        entry_points=entries,
        recipe=RECIPES[recipe],
        contract=CONTRACT,
        folder=folder,
        deployment_target=target,
    )


@dataclass(frozen=True, kw_only=True)
class Case:
    """The test network converted with one recipe."""

    recipe: str
    contract: Contract
    entries: dict[str, EntryPoint]
    files: list[ConvertedFile]
    sessions: dict[str, MilSession]
    embeddings: NDArray[np.float32]

    @property
    def minimum_db(self) -> float:
        return FP32_MIN_DB if self.recipe == "fp32" else FP16_MIN_DB

    def file(self, stem: str) -> ConvertedFile:
        (file,) = [file for file in self.files if file.path.stem == stem]
        return file

    def functions(self) -> dict[str, tuple[Path, str]]:
        """Where each entry point is: package and function."""
        return {e: (file.path, name) for file in self.files for e, name in file.entry_points.items()}


def make_case(model: TinySAM, recipe: str, folder: Path, *, slots: int = 8, batch: int = 16) -> Case:
    contract = contract_of(model, slots=slots, batch=batch)
    entries = entry_points(model, contract)
    files = coreml.convert(a_request(entries, folder, recipe, CASES[recipe]))
    assert sorted(folder.iterdir()) == sorted(file.path for file in files)
    embeddings = run_torch(entries["encode"], photo(contract.image_size)[1])["image_embeddings"]
    return Case(
        recipe=recipe,
        contract=contract,
        entries=entries,
        files=files,
        sessions=open_all(files, entries),
        embeddings=embeddings,
    )


@pytest.fixture(scope="module", params=CASES)
def case(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Case:
    folder = tmp_path_factory.mktemp(request.param)
    return make_case(stand_in_model(CONFIGS["tiny-test"]), request.param, folder, slots=6, batch=4)


def check_parity(case: Case, entry_point: str, inputs: Arrays, minimum_db: float) -> None:
    actual = case.sessions[entry_point].run(entry_point, inputs)
    expected = run_torch(case.entries[entry_point], inputs)
    for spec in case.entries[entry_point].signature.outputs:
        assert actual[spec.name].shape == spec.shape
        assert actual[spec.name].dtype == spec.dtype
    found = {name: round(sqnr_db(value, actual[name]), 1) for name, value in expected.items()}
    print(case.recipe, entry_point, found)
    if "iou_predictions" in found:
        # Three numbers around 0 are too few for a ratio: their error is judged as such.
        error = np.abs(expected["iou_predictions"] - actual["iou_predictions"]).max()
        assert error < MAX_IOU_ERROR[case.recipe]
        del found["iou_predictions"]
    assert min(found.values()) >= minimum_db


def test_encoder_equals_torch(case: Case) -> None:
    check_parity(case, "encode", photo(case.contract.image_size)[1], case.minimum_db)


@pytest.mark.parametrize("prompt", range(4))
@pytest.mark.parametrize("has_mask", [False, True])
def test_decoder_equals_torch(case: Case, prompt: int, has_mask: bool) -> None:
    inputs = decode_inputs(case.contract, case.embeddings, has_mask=has_mask, prompt=prompt)
    check_parity(case, "decode", inputs, case.minimum_db)


def test_batch_decoder_equals_torch(case: Case) -> None:
    check_parity(case, "decode_batch", batch_inputs(case.contract, case.embeddings), case.minimum_db)


@pytest.mark.parametrize("garbage", [np.nan, 255.0])
def test_pad_bytes_do_not_matter(case: Case, garbage: float) -> None:
    inputs = photo(case.contract.image_size)[1]
    filled = inputs["image"].copy()
    filled[:, :, int(inputs["valid_size"][0]) :] = garbage
    expected = case.sessions["encode"].run("encode", inputs)
    actual = case.sessions["encode"].run("encode", inputs | {"image": filled})
    np.testing.assert_array_equal(actual["image_embeddings"], expected["image_embeddings"])


@pytest.mark.parametrize(
    ("entry_point", "has_mask"), [("decode", False), ("decode", True), ("decode_batch", False)]
)
def test_spare_slots_change_nothing(case: Case, entry_point: str, has_mask: bool) -> None:
    # A box fills two slots; torch runs without the others, the package with NaN in them.
    if entry_point == "decode":
        inputs = decode_inputs(case.contract, case.embeddings, has_mask=has_mask, prompt=1)
    else:
        inputs = batch_inputs(case.contract, case.embeddings)
        for key in ("point_coords", "point_labels"):
            inputs[key] = inputs[key][1:2].repeat(case.contract.batch, 0)
    alone = {key: value[:, :2] if key.startswith("point") else value for key, value in inputs.items()}
    coords = inputs["point_coords"].copy()
    coords[:, 2:] = np.nan
    actual = case.sessions[entry_point].run(entry_point, inputs | {"point_coords": coords})
    expected = run_torch(case.entries[entry_point], alone)
    for name in ("low_res_masks", "iou_predictions"):
        assert sqnr_db(expected[name], actual[name]) >= SPARE_SLOTS_MIN_DB[case.recipe]


def test_image_input_gives_the_same_embedding(case: Case) -> None:
    square, inputs = photo(case.contract.image_size)
    (file,) = [file for file in case.files if "image_functions" in file.details]
    image = file.details["image_functions"]["encode"]
    model = MilModel.load(
        file.path, function_name=image["function"], precision=case.recipe, num_threads=THREADS
    )
    actual = model.predict({image["input"]: Image.fromarray(square), "valid_size": inputs["valid_size"]})
    expected = case.sessions["encode"].run("encode", inputs)
    np.testing.assert_array_equal(actual["image_embeddings"], expected["image_embeddings"])


def test_weights_are_stored_once_where_the_format_can(case: Case) -> None:
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
        assert alone == {"encoder_image", "decoder_batch"}


def test_metadata(case: Case) -> None:
    for file in case.files:
        with quiet():
            spec = import_coremltools().utils.load_spec(str(file.path))
        assert spec.specificationVersion == {"iOS16": 7, "iOS18": 9}[CASES[case.recipe]]
        metadata = spec.description.metadata
        assert metadata.license == "Apache-2.0"
        assert metadata.versionString == __version__
        assert "2312.13789" in metadata.author
        assert file.component.value in metadata.shortDescription
        assert json.loads(metadata.userDefined["contract.json"]) == CONTRACT
        assert metadata.userDefined["tinysam_mobile.recipe"] == case.recipe
        described = {f.name: f for f in spec.description.functions} or {"main": spec.description}
        for name, function in file.entry_points.items():
            signature = case.entries[name].signature
            assert [i.name for i in described[function].input] == [s.name for s in signature.inputs]
            assert [o.name for o in described[function].output] == [s.name for s in signature.outputs]
        for function in described.values():
            assert all(feature.shortDescription for feature in (*function.input, *function.output))


def test_graph_is_static_and_folded(case: Case) -> None:
    costly = {"gather", "gather_nd", "gather_along_axis", "tile", "while_loop", "cond", "shape", "fill"}
    for package, function in case.functions().values():
        assert not costly & set(op_histogram(package, function))
        plan = MilModel.load(package, function_name=function).plan
        assert max(len(info.shape) for info in plan.values) <= 4


def test_what_fp16_keeps_in_fp32(case: Case) -> None:
    in_fp32: dict[str, set[str]] = {}
    for name, (package, function) in case.functions().items():
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
        for decoder in ("decode", "decode_batch"):
            assert in_fp32[decoder] >= {"sin", "cos", "layer_norm"}
            assert not in_fp32[decoder] & {"softmax", "gelu", "conv", "reshape", "transpose"}


def test_precision_follows_the_package_unless_named(case: Case) -> None:
    inputs = photo(case.contract.image_size)[1]
    default = case.sessions["encode"].run("encode", inputs)["image_embeddings"]
    for precision in ("fp32", "fp16"):
        session = open_all([case.file("encoder")], case.entries, precision)["encode"]
        named = session.run("encode", inputs)["image_embeddings"]
        assert np.array_equal(default, named) == (precision == case.recipe)


def remove_manifest(package: Path) -> None:
    (package / "Manifest.json").unlink()


def cut_weights(package: Path) -> None:
    weights = package / "Data/com.apple.CoreML/weights/weight.bin"
    weights.write_bytes(weights.read_bytes()[:1000])


def cut_specification(package: Path) -> None:
    path = package / "Data/com.apple.CoreML/model.mlmodel"
    path.write_bytes(path.read_bytes()[:-500])


def replace_specification(package: Path) -> None:
    (package / "Data/com.apple.CoreML/model.mlmodel").write_text("<html>not found</html>")


@pytest.mark.parametrize("damage", [remove_manifest, cut_weights, cut_specification, replace_specification])
def test_damaged_packages_are_refused(case: Case, damage: Callable[[Path], None], tmp_path: Path) -> None:
    package = tmp_path / "encoder.mlpackage"
    shutil.copytree(case.file("encoder").path, package)
    damage(package)
    file = replace(case.file("encoder"), path=package)
    with pytest.raises(InputError):
        open_all([file], case.entries)["encode"].run("encode", photo(case.contract.image_size)[1])


def test_packages_of_another_contract_are_refused(case: Case) -> None:
    package, function = case.functions()["decode"]
    other = replace(case.contract, slots=case.contract.slots + 1).signatures
    with pytest.raises(BundleError, match=r"decode: inputs point_coords, point_labels are not those"):
        open_session(package, signatures=other, entry_points={"decode": function})
    with pytest.raises(MilError, match="no function 'other'"):
        open_session(package, signatures=other, entry_points={"decode": "other"})


@pytest.mark.slow
def test_official_configuration(tmp_path: Path) -> None:
    case = make_case(stand_in_model(TINYSAM), "fp16", tmp_path)
    check_parity(case, "encode", photo(case.contract.image_size)[1], OFFICIAL_FP16_MIN_DB)
    for has_mask in (False, True):
        for prompt in range(4):
            inputs = decode_inputs(case.contract, case.embeddings, has_mask=has_mask, prompt=prompt)
            check_parity(case, "decode", inputs, OFFICIAL_FP16_MIN_DB)
    batch = batch_inputs(case.contract, case.embeddings)
    check_parity(case, "decode_batch", batch, OFFICIAL_FP16_MIN_DB)
