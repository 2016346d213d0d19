"""A native runtime in a process of its own: the same answers, and an error where the process ends."""

from __future__ import annotations

import json
import shutil
import signal
import sys
from dataclasses import replace
from pathlib import Path
from random import Random
from subprocess import CompletedProcess

import numpy as np
import pytest
from click.testing import CliRunner

from tests.hostile.grammar import hostile_bytes
from tinysam_mobile.artifacts.formats import format_named
from tinysam_mobile.bundle.folder import Bundle, hash_path, write_manifest
from tinysam_mobile.bundle.manifest import Manifest
from tinysam_mobile.cli import main
from tinysam_mobile.errors import BundleError, TinySAMError, UsageError
from tinysam_mobile.parity.compare import probe_inputs
from tinysam_mobile.simulator.isolated import describe_isolated, open_isolated, open_isolated_file
from tinysam_mobile.simulator.registry import open_bundle

SEEDS = range(100)


@pytest.fixture(scope="module")
def bundle(tflite_bundle: tuple[Path, CompletedProcess[str]]) -> Bundle:
    return Bundle.open(tflite_bundle[0])


def test_the_answers_are_those_of_this_process(bundle: Bundle) -> None:
    ours = open_bundle(bundle, "tflite", num_threads=1)
    theirs = open_isolated(bundle, "tflite", num_threads=1)
    inputs = probe_inputs(bundle.manifest.contract, None)["encode"]
    expected, actual = ours.run("encode", inputs), theirs.run("encode", inputs)
    assert list(actual) == list(expected)
    for name, array in expected.items():
        np.testing.assert_array_equal(actual[name], array)
        assert actual[name].flags.writeable


def test_errors_are_those_of_this_process(bundle: Bundle) -> None:
    with pytest.raises(UsageError, match="holds no tflite/fp16 artifact"):
        open_isolated(bundle, "tflite", recipe="fp16")


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGSEGV])
def test_a_process_that_ends_is_an_error_that_says_how(bundle: Bundle, number: signal.Signals) -> None:
    backend = open_isolated(bundle, "tflite", num_threads=1)
    (session,) = set(backend.sessions.values())
    session._child._process.send_signal(number)  # type: ignore[attr-defined]
    session._child._process.wait()  # type: ignore[attr-defined]
    inputs = probe_inputs(bundle.manifest.contract, None)["encode"]
    with pytest.raises(BundleError, match=f"was ended by {number.name}"):
        backend.run("encode", inputs)


def test_a_file_of_no_bundle_runs_in_a_process_of_its_own(bundle: Bundle) -> None:
    encoder = next(a for a in bundle.manifest.artifacts if "encode" in a.entry_points)
    signatures = {"encode": bundle.manifest.contract.signatures["encode"]}
    session = open_isolated_file(
        bundle.path_of(encoder),
        runtime="tflite",
        signatures=signatures,
        entry_points={"encode": encoder.entry_points["encode"]},
        num_threads=1,
    )
    inputs = probe_inputs(bundle.manifest.contract, None)["encode"]
    expected = open_bundle(bundle, "tflite", num_threads=1).run("encode", inputs)
    for name, array in session.run("encode", inputs).items():
        np.testing.assert_array_equal(array, expected[name])
    session._child._process.kill()  # type: ignore[attr-defined]
    with pytest.raises(BundleError, match="was ended by SIGKILL"):
        session.run("encode", inputs)


def test_a_process_that_does_not_answer_is_stopped(bundle: Bundle) -> None:
    with pytest.raises(BundleError, match="did not answer within 0 s"):
        open_isolated(bundle, "tflite", timeout_s=0)


def test_a_description_is_that_of_this_process(bundle: Bundle) -> None:
    path = bundle.folder / bundle.manifest.artifacts[0].path
    ours = format_named("tflite").describe(path)
    assert describe_isolated(path) == json.loads(json.dumps(ours))
    (bundle.folder / "x.txt").write_text("x")
    with pytest.raises(UsageError, match="no format"):
        describe_isolated(bundle.folder / "x.txt")


def test_inspect_outlives_a_reader_that_dies(
    bundle: Bundle, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    dying = tmp_path / "python"
    dying.write_text("#!/bin/sh\nkill -SEGV $$\n")
    dying.chmod(0o755)
    monkeypatch.setattr(sys, "executable", str(dying))
    path = bundle.folder / bundle.manifest.artifacts[0].path
    result = CliRunner().invoke(main, ["inspect", str(path)])
    assert result.exit_code == 2
    (line,) = result.stderr.splitlines()
    assert "was ended by SIGSEGV" in line


@pytest.mark.slow
@pytest.mark.parametrize("seed", SEEDS)
def test_a_damaged_artifact_whose_hash_fits_ends_no_more_than_its_process(
    bundle: Bundle, seed: int, tmp_path: Path
) -> None:
    folder = tmp_path / "bundle"
    shutil.copytree(bundle.folder, folder)
    artifacts = []
    for artifact in bundle.manifest.artifacts:
        path = folder / artifact.path
        path.write_bytes(hostile_bytes(Random(seed), path.read_bytes()))
        artifacts.append(replace(artifact, sha256=hash_path(path)))
    write_manifest(folder, Manifest(data=bundle.manifest.data, artifacts=tuple(artifacts)))
    try:
        backend = open_isolated(Bundle.open(folder), "tflite", num_threads=1)
        backend.run("encode", probe_inputs(bundle.manifest.contract, None)["encode"])
    except TinySAMError:
        return
