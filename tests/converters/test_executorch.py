"""ExecuTorch files of the small model against PyTorch, and what damaged or foreign files lead to."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from tinysam_mobile.artifacts.executorch_graph import OUTSIDE_REASONS, MethodGraph, read_graphs
from tinysam_mobile.contract.backend import Arrays, Session
from tinysam_mobile.contract.spec import Component, Label, Signature, TensorSpec
from tinysam_mobile.converters.base import ConversionRequest, ConvertedFile
from tinysam_mobile.converters.executorch import convert
from tinysam_mobile.errors import (
    BundleError,
    UsageError,
)
from tinysam_mobile.modeling.config import CONFIGS, TINYSAM, TinySAMConfig
from tinysam_mobile.modeling.entry_points import EntryPoint, contract_of, entry_points
from tinysam_mobile.modeling.stand_in import stand_in_model
from tinysam_mobile.quant.recipe import RECIPES
from tinysam_mobile.simulator.executorch import open_session, read_contract_json

_TINY = CONFIGS["tiny-test"]
SMALL = replace(
    _TINY, encoder=replace(_TINY.encoder, depths=(1, 1, 1, 1)), decoder=replace(_TINY.decoder, depth=1)
)
"""Lowering takes time by the node, not by the element: half the blocks, half the minutes."""
MIN_ENCODER_DB = 100.0
MIN_DECODER_DB = 90.0
MIN_SPARE_DB = 100.0
MIN_HALF_DB = 35.0
"""Half precision has 11 bits (66 dB); twenty layers of noise-like weights leave 42 to 49 dB."""
MAX_DELEGATES = 10
MAX_OUTSIDE = 20
CONTRACT = {"schema_version": 1, "note": "é"}


def sqnr_db(reference: NDArray[Any], other: NDArray[Any]) -> float:
    """Signal-to-noise ratio of `other`; infinite if they are equal."""
    signal = np.square(reference, dtype=np.float64).sum()
    noise = np.square(np.subtract(reference, other, dtype=np.float64)).sum()
    return float(10 * np.log10(signal / noise)) if noise else float("inf")


@dataclass(frozen=True, kw_only=True)
class Converted:
    """Entry points and the files made of them."""

    entries: Mapping[str, EntryPoint]
    files: Mapping[Component, ConvertedFile]

    def session(self, component: Component, num_threads: int | None = None) -> Session:
        file = self.files[component]
        signatures = {name: self.entries[name].signature for name in file.entry_points}
        return open_session(
            file.path, signatures=signatures, entry_points=file.entry_points, num_threads=num_threads
        )

    def reference(self, name: str, inputs: Arrays) -> Arrays:
        entry = self.entries[name]
        with torch.inference_mode():
            out = entry.module(*(torch.from_numpy(value) for value in inputs.values()))
        outputs = out if isinstance(out, tuple) else (out,)
        return {
            spec.name: value.numpy() for spec, value in zip(entry.signature.outputs, outputs, strict=True)
        }

    def graphs(self) -> dict[str, MethodGraph]:
        return {name: graph for file in self.files.values() for name, graph in read_graphs(file.path).items()}


def converted(config: TinySAMConfig, recipe: str, folder: Path) -> Converted:
    model = stand_in_model(config)
    entries = entry_points(model, contract_of(model, slots=6, batch=3))
    files = convert(
        ConversionRequest(entry_points=entries, recipe=RECIPES[recipe], contract=CONTRACT, folder=folder)
    )
    return Converted(entries=entries, files={file.component: file for file in files})


@pytest.fixture(scope="module")
def tiny(tmp_path_factory: pytest.TempPathFactory) -> Converted:
    return converted(SMALL, "fp32", tmp_path_factory.mktemp("fp32"))


def random_inputs(signature: Signature, *, used_slots: int = 6) -> Arrays:
    """Noise photo that fills three quarters of the square, prompts of every label, unused slots with NaN."""
    rng = np.random.default_rng(5)
    inputs: Arrays = {}
    for spec in signature.inputs:
        value = rng.standard_normal(spec.shape).astype(np.float32)
        if spec.name == "image":
            value = rng.integers(0, 256, spec.shape).astype(np.float32)
        elif spec.name == "valid_size":
            side = signature.inputs[0].shape[-1]
            value = np.array([side, side * 3 // 4], np.int32)
        elif spec.name == "point_coords":
            value = rng.uniform(0, 1024, spec.shape).astype(np.float32)
            value[:, used_slots:] = np.nan
        elif spec.name == "point_labels":
            value = rng.integers(Label.PAD, Label.BOX_BOTTOM_RIGHT + 1, spec.shape).astype(np.int32)
            value[:, used_slots:] = Label.UNUSED
        elif spec.name == "has_mask_input":
            value = np.ones(spec.shape, np.float32)
        inputs[spec.name] = value
    return inputs


def worst_db(reference: Arrays, other: Arrays) -> float:
    assert list(reference) == list(other)
    for name, value in reference.items():
        assert other[name].dtype == value.dtype
        assert other[name].flags.c_contiguous
    return min(sqnr_db(value, other[name]) for name, value in reference.items())


def check_answers(model: Converted, *, encoder_db: float, decoder_db: float) -> None:
    for name, entry in model.entries.items():
        component = entry.signature.component
        inputs = random_inputs(entry.signature, used_slots=4)
        answer = model.session(component).run(name, inputs)
        bound = encoder_db if component is Component.ENCODER else decoder_db
        assert worst_db(model.reference(name, inputs), answer) >= bound, name


def check_spare_slots(model: Converted, bound_db: float) -> None:
    """One prompt in 2 slots: the torch model of 2 slots is the oracle for the file of 6."""
    for name in ("decode", "decode_batch"):
        signature = model.entries[name].signature
        session = model.session(Component.DECODER)
        inputs = random_inputs(signature, used_slots=2)
        answer = session.run(name, inputs)
        # The spare slots as further points of another place: what is in them must not be seen at all.
        moved = {**inputs, "point_coords": np.nan_to_num(inputs["point_coords"], nan=7.0)}
        assert worst_db(answer, session.run(name, moved)) == float("inf")
        bare = inputs | {key: inputs[key][:, :2] for key in ("point_coords", "point_labels")}
        assert worst_db(model.reference(name, bare), answer) >= bound_db, name


def check_padding(model: Converted) -> None:
    signature = model.entries["encode"].signature
    session = model.session(Component.ENCODER)
    inputs = random_inputs(signature)
    width = int(inputs["valid_size"][1])
    dirty = inputs["image"].copy()
    dirty[..., width:] = np.nan
    clean_answer = session.run("encode", inputs)
    assert worst_db(clean_answer, session.run("encode", {**inputs, "image": dirty})) == float("inf")


def check_graphs(model: Converted) -> None:
    graphs = model.graphs()
    assert sorted(graphs) == ["decode", "decode_batch", "encode"]
    for graph in graphs.values():
        assert 1 <= len(graph.delegates) <= MAX_DELEGATES, graph
        assert set(graph.delegates) == {"XnnpackBackend"}
        assert graph.outside_count <= MAX_OUTSIDE, graph
        assert set(graph.outside) <= set(OUTSIDE_REASONS), graph
    for file in model.files.values():
        assert file.details["methods"] == {name: graphs[name].to_dict() for name in file.entry_points}


def test_answers_are_those_of_torch(tiny: Converted) -> None:
    check_answers(tiny, encoder_db=MIN_ENCODER_DB, decoder_db=MIN_DECODER_DB)


def test_spare_slots_change_nothing(tiny: Converted) -> None:
    check_spare_slots(tiny, MIN_SPARE_DB)


def test_padding_is_not_read(tiny: Converted) -> None:
    check_padding(tiny)


def test_mask_input_is_not_read_without_its_flag(tiny: Converted) -> None:
    inputs = random_inputs(tiny.entries["decode"].signature)
    inputs["has_mask_input"] = np.zeros(1, np.float32)
    inputs["mask_input"] = np.full_like(inputs["mask_input"], np.nan)
    answer = tiny.session(Component.DECODER).run("decode", inputs)
    inputs["mask_input"] = np.zeros_like(inputs["mask_input"])
    assert worst_db(tiny.reference("decode", inputs), answer) >= MIN_DECODER_DB


def test_graphs_stay_whole(tiny: Converted) -> None:
    check_graphs(tiny)


def test_decoders_share_their_weights(tiny: Converted) -> None:
    file = tiny.files[Component.DECODER]
    model: Any = tiny.entries["decode"].module.model
    weights = sum(p.numel() * p.element_size() for p in model.mask_decoder.parameters())
    assert file.path.stat().st_size < 2 * weights
    assert not file.notes


def test_contract_is_in_every_file(tiny: Converted) -> None:
    for file in tiny.files.values():
        assert json.loads(read_contract_json(file.path)) == CONTRACT


def test_outputs_belong_to_the_caller(tiny: Converted) -> None:
    session = tiny.session(Component.ENCODER)
    inputs = random_inputs(tiny.entries["encode"].signature)
    inputs["image"].flags.writeable = False
    first = session.run("encode", inputs)
    kept = first["image_embeddings"].copy()
    session.run("encode", {**inputs, "image": inputs["image"] * 0})
    np.testing.assert_array_equal(first["image_embeddings"], kept)


def test_sessions_with_different_thread_counts_take_turns(tiny: Converted) -> None:
    inputs = random_inputs(tiny.entries["encode"].signature)
    sessions = [tiny.session(Component.ENCODER, count) for count in (1, 2, None)]
    answers = [session.run("encode", inputs) for session in (*sessions, *reversed(sessions))]
    for answer in answers:
        assert worst_db(answers[0], answer) >= MIN_ENCODER_DB
    with pytest.raises(UsageError, match="at least 1"):
        tiny.session(Component.ENCODER, 0)


@pytest.mark.parametrize("keep", [0, 7, 40, 100, 5000, -1])
def test_truncated_file_is_a_bundle_error(tiny: Converted, tmp_path: Path, keep: int) -> None:
    path = tmp_path / "encoder.pte"
    path.write_bytes(tiny.files[Component.ENCODER].path.read_bytes()[:keep])
    expect_refusal(tiny, path, "not an ExecuTorch program|cut off")


def test_foreign_files_are_bundle_errors(tiny: Converted, tmp_path: Path) -> None:
    path = tmp_path / "encoder.pte"
    path.write_bytes(b"<!doctype html><html>" * 100)
    expect_refusal(tiny, path, "not an ExecuTorch program")
    path.write_bytes(b"\0\0\0\0ET12" + b"\xff" * 4096)
    expect_refusal(tiny, path, "extended header")
    path.write_bytes(b"\0\0\0\0ET12eh00" + b"\0" * 4096)
    expect_refusal(tiny, path, "cannot load|damaged")
    expect_refusal(tiny, tmp_path / "missing.pte", "check the path")
    expect_refusal(tiny, tmp_path, "check the path")


def expect_refusal(model: Converted, path: Path, message: str) -> None:
    for read in (lambda: open_encoder(model, path), lambda: read_graphs(path)):
        with pytest.raises(BundleError, match=message):
            read()


def open_encoder(
    model: Converted, path: Path, method: str = "encode", signature: Signature | None = None
) -> Session:
    return open_session(
        path,
        signatures={"encode": signature or model.entries["encode"].signature},
        entry_points={"encode": method},
        num_threads=None,
    )


def test_file_of_another_contract_is_refused(tiny: Converted) -> None:
    path = tiny.files[Component.ENCODER].path
    with pytest.raises(BundleError, match="no method 'decode', only contract_json, encode"):
        open_encoder(tiny, path, method="decode")
    signature = tiny.entries["encode"].signature
    other = Signature(
        name="encode",
        component=Component.ENCODER,
        inputs=(TensorSpec(name="image", shape=(1, 3, 64, 64)), *signature.inputs[1:]),
        outputs=signature.outputs,
    )
    with pytest.raises(BundleError, match="the contract says"):
        open_encoder(tiny, path, signature=other)


@pytest.mark.slow
def test_half_precision_model(tmp_path: Path) -> None:
    model = converted(SMALL, "fp16", tmp_path)
    check_answers(model, encoder_db=MIN_HALF_DB, decoder_db=MIN_HALF_DB)
    check_padding(model)
    check_graphs(model)


@pytest.mark.slow
def test_official_configuration(tmp_path: Path) -> None:
    model = converted(TINYSAM, "fp32", tmp_path)
    check_graphs(model)
    check_answers(model, encoder_db=MIN_ENCODER_DB, decoder_db=MIN_DECODER_DB)
    check_spare_slots(model, MIN_SPARE_DB)
    check_padding(model)
