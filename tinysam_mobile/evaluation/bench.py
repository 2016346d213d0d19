"""How fast a bundle is on this machine: latency per entry point, load time and memory.

Each measurement runs in a process of its own, so that no other runtime's memory or threads are in its
figures.  They are the host's: a phone's come from its dumps only.

    python -m tinysam_mobile.evaluation.bench REQUEST.json RESULT.json     what such a process does
"""

from __future__ import annotations

import json
import os
import platform
import subprocess
import sys
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from importlib import import_module
from pathlib import Path
from statistics import median, quantiles
from tempfile import TemporaryDirectory
from time import perf_counter
from typing import Any

from tinysam_mobile.artifacts.formats import format_named
from tinysam_mobile.bundle.folder import Bundle
from tinysam_mobile.contract.backend import Arrays, Backend
from tinysam_mobile.contract.verdict import Verdict
from tinysam_mobile.errors import RuntimeUnavailableError, TinySAMError
from tinysam_mobile.parity.compare import probe_inputs
from tinysam_mobile.simulator.registry import import_runtime, open_bundle, runtime_named

__all__ = [
    "BenchRequest",
    "BenchResult",
    "LatencySummary",
    "host_machine",
    "measurable",
    "measure",
    "summarise",
]

PERCENTILE_90 = 8
"""Index of the 90th percentile among the nine deciles."""


@dataclass(frozen=True, kw_only=True)
class LatencySummary:
    """Of `runs` calls, in milliseconds."""

    runs: int
    median_ms: float
    p90_ms: float
    min_ms: float


@dataclass(frozen=True, kw_only=True)
class BenchRequest:
    """What to measure: one runtime and recipe of the bundle in folder `bundle`.

    `threads` None is the runtime's own choice.  `warm_up` calls come first and are not counted.
    """

    bundle: str
    runtime: str
    recipe: str
    threads: int | None
    runs: int
    warm_up: int


@dataclass(frozen=True, kw_only=True)
class BenchResult:
    """What was measured.

    `load_ms` opens and checks the artifacts, the runtime's library being there already; `first_ms` is each
    entry point's first call, which plans memory or unpacks weights in some runtimes.  `peak_memory_bytes` is
    the process's largest resident size, `library_memory_bytes` what it was before the artifacts were opened;
    both are None on a system without that figure.  `not_run` or `error` says why there are no figures.
    """

    request: BenchRequest
    load_ms: float | None = None
    first_ms: Mapping[str, float] = field(default_factory=dict)
    latency: Mapping[str, LatencySummary] = field(default_factory=dict)
    peak_memory_bytes: int | None = None
    library_memory_bytes: int | None = None
    not_run: str | None = None
    error: str | None = None

    @property
    def verdict(self) -> Verdict:
        """PASSED if it was measured, FAILED if it broke off, else NOT_RUN."""
        if self.not_run is not None:
            return Verdict.NOT_RUN
        return Verdict.FAILED if self.error is not None else Verdict.PASSED


def summarise(latencies_ms: Sequence[float]) -> LatencySummary:
    """Return median, 90th percentile (interpolated) and minimum of at least one figure in milliseconds."""
    values = list(latencies_ms)
    p90 = quantiles(values, n=10, method="inclusive")[PERCENTILE_90] if len(values) > 1 else values[0]
    return LatencySummary(runs=len(values), median_ms=median(values), p90_ms=p90, min_ms=min(values))


def measurable(bundle: Bundle, runtimes: Sequence[str], recipes: Sequence[str]) -> list[tuple[str, str]]:
    """Return runtimes and recipes of a bundle to measure; raises `UsageError` for one it does not hold."""
    held = list(dict.fromkeys((a.runtime, a.recipe) for a in bundle.manifest.artifacts))
    pairs: list[tuple[str, str]] = []
    for runtime in runtimes or dict.fromkeys(format_named(name).default_runtime for name, _ in held):
        artifact_runtime = runtime_named(runtime).artifact_runtime
        names: list[str | None] = [*recipes] or [r for fmt, r in held if fmt == artifact_runtime]
        pairs += [(runtime, bundle.artifacts(artifact_runtime, name)[0].recipe) for name in names or [None]]
    return pairs


def host_machine() -> dict[str, Any]:
    """What the figures of this machine were measured on."""
    return {
        "host": True,
        "system": f"{platform.system()} {platform.machine()}",
        "cpus": os.cpu_count(),
        "cpus_allowed": len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count(),
        "load_average": os.getloadavg()[0] if hasattr(os, "getloadavg") else None,
        "python": platform.python_version(),
    }


def measure(request: BenchRequest) -> BenchResult:
    """Measure in a process of its own; what goes wrong there is in the result."""
    with TemporaryDirectory(prefix="tinysam-bench-") as temporary:
        asked, answered = Path(temporary, "request.json"), Path(temporary, "result.json")
        asked.write_text(json.dumps(asdict(request)), encoding="utf-8")
        command = [sys.executable, "-m", "tinysam_mobile.evaluation.bench", str(asked), str(answered)]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        if not answered.is_file():
            lines = done.stderr.strip().splitlines()
            reason = f"the process ended with {done.returncode}: {lines[-1] if lines else 'no message'}"
            return BenchResult(request=request, error=reason)
        data = json.loads(answered.read_text(encoding="utf-8"))
    latency = {name: LatencySummary(**summary) for name, summary in data.pop("latency").items()}
    return BenchResult(**{**data, "request": request, "latency": latency})


def measure_here(request: BenchRequest) -> BenchResult:
    """Measure in this process."""
    try:
        bundle = Bundle.open(Path(request.bundle))
        import_runtime(request.runtime)
        for library in runtime_named(request.runtime).libraries:
            import_module(library)
        before = _peak_memory_bytes()
        start = perf_counter()
        backend = open_bundle(bundle, request.runtime, recipe=request.recipe, num_threads=request.threads)
        load_ms = _milliseconds_since(start)
        first, latency = _time_entry_points(backend, request)
    except RuntimeUnavailableError as error:
        return BenchResult(request=request, not_run=str(error))
    except TinySAMError as error:
        return BenchResult(request=request, error=str(error))
    return BenchResult(
        request=request,
        load_ms=load_ms,
        first_ms=first,
        latency=latency,
        peak_memory_bytes=_peak_memory_bytes(),
        library_memory_bytes=before,
    )


def _time_entry_points(
    backend: Backend, request: BenchRequest
) -> tuple[dict[str, float], dict[str, LatencySummary]]:
    """Return the first call's milliseconds and the summary of the counted ones, by entry point."""
    photo = probe_inputs(backend.contract, None)["encode"]
    start = perf_counter()
    features = backend.run("encode", photo)
    first = {"encode": _milliseconds_since(start)}
    latency = {}
    for name, arrays in probe_inputs(backend.contract, features).items():
        if name not in first:
            first[name] = _time_call(backend, name, arrays)
        for _ in range(request.warm_up):
            _time_call(backend, name, arrays)
        latency[name] = summarise([_time_call(backend, name, arrays) for _ in range(request.runs)])
    return first, latency


def _time_call(backend: Backend, name: str, inputs: Arrays) -> float:
    start = perf_counter()
    backend.run(name, inputs)
    return _milliseconds_since(start)


def _milliseconds_since(start: float) -> float:
    return (perf_counter() - start) * 1000


def _peak_memory_bytes() -> int | None:
    try:
        import resource
    except ImportError:
        return None
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    # Linux counts in KiB, macOS in bytes.
    return peak if sys.platform == "darwin" else peak * 1024


def main(asked: str, answered: str) -> None:
    """Answer the request in one file with the result in another."""
    request = BenchRequest(**json.loads(Path(asked).read_text(encoding="utf-8")))
    Path(answered).write_text(json.dumps(asdict(measure_here(request))), encoding="utf-8")


if __name__ == "__main__":
    main(*sys.argv[1:])
