"""The ExecuTorch runtime: .pte files through `executorch.runtime`, on XNNPACK.

The number of threads belongs to the process, not to a program: ExecuTorch has one pool, and a program
that was loaded before the pool was replaced would use freed memory.  A session therefore remembers the
pool that it was loaded with and loads its program again if another session has replaced it meanwhile;
sessions with different counts work side by side, but switching costs a load.  Not for use from several
Python threads at once.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from tinysam_mobile.artifacts.executorch_graph import (
    CONTRACT_METHOD,
    check_header,
    keeps_constants_inside,
    read_graphs,
)
from tinysam_mobile.artifacts.executorch_sdk import quiet
from tinysam_mobile.artifacts.native_stderr import without_known_lines
from tinysam_mobile.contract.backend import Arrays, Session
from tinysam_mobile.contract.spec import Signature, TensorSpec
from tinysam_mobile.errors import BundleError, RuntimeUnavailableError, UsageError

with quiet():
    from executorch.extension.pybindings import portable_lib
    from executorch.runtime import Method, Program, Runtime

with without_known_lines():
    # Makes the thread pool, which looks for the fast cores of a phone and says so.
    portable_lib._threadpool_get_thread_count()

__all__ = ["ExecuTorchSession", "open_session", "read_contract_json"]

AGAIN = "convert it again"
SCALAR_TYPES = {"float32": 6, "int32": 3}
"""`c10::ScalarType` numbers of the contract's dtypes."""


class _ThreadPool:
    """ExecuTorch's one thread pool; `generation` counts how often it was replaced."""

    generation = 0

    @classmethod
    def use(cls, num_threads: int | None) -> None:
        """Give the pool `num_threads` threads; None leaves it as it is."""
        if num_threads is not None and portable_lib._threadpool_get_thread_count() != num_threads:
            with without_known_lines():
                portable_lib._unsafe_reset_threadpool(num_threads)
            cls.generation += 1


class ExecuTorchSession(Session):
    """An opened .pte; see `Session`."""

    def __init__(
        self,
        path: Path,
        signatures: Mapping[str, Signature],
        entry_points: Mapping[str, str],
        num_threads: int | None,
    ) -> None:
        self._path = path
        self._signatures = dict(signatures)
        self._names = dict(entry_points)
        self._num_threads = num_threads
        self._generation = -1
        self._methods: dict[str, Method] = {}
        self._program: Program
        self._load()

    def run(self, entry_point: str, inputs: Mapping[str, NDArray[Any]]) -> Arrays:
        """Run one entry point; see `Session.run`."""
        self._load()
        signature = self._signatures[entry_point]
        tensors = [_row_major(inputs[spec.name]) for spec in signature.inputs]
        try:
            outputs: Sequence[torch.Tensor] = self._methods[entry_point].execute(tensors)
        except RuntimeError as error:
            raise BundleError(
                f"{self._path}: {entry_point!r} loads but does not run ({_reason(error)}); {AGAIN}"
            ) from error
        # `execute` has copied the outputs out of the program's memory already.
        return {
            spec.name: np.ascontiguousarray(tensor.numpy(), dtype=spec.dtype)
            for spec, tensor in zip(signature.outputs, outputs, strict=True)
        }

    def _load(self) -> None:
        _ThreadPool.use(self._num_threads)
        if self._generation == _ThreadPool.generation:
            return
        # First let go of the old program: two at once would double the memory.
        self._methods = {}
        self._program = _open_program(self._path)
        self._methods = {
            entry: _load_method(self._path, self._program, name) for entry, name in self._names.items()
        }
        for entry, method in self._methods.items():
            _check_signature(self._path, method.metadata, self._signatures[entry])
        self._generation = _ThreadPool.generation


def open_session(
    path: Path,
    *,
    signatures: Mapping[str, Signature],
    entry_points: Mapping[str, str],
    num_threads: int | None,
) -> Session:
    """Open a .pte whose methods are named by `entry_points` (contract name → method name).

    `num_threads` None leaves the process's pool as it is.  Raises `BundleError` if the file is damaged or
    its methods are not those of the contract, `UsageError` for a wrong thread count,
    `RuntimeUnavailableError` if a method needs a backend that does not exist on this machine.
    """
    if num_threads is not None and num_threads < 1:
        raise UsageError(f"the number of threads must be at least 1, not {num_threads}")
    return ExecuTorchSession(path, signatures, entry_points, num_threads)


def read_contract_json(path: Path) -> str:
    """Return the contract that a .pte carries, as JSON text; raises `BundleError` if it has none."""
    program = _open_program(path)
    (text,) = _load_method(path, program, CONTRACT_METHOD).execute([])
    return str(text)


def _row_major(array: NDArray[Any]) -> torch.Tensor:
    """Return `array` as a tensor whose strides are those of row-major memory, also where an axis is 1 long.

    A program is planned for that order.  ExecuTorch reads the order of an input from its strides and takes
    others without a word, but its views do not mind them: the answer would be that of shuffled pixels.
    """
    flat = np.ascontiguousarray(array).reshape(-1)
    # torch warns about arrays that it may not write to, though it only reads these.
    return torch.from_numpy(flat if flat.flags.writeable else flat.copy()).view(array.shape)


def _open_program(path: Path) -> Program:
    check_header(path)
    try:
        return Runtime.get().load_program(path)
    except RuntimeError as error:
        if keeps_constants_inside(path):
            raise BundleError(
                f"{path}: has its constants inside the program, as an old ExecuTorch wrote them, and the one "
                "installed here reads only those behind it; export it again with a newer ExecuTorch"
            ) from error
        raise BundleError(f"{path}: ExecuTorch cannot load it ({_reason(error)}); {AGAIN}") from error


def _load_method(path: Path, program: Program, name: str) -> Method:
    if name not in program.method_names:
        have = ", ".join(sorted(program.method_names))
        raise BundleError(f"{path}: has no method {name!r}, only {have}; convert it again")
    try:
        method = program.load_method(name)
    except RuntimeError as error:
        _raise_missing_backend(path, name)
        raise BundleError(f"{path}: method {name!r} does not load ({_reason(error)}); {AGAIN}") from error
    assert method is not None
    return method


def _raise_missing_backend(path: Path, name: str) -> None:
    available = set(Runtime.get().backend_registry.registered_backend_names)
    missing = sorted(set(read_graphs(path)[name].delegates) - available)
    if missing:
        raise RuntimeUnavailableError(
            f"{path}: {name} is compiled for {', '.join(missing)}, which ExecuTorch does not have on this "
            f"machine (it has {', '.join(sorted(available))}); run it on the device, or convert with "
            "--executorch-backend xnnpack"
        )


def _check_signature(path: Path, metadata: Any, signature: Signature) -> None:
    inputs = [metadata.input_tensor_meta(i) for i in range(metadata.num_inputs())]
    outputs = [metadata.output_tensor_meta(i) for i in range(metadata.num_outputs())]
    for kind, specs, found in (("inputs", signature.inputs, inputs), ("outputs", signature.outputs, outputs)):
        wanted = [_described(spec) for spec in specs]
        have = [(tuple(info.sizes()), info.dtype()) for info in found]
        if wanted != have:
            raise BundleError(
                f"{path}: {signature.name} has {kind} of shapes {[shape for shape, _ in have]}, but the "
                f"contract says {[spec.shape for spec in specs]}; convert it again"
            )


def _described(spec: TensorSpec) -> tuple[tuple[int, ...], int]:
    return spec.shape, SCALAR_TYPES[spec.dtype]


def _reason(error: Exception) -> str:
    return str(error).strip().splitlines()[0] if str(error).strip() else type(error).__name__
