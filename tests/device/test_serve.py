"""The page's server against friends and strangers: every request here goes over a real socket."""

from __future__ import annotations

import asyncio
import json
import shutil
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

import numpy as np
import pytest

from tests.device.test_device_loop import World, device, world
from tests.fake_device import zipped
from tinysam_mobile.bundle.folder import Bundle
from tinysam_mobile.device.serve import make_page
from tinysam_mobile.device.serve_address import Address, self_signed
from tinysam_mobile.device.serve_checks import CheckSettings, Reference
from tinysam_mobile.device.serve_files import page_folder
from tinysam_mobile.device.serve_litert import find_litert
from tinysam_mobile.device.serve_server import Limits, Server
from tinysam_mobile.errors import UsageError
from tinysam_mobile.imaging.masks import RunLengths
from tinysam_mobile.segment.predictor import Predictor

__all__ = ["world"]

pytest.importorskip("tornado")

PATIENCE_SECONDS = 120
SHORT = Limits(idle_seconds=0.5, body_seconds=0.5)
STRANGE_PATHS = (
    "/../../etc/passwd",
    "/..%2f..%2fetc/passwd",
    "/%2e%2e/%2e%2e/etc/passwd",
    "/bundle/../../manifest.json",
    "/bundle/..%5c..%5cmanifest.json",
    "//etc/passwd",
    "/bundle//manifest.json",
    "/bundle/manifest.json%00.js",
    "/bundle/",
    "/app",
    "/node_modules/.package-lock.json",
    "/package.json",
    "/tests/fixtures.js",
    "/api/",
    "/api/checks/../fixtures",
)


@dataclass(kw_only=True)
class Serving:
    """A server in a thread of its own, and what it told the terminal."""

    server: Server
    reports: Path
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
            return _until_closed(raw)

    def until_ready(self) -> None:
        _wait(lambda: self.json(f"{self.server.address.prefix}/api/fixtures")[1]["state"] != "writing")

    def judged(self, dump: bytes) -> dict[str, Any]:
        status, answer = self.json("/api/checks", method="POST", body=dump)
        assert status == 202
        _wait(lambda: self.json(f"/api/checks/{answer['check']}")[1]["state"] != "judging")
        found: dict[str, Any] = self.json(f"/api/checks/{answer['check']}")[1]
        return found


def _until_closed(raw: socket.socket) -> bytes:
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
    worker = ThreadPoolExecutor(1)

    async def start() -> Server:
        page = make_page(
            Bundle.open(world.bundle),
            find_litert(page_folder(), litert),
            settings,
            openers={"torch": lambda: world.backend} if runtimes else {},
            worker=worker,
        )
        address = Address(host="127.0.0.1", token=token, is_https=tls is not None)
        server = Server(page, address, limits=limits, tls=tls)
        server.start()
        return server

    thread = threading.Thread(target=loop.run_forever)
    thread.start()
    try:
        server = asyncio.run_coroutine_threadsafe(start(), loop).result(PATIENCE_SECONDS)
        yield Serving(server=server, reports=reports, told=told)
        asyncio.run_coroutine_threadsafe(server.stop(), loop).result(PATIENCE_SECONDS)
    finally:
        worker.shutdown()
        loop.call_soon_threadsafe(loop.stop)
        thread.join()
        loop.close()


@pytest.fixture(scope="module")
def page(world: World, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Serving]:
    with serving(world, tmp_path_factory.mktemp("served") / "reports", runtimes=True) as found:
        found.until_ready()
        yield found


def test_the_page_its_config_and_the_bundle_are_served(page: Serving, world: World) -> None:
    answer, body = page.ask("/")
    assert answer.status == 200
    assert b"<title>TinySAM" in body
    status, config = page.json("/config.json")
    assert (status, config["bundle"], config["api"]) == (200, "bundle/", "api/")
    answer, body = page.ask("/bundle/manifest.json")
    assert body == (world.bundle / "manifest.json").read_bytes()
    answer, body = page.ask("/bundle/encoder.tflite")
    assert body == (world.bundle / "encoder.tflite").read_bytes()
    answer, body = page.ask("/fixtures/fixtures.json")
    assert body == (world.fixtures / "fixtures.json").read_bytes()


def test_headers_isolate_the_page_and_say_what_a_file_is(page: Serving) -> None:
    kinds = {"/app/main.js": "text/javascript", "/app/style.css": "text/css", "/": "text/html"}
    for path, kind in kinds.items():
        answer, _ = page.ask(path)
        assert answer.headers.get_content_type() == kind
        assert answer.headers["Cross-Origin-Opener-Policy"] == "same-origin"
        assert answer.headers["Cross-Origin-Embedder-Policy"] == "require-corp"
        assert answer.headers["X-Content-Type-Options"] == "nosniff"
        assert "default-src 'none'" in answer.headers["Content-Security-Policy"]
        assert "Server" not in answer.headers


def litert_folder(folder: Path, version: str = "2.5.3") -> Path:
    """Files under the names of LiteRT.js, with nothing in them."""
    scope = folder / "node_modules" / "@litertjs"
    for name in json.loads((page_folder() / "platform" / "litert.json").read_text())["integrity"]:
        path = scope / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(name.encode())
    (scope / "core" / "package.json").write_text(json.dumps({"version": version}))
    return scope


def test_litert_js_of_a_local_folder_is_served_with_the_type_of_wasm(world: World, tmp_path: Path) -> None:
    litert_folder(tmp_path)
    with serving(world, tmp_path / "reports", litert=tmp_path) as found:
        files = found.json("/config.json")[1]["litert"]["files"]
        for name, file in files.items():
            answer, body = found.ask(f"/{file['url']}")
            assert body == name.encode()
            assert file["integrity"].startswith("sha384-")
            kind = "application/wasm" if name.endswith(".wasm") else "text/javascript"
            assert answer.headers.get_content_type() == kind


def test_litert_js_comes_from_where_one_says(tmp_path: Path) -> None:
    scope = litert_folder(tmp_path, version="9.9.9")
    for given in (tmp_path, tmp_path / "node_modules", scope):
        source = find_litert(page_folder(), given)
        assert (source.version, source.origin, source.integrity) == ("9.9.9", None, {})
    with pytest.raises(UsageError, match=r"npm install @litertjs/core@2\.5\.3"):
        find_litert(page_folder(), tmp_path / "elsewhere")
    (scope / "core" / "dist" / "index.js").unlink()
    with pytest.raises(UsageError, match=r"holds no LiteRT\.js"):
        find_litert(page_folder(), tmp_path)


def test_without_a_folder_the_page_asks_a_cdn_for_the_pinned_version(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    page = tmp_path / "page"
    shutil.copytree(page_folder() / "platform", page / "platform")
    source = find_litert(page)
    assert source.local == {}
    assert source.origin == "https://cdn.jsdelivr.net"
    for name, url in source.urls.items():
        assert url.startswith(f"{source.origin}/npm/@litertjs/")
        assert "@2.5.3/" in url
        assert source.integrity[name].startswith("sha384-")
    with_node_modules = litert_folder(page)
    assert find_litert(page).local["core/dist/index.js"] == with_node_modules / "core" / "dist" / "index.js"


def test_ranges_etags_and_caching(page: Serving, world: World) -> None:
    whole = (world.bundle / "encoder.tflite").read_bytes()
    answer, body = page.ask("/bundle/encoder.tflite", headers={"Range": "bytes=4-7"})
    assert (answer.status, body) == (206, whole[4:8])
    assert answer.headers["Content-Range"] == f"bytes 4-7/{len(whole)}"
    answer, _ = page.ask("/bundle/encoder.tflite", headers={"Range": f"bytes={len(whole)}-"})
    assert answer.status == 416
    answer, _ = page.ask("/bundle/encoder.tflite")
    assert answer.headers["Cache-Control"] == "no-cache"
    answer, body = page.ask("/bundle/encoder.tflite", headers={"If-None-Match": answer.headers["ETag"]})
    assert (answer.status, body) == (304, b"")
    answer, _ = page.ask("/bundle/encoder.tflite?sha256=00")
    assert "max-age=31536000" in answer.headers["Cache-Control"]
    answer, body = page.ask("/bundle/encoder.tflite", method="HEAD")
    assert (answer.status, answer.headers["Content-Length"], body) == (200, str(len(whole)), b"")


@pytest.mark.parametrize("path", STRANGE_PATHS)
def test_what_is_not_in_the_table_does_not_exist(page: Serving, path: str) -> None:
    answer, body = page.ask(path)
    assert answer.status in (404, 405)
    assert b"root:" not in body
    assert b"Traceback" not in body


def test_a_file_written_anew_has_another_etag(world: World, tmp_path: Path) -> None:
    with serving(world, tmp_path / "reports") as found:
        found.until_ready()
        path = world.fixtures / "photo_0" / "pixels.bin"
        first, _ = found.ask("/fixtures/photo_0/pixels.bin")
        path.touch()
        second, _ = found.ask(
            "/fixtures/photo_0/pixels.bin", headers={"If-None-Match": first.headers["ETag"]}
        )
        assert second.status == 200


@pytest.mark.parametrize("path", ["/", "/config.json", "/wrong/", "/api/fixtures", "/wrong/api/checks"])
def test_without_the_token_there_is_nothing(world: World, tmp_path: Path, path: str) -> None:
    with serving(world, tmp_path / "reports", token="s3cret") as found:
        answer, body = found.ask(path)
        assert answer.status == 403
        assert b"token" in body
        answer, _ = found.ask("/s3cret/")
        assert answer.status == 200
        assert answer.headers["Referrer-Policy"] == "no-referrer"


def test_a_name_of_this_machine_that_another_site_made_up_is_refused(page: Serving) -> None:
    answer, _ = page.ask("/", headers={"Host": "evil.example"})
    assert answer.status == 403
    answer, _ = page.ask("/", headers={"Host": f"localhost:{page.server.port}"})
    assert answer.status == 200


def test_posts_from_other_sites_are_refused(page: Serving) -> None:
    for headers in (
        {"Origin": "https://evil.example"},
        {"Origin": "null"},
        {"Origin": "http://127.0.0.1:1"},
        {"Sec-Fetch-Site": "cross-site", "Sec-Fetch-Mode": "no-cors"},
    ):
        answer, _ = page.ask("/api/checks", method="POST", body=b"x", headers=headers)
        assert answer.status == 403, headers
    own = {"Origin": f"http://127.0.0.1:{page.server.port}"}
    answer, _ = page.ask("/api/checks", method="POST", body=b"x", headers=own)
    assert answer.status == 202


def test_a_body_that_is_too_long_is_refused_before_it_is_read(page: Serving) -> None:
    head = b"POST /api/checks HTTP/1.1\r\nHost: localhost\r\nContent-Length: 99999999999\r\n\r\n"
    assert page.send(head).startswith(b"HTTP/1.1 413 ")
    chunk = b"%x\r\n%s\r\n" % (2**20, b"x" * 2**20)
    chunked = b"POST /api/host/torch/masks HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: chunked\r\n\r\n"
    with socket.create_connection(("127.0.0.1", page.server.port), timeout=PATIENCE_SECONDS) as raw:
        raw.sendall(chunked)
        # The server closes while this is being sent.
        with suppress(OSError):
            raw.sendall(chunk * 200)
            pytest.fail("200 megabytes were taken")
    assert page.ask("/")[0].status == 200


def test_a_get_takes_no_body_and_other_methods_are_named(page: Serving) -> None:
    answer, _ = page.ask("/api/fixtures", body=b"x")
    assert answer.status == 413
    answer, _ = page.ask("/api/checks")
    assert (answer.status, answer.headers["Allow"]) == (405, "POST")
    for method in ("PUT", "DELETE", "PATCH", "OPTIONS"):
        assert page.ask("/bundle/manifest.json", method=method)[0].status == 405


def test_headers_without_end_are_refused(page: Serving) -> None:
    reply = page.send(b"GET / HTTP/1.1\r\nHost: localhost\r\nX: " + b"x" * 100_000 + b"\r\n\r\n")
    assert not reply.startswith(b"HTTP/1.1 200")
    assert page.send(b"\x16\x03\x01 not http at all\r\n\r\n")[:12] in (b"", b"HTTP/1.1 400")
    assert page.ask("/")[0].status == 200


def test_slow_clients_are_dropped_and_nobody_waits_for_them(world: World, tmp_path: Path) -> None:
    with serving(world, tmp_path / "reports", limits=SHORT) as found:
        found.until_ready()
        head = b"POST /api/checks HTTP/1.1\r\nHost: localhost\r\nContent-Length: 100\r\n\r\n"
        for beginning in (b"GET / HTT", head + b"only this"):
            with socket.create_connection(("127.0.0.1", found.server.port)) as raw:
                raw.settimeout(PATIENCE_SECONDS)
                raw.sendall(beginning)
                assert found.ask("/")[0].status == 200, "others are served meanwhile"
                assert not _until_closed(raw).startswith(b"HTTP/1.1 2")


def test_200_requests_at_once_are_served(page: Serving, world: World) -> None:
    expected = (world.bundle / "encoder.tflite").read_bytes()

    def one(_: int) -> bool:
        answer, body = page.ask("/bundle/encoder.tflite")
        return answer.status == 200 and body == expected

    with ThreadPoolExecutor(200) as pool:
        assert all(pool.map(one, range(200)))


def test_a_phone_that_is_right_passes_and_the_report_is_written(page: Serving, world: World) -> None:
    found = page.judged(zipped(device(world).replay(world.fixtures)))
    assert (found["state"], found["verdict"], found["stage"]) == ("judged", "PASSED", None)
    assert (page.reports.parent / found["report"]).is_file()
    assert page.told[-1] == "PASSED"


def test_a_phone_that_is_wrong_hears_at_which_stage(page: Serving, world: World) -> None:
    files = device(world).replay(world.fixtures)
    for name in files:
        if name.endswith("embedding.bin"):
            values = np.frombuffer(files[name], "<f4")
            files[name] = (values[::-1] * 0.5).astype("<f4").tobytes()
    found = page.judged(zipped(files))
    assert (found["verdict"], found["stage"]) == ("FAILED", "embedding")
    assert "embedding" in found["answer"]


def damaged(world: World) -> dict[str, bytes]:
    files = device(world).replay(world.fixtures)
    good = zipped(files)
    index = json.loads(files["dump.json"])
    return {
        "nothing": b"",
        "no zip": b"not a zip at all",
        "half a zip": good[: len(good) // 2],
        "a way out": zipped({**files, "../../escaped.bin": b"x"}),
        "other fixtures": zipped(
            {**files, "dump.json": json.dumps({**index, "fixtures_id": "0" * 64}).encode()}
        ),
        "an index that is no object": zipped({**files, "dump.json": b"[" * 1000}),
    }


@pytest.mark.parametrize("kind", ["nothing", "no zip", "half a zip", "a way out", "other fixtures"])
def test_a_dump_that_is_none_is_refused_and_the_server_lives(
    page: Serving, world: World, kind: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    before = sorted(page.reports.rglob("*"))
    found = page.judged(damaged(world)[kind])
    assert found["state"] == "refused"
    assert found["error"]
    assert str(tmp_path) not in found["error"], "a path of the host is nobody's business"
    assert list(tmp_path.iterdir()) == []
    assert sorted(page.reports.rglob("*")) == before
    assert page.ask("/")[0].status == 200


def test_a_check_that_nobody_asked_for_is_not_found(page: Serving) -> None:
    assert page.json("/api/checks/999999")[0] == 404
    assert page.ask("/api/checks/abc")[0].status == 404


def test_fixtures_of_another_model_are_told_to_the_page(world: World, tmp_path: Path) -> None:
    wrong = World(
        bundle=world.bundle, fixtures=tmp_path / "missing", backend=world.backend, hashes=world.hashes
    )
    with serving(wrong, tmp_path / "reports") as found:
        found.until_ready()
        state = found.json("/api/fixtures")[1]
        assert state["state"] == "failed"
        assert str(tmp_path) not in state["error"]
        # Nothing can be judged, so no byte of a dump is taken.
        assert found.ask("/api/checks", method="POST", body=b"x")[0].status == 413


def test_the_host_answers_the_same_click(page: Serving, world: World) -> None:
    photo = np.random.default_rng(0).integers(0, 256, (37, 53, 3), np.uint8)
    status, answer = page.json(
        "/api/host/torch/photos?height=37&width=53", method="POST", body=photo.tobytes()
    )
    assert status == 200
    prompt = {"photo": answer["photo"], "points": [20.5, 11.0, 3.0, 4.0], "labels": [1, 0], "box": None}
    status, found = page.json("/api/host/torch/masks", method="POST", body=json.dumps(prompt).encode())
    assert status == 200
    predictor = Predictor(world.backend)
    predictor.set_image(photo)
    expected = predictor.predict([[20.5, 11.0], [3.0, 4.0]], [1, 0])
    np.testing.assert_array_equal(RunLengths.from_coco(found).decode(), expected.best_mask)
    assert found["score"] == pytest.approx(float(expected.scores[expected.best]))


@pytest.mark.parametrize(
    ("path", "body", "status"),
    [
        ("photos?height=2&width=2", b"short", 400),
        ("photos?height=-1&width=2", b"", 400),
        ("photos?height=99999&width=99999", b"", 400),
        ("photos", b"", 400),
        ("photos?height=%b2&width=1", b"", 400),
        ("masks", b"{", 400),
        ("masks", b"[]", 400),
        ("masks", b"[" * 60000, 400),
        ("masks", b'{"photo": true}', 400),
        ("masks", b'{"photo": 1, "points": "x", "labels": [], "box": null}', 400),
        ("masks", b'{"photo": 1, "points": [1], "labels": [1], "box": null}', 400),
        ("masks", b'{"photo": 1, "points": [], "labels": [], "box": {}}', 400),
        ("masks", b'{"photo": 987, "points": [1, 1], "labels": [1], "box": null}', 404),
        ("masks", b"x" * 70000, 413),
    ],
)
def test_what_the_host_cannot_answer_is_refused(page: Serving, path: str, body: bytes, status: int) -> None:
    answer, text = page.ask(f"/api/host/torch/{path}", method="POST", body=body)
    assert answer.status == status
    assert json.loads(text)["error"]


def test_a_prompt_outside_the_photo_is_refused(page: Serving) -> None:
    _, answer = page.json("/api/host/torch/photos?height=4&width=4", method="POST", body=bytes(48))
    for points in ([50.0, 1.0], [float("nan"), 1.0]):
        prompt = {"photo": answer["photo"], "points": points, "labels": [1], "box": None}
        status, found = page.json("/api/host/torch/masks", method="POST", body=json.dumps(prompt).encode())
        assert status == 422
        assert found["error"]


def test_https_with_a_certificate_of_its_own(world: World, tmp_path: Path) -> None:
    with (
        self_signed(["localhost", "127.0.0.1"]) as tls,
        serving(world, tmp_path / "reports", tls=tls) as found,
    ):
        context = ssl.create_default_context()
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
        with (
            socket.create_connection(("127.0.0.1", found.server.port)) as raw,
            context.wrap_socket(raw, server_hostname="localhost") as secure,
        ):
            secure.sendall(b"GET / HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n")
            assert secure.recv(15) == b"HTTP/1.1 200 OK"
        assert found.server.url.startswith("https://127.0.0.1:")
