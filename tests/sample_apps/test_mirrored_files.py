"""Whoever knows one core finds the same thing under the same name in the others, and in the package."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
APPS = ROOT / "sample_apps"
PACKAGE = ROOT / "tinysam_mobile"
CORES = {
    "swift": (APPS / "ios" / "Sources", "TinySAM[KF]*/*.swift"),
    "kotlin": (APPS / "android" / "core" / "src" / "main" / "kotlin", "**/*.kt"),
    "javascript": (APPS / "web" / "core", "**/*.js"),
}
ALONE = {
    "cameraframe": "Swift has it beside vImage, and the page takes photos",
    "contractshapes": "Swift reads by Codable: shapes are checked beside it",
    "directbuffers": "the JVM's memory that an engine reads in place",
    "entrypointengine": "JavaScript has one engine, which is one itself",
    "everythingcase": "in the other cores a part of RecordedClicks",
    "everythingsearch": "an actor's state that Swift wants apart",
    "fromboxescase": "JavaScript has no tool that draws it: its tests read it",
    "filetree": "Swift reads files by RawTensor",
    "floattensor": "Swift has no typed arrays that share memory",
    "jsonfields": "Swift's Foundation reads JSON by Codable",
    "jsonreader": "the Kotlin core takes no library",
    "jsonvalue": "the Kotlin core takes no library",
    "jsonwriter": "the Kotlin core takes no library",
    "photocrop": "the page does not search crops",
    "rawtensor": "see filetree",
    "recordedclicks": "Swift's RecordedEngine answers both",
    "sharedfixtures": "Swift's tool reads them too; in the other cores they are the tests' own",
    "tinysam": "the page has a session of its own",
    "zip": "Java has one",
}
"""File of one or two cores → why the others have none."""
OTHER_NAMES = {
    "box": "imaging/masks.py",
    "cococounts": "imaging/masks.py",
    "dumpwriter": "device/dumps.py",
    "fastjudge": "segment/candidates.py",
    "fixtureset": "device/fixtures.py",
    "geometry": "imaging/preprocess.py",
    "halffloat": "segment/candidates.py",
    "logitwindow": "segment/candidates.py",
    "lowresolutionextent": "segment/candidates.py",
    "manifestreader": "bundle/manifest.py",
    "mask": "imaging/masks.py",
    "maskaxis": "imaging/upscale.py",
    "maskupscaler": "imaging/upscale.py",
    "orientation": "imaging/images.py",
    "overlay": "imaging/pictures.py",
    "recordedengine": "device/fixtures.py",
    "replay": "device/fixtures.py",
    "rgbimage": "imaging/images.py",
    "runlengths": "imaging/masks.py",
    "segmentationengine": "contract/backend.py",
    "smallregions": "imaging/masks.py",
    "stability": "imaging/masks.py",
}
"""File of every core → where Python has that, if not in a file of the same name."""


def names(core: str) -> set[str]:
    folder, pattern = CORES[core]
    return {path.stem.lower() for path in folder.glob(pattern)}


@pytest.mark.parametrize("core", CORES)
def test_every_core_has_the_files_of_the_others(core: str) -> None:
    everywhere = set.union(*(names(other) for other in CORES))
    assert everywhere - names(core) <= set(ALONE)
    assert len(names(core)) > len(ALONE)


def test_what_is_alone_is_so_still() -> None:
    shared = set.intersection(*(names(core) for core in CORES))
    assert not shared & set(ALONE)
    assert set(ALONE) <= set.union(*(names(core) for core in CORES))


def test_python_has_the_same_names_or_is_listed() -> None:
    modules = {re.sub("_", "", path.stem) for path in PACKAGE.rglob("*.py")}
    shared = set.intersection(*(names(core) for core in CORES))
    assert shared - modules == set(OTHER_NAMES)
    assert all((PACKAGE / path).is_file() for path in OTHER_NAMES.values())
