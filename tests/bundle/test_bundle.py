"""Bundles: whole or not at all, verified on opening, and hostile manifests are one clear error."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from tinysam_mobile.bundle.folder import Bundle, hash_path, new_bundle, size_of, write_manifest
from tinysam_mobile.bundle.manifest import SCHEMA_VERSION, Artifact, Manifest, contract_data
from tinysam_mobile.contract.spec import Component
from tinysam_mobile.errors import BundleError, UsageError
from tinysam_mobile.modeling.checkpoint import Checkpoint, load_checkpoint
from tinysam_mobile.modeling.entry_points import contract_of
from tinysam_mobile.version import __version__


@pytest.fixture(scope="module")
def checkpoint() -> Checkpoint:
    return load_checkpoint("stand-in:tiny-test")


def build(folder: Path, checkpoint: Checkpoint) -> Manifest:
    """Fill `folder` with a file artifact, a package artifact and their manifest."""
    (folder / "tflite").mkdir()
    (folder / "tflite" / "encoder.tflite").write_bytes(b"model")
    package = folder / "coreml" / "encoder.mlpackage"
    (package / "Data").mkdir(parents=True)
    (package / "Manifest.json").write_text("{}")
    (package / "Data" / "weight.bin").write_bytes(bytes(1000))
    artifacts = [
        Artifact(
            runtime=path.parts[0],
            recipe="fp32",
            component=Component.ENCODER,
            path=path.as_posix(),
            entry_points={"encode": "encode"},
            sha256=hash_path(folder / path),
            size_bytes=size_of(folder / path),
        )
        for path in (Path("tflite/encoder.tflite"), Path("coreml/encoder.mlpackage"))
    ]
    manifest = Manifest(
        data=contract_data(checkpoint, contract_of(checkpoint.model)), artifacts=tuple(artifacts)
    )
    write_manifest(folder, manifest)
    return manifest


@pytest.fixture
def folder(tmp_path: Path, checkpoint: Checkpoint) -> Path:
    with new_bundle(tmp_path / "bundle") as building:
        build(building, checkpoint)
    return tmp_path / "bundle"


def test_round_trip(folder: Path, checkpoint: Checkpoint) -> None:
    bundle = Bundle.open(folder)
    assert bundle.manifest.contract == contract_of(checkpoint.model)
    assert [a.path for a in bundle.artifacts("tflite")] == ["tflite/encoder.tflite"]
    assert bundle.artifacts("coreml", "fp32")[0].size_bytes == 1002
    with pytest.raises(UsageError, match="holds no coreml/fp16 artifact, only coreml/fp32, tflite/fp32"):
        bundle.artifacts("coreml", "fp16")


def test_manifest_says_what_an_app_needs(folder: Path) -> None:
    data = json.loads((folder / "manifest.json").read_text())
    assert data["schema_version"] == SCHEMA_VERSION
    assert data["preprocess"]["mean"] == [123.675, 116.28, 103.53]
    assert data["preprocess"]["std"] == [58.395, 57.12, 57.375]
    assert set(data["prompts"]["labels"]) == {"-2", "-1", "0", "1", "2", "3"}
    assert data["postprocess"]["mask_threshold"] == 0.0
    assert data["checkpoint"] == {"name": "stand-in:tiny-test", "sha256": None, "stand_in": True}
    assert [t["name"] for t in data["entry_points"]["decode"]["inputs"]] == [
        "image_embeddings",
        "point_coords",
        "point_labels",
        "mask_input",
        "has_mask_input",
    ]


def test_a_failed_build_leaves_nothing(tmp_path: Path) -> None:
    def fail(building: Path) -> None:
        (building / "half").write_text("half")
        raise RuntimeError

    with pytest.raises(RuntimeError), new_bundle(tmp_path / "bundle") as building:
        fail(building)
    assert list(tmp_path.iterdir()) == []


KILLED = """
import os, signal, sys
from pathlib import Path
from tinysam_mobile.bundle.folder import new_bundle
with new_bundle(Path(sys.argv[1])) as building:
    (building / "half").write_text("half")
    os.kill(os.getpid(), signal.SIGKILL)
"""


def test_a_killed_build_leaves_no_bundle_and_is_swept_up(tmp_path: Path, checkpoint: Checkpoint) -> None:
    target = tmp_path / "bundle"
    subprocess.run([sys.executable, "-c", KILLED, str(target)], check=False)
    assert not target.exists()
    assert len(list(tmp_path.iterdir())) == 1
    with new_bundle(target) as building:
        build(building, checkpoint)
    assert list(tmp_path.iterdir()) == [target]


def test_existing_targets_are_refused(tmp_path: Path, folder: Path, checkpoint: Checkpoint) -> None:
    with pytest.raises(UsageError, match="--overwrite"), new_bundle(folder):
        pass
    (tmp_path / "photos").mkdir()
    (tmp_path / "photos" / "holiday.jpg").write_bytes(b"")
    for target in (tmp_path / "photos", tmp_path / "photos" / "holiday.jpg"):
        with pytest.raises(UsageError, match=r"holds no manifest\.json"), new_bundle(target, overwrite=True):
            pass
    with pytest.raises(RuntimeError), new_bundle(folder, overwrite=True):
        raise RuntimeError
    Bundle.open(folder).verify()
    with new_bundle(folder, overwrite=True) as building:
        build(building, checkpoint)
        (building / "new").write_text("")
    assert (folder / "new").exists()
    assert sorted(p.name for p in tmp_path.iterdir()) == ["bundle", "photos"]


def test_every_change_of_a_file_is_found(folder: Path) -> None:
    weight = folder / "coreml/encoder.mlpackage/Data/weight.bin"
    original = weight.read_bytes()
    for damaged in (original[:-1], b"\x01" + original[1:], original + b"\0"):
        weight.write_bytes(damaged)
        with pytest.raises(BundleError, match=r"encoder\.mlpackage: its SHA-256"):
            Bundle.open(folder).verify()
    weight.rename(weight.with_name("renamed.bin"))
    with pytest.raises(BundleError, match="SHA-256"):
        Bundle.open(folder).verify()
    (folder / "tflite/encoder.tflite").unlink()
    with pytest.raises(BundleError, match=r"encoder\.tflite: listed in the manifest but missing"):
        Bundle.open(folder).verify()


def rewrite(folder: Path, change: Callable[[dict[str, Any]], None]) -> None:
    data = json.loads((folder / "manifest.json").read_text())
    change(data)
    (folder / "manifest.json").write_text(json.dumps(data))


HOSTILE: dict[str, tuple[Callable[[dict[str, Any]], None], str]] = {
    "absolute path": (lambda d: d["artifacts"][0].update(path="/etc/passwd"), "not inside the bundle"),
    "parent path": (lambda d: d["artifacts"][0].update(path="../x"), "not inside the bundle"),
    "windows path": (lambda d: d["artifacts"][0].update(path="..\\x"), "not inside the bundle"),
    "empty path": (lambda d: d["artifacts"][0].update(path=""), "artifact 0"),
    "newer": (
        lambda d: d.update(schema_version=99, generator={"version": "9.1\n"}),
        f"schema version 99 .* by tinysam-mobile 9.1 and this is {__version__}; update tinysam-mobile, or",
    ),
    "older": (
        lambda d: d.update(schema_version=0),
        f"version 0 .* by tinysam-mobile {__version__} and this is .*; convert again",
    ),
    "of a web app": (lambda d: d.pop("schema_version"), "is not one of a bundle; name the folder"),
    "lacks what this version writes": (
        lambda d: (d["sizes"].pop("score_batch"), d.update(generator={"version": "0.0.9"})),
        "'sizes' must .* written by tinysam-mobile 0.0.9 and this is .*, convert again",
    ),
    "by nobody": (lambda d: (d["sizes"].clear(), d.pop("generator")), "by tinysam-mobile an unknown version"),
    "no artifacts": (lambda d: d.pop("artifacts"), "'artifacts' must be a list"),
    "short hash": (lambda d: d["artifacts"][0].update(sha256="00"), "artifact 0"),
    "unknown field": (lambda d: d["artifacts"][0].update(run="rm"), "artifact 0"),
    "unknown component": (lambda d: d["artifacts"][1].update(component="x"), "artifact 1"),
    "path of another type": (lambda d: d["artifacts"][0].update(path=3), "artifact 0"),
    "artifact of another type": (lambda d: d.update(artifacts=[3]), "artifact 0"),
    "entry points of another type": (lambda d: d["artifacts"][0].update(entry_points=[1]), "artifact 0"),
    "huge size": (lambda d: d["sizes"].update(image_size=10**12), "'sizes'"),
    "of an earlier version": (
        lambda d: d["sizes"].pop("score_batch"),
        "score_batch it was written by an earlier version",
    ),
    "negative size": (lambda d: d["sizes"].update(slots=-8), "'sizes'"),
    "size of another type": (lambda d: d["sizes"].update(batch="16"), "'sizes'"),
    "no checkpoint": (lambda d: d.pop("checkpoint"), "'checkpoint'"),
}


@pytest.mark.parametrize("kind", HOSTILE)
def test_hostile_manifests(folder: Path, kind: str) -> None:
    change, says = HOSTILE[kind]
    rewrite(folder, change)
    with pytest.raises(BundleError, match=says):
        Bundle.open(folder)


@pytest.mark.parametrize("text", ["", "{", "[]", "null", "[" * 100_000, "\x00\xff"])
def test_manifests_that_are_no_manifest(folder: Path, text: str) -> None:
    (folder / "manifest.json").write_bytes(text.encode("latin-1"))
    with pytest.raises(BundleError):
        Bundle.open(folder)


def test_links_out_of_the_bundle_are_not_followed(folder: Path, tmp_path: Path) -> None:
    (tmp_path / "secret").write_bytes(b"model")
    (folder / "tflite/encoder.tflite").unlink()
    (folder / "tflite/encoder.tflite").symlink_to(tmp_path / "secret")
    with pytest.raises(BundleError, match="leads out of the bundle"):
        Bundle.open(folder)


def test_folder_hash_depends_on_names_and_contents(tmp_path: Path) -> None:
    for name, files in {
        "a": {"x": b"12", "y": b"3"},
        "b": {"x": b"1", "y": b"23"},
        "c": {"x": b"12", "z": b"3"},
    }.items():
        (tmp_path / name).mkdir()
        for file, content in files.items():
            (tmp_path / name / file).write_bytes(content)
    assert len({hash_path(tmp_path / name) for name in "abc"}) == 3


def test_manifest_json_is_its_own_inverse(folder: Path) -> None:
    manifest = Bundle.open(folder).manifest
    assert Manifest.from_json(json.loads(json.dumps(manifest.to_json()))) == replace(manifest)
