"""A dump that the JavaScript library wrote, judged by `compare-dump`: every step in a browser but the model.

The library's engine is a recording of the float model, so that whatever is found wrong is the library's.
"""

from __future__ import annotations

import shutil
import zipfile
from pathlib import Path
from subprocess import CompletedProcess, run

import pytest

from tests.device.test_device_loop import World, call, world

__all__ = ["world"]

NODE = shutil.which("node")
TOOL = Path(__file__).parents[2] / "sample_apps" / "web" / "tools" / "replay.js"

pytestmark = pytest.mark.skipif(NODE is None, reason="NOT RUN: needs node 20")


def tool(*arguments: str | Path) -> CompletedProcess[str]:
    command = [str(NODE), str(TOOL), *map(str, arguments)]
    return run(command, capture_output=True, text=True, check=False)


def test_the_dump_of_the_javascript_library_passes(world: World, tmp_path: Path) -> None:
    dump = tmp_path / "dump.zip"
    result = tool(world.fixtures, world.bundle / "manifest.json", dump)
    assert result.returncode == 0, result.stderr
    with zipfile.ZipFile(dump) as archive:
        assert archive.testzip() is None
    judged = call(
        *("compare-dump", world.bundle, dump, "--fixtures", world.fixtures),
        *("--out", tmp_path / "report", "--threads", "1"),
        # The recording is the float model itself, so the masks are the same.
        *("--min-mask-iou", "1", "--max-score-difference", "1e-6"),
    )
    assert judged.exit_code == 0, judged.stdout + judged.stderr
    assert "device: Node" in judged.stdout
    assert "PASSED" in judged.stdout


def test_cut_fixtures_are_one_error_and_leave_no_dump(world: World, tmp_path: Path) -> None:
    fixtures = tmp_path / "fixtures"
    shutil.copytree(world.fixtures, fixtures)
    pixels = fixtures / "photo_0" / "pixels.bin"
    pixels.write_bytes(pixels.read_bytes()[:-1])
    result = tool(fixtures, world.bundle / "manifest.json", tmp_path / "dump.zip")
    assert result.returncode == 1
    assert "photo_0/pixels.bin" in result.stderr
    assert sorted(path.name for path in tmp_path.iterdir()) == ["fixtures"]


def test_wrong_arguments_show_the_usage() -> None:
    result = tool("one")
    assert result.returncode == 2
    assert result.stderr.startswith("usage: node tools/replay.js")
