"""`--help` of each verb, and wrong usage, are answered without torch, an SDK or a library of figures."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

from tinysam_mobile.cli import COMMANDS

HEAVY = (
    "torch",
    "safetensors",
    "coremltools",
    "litert_torch",
    "tensorflow",
    "ai_edge_litert",
    "executorch",
    "torchao",
    "scipy",
    "matplotlib",
    "pandas",
    "skimage",
    "cv2",
)
WRONG_USAGE = (
    ("convert", "--target", "tflite", "--recipe", "static_w8a8"),
    ("convert", "--target", "tflite", "--recipe", "palettized_w6"),
    ("segment", "photo.jpg"),
    ("segment", "photo.jpg", "--box", "1,2", "--runtime", "tflite"),
    ("validate", "nowhere", "--images", "photo.jpg"),
    ("fixtures", "nowhere"),
    ("bench",),
    ("sensitivity", "--calibration", "nowhere"),
    ("evaluate", "nowhere"),
    ("inspect", "nowhere"),
)
PROBE = """
import json, sys
from contextlib import redirect_stderr, redirect_stdout
from io import StringIO
from tinysam_mobile.cli import main

answers = []
for line in json.loads(sys.argv[1]):
    with redirect_stdout(StringIO()), redirect_stderr(StringIO()):
        try:
            main(line)
        except SystemExit as exit:
            code = exit.code
    answers.append([code, [name for name in json.loads(sys.argv[2]) if name in sys.modules]])
print(json.dumps(answers))
"""
"""Runs command lines one after the other and prints after each its exit code and the heavy modules; the first
line with a module is the one that imported it."""


def answers(lines: Sequence[Sequence[str]], folder: Path) -> dict[str, list[object]]:
    command = [sys.executable, "-c", PROBE, json.dumps(lines), json.dumps(HEAVY)]
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr[-3000:]
    return dict(zip(map(" ".join, lines), json.loads(done.stdout), strict=True))


def test_help_of_every_verb_imports_nothing_heavy(tmp_path: Path) -> None:
    lines = [(verb, "--help") for verb in COMMANDS]
    assert answers(lines, tmp_path) == {f"{verb} --help": [0, []] for verb in COMMANDS}


def test_wrong_usage_is_refused_before_anything_heavy_is_imported(tmp_path: Path) -> None:
    assert answers(WRONG_USAGE, tmp_path) == {" ".join(line): [2, []] for line in WRONG_USAGE}
