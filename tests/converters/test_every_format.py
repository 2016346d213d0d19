"""What holds for the files of every format: torch's numbers, the contract's rules, damaged files refused."""

from __future__ import annotations

import json
import shutil
import zipfile
from collections.abc import Callable
from dataclasses import replace
from io import BytesIO
from pathlib import Path

import numpy as np
import pytest

from tests.converters.conftest import GetConverted
from tests.converters.tester import (
    BOUNDS,
    CONTRACT,
    FULL_PROMPT,
    OFFICIAL_BOUNDS,
    SLOTS,
    TINY,
    Converted,
    calls_of,
    check_equal,
    check_equals_torch,
    check_nearness,
    check_padding,
    check_spare_slots,
    convert_small,
    open_file,
)
from tinysam_mobile.artifacts.coreml_sdk import import_coremltools, quiet
from tinysam_mobile.artifacts.formats import FORMATS
from tinysam_mobile.contract.spec import Component, Contract, Signature
from tinysam_mobile.errors import BundleError, InputError
from tinysam_mobile.modeling.entry_points import contract_of
from tinysam_mobile.modeling.stand_in import stand_in_model
from tinysam_mobile.simulator.executorch import read_contract_json

SLOW = {("executorch", "fp16")}
FILES_SPARE_MIN_DB = 50.0
"""DESIGN.md, for fp16: a file of more slots against a file that has none to spare."""
OTHER_CONTRACT = {
    "coreml": "are not those of the contract",
    "tflite": "; the contract has ",
    "executorch": "the contract says",
}
OTHER_FUNCTION = {
    "coreml": "no function 'other'",
    "tflite": r"no signature 'other' \(it has: ",
    "executorch": "no method 'other', only contract_json, ",
}
"""Format → the refusal's words."""
DEBUG_FILE = "executorch_debug_handle_mapping.json"
"""coremltools puts it into packages; no runtime reads it."""
MOST_COPIES = 2.5
"""Three entry points of one file that shared nothing would hold three copies."""
SMALL_CONTRACT = contract_of(stand_in_model(TINY), slots=SLOTS)
SIGNATURES = SMALL_CONTRACT.signatures
CALLS = calls_of(SMALL_CONTRACT)
DECODERS = [name for name, s in SIGNATURES.items() if s.component is Component.DECODER]
DECODER_CALLS = sorted({(name, has_mask) for name, _, has_mask in CALLS if name in DECODERS})


@pytest.fixture(
    scope="module",
    params=[pytest.param(key, marks=[pytest.mark.slow] * (key in SLOW), id="-".join(key)) for key in BOUNDS],
)
def converted(request: pytest.FixtureRequest, small: GetConverted) -> Converted:
    """The small network in each format with each recipe."""
    return small(*request.param)


def test_no_format_is_left_out() -> None:
    assert {name for name, _ in BOUNDS} == set(FORMATS)


@pytest.mark.parametrize(("entry_point", "first", "has_mask"), CALLS)
def test_answers_are_those_of_torch(
    converted: Converted, entry_point: str, first: int, has_mask: bool
) -> None:
    check_equals_torch(converted, converted.bounds, entry_point, first=first, has_mask=has_mask)


@pytest.mark.parametrize("used", [2, 3, len(FULL_PROMPT)])
@pytest.mark.parametrize(
    ("entry_point", "has_mask"),
    # `score_batch` has two slots, which every prompt fills.
    [(name, has_mask) for name, has_mask in DECODER_CALLS if name != "score_batch"],
)
def test_spare_slots_change_nothing(
    converted: Converted, entry_point: str, has_mask: bool, used: int
) -> None:
    check_spare_slots(converted, converted.bounds, entry_point, used=used, has_mask=has_mask)


def test_padding_is_not_read(converted: Converted) -> None:
    check_padding(converted)


@pytest.mark.parametrize("entry_point", sorted({name for name, _, has_mask in CALLS if has_mask}))
def test_mask_prompt_counts_only_with_its_flag(converted: Converted, entry_point: str) -> None:
    inputs = converted.inputs(entry_point, has_mask=False)
    without = converted.torch(entry_point, inputs | {"mask_input": np.zeros_like(inputs["mask_input"])})
    inputs["mask_input"][:] = np.nan
    bounds = converted.bounds
    answer = converted.run(entry_point, inputs)
    check_nearness(without, answer, bounds.decoder_db, iou_error=bounds.iou_error)


@pytest.mark.parametrize("entry_point", SIGNATURES)
def test_results_belong_to_the_caller(converted: Converted, entry_point: str) -> None:
    inputs = converted.inputs(entry_point)
    for value in inputs.values():
        value.flags.writeable = False
    first = converted.run(entry_point, inputs)
    kept = {name: value.copy() for name, value in first.items()}
    converted.run(entry_point, {name: np.zeros_like(value) for name, value in inputs.items()})
    check_equal(kept, first)


def size_bytes(path: Path) -> int:
    return sum(file.stat().st_size for file in (*path.rglob("*"), path) if file.is_file())


def test_entry_points_of_a_file_share_its_weights(converted: Converted) -> None:
    decoder = converted.entries[DECODERS[0]].module.get_submodule("model.mask_decoder")
    weights = sum(p.numel() * p.element_size() for p in decoder.parameters())
    for file in converted.files:
        if len(file.entry_points) > 1:
            # Beside float16 weights the graphs of so small a network would hide a second copy; the files of
            # Core ML and TFLite in float16 are measured by their constants in the formats' own tests.
            assert converted.recipe != "fp32" or size_bytes(file.path) < MOST_COPIES * weights
            assert not file.notes
    # Where each has a file of its own, the format says why.
    alone = [file for file in converted.files if file.component is Component.DECODER and file.notes]
    files = {converted.file_of(name).path for name in DECODERS}
    assert len(alone) == len(files) - 1


def contract_in_package(path: Path) -> str:
    with quiet():
        spec = import_coremltools().utils.load_spec(str(path))
    text: str = spec.description.metadata.userDefined["contract.json"]
    return text


def contract_in_tflite(path: Path) -> str:
    with zipfile.ZipFile(BytesIO(path.read_bytes())) as archive:
        return archive.read("contract.json").decode()


READ_CONTRACT: dict[str, Callable[[Path], str]] = {
    "coreml": contract_in_package,
    "tflite": contract_in_tflite,
    "executorch": read_contract_json,
}
"""Format → how its SDK, or a zip reader, finds the contract in a file."""


def test_contract_is_in_every_file(converted: Converted) -> None:
    for file in converted.files:
        assert json.loads(READ_CONTRACT[converted.format_name](file.path)) == CONTRACT
        text = FORMATS[converted.format_name].read_facts(file.path).contract_json
        assert json.loads(text or "") == CONTRACT


def cut(path: Path) -> None:
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])


def replace_with_a_page(path: Path) -> None:
    path.write_text("<!doctype html><html>not found</html>" * 100)


@pytest.mark.parametrize("damage", [cut, replace_with_a_page, Path.unlink])
def test_damaged_files_are_refused(
    converted: Converted, damage: Callable[[Path], None], tmp_path: Path
) -> None:
    file = converted.file_of("encode")
    copy = tmp_path / file.path.name
    whole = [file.path, *file.path.rglob("*")]
    read = [path for path in whole if path.is_file() and path.name != DEBUG_FILE]
    for member in (path.relative_to(file.path) for path in read):
        (shutil.copytree if file.path.is_dir() else shutil.copy)(file.path, copy)
        damage(copy / member if copy.is_dir() else copy)
        with pytest.raises(InputError):
            open_file(converted, replace(file, path=copy)).run("encode", converted.inputs("encode"))
        if copy.is_dir():
            shutil.rmtree(copy)


def other_contract(contract: Contract) -> dict[str, Signature]:
    return replace(contract, slots=contract.slots + 1, channels=contract.channels + 1).signatures


@pytest.mark.parametrize("entry_point", SIGNATURES)
def test_files_of_another_contract_are_refused(converted: Converted, entry_point: str) -> None:
    file = converted.file_of(entry_point)
    with pytest.raises(BundleError, match=OTHER_CONTRACT[converted.format_name]):
        open_file(converted, file, signatures=other_contract(converted.contract))
    missing = replace(file, entry_points={entry_point: "other"})
    with pytest.raises(InputError, match=OTHER_FUNCTION[converted.format_name]):
        open_file(converted, missing)


@pytest.mark.slow
@pytest.mark.parametrize("format_name", FORMATS)
def test_spare_slots_of_a_float16_file_change_nothing(
    format_name: str, small: GetConverted, tmp_path: Path
) -> None:
    many = small(format_name, "fp16")
    few = convert_small(format_name, "fp16", tmp_path / "few", slots=2)
    encoded = few.run("encode", few.inputs("encode"))
    kinds = [FULL_PROMPT[:2], FULL_PROMPT[4:]]
    for name, has_mask in DECODER_CALLS:
        expected, actual = (
            model.run(name, model.inputs(name, kinds=kinds, has_mask=has_mask) | encoded)
            for model in (few, many)
        )
        check_nearness(expected, actual, FILES_SPARE_MIN_DB)


@pytest.mark.slow
@pytest.mark.parametrize("key", OFFICIAL_BOUNDS, ids="-".join)
def test_official_configuration(official: GetConverted, key: tuple[str, str]) -> None:
    model, bounds = official(*key), OFFICIAL_BOUNDS[key]
    for name, first, has_mask in CALLS:
        check_equals_torch(model, bounds, name, first=first, has_mask=has_mask)
    for name, has_mask in DECODER_CALLS:
        check_spare_slots(model, bounds, name, used=2, has_mask=has_mask)
    check_padding(model)
