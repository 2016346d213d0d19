"""The page's server against friends and strangers: every request here goes over a real socket."""

from __future__ import annotations

import json
import shutil
import socket
import ssl
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path

import pytest

from tests.device.serving import PATIENCE_SECONDS, Serving, page, serving, until_closed
from tests.device.test_device_loop import World, world
from tinysam_mobile.device.serve_address import self_signed
from tinysam_mobile.device.serve_files import page_folder
from tinysam_mobile.device.serve_litert import find_litert
from tinysam_mobile.device.serve_server import Limits
from tinysam_mobile.errors import UsageError

__all__ = ["page", "world"]

pytest.importorskip("tornado")

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
                assert not until_closed(raw).startswith(b"HTTP/1.1 2")


def test_200_requests_at_once_are_served(page: Serving, world: World) -> None:
    expected = (world.bundle / "encoder.tflite").read_bytes()

    def one(_: int) -> bool:
        answer, body = page.ask("/bundle/encoder.tflite")
        return answer.status == 200 and body == expected

    with ThreadPoolExecutor(200) as pool:
        assert all(pool.map(one, range(200)))


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
