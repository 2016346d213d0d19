"""stderr holds our progress and real messages only, whatever the SDKs' C++ parts write to it."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image


def stderr_of(*arguments: str | Path, code: int = 0) -> list[str]:
    """Run Python with `arguments` in a process of its own, as a user does, and return its stderr."""
    done = subprocess.run([sys.executable, *map(str, arguments)], capture_output=True, text=True, check=False)
    assert done.returncode == code, done.stderr
    return done.stderr.splitlines()


def test_conversion_shows_progress_only(tflite_bundle: tuple[Path, subprocess.CompletedProcess[str]]) -> None:
    lines = tflite_bundle[1].stderr.splitlines()
    ours = ("loading the checkpoint", "stand-in weights: ", "tflite fp32")
    assert [line for line in lines if not line.startswith(ours)] == []
    assert len(lines) > 3


def test_segmenting_shows_progress_only(
    tflite_bundle: tuple[Path, subprocess.CompletedProcess[str]], tmp_path: Path
) -> None:
    photo = tmp_path / "photo.png"
    Image.fromarray(np.zeros((40, 60, 3), np.uint8)).save(photo)
    runtime = ["--bundle", tflite_bundle[0], "--runtime", "tflite", "--out", tmp_path / "mask.png"]
    lines = stderr_of("-m", "tinysam_mobile", "segment", photo, "--point", "20,20", *runtime)
    assert lines == ["loading tflite", "encoding the photo", "decoding the prompt"]


LOADERS = {
    "executorch": "from tinysam_mobile.simulator import executorch as e; e._ThreadPool.use(1)",
    "coreml": "from tinysam_mobile.artifacts.coreml_sdk import import_coremltools as f; f()",
    "tflite converter": "from tinysam_mobile.converters.tflite import _import_sdk; _import_sdk()",
}


@pytest.mark.parametrize("name", LOADERS)
def test_an_sdk_is_loaded_without_a_word(name: str) -> None:
    assert stderr_of("-c", LOADERS[name]) == []


BLOCK = """
import os, sys
from tinysam_mobile.artifacts.native_stderr import without_known_lines
with without_known_lines():
    os.write(2, b"INFO: Created TensorFlow Lite XNNPACK delegate for CPU.\\n")
    os.write(2, b"E0000 00:00:1 x.cc:1] out of memory\\n")
    print("from Python", file=sys.stderr)
    {ending}
os.write(2, b"INFO: Created TensorFlow Lite XNNPACK delegate for CPU.\\n")
"""


def test_other_lines_are_shown() -> None:
    """In order; and what is known is hidden inside the block only."""
    shown = ["E0000 00:00:1 x.cc:1] out of memory", "from Python"]
    outside = ["INFO: Created TensorFlow Lite XNNPACK delegate for CPU."]
    assert stderr_of("-c", BLOCK.format(ending="pass")) == [*shown, *outside]
    lines = stderr_of("-c", BLOCK.format(ending="raise ValueError('broken')"), code=1)
    assert lines[:2] == shown
    assert lines[-1] == "ValueError: broken"


def test_a_process_without_stderr() -> None:
    closed = "import os; os.close(2)\n" + BLOCK.replace("os.write(2,", "(lambda *_: None)(2,")
    stderr_of("-c", closed.format(ending="pass").replace('print("from Python", file=sys.stderr)', "pass"))
