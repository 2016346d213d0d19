"""ExecuTorch's own: the graphs of the .pte files, thread counts, damaged and foreign files."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.converters.conftest import GetConverted
from tests.converters.tester import Converted, check_nearness, open_file
from tinysam_mobile.artifacts.executorch_graph import OUTSIDE_REASONS, read_graphs
from tinysam_mobile.contract.backend import Session
from tinysam_mobile.contract.spec import Component, Signature, TensorSpec
from tinysam_mobile.errors import BundleError, UsageError
from tinysam_mobile.simulator.executorch import open_session

MAX_DELEGATES = 10
MAX_OUTSIDE = 20


@pytest.fixture(scope="module")
def tiny(small: GetConverted) -> Converted:
    return small("executorch", "fp32")


def check_graphs(model: Converted) -> None:
    graphs = {name: graph for file in model.files for name, graph in read_graphs(file.path).items()}
    assert sorted(graphs) == sorted(model.contract.signatures)
    for graph in graphs.values():
        assert 1 <= len(graph.delegates) <= MAX_DELEGATES, graph
        assert set(graph.delegates) == {"XnnpackBackend"}
        assert graph.outside_count <= MAX_OUTSIDE, graph
        assert set(graph.outside) <= set(OUTSIDE_REASONS), graph
    for file in model.files:
        assert file.details["methods"] == {name: graphs[name].to_dict() for name in file.entry_points}


def test_graphs_stay_whole(tiny: Converted) -> None:
    check_graphs(tiny)


def test_sessions_with_different_thread_counts_take_turns(tiny: Converted) -> None:
    inputs, file = tiny.inputs("encode"), tiny.file_of("encode")
    sessions = [open_file(tiny, file, num_threads=count) for count in (1, 2, None)]
    answers = [session.run("encode", inputs) for session in (*sessions, *reversed(sessions))]
    for answer in answers:
        check_nearness(answers[0], answer, tiny.bounds.encoder_db)
    with pytest.raises(UsageError, match="at least 1"):
        open_file(tiny, file, num_threads=0)


@pytest.mark.parametrize("keep", [0, 7, 40, 100, 5000, -1])
def test_truncated_file_is_a_bundle_error(tiny: Converted, tmp_path: Path, keep: int) -> None:
    path = tmp_path / "encoder.pte"
    path.write_bytes(tiny.file_of("encode").path.read_bytes()[:keep])
    expect_refusal(tiny, path, "not an ExecuTorch program|cut off")


def test_foreign_files_are_bundle_errors(tiny: Converted, tmp_path: Path) -> None:
    path = tmp_path / "encoder.pte"
    path.write_bytes(b"<!doctype html><html>" * 100)
    expect_refusal(tiny, path, "not an ExecuTorch program")
    path.write_bytes(b"\0\0\0\0ET12" + b"\xff" * 4096)
    expect_refusal(tiny, path, "cannot load|is damaged")
    path.write_bytes(b"\0\0\0\0ET12eh00" + b"\0" * 4096)
    expect_refusal(tiny, path, "cannot load|damaged")
    expect_refusal(tiny, tmp_path / "missing.pte", "cannot be read")
    expect_refusal(tiny, tmp_path, "is a folder|check the path")


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
    path = tiny.file_of("encode").path
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
@pytest.mark.parametrize(("size", "recipe"), [("small", "fp16"), ("official", "fp32")])
def test_other_graphs_stay_whole(request: pytest.FixtureRequest, size: str, recipe: str) -> None:
    get: GetConverted = request.getfixturevalue(size)
    check_graphs(get("executorch", recipe))
