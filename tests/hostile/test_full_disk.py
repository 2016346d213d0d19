"""A disk that is full, or files that may not grow: one sentence, and nothing half-written."""

from __future__ import annotations

import os
import resource
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tinysam_mobile.converters.base import sdk_errors
from tinysam_mobile.errors import ConversionError

ROOT = Path(__file__).parents[2]
FILE_LIMIT_BYTES = 100_000
"""More than a probe, less than any artifact."""


@pytest.mark.parametrize(
    "error",
    [
        OSError(28, "No space left on device", "/a/b"),
        shutil.Error([("/tmp/a", "out/b", "[Errno 28] No space left on device: '/tmp/a' -> 'out/b'")]),
    ],
)
def test_what_an_sdk_says_of_a_full_disk_is_one_sentence(error: OSError) -> None:
    with pytest.raises(ConversionError) as caught, sdk_errors("Core ML", "encode", extra="x", advice="y"):
        raise error
    assert str(caught.value) == (
        "Core ML: encode could not be written (No space left on device); "
        "free some space or choose another place"
    )


def limit() -> None:
    resource.setrlimit(resource.RLIMIT_FSIZE, (FILE_LIMIT_BYTES, FILE_LIMIT_BYTES))


@pytest.mark.slow
@pytest.mark.parametrize("target", ["tflite", "coreml", "executorch"])
def test_a_conversion_that_cannot_be_written_leaves_nothing(target: str, tmp_path: Path) -> None:
    words = ["convert", "stand-in:tiny-test", "--batch", "2", "--target", target, "--out", "out/bundle"]
    done = subprocess.run(
        [sys.executable, "-m", "tinysam_mobile", *words],
        cwd=tmp_path,
        env=os.environ | {"PYTHONPATH": str(ROOT)},
        preexec_fn=limit,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 2, done.stderr
    last = done.stderr.splitlines()[-1]
    assert last.startswith("error: ")
    assert "written" in last
    assert "Traceback" not in done.stderr
    assert list((tmp_path / "out").iterdir()) == []
