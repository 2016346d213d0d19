"""Conversions side by side: a job is one component of one format and recipe, and each may have its process.

A worker is a fresh interpreter, since a forked one would inherit torch's threads; it gets its job as bytes
and sends back what it wrote and, sentence by sentence, how far it is.
"""

from __future__ import annotations

import os
import pickle
import sys
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ProcessPoolExecutor, as_completed
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager
from dataclasses import dataclass, replace
from importlib import import_module
from multiprocessing import get_context
from pathlib import Path
from tempfile import TemporaryDirectory
from threading import Thread
from time import perf_counter
from typing import Any

from tinysam_mobile.artifacts.formats import FORMATS
from tinysam_mobile.contract.spec import Component
from tinysam_mobile.converters.base import ConversionRequest, Convert, ConvertedFile, say_nothing
from tinysam_mobile.errors import ConversionError, TinySAMError

__all__ = ["Finished", "Job", "default_processes", "jobs_of", "run_jobs"]

JOB_BYTES = 1_500_000_000
"""Memory that the largest job takes: an encoder of 1024 pixels, through any of the three SDKs."""
Say = Callable[[str], None]


@dataclass(frozen=True, kw_only=True)
class Job:
    """One component of one format and recipe: `request` has the entry points of that component alone.

    `converter` is the module whose `convert` does it.
    """

    target: str
    converter: str
    component: Component
    request: ConversionRequest

    @property
    def name(self) -> str:
        """What its progress is reported under."""
        return f"{self.target} {self.request.recipe.id} {self.component.value}"

    @property
    def weight(self) -> int:
        """Rank by length, longest first: an encoder takes longer than a decoder, ExecuTorch than the rest."""
        return 2 * (self.component is Component.ENCODER) + (self.target == "executorch")


@dataclass(frozen=True, kw_only=True)
class Finished:
    """What a job wrote, and the seconds that it took."""

    job: Job
    files: tuple[ConvertedFile, ...]
    seconds: float


def jobs_of(target: str, request: ConversionRequest) -> list[Job]:
    """Split a request into one job per component."""
    return [
        Job(
            target=target,
            converter=FORMATS[target].converter,
            component=component,
            request=replace(request, entry_points=request.entry_points_of(component), progress=say_nothing),
        )
        for component in request.components
    ]


def default_processes(jobs: int) -> int:
    """As many processes as jobs, but no more than there are cores to use, or memory to work in."""
    cores = len(os.sched_getaffinity(0)) if sys.platform == "linux" else os.cpu_count() or 1
    return max(1, min(jobs, cores, _free_bytes() // JOB_BYTES))


def _free_bytes() -> int:
    """Memory that is free or can be freed; as much as one job takes where the system does not tell."""
    try:
        text = Path("/proc/meminfo").read_text(encoding="ascii")
    except OSError:
        return (
            os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") // 2 if os.name == "posix" else JOB_BYTES
        )
    fields = dict(line.split(":", 1) for line in text.splitlines())
    return int(fields["MemAvailable"].split()[0]) * 1024


def run_jobs(jobs: Sequence[Job], *, processes: int, progress: Say) -> list[Finished]:
    """Run all jobs, `processes` at a time, and return what they wrote in the order of `jobs`.

    Files end up in each request's folder.  Raises what the first job that failed raised; the others are then
    not begun.
    """
    if processes == 1 or len(jobs) == 1:
        return [_run_counted(job, f"step {i} of {len(jobs)}", progress) for i, job in enumerate(jobs, 1)]
    done: dict[int, Finished] = {}
    queue = sorted(range(len(jobs)), key=lambda i: -jobs[i].weight)
    with _listening(progress) as channel, _pool(processes, channel) as pool:
        waiting: dict[Future[bytes], int] = {pool.submit(_work, pickle.dumps(jobs[i])): i for i in queue}
        try:
            for future in as_completed(waiting):
                i = waiting[future]
                files, seconds = pickle.loads(future.result())
                done[i] = Finished(job=jobs[i], files=files, seconds=seconds)
                next_step = min(len(done) + 1, len(jobs))
                progress(f"{jobs[i].name}: done in {done[i].seconds:.0f} s, step {next_step} of {len(jobs)}")
        except BrokenProcessPool as error:
            raise ConversionError(
                "a process that converts ended before its work was done, perhaps for want of memory; "
                "run again with --jobs 1"
            ) from error
        finally:
            pool.shutdown(wait=True, cancel_futures=True)
    return [done[i] for i in range(len(jobs))]


def _run_counted(job: Job, count: str, progress: Say) -> Finished:
    progress(f"{job.name}: {count}")
    return _run(job, progress)


def _run(job: Job, progress: Say) -> Finished:
    convert: Convert = import_module(job.converter).convert
    request, name = job.request, job.name
    start = perf_counter()
    # A folder of its own: a converter wants an empty one, and two components may be at it at once.
    with TemporaryDirectory(dir=request.folder, prefix=".job-") as own:
        files = convert(replace(request, folder=Path(own), progress=lambda text: progress(f"{name}: {text}")))
        moved = [replace(f, path=f.path.rename(request.folder / f.path.name)) for f in files]
    return Finished(job=job, files=tuple(moved), seconds=perf_counter() - start)


@contextmanager
def _listening(progress: Say) -> Iterator[Any]:
    """A queue whose sentences are said here, by a thread, for as long as the block runs."""
    channel = get_context("spawn").SimpleQueue()

    def listen() -> None:
        while (text := channel.get()) is not None:
            progress(text)

    listener = Thread(target=listen, daemon=True)
    listener.start()
    try:
        yield channel
    finally:
        channel.put(None)
        listener.join()


def _pool(processes: int, channel: Any) -> ProcessPoolExecutor:
    # A job a process: an SDK keeps memory of what it converted.
    return ProcessPoolExecutor(
        processes,
        mp_context=get_context("spawn"),
        initializer=_start,
        initargs=(channel, processes),
        max_tasks_per_child=1,
    )


_channel: Any = None
"""In a worker: where its sentences go."""


def _start(channel: Any, processes: int) -> None:
    """Begin a worker, which shares the cores with the others."""
    global _channel
    _channel = channel
    import torch

    torch.set_num_threads(max(1, torch.get_num_threads() // processes))


def _work(data: bytes) -> bytes:
    """Run a job in a worker.  Only bytes cross over: whatever the SDKs raise, the parent can read it."""
    job: Job = pickle.loads(data)
    try:
        finished = _run(job, _channel.put)
    except TinySAMError as error:
        # Some of our errors take other arguments than their text, which pickle would not give them.
        kind = type(error) if type(error).__init__ is Exception.__init__ else ConversionError
        raise kind(str(error)) from None
    return pickle.dumps((finished.files, finished.seconds))
