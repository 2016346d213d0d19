"""Downloads against a local server that truncates, redirects, stalls, refuses and lies."""

from __future__ import annotations

import json
import socket
from collections.abc import Iterator
from hashlib import sha256
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Event, Thread

import pytest
import requests
from click.testing import CliRunner

from tinysam_mobile.cli import main
from tinysam_mobile.errors import CheckpointError, RuntimeUnavailableError, UnknownNameError
from tinysam_mobile.modeling import fetch as module
from tinysam_mobile.modeling.fetch import PUBLIC_CHECKPOINTS, PublicCheckpoint, fetch, public_checkpoint

BODY = bytes(range(256)) * 9000
"""2.3 MB: several chunks."""
STALLED = Event()


class Handler(BaseHTTPRequestHandler):
    """The first part of the path says how this server behaves; `requests_seen` what it was asked."""

    requests_seen: list[tuple[str, str | None]]

    def log_message(self, *_: object) -> None:
        """Quiet."""

    def do_GET(self) -> None:
        behaviour = self.path.split("/")[1]
        self.requests_seen.append((behaviour, self.headers.get("Range")))
        getattr(self, behaviour)()

    def start(self) -> int:
        asked = self.headers.get("Range")
        return int(asked.removeprefix("bytes=").removesuffix("-")) if asked else 0

    def answer(self, body: bytes, *, status: int = 200, length: int | None = None, kind: str = "x/y") -> None:
        self.send_response(status)
        self.send_header("Content-Length", str(len(body) if length is None else length))
        self.send_header("Content-Type", kind)
        self.end_headers()
        self.wfile.write(body)

    def good(self) -> None:
        start = self.start()
        self.answer(BODY[start:], status=206 if start else 200)

    def truncates(self) -> None:
        """Breaks off after a third of what is left, four times in a row at most."""
        start = self.start()
        rest = BODY[start:]
        shown = rest if len(self.requests_seen) >= 4 else rest[: len(rest) // 3]
        self.answer(shown, status=206 if start else 200, length=len(rest))

    def truncates_without_resume(self) -> None:
        shown = BODY if len(self.requests_seen) > 1 else BODY[:1000]
        self.answer(shown, length=len(BODY))

    def always_truncates(self) -> None:
        start = self.start()
        self.answer(BODY[start : start + 10], status=206 if start else 200, length=len(BODY) - start)

    def redirects(self) -> None:
        self.send_response(302)
        self.send_header("Location", "/good/model.pt")
        self.send_header("Content-Length", "0")
        self.end_headers()

    def redirects_for_ever(self) -> None:
        self.send_response(302)
        self.send_header("Location", self.path)
        self.send_header("Content-Length", "0")
        self.end_headers()

    def missing(self) -> None:
        self.answer(b"not here", status=404)

    def broken(self) -> None:
        self.answer(b"", status=503)

    def page(self) -> None:
        self.answer(b"<html>sign in to the hotel network</html>", kind="text/html; charset=utf-8")

    def lies(self) -> None:
        self.answer(BODY[:-1] + b"!")

    def beyond(self) -> None:
        if self.start():
            self.answer(b"", status=416)
        else:
            self.answer(BODY)

    def stalls(self) -> None:
        self.send_response(200)
        self.send_header("Content-Length", str(len(BODY)))
        self.end_headers()
        self.wfile.write(BODY[:1000])
        self.wfile.flush()
        STALLED.wait(5)


@pytest.fixture
def server() -> Iterator[str]:
    Handler.requests_seen = []
    STALLED.clear()
    httpd = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = Thread(target=httpd.serve_forever)
    thread.start()
    yield f"http://127.0.0.1:{httpd.server_port}"
    STALLED.set()
    httpd.shutdown()
    thread.join()
    httpd.server_close()


def checkpoint(server: str, behaviour: str, *, known: bool = True) -> PublicCheckpoint:
    return PublicCheckpoint(
        name="test",
        url=f"{server}/{behaviour}/model.pt",
        sha256=sha256(BODY).hexdigest() if known else None,
        licence="none",
        description="",
    )


@pytest.mark.parametrize("known", [True, False])
@pytest.mark.parametrize("behaviour", ["good", "truncates", "truncates_without_resume", "redirects"])
def test_arrives_whole(server: str, tmp_path: Path, behaviour: str, known: bool) -> None:
    seen: list[tuple[int, int | None]] = []
    path = fetch(
        checkpoint(server, behaviour, known=known), tmp_path, on_bytes=lambda *figures: seen.append(figures)
    )
    assert path == tmp_path / "model.pt"
    assert path.read_bytes() == BODY
    assert seen[-1] == (len(BODY), len(BODY))
    assert [p.name for p in tmp_path.iterdir()] == ["model.pt"]


def test_goes_on_where_it_stopped(server: str, tmp_path: Path) -> None:
    fetch(checkpoint(server, "truncates"), tmp_path)
    kept = len(BODY) // 3 // module.CHUNK_BYTES * module.CHUNK_BYTES
    assert Handler.requests_seen[:2] == [("truncates", None), ("truncates", f"bytes={kept}-")]


def test_goes_on_in_a_later_call(server: str, tmp_path: Path) -> None:
    (tmp_path / "model.pt.part").write_bytes(BODY[:5000])
    fetch(checkpoint(server, "good"), tmp_path)
    assert Handler.requests_seen == [("good", "bytes=5000-")]


def test_without_a_hash_a_later_call_starts_again(server: str, tmp_path: Path) -> None:
    (tmp_path / "model.pt.part").write_bytes(b"of another file")
    assert fetch(checkpoint(server, "good", known=False), tmp_path).read_bytes() == BODY
    assert Handler.requests_seen == [("good", None)]


def test_starts_again_when_the_part_is_longer_than_the_file(server: str, tmp_path: Path) -> None:
    (tmp_path / "model.pt.part").write_bytes(BODY + b"more")
    assert fetch(checkpoint(server, "beyond"), tmp_path).read_bytes() == BODY


def test_is_downloaded_once(server: str, tmp_path: Path) -> None:
    fetch(checkpoint(server, "good"), tmp_path)
    fetch(checkpoint(server, "good"), tmp_path)
    assert len(Handler.requests_seen) == 1


def test_a_damaged_file_is_replaced(server: str, tmp_path: Path) -> None:
    (tmp_path / "model.pt").write_bytes(b"damaged")
    assert fetch(checkpoint(server, "good"), tmp_path).read_bytes() == BODY


@pytest.mark.parametrize(
    ("behaviour", "message"),
    [
        ("missing", "404"),
        ("page", "web page"),
        ("lies", "SHA-256"),
        ("redirects_for_ever", "redirects"),
    ],
)
def test_wrong_answers_leave_nothing(server: str, tmp_path: Path, behaviour: str, message: str) -> None:
    with pytest.raises(CheckpointError, match=message):
        fetch(checkpoint(server, behaviour), tmp_path)
    assert not [p for p in tmp_path.iterdir() if p.stat().st_size]


@pytest.mark.parametrize("behaviour", ["always_truncates", "stalls", "broken"])
def test_gives_up_and_says_what_to_do(
    server: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, behaviour: str
) -> None:
    monkeypatch.setattr(module, "TIMEOUT_S", (1.0, 0.2))
    with pytest.raises(RuntimeUnavailableError, match=r"2 attempts.*another machine"):
        fetch(checkpoint(server, behaviour), tmp_path, attempts=2)
    assert not (tmp_path / "model.pt").exists()


def test_offline(tmp_path: Path) -> None:
    with socket.socket() as nobody:
        nobody.bind(("127.0.0.1", 0))
        url = f"http://127.0.0.1:{nobody.getsockname()[1]}"
        with pytest.raises(RuntimeUnavailableError, match="Offline"):
            fetch(checkpoint(url, "good"), tmp_path)


def test_a_file_that_never_ends(server: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "MAX_BYTES", 1 << 20)
    with pytest.raises(CheckpointError, match="longer than"):
        fetch(checkpoint(server, "good"), tmp_path)
    assert not [p for p in tmp_path.iterdir() if p.stat().st_size]


def test_does_not_follow_to_an_unencrypted_address() -> None:
    answer = requests.Response()
    answer.url, answer.status_code = "http://elsewhere/model.pt", 200
    with pytest.raises(CheckpointError, match="not encrypted"):
        module._check_answer("https://here/model.pt", answer)


def test_a_folder_that_cannot_be_written(server: str, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(CheckpointError, match="--folder"):
        fetch(checkpoint(server, "good"), tmp_path / "file")


def test_names_and_hashes() -> None:
    with pytest.raises(UnknownNameError, match="mobile-sam"):
        public_checkpoint("mobilesam")
    for entry in PUBLIC_CHECKPOINTS.values():
        assert entry.url.startswith("https://")
        assert entry.sha256 is None or len(bytes.fromhex(entry.sha256)) == 32
        assert entry.licence.startswith("S-Lab" if "edgesam" in entry.name else "Apache-2.0")


def test_command(server: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(PUBLIC_CHECKPOINTS, "test", checkpoint(server, "truncates", known=False))
    result = CliRunner().invoke(main, ["fetch", "test", "--folder", str(tmp_path), "--json"])
    assert result.exit_code == 0, result.output
    assert json.loads(result.stdout)["path"] == str(tmp_path / "model.pt")
    assert "100 %" in result.stderr
    assert sha256(BODY).hexdigest() in result.stderr


def test_command_errors(tmp_path: Path) -> None:
    for arguments in (["fetch"], ["fetch", "nothing", "--folder", str(tmp_path)]):
        result = CliRunner().invoke(main, arguments)
        assert result.exit_code == 2
        assert "mobile-sam" in result.stderr
    assert "Apache-2.0" in CliRunner().invoke(main, ["fetch", "--list"]).stdout
