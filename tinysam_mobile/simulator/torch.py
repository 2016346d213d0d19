"""The torch runtime: the entry points as they are, the reference of every comparison."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor

from tinysam_mobile.contract.backend import Arrays, check_inputs
from tinysam_mobile.contract.spec import Contract, Label
from tinysam_mobile.errors import UnknownNameError
from tinysam_mobile.modeling.entry_points import EntryPoint, entry_points
from tinysam_mobile.modeling.sam import TinySAM

__all__ = ["TorchSession", "open_session"]

PROMPTS_PER_CALL = 16
"""Prompts of one internal call of `decode_batch`: fewer leave the matrix products small, more fall out of the
caches and take up to 2 GB.  64 points at 1024 took 0.40 of the published decoder's time with 4 of them and
0.33 with 16 (`benchmarks.decoding`, 2 threads)."""

SCORED_POSITIONS_PER_CALL = 2**16
"""Prompts times image positions of one internal call of `score_batch`: 64 prompts at 512, 16 at 1024."""


class TorchSession:
    """A model as a backend: `contract` and `run`."""

    def __init__(
        self,
        contract: Contract,
        points: Mapping[str, EntryPoint],
        *,
        num_threads: int | None,
        prompts_per_call: int,
    ) -> None:
        self.contract = contract
        self._points = points
        self._num_threads = num_threads
        self._prompts_per_call = prompts_per_call

    def run(self, entry_point: str, inputs: Mapping[str, NDArray[Any]]) -> Arrays:
        """Run one entry point of the contract; raises `UsageError` for inputs that do not fit it."""
        if entry_point not in self._points:
            raise UnknownNameError("entry point", entry_point, self._points)
        point = self._points[entry_point]
        tensors = _tensors(check_inputs(point.signature, inputs))
        with _threads(self._num_threads), torch.inference_mode():
            outputs = self._answer(point, tensors)
        specs = point.signature.outputs
        return {spec.name: out.contiguous().numpy() for spec, out in zip(specs, outputs, strict=True)}

    def _answer(self, point: EntryPoint, tensors: list[Tensor]) -> tuple[Tensor, ...]:
        if point.signature.name == "decode_batch":
            return self._in_chunks(point, tensors, self._prompts_per_call)
        if point.signature.name == "score_batch":
            return self._scores(point, tensors)
        answer: Tensor | tuple[Tensor, ...] = point.module(*tensors)
        return answer if isinstance(answer, tuple) else (answer,)

    def _scores(self, point: EntryPoint, tensors: list[Tensor]) -> tuple[Tensor, ...]:
        """`score_batch` without the empty prompts at the end of a batch, whose scores are 0."""
        *features, coords, labels = tensors
        prompts = max(1, SCORED_POSITIONS_PER_CALL // self.contract.grid_size**2)
        used = _used_prompts(coords, labels)
        (scores,) = self._in_chunks(point, [*features, *used], prompts)
        return (F.pad(scores, (0, 0, 0, len(coords) - len(scores))),)

    def _in_chunks(self, point: EntryPoint, tensors: list[Tensor], prompts: int) -> tuple[Tensor, ...]:
        *features, coords, labels = tensors
        parts = [point.module(*features, *chunk) for chunk in _chunks(coords, labels, prompts)]
        if isinstance(parts[0], Tensor):
            return (torch.cat(parts),)
        return tuple(torch.cat(column) for column in zip(*parts, strict=True))


def _chunks(coords: Tensor, labels: Tensor, prompts: int) -> Iterator[tuple[Tensor, Tensor]]:
    """Coordinates and labels of `prompts` prompts at a time, without slots that no prompt uses.

    Such slots change nothing, and torch's shapes are free.
    """
    used = (labels != Label.UNUSED).any(dim=0)
    if used.any():
        coords, labels = coords[:, used], labels[:, used]
    return zip(coords.split(prompts), labels.split(prompts), strict=True)


def _used_prompts(coords: Tensor, labels: Tensor) -> tuple[Tensor, Tensor]:
    """Leave out the empty prompts that fill up a batch; a batch of nothing else keeps one."""
    count = max(1, int((labels != Label.UNUSED).any(dim=1).sum()))
    return coords[:count], labels[:count]


def _tensors(arrays: Arrays) -> list[Tensor]:
    return [torch.from_numpy(np.require(array, requirements="W")) for array in arrays.values()]


@contextmanager
def _threads(count: int | None) -> Iterator[None]:
    """torch knows one number of threads per process, so it is set for the call and put back."""
    before = torch.get_num_threads()
    if count is None or count == before:
        yield
        return
    torch.set_num_threads(count)
    try:
        yield
    finally:
        torch.set_num_threads(before)


def open_session(
    model: TinySAM,
    contract: Contract,
    *,
    num_threads: int | None = None,
    prompts_per_call: int = PROMPTS_PER_CALL,
) -> TorchSession:
    """Return `model` as a backend with the sizes of `contract` (`entry_points.contract_of` makes one).

    The model is copied.  `num_threads` is torch's own setting where it is None.
    """
    points = entry_points(model, contract)
    return TorchSession(contract, points, num_threads=num_threads, prompts_per_call=prompts_per_call)
