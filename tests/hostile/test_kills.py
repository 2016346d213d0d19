"""Commands that are ended at random moments: nothing half-made, and a second run makes what one run makes.

`KILL_MOMENTS=8 pytest -m slow -s tests/hostile/test_kills.py -k train` tries fewer, and says each as it goes.
"""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path
from random import Random

import numpy as np
import pytest
from PIL import Image

from tinysam_mobile.distill.photo_store import Photo, write_store

pytestmark = pytest.mark.slow

ROOT = Path(__file__).parents[2]
MODEL = "stand-in:tiny-test"
MOMENTS = int(os.environ.get("KILL_MOMENTS", "25"))
OVERWRITING = ("segment", "convert", "fixtures")
"""Verbs that make all anew, so what was there stays whole at every moment; the others go on from it."""
SIGNALS = (signal.SIGKILL, signal.SIGINT, signal.SIGTERM)
VERBS = {
    "segment": [
        *("segment", "photo.png", "--everything", "--points-per-side", "8", "--checkpoint", MODEL),
        *("--pred-iou-thresh", "-9", "--stability-score-thresh", "0", "--out", "out/x.png"),
    ],
    "convert": ["convert", MODEL, "--target", "tflite", "--batch", "2", "--out", "out/bundle", "--overwrite"],
    "fixtures": ["fixtures", "bundle", "--out", "out/fixtures", "--overwrite", "--prompts", "2"],
    "evaluate": ["evaluate", "data", "--checkpoint", MODEL, "--out", "out/results"],
    "validate": [
        *("validate", "bundle", "--images", "photo.png", "--prompts", "2", "--everything-photos", "0"),
        *("--out", "out/report"),
    ],
    "prepare": ["distill", "prepare", "data", "--out", "out/store"],
    "train": ["distill", "train", "run.toml", "--out", "out/run"],
}
TIMED = ("manifest.json", "report.html", "report.json", "junit.xml", "curves.png")
"""Files that hold times, so of them only that they are there."""
RECIPE = """
model = "tiny-test"
stores = ["store"]
checkpoint_every_steps = 3

[[stages]]
steps = 10
image_size = 64
photos = 1
prompts = 2

[[stages]]
steps = 10
image_size = 128
photos = 1
prompts = 2
"""


def run(words: list[str], folder: Path) -> subprocess.Popen[bytes]:
    environment = os.environ | {"PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"}
    command = [sys.executable, "-m", "tinysam_mobile", *words]
    return subprocess.Popen(
        command,
        cwd=folder,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        env=environment,
        # What a shell runs in the background ignores interrupts, and hands that on.
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),
    )


def finished(words: list[str], folder: Path) -> str:
    process = run(words, folder)
    _, said = process.communicate()
    assert process.returncode in (0, 1), said.decode()
    return said.decode()


def written(folder: Path) -> dict[str, str]:
    """Path → hash of all that lies in `out`, times and what a killed run left hidden left out."""
    out = folder / "out"
    return {
        path.relative_to(out).as_posix(): "" if path.name in TIMED else _hash(path)
        for path in sorted(out.rglob("*"))
        if path.is_file() and not any(part.startswith(".") for part in path.relative_to(out).parts)
    }


def is_before_us(said: bytes) -> bool:
    """Whether Python itself was ended while it still looked for our first line."""
    return b"__main__.py" not in said and b"_get_module_details" in said


def hidden(out: Path) -> list[str]:
    return [path.name for path in out.rglob(".*")]


def _hash(path: Path) -> str:
    data = path.read_bytes()
    if path.name == "losses.csv":  # the last figure is the time that a step took
        data = b"\n".join(line.rpartition(b",")[0] for line in data.splitlines())
    return hashlib.sha256(data).hexdigest()


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("world")
    pixels = np.random.default_rng(0).integers(0, 256, (6, 9, 3), np.uint8)
    Image.fromarray(pixels).resize((90, 60)).save(folder / "photo.png")
    (folder / "data" / "images").mkdir(parents=True)
    outline = [5, 5, 35, 5, 35, 35, 5, 35]
    square = {"id": 1, "image_id": 1, "category_id": 1, "area": 900, "segmentation": [outline]}
    images = []
    for number in range(1, 9):
        Image.fromarray(pixels).resize((90, 60)).save(folder / "data" / "images" / f"{number}.png")
        images.append({"id": number, "file_name": f"{number}.png", "width": 90, "height": 60})
    document = {"images": images, "annotations": [square], "categories": [{"id": 1}]}
    (folder / "data" / "instances.json").write_text(json.dumps(document))
    layers = np.zeros((1, 60, 90), np.uint8)
    layers[0, 5:35, 5:35] = 1
    photo = Photo(
        name="1.png",
        source="drawn",
        pixels=np.asarray(Image.fromarray(pixels).resize((90, 60))),
        layers=layers,
        kinds=("object",),
    )
    write_store([photo], folder / "store")
    (folder / "run.toml").write_text(RECIPE)
    return folder


def emptied(world: Path, verb: str) -> Path:
    """The folder to write to, with nothing in it, and the bundle that some verbs read beside it."""
    if "bundle" in VERBS[verb] and not (world / "bundle").exists():
        finished(["convert", MODEL, "--target", "tflite", "--batch", "2", "--out", "bundle"], world)
    out = world / "out"
    shutil.rmtree(out, ignore_errors=True)
    out.mkdir()
    return out


@pytest.mark.parametrize("verb", VERBS)
def test_a_run_that_is_ended_leaves_nothing_half_made(verb: str, world: Path) -> None:
    out = emptied(world, verb)
    started = time.monotonic()
    finished(VERBS[verb], world)
    duration = time.monotonic() - started
    expected = written(world)
    rng = Random(verb)
    for moment in range(MOMENTS):
        number = SIGNALS[moment % len(SIGNALS)]
        if verb not in OVERWRITING:
            emptied(world, verb)
        process = run(VERBS[verb], world)
        after_s = rng.uniform(0, duration)
        time.sleep(after_s)
        process.send_signal(number)
        _, said = process.communicate()
        print(f"{verb}: {number.name} after {after_s:.1f} of {duration:.1f} s: {process.returncode}")
        assert b"Traceback" not in said or is_before_us(said), said.decode()
        if verb in OVERWRITING:
            assert written(world) == expected, f"moment {moment}: not whole"
        if verb not in OVERWRITING or moment == MOMENTS - 1:
            finished(VERBS[verb], world)
            assert written(world) == expected, f"moment {moment}: another result"
            assert not hidden(out)


@pytest.mark.parametrize("verb", ["segment", "convert", "fixtures", "evaluate", "prepare", "train"])
def test_two_writers_at_once_leave_one_whole_result(verb: str, world: Path) -> None:
    out = emptied(world, verb)
    finished(VERBS[verb], world)
    expected = written(world)
    emptied(world, verb)
    codes = []
    for process in [run(VERBS[verb], world) for _ in range(2)]:
        _, said = process.communicate()
        assert b"Traceback" not in said, said.decode()
        codes.append(process.returncode)
    # One may find the other's result in its place, or be told that the other is writing.
    assert sorted(codes) in ([0, 0], [0, 2])
    assert written(world) == expected
    assert not hidden(out)
