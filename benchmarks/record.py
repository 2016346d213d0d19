"""What every result carries: machine, versions, threads and allocator settings."""

from __future__ import annotations

import json
import os
import platform
from importlib import metadata
from pathlib import Path
from typing import Any

__all__ = ["RESULTS", "machine", "save"]

RESULTS = Path(__file__).parent / "results"
PACKAGES = (
    "torch",
    "coremltools",
    "litert-torch",
    "ai-edge-litert",
    "executorch",
    "numpy",
    "mobilesam-mirror",
)


def _cpu() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        return platform.processor()
    return next(
        (line.partition(":")[2].strip() for line in lines if line.startswith("model name")),
        platform.machine(),
    )


def _versions() -> dict[str, str]:
    found = {}
    for package in PACKAGES:
        try:
            found[package] = metadata.version(package)
        except metadata.PackageNotFoundError:
            continue
    return found


def machine() -> dict[str, Any]:
    """Return processor, system, versions, load and the malloc settings that decide torch's speed."""
    return {
        "processor": _cpu(),
        "cores": os.cpu_count(),
        "system": f"{platform.system()} {platform.machine()}, Python {platform.python_version()}",
        "versions": _versions(),
        # How many processes wanted a core in the last minute, this one among them: figures of a busy machine.
        "load_1min": round(os.getloadavg()[0], 1),
        "malloc": {key: value for key, value in sorted(os.environ.items()) if key.startswith("MALLOC_")},
    }


def save(name: str, result: dict[str, Any]) -> Path:
    """Write `result` with the machine to benchmarks/results/NAME.json and return the path."""
    RESULTS.mkdir(exist_ok=True)
    path = RESULTS / f"{name}.json"
    path.write_text(json.dumps({"machine": machine(), **result}, indent=2) + "\n")
    return path
