"""The device loop from end to end: fixtures, a device in Python, a dump, a verdict that names the stage."""

from __future__ import annotations

import json
from collections.abc import Callable
from copy import copy
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path
from subprocess import CompletedProcess
from typing import Any

import numpy as np
import pytest
from click.testing import CliRunner, Result

from tests.artifacts.test_tflite_graph import small_model
from tests.fake_device import FakeDevice, zipped
from tinysam_mobile.bundle.folder import Bundle, hash_path, size_of, write_manifest
from tinysam_mobile.bundle.manifest import Artifact, Manifest, contract_data
from tinysam_mobile.cli import main
from tinysam_mobile.contract.backend import Backend
from tinysam_mobile.contract.spec import Component
from tinysam_mobile.converters import tflite_metadata, tflite_passes
from tinysam_mobile.device.drawn_photos import drawn_photos
from tinysam_mobile.modeling.checkpoint import load_checkpoint
from tinysam_mobile.modeling.entry_points import contract_of
from tinysam_mobile.simulator.registry import open_bundle, open_model

ENTRY_POINTS = {Component.ENCODER: ("encode",), Component.DECODER: ("decode", "decode_batch")}


def call(*arguments: str | Path) -> Result:
    return CliRunner().invoke(main, [str(argument) for argument in arguments], catch_exceptions=False)


@dataclass(frozen=True, kw_only=True)
class World:
    """A bundle with its fixtures, and what the device runs: the float model itself."""

    bundle: Path
    fixtures: Path
    backend: Backend
    hashes: dict[str, str]


def stand_in_artifact(entries: tuple[str, ...], data: dict[str, Any]) -> bytes:
    """A file that lint finds nothing wrong with: entry points of the right names, and the contract."""
    model = small_model()
    (definition,) = model.signatureDefs
    model.signatureDefs = [replace_key(definition, name) for name in entries]
    contract = json.dumps({**data, "recipe": "fp32"}).encode()
    return tflite_metadata.append_files(tflite_passes.save_model(model), {"contract.json": contract})


def replace_key(definition: Any, name: str) -> Any:
    renamed = copy(definition)
    renamed.signatureKey = name
    return renamed


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> World:
    """The artifacts are stand-ins, since nothing of them is run: the device is what is judged."""
    folder = tmp_path_factory.mktemp("world")
    checkpoint = load_checkpoint("stand-in:tiny-test")
    contract = contract_of(checkpoint.model, slots=6, batch=3)
    bundle = folder / "bundle"
    bundle.mkdir()
    data = contract_data(checkpoint, contract)
    artifacts = []
    for component, entries in ENTRY_POINTS.items():
        path = bundle / f"{component.value}.tflite"
        path.write_bytes(stand_in_artifact(entries, data))
        artifacts.append(
            Artifact(
                runtime="tflite",
                recipe="fp32",
                component=component,
                path=path.name,
                entry_points={name: name for name in entries},
                sha256=hash_path(path),
                size_bytes=size_of(path),
            )
        )
    write_manifest(bundle, Manifest(data=data, artifacts=tuple(artifacts)))
    result = call("fixtures", bundle, "-o", folder / "fixtures", "--prompts", "3", "--threads", "1", "--json")
    assert result.exit_code == 0, result.stderr
    assert json.loads(result.stdout)["files"] == len(
        [p for p in (folder / "fixtures").rglob("*") if p.is_file()]
    )
    return World(
        bundle=bundle,
        fixtures=folder / "fixtures",
        backend=open_model(checkpoint.model, contract, num_threads=1),
        hashes={artifact.component.value: artifact.sha256 for artifact in artifacts},
    )


def device(world: World) -> FakeDevice:
    return FakeDevice(world.backend, "tflite", "fp32", world.hashes)


def compare(world: World, dump: bytes, folder: Path, *options: str) -> Result:
    (folder / "dump.zip").write_bytes(dump)
    paths = ["--fixtures", world.fixtures, "--out", folder / "report", "--threads", "1"]
    return call("compare-dump", world.bundle, folder / "dump.zip", *paths, *options)


def test_drawn_photos_are_the_same_every_time() -> None:
    first, second = drawn_photos(), drawn_photos()
    for name, pixels in first.items():
        np.testing.assert_array_equal(pixels, second[name])
        assert pixels.dtype == np.uint8
        # Channels differ, and no flip or turn leaves the picture as it is: a mistake in either shows.
        assert (pixels[..., 0] != pixels[..., 2]).mean() > 0.5
        assert (pixels != pixels[:, ::-1]).mean() > 0.5
    assert len({pixels.shape for pixels in first.values()}) == 2


def test_a_right_device_passes(world: World, tmp_path: Path) -> None:
    result = compare(world, zipped(device(world).replay(world.fixtures)), tmp_path)
    assert result.exit_code == 0, result.stdout + result.stderr
    assert "device: Fake1,1, FakeOS 1.0, tflite fp32 on cpu" in result.stdout
    assert "nominal before, fair after" in result.stdout
    assert "PASSED" in result.stdout
    report = json.loads((tmp_path / "report/report.json").read_text())
    assert report["verdict"] == "PASSED"
    assert (tmp_path / "report/report.html").is_file()
    assert (tmp_path / "report/junit.xml").is_file()


@pytest.mark.parametrize(
    ("said", "warning"),
    [
        ({"configuration": "debug"}, "was built as Debug"),
        ({"runtime_version": "1.4.0"}, "ran tflite 1.4.0, but the bundle's files were judged with"),
        ({"configuration": "release", "runtime_version": metadata.version("ai-edge-litert")}, ""),
        ({}, ""),
    ],
)
def test_a_slow_build_and_another_runtime_are_warned_of(
    world: World, tmp_path: Path, said: dict[str, str], warning: str
) -> None:
    app = device(world)
    app.run |= said
    result = compare(world, zipped(app.replay(world.fixtures)), tmp_path)
    assert result.exit_code == 0, result.stdout + result.stderr
    assert ("warning: " in result.stderr) == bool(warning)
    assert warning in result.stderr


class Bgr(FakeDevice):
    def preprocess(self, pixels: Any) -> Any:
        return super().preprocess(np.ascontiguousarray(pixels[..., ::-1]))


class StaleEncoder(FakeDevice):
    def encode(self, image: Any, valid: Any) -> Any:
        noise = np.random.default_rng(0).normal(0, 0.01, (1, 64, 8, 8)).astype(np.float32)
        return super().encode(image, valid) + noise


class SwappedAxes(FakeDevice):
    def pack(self, prompt: dict[str, Any], geometry: Any) -> tuple[Any, Any]:
        coords, labels = super().pack(prompt, geometry)
        return np.ascontiguousarray(coords[..., ::-1]), labels


class Sigmoid(FakeDevice):
    def decode(self, *inputs: Any) -> tuple[Any, Any]:
        logits, scores = super().decode(*inputs)
        return (1 / (1 + np.exp(-logits))).astype(np.float32), scores


class Overflow(FakeDevice):
    def decode(self, *inputs: Any) -> tuple[Any, Any]:
        logits, scores = super().decode(*inputs)
        logits = logits.copy()
        logits[:, 3, 4] = np.nan
        return logits, scores


class ScoresOfOthers(FakeDevice):
    def decode(self, *inputs: Any) -> tuple[Any, Any]:
        logits, scores = super().decode(*inputs)
        return logits, np.roll(scores, 1)


class FirstMask(FakeDevice):
    def choose(self, scores: Any) -> int:
        return int(np.argmin(scores))


class NearestMask(FakeDevice):
    """Thresholds, then enlarges by repeating pixels."""

    def mask(self, logits: Any, geometry: Any) -> Any:
        height, width = geometry.original_size
        valid_height, valid_width = geometry.valid_size
        rows = np.arange(height) * valid_height // height * logits.shape[0] // geometry.image_size
        columns = np.arange(width) * valid_width // width * logits.shape[1] // geometry.image_size
        return (logits > 0)[rows][:, columns].astype(np.uint8)


WRONG_DEVICES: dict[type[FakeDevice], str] = {
    Bgr: "preprocessed_image",
    StaleEncoder: "embedding",
    SwappedAxes: "packed_prompt",
    Sigmoid: "low_res_logits",
    Overflow: "low_res_logits",
    ScoresOfOthers: "predicted_iou",
    FirstMask: "chosen_mask",
    NearestMask: "full_size_mask",
}


@pytest.mark.parametrize("kind", WRONG_DEVICES, ids=lambda kind: kind.__name__)
def test_a_wrong_device_fails_at_the_right_stage(
    kind: type[FakeDevice], world: World, tmp_path: Path
) -> None:
    wrong = kind(world.backend, "tflite", "fp32", world.hashes)
    result = compare(world, zipped(wrong.replay(world.fixtures)), tmp_path)
    assert result.exit_code == 1, result.stdout + result.stderr
    assert f"FAILED at {WRONG_DEVICES[kind]}" in result.stdout


def test_the_same_dump_gives_the_same_report(world: World, tmp_path: Path) -> None:
    dump = zipped(Bgr(world.backend, "tflite", "fp32", world.hashes).replay(world.fixtures))
    reports = [compare(world, dump, tmp_path, "--json").stdout for _ in range(2)]
    assert reports[0] == reports[1]
    assert json.loads(reports[0])["verdict"] == "FAILED"


def other_recipe(files: dict[str, bytes]) -> None:
    files["dump.json"] = files["dump.json"].replace(b'"recipe": "fp32"', b'"recipe": "fp16"')


def other_artifact(files: dict[str, bytes]) -> None:
    index = json.loads(files["dump.json"])
    index["run"]["artifact_sha256"]["decoder"] = "0" * 64
    files["dump.json"] = json.dumps(index).encode()


def traversal(files: dict[str, bytes]) -> None:
    files["../../evil.bin"] = b"x"


def cut(files: dict[str, bytes]) -> None:
    del files["photo_1/embedding.bin"]


UNUSABLE: dict[str, tuple[Callable[[dict[str, bytes]], None], str]] = {
    "recipe": (other_recipe, "holds no tflite/fp16 artifact"),
    "artifact": (other_artifact, "the app ran another decoder (000000000000)"),
    "traversal": (traversal, "'../../evil.bin'"),
    "cut": (cut, "lacks photo_1/embedding.bin"),
}


@pytest.mark.parametrize("kind", UNUSABLE)
def test_an_unusable_dump_is_one_line(kind: str, world: World, tmp_path: Path) -> None:
    change, says = UNUSABLE[kind]
    files = device(world).replay(world.fixtures)
    change(files)
    result = compare(world, zipped(files), tmp_path)
    assert result.exit_code == 2
    (line,) = [line for line in result.stderr.splitlines() if line.startswith("error: ")]
    assert says in line
    assert result.stdout == ""
    assert [path.name for path in tmp_path.iterdir()] == ["dump.zip"]


def test_fixtures_of_another_bundle_are_refused(world: World, tmp_path: Path) -> None:
    manifest = Bundle.open(world.bundle).manifest
    other = tmp_path / "other"
    other.mkdir()
    data = {**manifest.data, "sizes": {**manifest.data["sizes"], "slots": 7}}
    write_manifest(other, Manifest(data=data, artifacts=()))
    (tmp_path / "dump.zip").write_bytes(b"")
    result = call("compare-dump", other, tmp_path / "dump.zip", "--fixtures", world.fixtures)
    assert result.exit_code == 2
    assert "another checkpoint or other sizes" in result.stderr


def test_bench_reports_a_device_from_its_dump_only(world: World, tmp_path: Path) -> None:
    (tmp_path / "dump.zip").write_bytes(zipped(device(world).replay(world.fixtures)))
    options = ["--dump", tmp_path / "dump.zip", "--fixtures", world.fixtures]
    data = json.loads(call("bench", *options, "--json").stdout)
    assert data["host"] == []
    (shown,) = data["devices"]
    assert (shown["device_model"], shown["compute_unit"]) == ("Fake1,1", "cpu")
    assert shown["latency"]["encode"] == {"runs": 3, "median_ms": 50.0, "p90_ms": 58.0, "min_ms": 40.0}
    table = call("bench", *options).stdout
    assert "runtime on the device" in table
    assert "runtime on the host" not in table


def test_an_artifact_as_a_device_passes_and_is_benched(
    tflite_bundle: tuple[Path, CompletedProcess[str]], tmp_path: Path
) -> None:
    """A converted file in the place of the phone; its figures come from a process of its own."""
    path, _ = tflite_bundle
    bundle = Bundle.open(path)
    fixtures = tmp_path / "fixtures"
    assert call("fixtures", path, "-o", fixtures, "--prompts", "3").exit_code == 0
    hashes = {artifact.component.value: artifact.sha256 for artifact in bundle.manifest.artifacts}
    phone = FakeDevice(open_bundle(bundle, "tflite", num_threads=1), "tflite", "fp32", hashes)
    (tmp_path / "dump.zip").write_bytes(zipped(phone.replay(fixtures)))
    out = tmp_path / "report"
    result = call("compare-dump", path, tmp_path / "dump.zip", "--fixtures", fixtures, "--out", out)
    assert result.exit_code == 0, result.stdout + result.stderr
    result = call("bench", path, "--runs", "2", "--warm-up", "1", "--threads", "1", "--json")
    assert result.exit_code == 0, result.stdout + result.stderr
    data = json.loads(result.stdout)
    assert data["machine"]["host"] is True
    (row,) = data["host"]
    assert set(row["latency"]) == set(row["first_ms"]) == {"encode", "decode", "decode_batch", "score_batch"}
    assert all(summary["runs"] == 2 for summary in row["latency"].values())
    assert row["peak_memory_bytes"] >= row["library_memory_bytes"] > 0


def test_bench_says_what_could_not_be_measured(world: World) -> None:
    """The stand-in artifacts of `world` are no TinySAM."""
    result = call("bench", world.bundle, "--runs", "1")
    assert result.exit_code == 1
    assert "inputs of signature 'encode' are x float32" in result.stdout
    assert call("bench").exit_code == 2
    assert call("bench", world.bundle, "--recipe", "fp16").exit_code == 2
