"""A runtime in a process of its own, for artifacts that were not made here.

Native runtimes trust their files: a flipped bit can end the process, or take all memory.  Here it ends a
child, and what is left is a `BundleError` that says so.  Parent and child exchange JSON headers and raw
arrays, nothing that is executed when it is read.

    python -m tinysam_mobile.simulator.isolated READ WRITE      what a child does; both are pipes
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import weakref
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import asdict
from pathlib import Path
from select import select
from typing import Any, BinaryIO

import numpy as np
from numpy.typing import NDArray

from tinysam_mobile import errors
from tinysam_mobile.artifacts.formats import format_named, format_of
from tinysam_mobile.bundle.folder import Bundle
from tinysam_mobile.contract.backend import Arrays, Session
from tinysam_mobile.contract.foreign_text import one_line
from tinysam_mobile.contract.schema import read_document
from tinysam_mobile.contract.spec import Signature
from tinysam_mobile.errors import BundleError, TinySAMError, UsageError
from tinysam_mobile.simulator.registry import LoadedModel, import_runtime, open_bundle, runtime_named

__all__ = ["CALL_TIMEOUT_S", "MAX_CHILD_BYTES", "describe_isolated", "open_isolated", "open_isolated_file"]

MAX_CHILD_BYTES = 8 * 2**30
"""Memory of its own that a child may take; SAM's largest encoder takes 5 GB in fp32."""
CALL_TIMEOUT_S = 600.0
"""Time for one call of an entry point, and for opening."""
DESCRIBE_TIMEOUT_S = 120.0
"""Time to read an artifact without running it."""
MAX_HEADER_BYTES = 16 * 2**20
DTYPES = ("float32", "int32", "uint8", "bool")


def open_isolated(
    bundle: Bundle,
    runtime: str,
    *,
    recipe: str | None = None,
    num_threads: int | None = None,
    timeout_s: float = CALL_TIMEOUT_S,
) -> LoadedModel:
    """Return the same backend as `open_bundle`, which runs in a child process if it is native code.

    Raises what `open_bundle` raises, and `BundleError` if the child dies or takes longer than `timeout_s`.
    """
    if not runtime_named(runtime).is_native:
        return open_bundle(bundle, runtime, recipe=recipe, num_threads=num_threads)
    child = _Child(f"{bundle.folder}: {runtime}", timeout_s)
    request = {"bundle": str(bundle.folder), "runtime": runtime, "recipe": recipe, "threads": num_threads}
    names, _ = child.ask(request, {})
    session = _IsolatedSession(child)
    return LoadedModel(contract=bundle.manifest.contract, sessions=dict.fromkeys(names["names"], session))


def open_isolated_file(
    path: Path,
    *,
    runtime: str,
    signatures: Mapping[str, Signature],
    entry_points: Mapping[str, str],
    num_threads: int | None = None,
) -> Session:
    """Return the same session as the runtime's `open_session`, in a child process if it is native code.

    For a file that belongs to no bundle.  Raises what `open_session` raises, and `BundleError` if the child
    dies.
    """
    if not runtime_named(runtime).is_native:
        session: Session = import_runtime(runtime).open_session(
            path, signatures=signatures, entry_points=entry_points, num_threads=num_threads
        )
        return session
    child = _Child(f"{path}: {runtime}", CALL_TIMEOUT_S)
    request = {
        "file": str(path),
        "runtime": runtime,
        "signatures": {name: asdict(signature) for name, signature in signatures.items()},
        "entry_points": dict(entry_points),
        "threads": num_threads,
    }
    child.ask(request, {})
    return _IsolatedSession(child)


def describe_isolated(path: Path, *, timeout_s: float = DESCRIBE_TIMEOUT_S) -> dict[str, Any]:
    """Return what `ArtifactFormat.describe` tells, read in a child if its reader is native code.

    Raises `UsageError` for a file of no format, what the reader raises, and `BundleError` if the child dies.
    """
    fmt = format_of(path)
    if fmt is None:
        raise UsageError(f"{path}: is an artifact of no format that is known here")
    if not runtime_named(fmt.default_runtime).is_native:
        return fmt.describe(path)
    child = _Child(str(path), timeout_s)
    described: dict[str, Any] = child.ask({"describe": str(path), "format": fmt.name}, {})[0]["described"]
    return described


class _IsolatedSession(Session):
    def __init__(self, child: _Child) -> None:
        self._child = child

    def run(self, entry_point: str, inputs: Mapping[str, NDArray[Any]]) -> Arrays:
        """See `Session.run`."""
        return self._child.ask({"entry_point": entry_point}, inputs)[1]


class _Child:
    """The process; it ends with this object."""

    def __init__(self, name: str, timeout_s: float) -> None:
        self._name = name
        self._timeout_s = timeout_s
        theirs, to_child = os.pipe()
        from_child, theirs_too = os.pipe()
        command = [sys.executable, "-m", "tinysam_mobile.simulator.isolated", str(theirs), str(theirs_too)]
        environment = os.environ | {"PYTHONPATH": os.pathsep.join(filter(None, sys.path))}
        self._process = subprocess.Popen(
            command,
            pass_fds=(theirs, theirs_too),
            stdin=subprocess.DEVNULL,
            # What native code prints while it dies helps nobody; the answer says how it ended.
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            env=environment,
        )
        os.close(theirs)
        os.close(theirs_too)
        self._to = os.fdopen(to_child, "wb")
        self._from = os.fdopen(from_child, "rb", buffering=0)
        weakref.finalize(self, _end, self._process, self._to, self._from)

    def ask(
        self, header: Mapping[str, Any], arrays: Mapping[str, NDArray[Any]]
    ) -> tuple[dict[str, Any], Arrays]:
        """Send a request and wait for the answer; raises the error that the child sends, or `BundleError`."""
        try:
            _send(self._to, header, arrays)
            answer, results = _receive(_Timed(self._from, self._timeout_s))
        except (OSError, EOFError, ValueError) as error:
            raise BundleError(f"{self._name}: {self._death(error)}") from error
        if "error" in answer:
            kind = getattr(errors, str(answer["error"]), BundleError)
            known = isinstance(kind, type) and issubclass(kind, TinySAMError)
            raise (kind if known and kind.__init__ is Exception.__init__ else BundleError)(answer["message"])
        return answer, results

    def _death(self, error: Exception) -> str:
        if isinstance(error, TimeoutError):
            self._process.kill()
            return f"the runtime did not answer within {self._timeout_s:g} s, so it was stopped"
        with suppress(subprocess.TimeoutExpired):
            code = self._process.wait(timeout=10)
            how = f"was ended by {signal.Signals(-code).name}" if code < 0 else f"ended with code {code}"
            return f"the runtime {how}: the artifact is damaged, or takes too much memory; convert it again"
        self._process.kill()
        return f"the runtime sent no sensible answer ({one_line(error)})"


def _end(process: subprocess.Popen[bytes], to: BinaryIO, source: BinaryIO) -> None:
    for pipe in (to, source):
        with suppress(OSError):
            pipe.close()
    process.kill()
    process.wait()


class _Timed:
    """A pipe from which each read must begin within a time."""

    def __init__(self, pipe: BinaryIO, timeout_s: float) -> None:
        self._pipe = pipe
        self._timeout_s = timeout_s

    def read(self, size: int) -> bytes:
        """Return at most `size` bytes, b'' at the end; raises `TimeoutError`."""
        if not select([self._pipe], [], [], self._timeout_s)[0]:
            raise TimeoutError
        return self._pipe.read(size)


def _send(pipe: BinaryIO, header: Mapping[str, Any], arrays: Mapping[str, NDArray[Any]]) -> None:
    values = {name: np.ascontiguousarray(array) for name, array in arrays.items()}
    specs = [{"name": n, "dtype": a.dtype.name, "shape": a.shape} for n, a in values.items()]
    text = json.dumps({**header, "arrays": specs}).encode()
    pipe.write(len(text).to_bytes(4, "little") + text)
    for array in values.values():
        pipe.write(array.tobytes())
    pipe.flush()


def _receive(pipe: Any) -> tuple[dict[str, Any], Arrays]:
    """Read a header and its arrays; raises `EOFError` at the end, `ValueError` for what is none."""
    length = int.from_bytes(_exactly(pipe, 4), "little")
    if length > MAX_HEADER_BYTES:
        raise ValueError("a header that is too long")
    header: dict[str, Any] = json.loads(_exactly(pipe, length))
    arrays: Arrays = {}
    for spec in header.pop("arrays"):
        if spec["dtype"] not in DTYPES:
            raise ValueError(f"an array of {spec['dtype']}")
        shape = tuple(int(side) for side in spec["shape"])
        data = _exactly(pipe, int(np.prod(shape)) * np.dtype(spec["dtype"]).itemsize)
        arrays[spec["name"]] = np.frombuffer(bytearray(data), spec["dtype"]).reshape(shape)
    return header, arrays


def _exactly(pipe: Any, size: int) -> bytes:
    parts = []
    while size:
        part = pipe.read(size)
        if not part:
            raise EOFError("the other process has ended")
        parts.append(part)
        size -= len(part)
    return b"".join(parts)


def serve(source: BinaryIO, target: BinaryIO) -> None:
    """Answer requests until the parent is gone: describe a file, or open a bundle or a file and run it."""
    sessions: Mapping[str, Session] = {}
    while True:
        try:
            request, arrays = _receive(source)
        except EOFError:
            return
        try:
            if "describe" in request:
                described = format_named(request["format"]).describe(Path(request["describe"]))
                _send(target, {"described": described}, {})
            elif "entry_point" in request:
                name = request["entry_point"]
                _send(target, {}, sessions[name].run(name, arrays))
            else:
                sessions = _opened(request)
                _send(target, {"names": sorted(sessions)}, {})
        except TinySAMError as error:
            _send(target, {"error": type(error).__name__, "message": str(error)}, {})


def _opened(request: Mapping[str, Any]) -> Mapping[str, Session]:
    """The sessions by entry point, of a bundle or of one file."""
    runtime, threads = request["runtime"], request["threads"]
    if "bundle" in request:
        bundle = Bundle.open(Path(request["bundle"]))
        return open_bundle(bundle, runtime, recipe=request["recipe"], num_threads=threads).sessions
    signatures = {n: read_document(Signature, data, n) for n, data in request["signatures"].items()}
    session = import_runtime(runtime).open_session(
        Path(request["file"]),
        signatures=signatures,
        entry_points=request["entry_points"],
        num_threads=threads,
    )
    return dict.fromkeys(signatures, session)


def _limit_memory() -> None:
    with suppress(ImportError, ValueError, OSError):
        import resource

        _, highest = resource.getrlimit(resource.RLIMIT_DATA)
        resource.setrlimit(resource.RLIMIT_DATA, (MAX_CHILD_BYTES, highest))


if __name__ == "__main__":
    _limit_memory()
    with os.fdopen(int(sys.argv[1]), "rb") as reading, os.fdopen(int(sys.argv[2]), "wb") as writing:
        serve(reading, writing)
