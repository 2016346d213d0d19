"""Settings that all tests share."""

from __future__ import annotations

import sys
from pathlib import Path
from subprocess import CompletedProcess, run

import pytest
from hypothesis import settings

# No deadline: how long an example takes says nothing on a busy machine.
settings.register_profile("tinysam", deadline=None)
settings.load_profile("tinysam")


@pytest.fixture(scope="session")
def tflite_bundle(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, CompletedProcess[str]]:
    """The bundle that `convert stand-in:tiny-test --target tflite --json` wrote, and what it printed."""
    out = tmp_path_factory.mktemp("bundle") / "bundle"
    options = ["--target", "tflite", "--batch", "2", "--out", str(out), "--json"]
    command = [sys.executable, "-m", "tinysam_mobile", "convert", "stand-in:tiny-test", *options]
    return out, run(command, capture_output=True, text=True, check=False)
