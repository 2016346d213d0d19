"""Options are declared once, and what cannot be is refused in one line before anything heavy is imported."""

from __future__ import annotations

import ast
import json
import os
import re
import subprocess
import sys
from collections import defaultdict
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result
from PIL import Image

from tests.cli.test_help_is_light import PROBE
from tinysam_mobile.cli import main

CLI = Path(__file__).parents[2] / "tinysam_mobile" / "cli"


def declared_flags() -> dict[str, list[str]]:
    """Flag → where it is handed to a call, which declares it: `click.option`, or a function around it."""
    found = defaultdict(list)
    for path in sorted(CLI.glob("*.py")):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Call) and named(node).endswith(("option", "Option")):
                for argument in node.args:
                    if isinstance(argument, ast.Constant) and re.fullmatch("--[a-z-]+", str(argument.value)):
                        found[argument.value].append(f"{path.name}:{node.lineno}")
    return found


def named(node: ast.Call) -> str:
    """The last word of what is called."""
    return node.func.attr if isinstance(node.func, ast.Attribute) else getattr(node.func, "id", "")


def test_each_option_is_declared_once() -> None:
    flags = declared_flags()
    assert {flag: places for flag, places in flags.items() if len(places) > 1} == {}
    assert {"--json", "--out", "--threads", "--recipe", "--runtime", "--bundle", "--checkpoint"} <= set(flags)


def test_every_option_has_a_sentence_of_help() -> None:
    for verb in main.list_commands(None):  # type: ignore[arg-type]
        command = main.get_command(None, verb)  # type: ignore[arg-type]
        for one in (command, *getattr(command, "commands", {}).values()):
            for option in (p for p in one.params if p.param_type_name == "option"):
                assert re.match(r"[A-Z].*\w.*[.;)]$", option.help or ""), f"{verb} {option.name}"


@pytest.fixture
def world(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with a photo, an empty bundle and whatever else the lines below name."""
    monkeypatch.chdir(tmp_path)
    for folder in ("photos", "bundle", "data", "empty", "fixtures", "run"):
        (tmp_path / folder).mkdir()
    Image.new("RGB", (8, 8)).save("photos/photo.png")
    for name in (
        *("bundle/manifest.json", "data/instances.json", "fixtures/fixtures.json", "boxes.json"),
        *("model.pth", "student.safetensors", "run.toml", "notes.txt", "artifact.tflite", "dump.zip"),
    ):
        (tmp_path / name).write_text("{}")
    return tmp_path


VERBS: dict[str, Sequence[str]] = {
    "convert": (),
    "segment": ("photos/photo.png", "--point", "1,2"),
    "validate": ("bundle", "--images", "photos"),
    "fixtures": ("bundle", "-o", "new"),
    "compare-dump": ("bundle", "dump.zip"),
    "bench": ("bundle",),
    "evaluate": ("data",),
    "distill train": ("run.toml", "--out", "run"),
    "distill thresholds": ("student.safetensors", "data"),
}
"""Verb with --threads → the rest of a line that is right as far as can be seen before the work."""
BUNDLE = "make a bundle with 'tinysam-mobile convert"
WRONG: dict[str, tuple[str, str]] = {
    # a bundle that is missing, or none
    "segment photos/photo.png --point 1,2 --runtime tflite --bundle none": ("does not exist", BUNDLE),
    "segment photos/photo.png --point 1,2 --runtime tflite --bundle empty": ("manifest.json", BUNDLE),
    "evaluate data --runtime tflite --bundle none": ("does not exist", BUNDLE),
    "evaluate data --compare none bundle": ("does not exist", "fetch --list"),
    "validate none --images photos": ("does not exist", BUNDLE),
    "validate empty --images photos": ("holds no manifest.json", BUNDLE),
    "fixtures none": ("does not exist", BUNDLE),
    "compare-dump none dump.zip": ("does not exist", BUNDLE),
    "bundle-for-app ios none": ("does not exist", BUNDLE),
    "bench none": ("does not exist", BUNDLE),
    # a wrong suffix
    "convert notes.txt": ("ends in .txt", "fetch --list"),
    "sensitivity artifact.tflite --calibration photos": ("ends in .tflite", "fetch --list"),
    "segment photos/photo.png --point 1,2 --checkpoint boxes.json": ("ends in .json", "fetch --list"),
    "segment photos/photo.png --point 1,2 --out mask.xyz": ("must end in .png", "a folder that exists"),
    "validate notes.txt --images photos": ("must end in .json", "mapping"),
    "validate bundle --images photos --own-prompts notes.txt": ("must end in .json", "its form is"),
    "compare-dump bundle notes.txt": ("must end in .zip", "the app wrote"),
    "bench --dump notes.txt": ("must end in .zip", "an app writes"),
    "evaluate --annotations notes.txt --images photos": ("must end in .json", "COCO"),
    "evaluate data --boxes notes.txt": ("must end in .json", "COCO"),
    "inspect notes.txt": ("neither a bundle", ".safetensors"),
    "distill train notes.txt --out run": ("must end in .toml", "recipe"),
    "distill export run --out student.pth": ("must end in .safetensors", "another name"),
    "distill thresholds model.pth data": ("must end in .safetensors", "distill export"),
    "distill cache run --teacher notes.txt --out new": ("ends in .txt", "fetch --list"),
    # photos that are missing
    "convert --recipe static_w8a8 --calibration none": ("does not exist", "photos"),
    "convert --recipe static_w8a8 --calibration empty": ("holds no photo", ".jpg"),
    "sensitivity --calibration empty": ("holds no photo", ".jpg"),
    "segment none.jpg --point 1,2": ("does not exist", "name a photo"),
    "validate bundle --images none": ("does not exist", "photos"),
    "validate bundle --images empty": ("holds no photo", ".jpg"),
    "fixtures bundle --images empty": ("holds no photo", ".jpg"),
    "evaluate --annotations boxes.json --images none": ("does not exist", "check the name"),
    "distill prepare none --out new": ("does not exist", "photos"),
    "distill prepare empty --out new": ("holds no photo", ".jpg"),
    # outputs that cannot be written, or are there already
    "convert --out bundle": ("exists already", "--overwrite"),
    "convert --overwrite --out photos": ("holds no manifest.json", "choose another"),
    "convert --out notes.txt/bundle": ("is no folder", "choose another place"),
    "convert --out ''": ("is not the name", "file or folder"),
    "convert --out .": ("names no file or folder", "give it a name"),
    "segment photos/photo.png --point 1,2 --out none/mask.png": ("does not exist", "choose another place"),
    "segment photos/photo.png --point 1,2 --out nowhere": ("must end in .png", "a folder that exists"),
    "segment photos/photo.png --point 320 240": ("240: does not exist", "--point 320,240"),
    "segment photos/photo.png --pont 1,2": ("'--pont'", "did you mean --point?"),
    "convert --target corml": ("'corml' is not one of", "did you mean coreml?"),
    "convert --image-size 500": ("no multiple of 64", "the nearest is 512"),
    "convert --jobs many": ("--jobs: 'many'", "no whole number"),
    "convrt": ("No such command 'convrt'", "did you mean convert?"),
    "segment photos/photo.png --box 30,1,2,40": ("did you mean", "--box 2,1,30,40"),
    "segment photos/photo.png --box 3,4,3,9": ("no area", "bottom right corner"),
    "validate bundle --images photos --out notes.txt": ("is a file", "choose another name"),
    "validate bundle --images photos --out /proc/none": ("cannot be written", "choose another place"),
    "fixtures bundle --out bundle --overwrite": ("holds no fixtures.json", "choose another"),
    "fetch tinysam --folder notes.txt": ("is a file", "choose another name"),
    # numbers that are none, or out of range
    "segment photos/photo.png --everything --pred-iou-thresh nan": ("nan", "--pred-iou-thresh"),
    "segment photos/photo.png --everything --pred-iou-thresh 88": ("not in the range", "--pred-iou-thresh"),
    "segment photos/photo.png --everything --budget-ms -5": ("not in the range", "--budget-ms"),
    "segment photos/photo.png --everything --budget-ms inf": ("not in the range", "--budget-ms"),
    "segment photos/photo.png --everything --min-region-area -1": ("not in the range", "--min-region-area"),
    "segment photos/photo.png --everything --max-decoder-calls 0": (
        "not in the range",
        "--max-decoder-calls",
    ),
    "segment photos/photo.png --everything --flat --points-per-side 0": ("not in", "--points-per-side"),
    "segment photos/photo.png --box 1,2,3,4 --box 5,6,7,8": ("given 2 times", "once for each box"),
    "convert --auto-mixed nan": ("nan", "--auto-mixed"),
    "convert --image-size 999999": ("not in the range", "--image-size"),
    "convert --slots 1": ("not in the range", "--slots"),
    "validate bundle --images photos --min-mask-iou nan": ("nan", "--min-mask-iou"),
    "evaluate data --last 0": ("not in the range", "--last"),
    "distill thresholds student.safetensors data --max-masks nan": ("nan", "--max-masks"),
    "distill prepare photos --out new --leave-out-last -1": ("not in the range", "--leave-out-last"),
}
"""A line → what its error says, and what it says to do or where."""


def call(line: Sequence[str]) -> Result:
    return CliRunner().invoke(main, list(line), prog_name="tinysam-mobile")


def split(line: str) -> list[str]:
    return [word.strip("'") for word in line.split(" ")]


@pytest.mark.parametrize("threads", ["0", "-1", "100000", "257"])
@pytest.mark.parametrize("verb", VERBS)
@pytest.mark.usefixtures("world")
def test_a_number_of_threads_that_no_runtime_bears_is_refused(verb: str, threads: str) -> None:
    result = call([*verb.split(), *VERBS[verb], "--threads", threads])
    assert result.exit_code == 2, result.output
    assert result.stderr == (
        f"error: --threads: {threads} is not in the range 1<=x<=256; see 'tinysam-mobile {verb} --help'\n"
    )


@pytest.mark.parametrize("line", WRONG)
def test_wrong_usage_is_one_line_that_says_what_to_do(line: str, world: Path) -> None:
    before = sorted(world.rglob("*"))
    result = call(split(line))
    assert result.exit_code == 2, result.output
    assert len(result.stderr.splitlines()) == 1
    assert result.stderr.startswith("error: ")
    for part in WRONG[line]:
        assert part in result.stderr
    assert sorted(world.rglob("*")) == before


@pytest.mark.usefixtures("world")
def test_it_is_refused_before_torch_or_an_sdk_is_imported() -> None:
    lines = [split(line) for line in WRONG]
    lines += [[*verb.split(), *words, "--threads", "100000"] for verb, words in VERBS.items()]
    heavy = ["torch", "coremltools", "litert_torch", "ai_edge_litert", "executorch"]
    command = [sys.executable, "-c", PROBE, json.dumps(lines), json.dumps(heavy)]
    environment = os.environ | {"PYTHONPATH": str(CLI.parents[1])}
    done = subprocess.run(command, capture_output=True, text=True, check=False, env=environment)
    assert done.returncode == 0, done.stderr[-2000:]
    answers: list[Any] = json.loads(done.stdout)
    assert {
        " ".join(line): answer for line, answer in zip(lines, answers, strict=True) if answer != [2, []]
    } == {}
