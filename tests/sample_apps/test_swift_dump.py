"""A dump that the Swift library wrote, judged by `compare-dump`: every step on a phone but the model itself.

The library's engine is a recording of the float model, so that whatever is found wrong is the library's.
`make test-apps` builds the tool and runs this file; without `TINYSAM_SWIFT_TOOL` its tests skip.
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from pathlib import Path
from subprocess import CompletedProcess, run
from tempfile import TemporaryDirectory

import pytest

from tests.device.test_device_loop import World, call, world

__all__ = ["world"]

ROOT = Path(__file__).parents[2]
PACKAGE = ROOT / "sample_apps" / "ios"
TOOL = os.environ.get("TINYSAM_SWIFT_TOOL", "")

pytestmark = pytest.mark.skipif(not TOOL, reason="needs the Swift tool: run make test-apps")


@pytest.fixture
def folder() -> Iterator[Path]:
    """Inside the repository, since the toolchain may see nothing else."""
    (ROOT / "build").mkdir(exist_ok=True)
    with TemporaryDirectory(dir=ROOT / "build", prefix="swift-dump-") as path:
        yield Path(path)


def replay(world: World, folder: Path) -> CompletedProcess[str]:
    """Replay a copy of the world's fixtures with the Swift library; the dump is `folder`/dump.zip."""
    if not (folder / "fixtures").exists():
        shutil.copytree(world.fixtures, folder / "fixtures")
    shutil.copy(world.bundle / "manifest.json", folder)
    tool, place = (os.path.relpath(path, PACKAGE) for path in (ROOT / TOOL, folder))
    paths = [f"{place}/{name}" for name in ("fixtures", "manifest.json", "dump.zip")]
    command = [str(ROOT / "sample_apps" / "run-swift"), str(PACKAGE), tool, "replay", *paths]
    return run(command, capture_output=True, text=True, check=False)


def test_the_dump_of_the_swift_library_passes(world: World, folder: Path) -> None:
    result = replay(world, folder)
    assert result.returncode == 0, result.stderr
    judged = call(
        *("compare-dump", world.bundle, folder / "dump.zip", "--fixtures", world.fixtures),
        *("--out", folder / "report", "--threads", "1"),
        # The recording is the float model itself, so the masks are the same.
        *("--min-mask-iou", "1", "--max-score-difference", "1e-6"),
    )
    assert judged.exit_code == 0, judged.stdout + judged.stderr
    assert "device: tinysam-tool" in judged.stdout
    assert "PASSED" in judged.stdout


def test_cut_fixtures_are_one_error_and_leave_no_dump(world: World, folder: Path) -> None:
    shutil.copytree(world.fixtures, folder / "fixtures")
    pixels = folder / "fixtures" / "photo_0" / "pixels.bin"
    pixels.write_bytes(pixels.read_bytes()[:-1])
    result = replay(world, folder)
    assert result.returncode == 1
    assert "photo_0/pixels.bin" in result.stderr
    assert not (folder / "dump.zip").exists()
