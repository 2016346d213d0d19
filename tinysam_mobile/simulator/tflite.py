"""Runs .tflite files through LiteRT's interpreter, with XNNPACK as on a phone's CPU."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tinysam_mobile.artifacts.native_stderr import without_known_lines
from tinysam_mobile.artifacts.tflite_graph import parse_graph, read_model_bytes
from tinysam_mobile.contract.backend import Arrays
from tinysam_mobile.contract.spec import Signature
from tinysam_mobile.errors import BundleError, UsageError

__all__ = ["TfliteSession", "open_session"]


class TfliteSession:
    """An opened .tflite file; not to be shared between threads that run it at the same time."""

    def __init__(
        self,
        interpreter: Any,
        *,
        path: Path,
        entry_points: Mapping[str, str],
        signatures: Mapping[str, Signature],
    ) -> None:
        self._path = path
        self._dtypes = {name: {o.name: o.dtype for o in s.outputs} for name, s in signatures.items()}
        named = interpreter.get_signature_list()
        self._runners = {
            name: interpreter.get_signature_runner(key) if key in named else _Unnamed(interpreter)
            for name, key in entry_points.items()
        }

    def run(self, entry_point: str, inputs: Mapping[str, NDArray[Any]]) -> Arrays:
        """Run one entry point; see `Session.run`.  Raises `BundleError` if LiteRT cannot execute it."""
        try:
            outputs = self._runners[entry_point](**inputs)
        except (ValueError, RuntimeError) as error:
            raise BundleError(
                f"{self._path}: LiteRT cannot run {entry_point} ({error}); convert the checkpoint again"
            ) from error
        dtypes = self._dtypes[entry_point]
        return {name: np.ascontiguousarray(outputs[name], dtype=dtype) for name, dtype in dtypes.items()}


class _Unnamed:
    """Runs the first graph of a file without signatures, with tensors by their own names."""

    def __init__(self, interpreter: Any) -> None:
        self._interpreter = interpreter
        self._inputs = {detail["name"]: detail["index"] for detail in interpreter.get_input_details()}
        self._outputs = {detail["name"]: detail["index"] for detail in interpreter.get_output_details()}

    def __call__(self, **inputs: NDArray[Any]) -> dict[str, NDArray[Any]]:
        for name, value in inputs.items():
            self._interpreter.set_tensor(self._inputs[name], value)
        self._interpreter.invoke()
        return {name: self._interpreter.get_tensor(index) for name, index in self._outputs.items()}


def open_session(
    path: Path,
    *,
    signatures: Mapping[str, Signature],
    entry_points: Mapping[str, str],
    num_threads: int | None,
) -> TfliteSession:
    """Open the file at `path` for the entry points `signatures`, found in it under the names `entry_points`.

    `num_threads` None takes every core.  The graph is checked against the contract before anything of it
    is planned.  Raises `BundleError` for a missing, damaged or unfitting file, `UsageError` for a thread
    count below 1 and `RuntimeUnavailableError` where ai-edge-litert is not installed.
    """
    if num_threads is not None and num_threads < 1:
        raise UsageError(f"the number of threads must be at least 1, not {num_threads}")
    data = read_model_bytes(path)
    graph = parse_graph(data, path)
    for name, key in entry_points.items():
        graph.check_signature(key, signatures[name])
    if graph.custom_ops:
        raise BundleError(
            f"{path}: needs operations that LiteRT does not have: {', '.join(graph.custom_ops)}; "
            "convert without custom operations"
        )
    from ai_edge_litert.interpreter import Interpreter

    interpreter = Interpreter(model_content=data, num_threads=num_threads or os.cpu_count() or 1)
    with without_known_lines():
        _plan(interpreter, path)
    return TfliteSession(interpreter, path=path, entry_points=entry_points, signatures=signatures)


def _plan(interpreter: Any, path: Path) -> None:
    """Plan the first subgraph now and not at the first call, so that loading shows what cannot be planned."""
    try:
        interpreter.allocate_tensors()
    except (ValueError, RuntimeError) as error:
        raise BundleError(f"{path}: LiteRT cannot plan it ({error}); convert the checkpoint again") from error
