"""A dump that the Kotlin library wrote, judged by `compare-dump`: every step on a phone but the model itself.

The library's engine is a recording of the float model, so that whatever is found wrong is the library's.
`make test-apps` builds the tool and runs this file; without `TINYSAM_KOTLIN_TOOL` its tests skip.
"""

from __future__ import annotations

import json
import os
import re
import shutil
from pathlib import Path
from subprocess import CompletedProcess, run

import pytest

from tests.device.test_device_loop import World, call, world

__all__ = ["world"]

ROOT = Path(__file__).parents[2]
JARS = os.environ.get("TINYSAM_KOTLIN_TOOL", "")
"""Of the tool and of the core, as a class path."""
EVERYTHING_CASES = ROOT / "tests" / "golden" / "apps"

pytestmark = pytest.mark.skipif(not JARS, reason="needs the Kotlin tool: run make test-apps")


def tool(*arguments: str | Path) -> CompletedProcess[str]:
    script = str(ROOT / "sample_apps" / "run-kotlin")
    command = [script, "java", "-cp", JARS, "mobile.tinysam.tool.MainKt", *map(str, arguments)]
    return run(command, capture_output=True, text=True, check=False, cwd=ROOT)


def replay(world: World, fixtures: Path, dump: Path) -> CompletedProcess[str]:
    return tool("replay", fixtures, world.bundle / "manifest.json", dump)


def test_the_dump_of_the_kotlin_library_passes(world: World, tmp_path: Path) -> None:
    dump = tmp_path / "dump.zip"
    result = replay(world, world.fixtures, dump)
    assert result.returncode == 0, result.stderr
    judged = call(
        *("compare-dump", world.bundle, dump, "--fixtures", world.fixtures),
        *("--out", tmp_path / "report", "--threads", "1"),
        # The recording is the float model itself, so the masks are the same.
        *("--min-mask-iou", "1", "--max-score-difference", "1e-6"),
    )
    assert judged.exit_code == 0, judged.stdout + judged.stderr
    assert "device: Java" in judged.stdout
    assert "PASSED" in judged.stdout


def test_cut_fixtures_are_one_error_and_leave_no_dump(world: World, tmp_path: Path) -> None:
    fixtures = tmp_path / "fixtures"
    shutil.copytree(world.fixtures, fixtures)
    pixels = fixtures / "photo_0" / "pixels.bin"
    pixels.write_bytes(pixels.read_bytes()[:-1])
    result = replay(world, fixtures, tmp_path / "dump.zip")
    assert result.returncode == 1
    assert "photo_0/pixels.bin" in result.stderr
    assert sorted(path.name for path in tmp_path.iterdir()) == ["fixtures"]


def test_an_overlay_of_a_recorded_everything_mode(tmp_path: Path) -> None:
    cases = json.loads((EVERYTHING_CASES / "everything.json").read_text())
    case = next(c for c in cases["cases"] if c["name"] == "hierarchical_landscape")
    height, width = case["height"], case["width"]
    shutil.copytree(EVERYTHING_CASES / "everything", tmp_path / "everything")
    shutil.copy(EVERYTHING_CASES / "manifest.json", tmp_path)
    (tmp_path / "pixels.bin").write_bytes(bytes(height * width * 3))
    case["pixels"] = {"file": "pixels.bin", "dtype": "uint8", "shape": [height, width, 3]}
    (tmp_path / "everything.json").write_text(json.dumps({**cases, "cases": [case]}))
    result = tool("overlay", tmp_path, tmp_path / "overlay.ppm")
    assert result.returncode == 0, result.stderr
    picture = (tmp_path / "overlay.ppm").read_bytes()
    header = f"P6\n{width} {height}\n255\n".encode()
    assert picture.startswith(header)
    assert len(picture) == len(header) + height * width * 3
    assert any(picture[len(header) :]), "nothing was drawn on the black photo"


def test_wrong_arguments_show_the_usage() -> None:
    result = tool("segment")
    assert result.returncode == 2
    assert re.match("usage: tinysam-tool", result.stderr)
