"""Thousands of hostile inputs at every door: each is read, or refused in one clear line, and nothing else."""

from __future__ import annotations

import resource
import signal
import sys
import traceback
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from random import Random
from types import FrameType

import pytest

from tests.hostile.doors import DOORS, Door, prepare_fixtures
from tinysam_mobile.contract.foreign_text import MAX_SHOWN, one_line
from tinysam_mobile.errors import TinySAMError

FAST_INPUTS = 2_000
SLOW_INPUTS = 50_000
FAST_SEED, SLOW_SEED = 20_260, 20_261
HANGS_AFTER_S = 60
MAX_MEMORY_BYTES = 2 * 2**30


@pytest.fixture(scope="module", autouse=True)
def fixtures(tmp_path_factory: pytest.TempPathFactory) -> None:
    prepare_fixtures(tmp_path_factory.mktemp("device") / "fixtures")


@contextmanager
def alarm() -> Iterator[None]:
    """Raise in the block if it takes longer than any input may."""

    def ring(number: int, frame: FrameType | None) -> None:  # noqa: ARG001 (the signature of handlers)
        raise TimeoutError(f"hangs: {HANGS_AFTER_S} s")

    before = signal.signal(signal.SIGALRM, ring)
    signal.alarm(HANGS_AFTER_S)
    try:
        yield
    finally:
        signal.alarm(0)
        signal.signal(signal.SIGALRM, before)


def fault(door: Door, seed: int, folder: Path) -> str | None:
    """How one input ended, if it ended badly."""
    data = door.make(Random(seed))
    try:
        with alarm():
            door.open(folder, data)
    except TinySAMError as error:
        line = one_line(error)
        return None if line.isprintable() and len(line) <= MAX_SHOWN else f"not one line: {line[:200]!r}"
    except Exception as error:  # this is what must not happen
        where = traceback.extract_tb(error.__traceback__)[-1]
        return f"{type(error).__name__}: {str(error)[:150]} ({Path(where.filename).name}:{where.lineno})"
    return None


def faults(name: str, count: int, first_seed: int, folder: Path) -> list[str]:
    """The faults among `count` inputs, one line for each place at which they happened."""
    outside = sorted(folder.parent.iterdir())
    found: dict[str, int] = {}
    for seed in range(first_seed, first_seed + count):
        if (said := fault(DOORS[name], seed, folder)) is not None:
            found.setdefault(said, seed)
    assert sorted(folder.parent.iterdir()) == outside
    return [f"seed {seed}: {said}" for said, seed in found.items()]


def share(name: str, total: int) -> int:
    return total * DOORS[name].share // sum(door.share for door in DOORS.values()) + 1


@pytest.mark.parametrize("name", DOORS)
@pytest.mark.filterwarnings("ignore")
def test_no_input_ends_badly(name: str, tmp_path: Path) -> None:
    (tmp_path / "in").mkdir()
    assert faults(name, share(name, FAST_INPUTS), FAST_SEED, tmp_path / "in") == []


@pytest.mark.slow
@pytest.mark.parametrize("name", DOORS)
@pytest.mark.filterwarnings("ignore")
def test_no_input_of_very_many_ends_badly(name: str, tmp_path: Path) -> None:
    (tmp_path / "in").mkdir()
    assert faults(name, share(name, SLOW_INPUTS), SLOW_SEED, tmp_path / "in") == []
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    assert peak * (1 if sys.platform == "darwin" else 1024) < MAX_MEMORY_BYTES


def test_the_same_seed_makes_the_same_input() -> None:
    for door in DOORS.values():
        assert door.make(Random(7)) == door.make(Random(7))
