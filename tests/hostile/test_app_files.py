"""The hostile manifests that the apps' libraries are tested with, read here too."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests.app_fixtures.hostile import edited, hostile_cases
from tests.app_fixtures.store import GOLDEN, Case, read_cases
from tinysam_mobile.bundle.folder import Bundle
from tinysam_mobile.errors import TinySAMError

TEXT = (GOLDEN / "manifest.json").read_text(encoding="utf-8")
APPS_ONLY = ("entry_points.decode.inputs", "preprocess.value_range", "everything_search")
"""Parts that are written for apps; this side computes them from the sizes, or has its own."""


def test_the_cases_are_those_of_today() -> None:
    assert read_cases("hostile") == json.loads(json.dumps(list(hostile_cases(TEXT))))


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("bundle")
    for artifact in json.loads(TEXT)["artifacts"]:
        path = folder / artifact["path"]
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch()
    (folder / "manifest.json").write_text(TEXT)
    Bundle.open(folder)
    return folder


@pytest.mark.parametrize("case", read_cases("hostile"), ids=lambda case: case["name"])
def test_a_manifest_of_a_stranger_is_read_or_refused(case: Case, folder: Path) -> None:
    (folder / "manifest.json").write_text(edited(TEXT, case), encoding="utf-8")
    if case["refused"] and not case["name"].startswith(APPS_ONLY):
        with pytest.raises(TinySAMError):
            Bundle.open(folder)
        return
    try:
        Bundle.open(folder)
    except TinySAMError:
        return
