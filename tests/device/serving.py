"""A server of the page for tests: in a thread of its own, asked over a real socket."""

from __future__ import annotations

import asyncio
import json
import socket
import ssl
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from http.client import HTTPConnection, HTTPResponse
from pathlib import Path
from typing import Any

import pytest

from tests.device.test_device_loop import World
from tinysam_mobile.bundle.folder import Bundle
from tinysam_mobile.device.serve import make_page
from tinysam_mobile.device.serve_address import Address
from tinysam_mobile.device.serve_checks import CheckSettings, Reference
from tinysam_mobile.device.serve_files import page_folder
from tinysam_mobile.device.serve_litert import find_litert
from tinysam_mobile.device.serve_server import Limits, Server

__all__ = ["PATIENCE_SECONDS", "Serving", "page", "serving", "until_closed"]

PATIENCE_SECONDS = 120


@dataclass(kw_only=True)
class Serving:
    """A server in a thread of its own, and what it told the terminal."""

    server: Server
    reports: Path
    worker: ThreadPoolExecutor
    told: list[str] = field(default_factory=list)

    def ask(
        self,
        path: str,
        *,
        method: str = "GET",
        body: bytes | None = None,
        headers: dict[str, str] | None = None,
    ) -> tuple[HTTPResponse, bytes]:
        """Send a request as it is, without tidying its path."""
        connection = HTTPConnection("127.0.0.1", self.server.port, timeout=PATIENCE_SECONDS)
        try:
            connection.request(method, path, body=body, headers=headers or {})
            answer = connection.getresponse()
            return answer, answer.read()
        finally:
            connection.close()

    def json(self, path: str, **request: Any) -> tuple[int, Any]:
        answer, body = self.ask(path, **request)
        return answer.status, json.loads(body)

    def send(self, data: bytes) -> bytes:
        """Send bytes and read until the server closes or says nothing more."""
        with socket.create_connection(("127.0.0.1", self.server.port), timeout=PATIENCE_SECONDS) as raw:
            raw.sendall(data)
            return until_closed(raw)

    def until_ready(self) -> None:
        _wait(lambda: self.json(f"{self.server.address.prefix}/api/fixtures")[1]["state"] != "writing")

    def judged(self, dump: bytes) -> dict[str, Any]:
        status, answer = self.json("/api/checks", method="POST", body=dump)
        assert status == 202
        _wait(lambda: self.json(f"/api/checks/{answer['check']}")[1]["state"] != "judging")
        found: dict[str, Any] = self.json(f"/api/checks/{answer['check']}")[1]
        return found


def until_closed(raw: socket.socket) -> bytes:
    """A server that closes before it read everything resets the connection: that is a refusal too."""
    received = b""
    with suppress(ConnectionResetError):
        while chunk := raw.recv(65536):
            received += chunk
    return received


def _wait(seen: Callable[[], bool]) -> None:
    end = time.monotonic() + PATIENCE_SECONDS
    while not seen():
        assert time.monotonic() < end, "nothing happened"
        time.sleep(0.02)


@contextmanager
def serving(
    world: World,
    reports: Path,
    *,
    token: str = "",
    limits: Limits | None = None,
    tls: ssl.SSLContext | None = None,
    runtimes: bool = False,
    litert: Path | None = None,
) -> Iterator[Serving]:
    """Serve the world's bundle until the block ends; its own event loop runs in a thread."""
    told: list[str] = []
    settings = CheckSettings(
        fixtures=lambda: world.fixtures,
        reference=lambda: Reference(
            backend=world.backend, names={"name": "stand-in:tiny-test", "sha256": None}
        ),
        reports=reports,
        told=lambda report, _, __: told.append(
            report if isinstance(report, str) else report.sides[0].verdict
        ),
    )
    loop = asyncio.new_event_loop()
    worker, host_worker = ThreadPoolExecutor(1), ThreadPoolExecutor(1)

    async def start() -> Server:
        page = make_page(
            Bundle.open(world.bundle),
            find_litert(page_folder(), litert),
            settings,
            openers={"torch": lambda: world.backend} if runtimes else {},
            worker=worker,
            host_worker=host_worker,
        )
        address = Address(host="127.0.0.1", token=token, is_https=tls is not None)
        server = Server(page, address, limits=limits, tls=tls)
        server.start()
        return server

    thread = threading.Thread(target=loop.run_forever)
    thread.start()
    try:
        server = asyncio.run_coroutine_threadsafe(start(), loop).result(PATIENCE_SECONDS)
        yield Serving(server=server, reports=reports, told=told, worker=worker)
        asyncio.run_coroutine_threadsafe(server.stop(), loop).result(PATIENCE_SECONDS)
    finally:
        worker.shutdown()
        host_worker.shutdown()
        loop.call_soon_threadsafe(loop.stop)
        thread.join()
        loop.close()


@pytest.fixture(scope="module")
def page(world: World, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Serving]:
    with serving(world, tmp_path_factory.mktemp("served") / "reports", runtimes=True) as found:
        found.until_ready()
        yield found
