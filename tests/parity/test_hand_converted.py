"""Models that others converted: what a mapping may say, and whole runs on files made by plain SDK calls."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import skimage.data
import torch
from click.testing import CliRunner
from PIL import Image

from tests.small_model import cases, contract, reference
from tinysam_mobile.artifacts.executorch_sdk import quiet
from tinysam_mobile.cli import main
from tinysam_mobile.contract.backend import Arrays
from tinysam_mobile.contract.spec import PIXEL_MEAN, PIXEL_STD, Contract, Signature
from tinysam_mobile.errors import InputError, UnknownNameError
from tinysam_mobile.modeling.checkpoint import load_checkpoint
from tinysam_mobile.modeling.entry_points import contract_of, entry_points, example_inputs
from tinysam_mobile.parity import hand_converted
from tinysam_mobile.parity.hand_converted import open_hand_converted, read_mapping
from tinysam_mobile.parity.record import record_photo
from tinysam_mobile.parity.stages import Stage

ENCODE_INPUTS = ("image", "valid_size")
DECODE_INPUTS = ("image_embeddings", "point_coords", "point_labels", "mask_input", "has_mask_input")
DECODE_OUTPUTS = ("low_res_masks", "iou_predictions")


def mapping_data(runtime: str, suffix: str, *, valid_size: bool = True) -> dict[str, Any]:
    """A mapping whose names are those that litert-torch gives: args_0, …, output_0, …"""
    inputs = ENCODE_INPUTS if valid_size else ENCODE_INPUTS[:1]
    return {
        "runtime": runtime,
        "encode": {
            "file": f"encode.{suffix}",
            "inputs": {name: f"args_{i}" for i, name in enumerate(inputs)},
            "outputs": {"image_embeddings": "output_0"},
        },
        "decode": {
            "file": f"decode.{suffix}",
            "inputs": {name: f"args_{i}" for i, name in enumerate(DECODE_INPUTS)},
            "outputs": {name: f"output_{i}" for i, name in enumerate(DECODE_OUTPUTS)},
        },
    }


def write(path: Path, data: Any) -> Path:
    path.write_text(json.dumps(data))
    return path


def test_a_mapping_fills_in_what_the_sdks_call_things(tmp_path: Path) -> None:
    mapping = read_mapping(write(tmp_path / "map.json", mapping_data("executorch", "pte")))
    assert (mapping.recipe, mapping.slots) == ("fp32", 8)
    assert mapping.entry_points["encode"].function == "forward"
    assert mapping.entry_points["encode"].file == tmp_path / "encode.pte"


def changed(*path: str, value: Any) -> dict[str, Any]:
    data = mapping_data("tflite", "tflite")
    place = data
    for key in path[:-1]:
        place = place[key]
    place[path[-1]] = value
    return data


@pytest.mark.parametrize(
    ("data", "message"),
    [
        ([], "with runtime, encode and decode"),
        (changed("slots", value="8"), "Expected `int`, got `str` at `slots`"),
        (changed("encode", value={}), "missing required field `file` at `encode`"),
        (changed("decode", "layout", value="NHWC"), "unknown field `layout` at `decode`"),
        (changed("decode", "inputs", value=["a"]), "Expected `object`, got `array` at `decode.inputs`"),
        (changed("encode", "image_values", value="0-1"), "Invalid enum value '0-1' at `encode.image_values`"),
    ],
)
def test_a_wrong_mapping_is_named(tmp_path: Path, data: Any, message: str) -> None:
    with pytest.raises(InputError, match=message):
        read_mapping(write(tmp_path / "map.json", data))


def test_an_unknown_runtime_is_named(tmp_path: Path) -> None:
    with pytest.raises(UnknownNameError, match="onnx"):
        read_mapping(write(tmp_path / "map.json", mapping_data("onnx", "onnx")))


def test_a_missing_tensor_is_named(tmp_path: Path) -> None:
    data = changed("decode", "outputs", value={"low_res_masks": "output_0"})
    mapping = read_mapping(write(tmp_path / "map.json", data))
    with pytest.raises(InputError, match="decode: outputs must name low_res_masks, iou_predictions"):
        open_hand_converted(mapping, contract())


class ForeignSession:
    """The float model under other names, with a network that wants a normalised image and no size."""

    def __init__(self, signatures: Mapping[str, Signature]) -> None:
        self.signatures = signatures
        self.images: list[np.ndarray] = []

    def run(self, entry_point: str, inputs: Mapping[str, np.ndarray]) -> Arrays:
        ours = {
            spec.name: key
            for spec, key in zip(contract().signatures[entry_point].inputs, inputs, strict=False)
        }
        arrays = {name: inputs[key] for name, key in ours.items()}
        if entry_point == "encode":
            self.images.append(arrays["image"])
            mean, std = (np.array(v, np.float32)[:, None, None] for v in (PIXEL_MEAN, PIXEL_STD))
            # Undone here, since the float model normalises; zeros become the mean again.
            size = contract().image_size
            arrays = {"image": arrays["image"] * std + mean, "valid_size": np.array([size, size], np.int32)}
        answer = reference().run(entry_point, arrays)
        names = [spec.name for spec in self.signatures[entry_point].outputs]
        return dict(zip(names, answer.values(), strict=True))


def test_other_names_a_normalised_image_and_no_batch(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    data = mapping_data("tflite", "tflite", valid_size=False)
    data["encode"]["image_values"] = "normalised"
    opened: list[ForeignSession] = []

    def open_session(_path: Path, *, signatures: Mapping[str, Signature], **_: Any) -> ForeignSession:
        opened.append(ForeignSession(signatures))
        return opened[-1]

    runtime = SimpleNamespace(open_session=open_session)
    monkeypatch.setattr(hand_converted, "import_runtime", lambda _: runtime)
    mapping = read_mapping(write(tmp_path / "map.json", data))
    case = cases()[0]
    backend = open_hand_converted(mapping, contract())
    ours, theirs = record_photo(reference(), case), record_photo(backend, case)
    height = ours.photo[Stage.PREPROCESSED_IMAGE].any(axis=(0, 2)).sum()
    (image,) = opened[0].images
    assert not image[:, :, height:].any()
    assert abs(image[:, :, :height].mean()) < 3
    # Normalising and undoing it rounds a pixel to 1e-5 of 255.
    np.testing.assert_allclose(ours.photo[Stage.EMBEDDING], theirs.photo[Stage.EMBEDDING], atol=1e-4)
    for a, b in zip(ours.prompts, theirs.prompts, strict=True):
        np.testing.assert_allclose(a[Stage.PREDICTED_IOU], b[Stage.PREDICTED_IOU], atol=1e-4)


# Whole runs, which take a minute or two each.


def by_litert_torch(module: torch.nn.Module, inputs: tuple[Any, ...], path: Path) -> None:
    import litert_torch

    litert_torch.convert(module, inputs).export(str(path))


def by_executorch(module: torch.nn.Module, inputs: tuple[Any, ...], path: Path) -> None:
    with quiet():
        from executorch.exir import to_edge_transform_and_lower

        # Portable kernels: without our rewriting, XNNPACK's partitioner makes pieces that need each other.
        lowered = to_edge_transform_and_lower(torch.export.export(module, inputs))
        path.write_bytes(lowered.to_executorch().buffer)


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::FutureWarning", "ignore::UserWarning")
@pytest.mark.parametrize(
    ("runtime", "suffix", "convert"),
    [("tflite", "tflite", by_litert_torch), ("executorch", "pte", by_executorch)],
)
def test_files_of_plain_sdk_calls_pass(tmp_path: Path, runtime: str, suffix: str, convert: Any) -> None:
    model = load_checkpoint("stand-in:tiny-test").model
    sizes: Contract = contract_of(model)
    for name in ("encode", "decode"):
        entry = entry_points(model, sizes)[name]
        convert(entry.module, example_inputs(entry.signature), tmp_path / f"{name}.{suffix}")
    mapping = write(tmp_path / "by_hand.json", mapping_data(runtime, suffix))
    Image.fromarray(skimage.data.coffee()[::4, ::4]).save(tmp_path / "photo.png")
    arguments = [str(mapping), "--images", str(tmp_path / "photo.png"), "--checkpoint", "stand-in:tiny-test"]
    result = CliRunner().invoke(
        main,
        [
            "validate",
            *arguments,
            "--prompts",
            "8",
            "--everything-photos",
            "0",
            "--out",
            str(tmp_path / "out"),
        ],
        catch_exceptions=False,
    )
    assert result.exit_code == 0, result.output
    assert "converted by hand" in result.stdout
