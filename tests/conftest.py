"""Settings that all tests share."""

from __future__ import annotations

from pathlib import Path

import pytest
from click.testing import CliRunner, Result
from hypothesis import settings

from tinysam_mobile.cli import main

# No deadline: how long an example takes says nothing on a busy machine.
settings.register_profile("tinysam", deadline=None)
settings.load_profile("tinysam")


@pytest.fixture(scope="session")
def tflite_bundle(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Result]:
    """The bundle that `convert stand-in:tiny-test --target tflite --json` wrote, and what it printed."""
    out = tmp_path_factory.mktemp("bundle") / "bundle"
    arguments = ["stand-in:tiny-test", "--target", "tflite", "--batch", "2", "--out", str(out), "--json"]
    return out, CliRunner().invoke(main, ["convert", *arguments], catch_exceptions=False)
