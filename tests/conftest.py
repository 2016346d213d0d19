"""Settings that all tests share."""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path
from subprocess import CompletedProcess, run

import pytest
from filelock import FileLock
from hypothesis import settings

# No deadline: how long an example takes says nothing on a busy machine.
settings.register_profile("tinysam", deadline=None)
settings.load_profile("tinysam")


@pytest.fixture(scope="session")
def shared_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder of this run that all test processes see: xdist's workers have theirs side by side in it."""
    base = tmp_path_factory.getbasetemp()
    return base.parent if "PYTEST_XDIST_WORKER" in os.environ else base


@pytest.fixture(scope="session")
def tflite_bundle(shared_folder: Path) -> tuple[Path, CompletedProcess[str]]:
    """The bundle that `convert stand-in:tiny-test --target tflite --json` wrote, and what it printed."""
    folder = shared_folder / "tflite"
    folder.mkdir(exist_ok=True)
    out, printed = folder / "bundle", folder / "printed.json"
    options = ["--target", "tflite", "--batch", "2", "--out", str(out), "--json"]
    command = [sys.executable, "-m", "tinysam_mobile", "convert", "stand-in:tiny-test", *options]
    with FileLock(folder / "lock"):
        if not printed.exists():
            done = run(command, capture_output=True, text=True, check=False)
            printed.write_text(json.dumps([done.returncode, done.stdout, done.stderr]))
    return out, CompletedProcess(command, *json.loads(printed.read_text()))
