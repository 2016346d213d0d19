"""The browser as a device: dumps come in, one at a time they are judged as `compare-dump` does.

A check has a number; the page asks for it until there is a verdict, so that no phone has to keep a connection
open while the host thinks.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from tinysam_mobile.bundle.folder import Bundle
from tinysam_mobile.contract.backend import Backend
from tinysam_mobile.device.dumps import DumpInfo, most_bytes
from tinysam_mobile.device.fixtures import FixtureSet, read_fixtures
from tinysam_mobile.device.judge_dumps import check_fixtures, dump_report, judge_dump
from tinysam_mobile.device.serve_server import Call, Reply
from tinysam_mobile.errors import TinySAMError
from tinysam_mobile.parity.report import write_report
from tinysam_mobile.parity.report_data import ParityReport

__all__ = ["CheckSettings", "Checks", "Reference"]

MAX_WAITING = 8
"""Dumps in memory at a time; more are asked to come back."""
MAX_REMEMBERED = 100
"""Verdicts that can still be asked for."""
MOST_BYTES = 2**30
"""Of a dump, whatever the fixtures ask for."""


@dataclass(frozen=True, kw_only=True)
class Reference:
    """The float model as a backend, with its name and SHA-256."""

    backend: Backend
    names: Mapping[str, str | None]


@dataclass(frozen=True, kw_only=True)
class CheckSettings:
    """What judging needs: `fixtures` returns a folder of fixtures and may take its time to write it,
    `reference` opens the float model; `reports` is the folder for a subfolder per check.

    `told` is called with every report as it is written, or with a line about a dump that cannot be judged.
    """

    fixtures: Callable[[], Path]
    reference: Callable[[], Reference]
    reports: Path
    told: Callable[[ParityReport | str, DumpInfo | None, Path | None], None]


class Checks:
    """Judges dumps in `worker`, a pool of one thread, so that phones wait for each other."""

    def __init__(self, bundle: Bundle, settings: CheckSettings, *, worker: ThreadPoolExecutor) -> None:
        self._bundle = bundle
        self._settings = settings
        self._worker = worker
        self._fixtures: FixtureSet | None = None
        self._reference: Reference | None = None
        self._fixtures_state: dict[str, Any] = {"state": "writing"}
        self._states: dict[int, dict[str, Any]] = {}
        self._tasks: set[asyncio.Task[None]] = set()
        self._number = 0

    def prepare(self, ready: Callable[[Path], None]) -> None:
        """Write or open the fixtures in the worker, and call `ready` with their folder."""
        self._start(self._prepare(ready))

    @property
    def calls(self) -> list[Call]:
        """`GET fixtures`: are they there?  `POST checks` takes a dump, `GET checks/N` tells how far it is."""
        return [
            Call(pattern="fixtures", answer=self._tell_fixtures),
            Call(pattern="checks", answer=self._take, max_bytes=self._most_bytes),
            Call(pattern=r"checks/(\d{1,9})", answer=self._tell),
        ]

    def _most_bytes(self) -> int:
        return min(most_bytes(self._fixtures), MOST_BYTES) if self._fixtures else 0

    def _start(self, work: Coroutine[Any, Any, None]) -> None:
        task = asyncio.get_running_loop().create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _prepare(self, ready: Callable[[Path], None]) -> None:
        loop = asyncio.get_running_loop()
        try:
            folder = await loop.run_in_executor(self._worker, self._settings.fixtures)
            fixtures = await loop.run_in_executor(self._worker, read_fixtures, folder)
            check_fixtures(self._bundle, fixtures)
        except TinySAMError as error:
            self._fixtures_state = {"state": "failed", "error": _without_folder(str(error))}
            self._settings.told(str(error), None, None)
            return
        ready(folder)
        self._fixtures = fixtures
        self._fixtures_state = {"state": "ready", "photos": len(fixtures.cases)}

    async def _tell_fixtures(self, *_: object) -> Reply:
        return Reply(data=self._fixtures_state)

    async def _take(self, _: tuple[str, ...], __: Mapping[str, str], body: bytes) -> Reply:
        judging = [state for state in self._states.values() if state["state"] == "judging"]
        if len(judging) >= MAX_WAITING:
            return Reply(status=503, data={"error": "Other phones are being judged; try again in a minute"})
        self._number += 1
        number = self._number
        self._states[number] = {"state": "judging"}
        for old in list(self._states)[:-MAX_REMEMBERED]:
            del self._states[old]
        self._start(self._run(number, body))
        return Reply(status=202, data={"check": number})

    async def _tell(self, rest: tuple[str, ...], _: Mapping[str, str], __: bytes) -> Reply:
        state = self._states.get(int(rest[0]))
        return Reply(status=404, data={"error": "No such check"}) if state is None else Reply(data=state)

    async def _run(self, number: int, body: bytes) -> None:
        loop = asyncio.get_running_loop()
        try:
            state = await loop.run_in_executor(self._worker, self._judge, number, body)
        except TinySAMError as error:
            self._settings.told(str(error), None, None)
            state = {"state": "refused", "error": _without_folder(str(error))}
        except Exception as error:
            # A bug of ours must not leave the phone waiting; the terminal shows it.
            self._states[number] = {"state": "refused", "error": f"the host failed ({type(error).__name__})"}
            raise
        self._states[number] = state

    def _judge(self, number: int, body: bytes) -> dict[str, Any]:
        assert self._fixtures is not None, "without fixtures a body of 0 bytes at most is taken"
        if self._reference is None:
            self._reference = self._settings.reference()
        with TemporaryDirectory(prefix="tinysam-dump-") as folder:
            path = Path(folder) / f"dump_{number}.zip"
            path.write_bytes(body)
            info, side = judge_dump(self._reference.backend, self._bundle, self._fixtures, path)
        report = dump_report(self._reference.names, self._bundle, self._fixtures, path, info, side)
        written = write_report(report, self._settings.reports / f"check_{number}")["report.html"]
        self._settings.told(report, info, written)
        fault = side.first_fault
        return {
            "state": "judged",
            "verdict": str(side.verdict),
            "answer": side.answer,
            "stage": None if fault is None else str(fault),
            "advice": None if side.explanation is None else side.explanation.advice,
            "report": f"{self._settings.reports.name}/check_{number}/report.html",
        }


def _without_folder(message: str) -> str:
    """A message for the phone: the first word is a path of the host."""
    path, separator, rest = message.partition(": ")
    return rest if separator and "/" in path else message
