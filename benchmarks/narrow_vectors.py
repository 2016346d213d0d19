"""LiteRT with the vectors of an older processor, so that WebAssembly is compared with its like.

WebAssembly has vectors of 128 bits, as phones have; XNNPACK on this host takes the widest that the processor
has.  It asks the processor which registers the system saves (the instruction XGETBV); in a copy of the
package that instruction is replaced by the answer of a system that saves fewer.  Linux, x86-64 only.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path
from typing import Any

__all__ = ["STATES", "measured_with"]

PACKAGE = "ai_edge_litert"
XGETBV = bytes([0x0F, 0x01, 0xD0])
STATES = {"128 bits (SSE)": 0b011, "256 bits (AVX2, FMA)": 0b111}
"""Vectors → XCR0, the registers that are saved (Intel's manual, volume 1, 13.3): x87, SSE, AVX."""
PUSH_BYTE, POP_RAX = 0x6A, 0x58


def measured_with(state: int, code: str, arguments: list[str], folder: Path) -> Any:
    """Run Python `code`, which prints JSON in its last line, in a process whose LiteRT sees `state`."""
    _narrowed(state, folder)
    paths = [str(folder), str(Path.cwd()), os.environ.get("PYTHONPATH", "")]
    done = subprocess.run(
        [sys.executable, "-c", code, *arguments],
        env={**os.environ, "PYTHONPATH": os.pathsep.join(paths)},
        check=True,
        capture_output=True,
        text=True,
    )
    return json.loads(done.stdout.splitlines()[-1])


def _narrowed(state: int, folder: Path) -> None:
    """Copy LiteRT's package to `folder` with XGETBV replaced by "push state; pop rax", of the same length."""
    found = find_spec(PACKAGE)
    if found is None or found.origin is None:
        raise SystemExit(f"needs {PACKAGE}")
    copy = folder / PACKAGE
    shutil.copytree(Path(found.origin).parent, copy)
    replaced = 0
    for library in copy.rglob("*.so*"):
        data = library.read_bytes()
        replaced += data.count(XGETBV)
        library.write_bytes(data.replace(XGETBV, bytes([PUSH_BYTE, state, POP_RAX])))
    if not replaced:
        raise SystemExit(f"{PACKAGE} asks this processor otherwise than it did")
