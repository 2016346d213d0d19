"""The page's server: files of a table, and a few calls below `api/`.

Everybody in the network may talk to it, so nothing is believed: without the token there is nothing; other
sites cannot post; bodies have a limit that is known before they are read, and a time; what is received goes
to a temporary file or to memory, never to a path that a client names.
"""

from __future__ import annotations

import json
import mimetypes
import socket
import ssl
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from tornado.httpserver import HTTPServer
from tornado.web import Application, HTTPError, RequestHandler, StaticFileHandler, stream_request_body

from tinysam_mobile.device.serve_address import LOOPBACK_NAMES, Address

__all__ = ["Call", "Limits", "Page", "Reply", "Server"]

METHOD_NOT_ALLOWED = 405
BACKLOG = 256
"""Connections that wait while the server is busy."""
YEAR_SECONDS = 365 * 24 * 3600
MIME_TYPES = {
    ".js": "text/javascript; charset=utf-8",
    ".wasm": "application/wasm",
    ".json": "application/json; charset=utf-8",
    ".tflite": "application/octet-stream",
    ".bin": "application/octet-stream",
}
HEADERS = {
    "X-Content-Type-Options": "nosniff",
    # The address holds the token.
    "Referrer-Policy": "no-referrer",
    # Isolation from other sites, which also gives the page threads where the context is secure.
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Embedder-Policy": "require-corp",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Permissions-Policy": "camera=(self), geolocation=(), microphone=()",
}


@dataclass(frozen=True, kw_only=True)
class Limits:
    """Seconds until a client that sends nothing is dropped, and until a whole body must be there."""

    idle_seconds: float = 20.0
    body_seconds: float = 300.0
    header_bytes: int = 16 * 1024


@dataclass(frozen=True, kw_only=True)
class Reply:
    """Answer of a call: a status and a JSON document."""

    status: int = 200
    data: Any = None


@dataclass(frozen=True, kw_only=True)
class Call:
    """One address below `api/`: `answer` gets the rest of the path, the query and the body.

    `max_bytes` tells how long a body may be, at the time of asking; None for a call that is asked with GET.
    """

    pattern: str
    answer: Callable[[tuple[str, ...], Mapping[str, str], bytes], Awaitable[Reply]]
    max_bytes: Callable[[], int] | None = None


@dataclass(kw_only=True)
class Page:
    """What is served: `files` by address, `config` for the page, `calls`; `origin` of a CDN, if any."""

    files: dict[str, Path]
    config: Mapping[str, Any]
    calls: list[Call] = field(default_factory=list)
    origin: str | None = None


class Server:
    """Listens from `start` to `stop`, in the running event loop."""

    def __init__(
        self,
        page: Page,
        address: Address,
        *,
        port: int = 0,
        limits: Limits | None = None,
        tls: ssl.SSLContext | None = None,
    ) -> None:
        self.address = address
        self.limits = limits or Limits()
        family = socket.AF_INET6 if ":" in address.host else socket.AF_INET
        self._socket = socket.create_server((address.host, port), family=family, backlog=BACKLOG)
        self._socket.setblocking(False)
        self.port: int = self._socket.getsockname()[1]
        self._http = HTTPServer(
            _application(page, address),
            ssl_options=tls,
            max_header_size=self.limits.header_bytes,
            # A call's own limit replaces it before a body is read.
            max_body_size=0,
            idle_connection_timeout=self.limits.idle_seconds,
            body_timeout=self.limits.body_seconds,
        )

    @property
    def url(self) -> str:
        """What to open."""
        return self.address.url(self.port)

    def start(self) -> None:
        """Accept connections from now on."""
        self._http.add_socket(self._socket)

    async def stop(self) -> None:
        """Close what is open."""
        self._http.stop()
        await self._http.close_all_connections()


def _application(page: Page, address: Address) -> Application:
    shared = {"page": page, "address": address}
    calls: list[Any] = [
        (f"{address.prefix}/api/{call.pattern}", _CallHandler, {**shared, "call": call})
        for call in page.calls
    ]
    files = [
        (f"{address.prefix}/config\\.json", _ConfigHandler, shared),
        (f"{address.prefix}/(.*)", _FileHandler, {**shared, "path": ""}),
    ]
    return Application(
        [*calls, *files],
        default_handler_class=_StrangerHandler,
        default_handler_args=shared,
        log_function=lambda _: None,
    )


class _Guard(RequestHandler):
    """What every answer has in common: who may ask, and the headers."""

    page: Page
    address: Address
    methods = "GET, HEAD"

    def prepare(self) -> None:
        """Refuse other sites, and names of this machine that another site made up (DNS rebinding)."""
        super().prepare()
        host = self.request.host_name.strip("[]")
        if self.address.is_loopback and host not in LOOPBACK_NAMES:
            raise HTTPError(403, reason="Open the page as localhost")
        origin = self.request.headers.get("Origin")
        if self.request.method not in ("GET", "HEAD") and origin is not None and not self._is_own(origin):
            raise HTTPError(403, reason="Posts from other sites are refused")
        is_foreign = self.request.headers.get("Sec-Fetch-Site") == "cross-site"
        if is_foreign and self.request.headers.get("Sec-Fetch-Mode") != "navigate":
            raise HTTPError(403, reason="Requests from other sites are refused")

    def _is_own(self, origin: str) -> bool:
        parts = urlsplit(origin)
        return (parts.scheme, parts.netloc) == (self.request.protocol, self.request.host)

    def set_default_headers(self) -> None:
        self.clear_header("Server")
        for name, value in HEADERS.items():
            self.set_header(name, value)
        # Called before initialize: without a page yet the strictest policy holds.
        page = getattr(self, "page", None)
        cdn = f" {page.origin}" if page is not None and page.origin else ""
        self.set_header(
            "Content-Security-Policy",
            f"default-src 'none'; script-src 'self' blob: 'wasm-unsafe-eval'; worker-src 'self' blob:; "
            f"connect-src 'self' blob:{cdn}; img-src 'self' blob: data:; style-src 'self'; "
            "base-uri 'none'; form-action 'none'; frame-ancestors 'none'",
        )

    def write_error(self, status_code: int, **_: Any) -> None:
        """One line of text; never a traceback."""
        if status_code == METHOD_NOT_ALLOWED:
            self.set_header("Allow", self.methods)
        self.set_header("Content-Type", "application/json; charset=utf-8")
        self.finish(json.dumps({"error": self._reason}) + "\n")


class _StrangerHandler(_Guard):
    """Any address outside the token."""

    def initialize(self, page: Page, address: Address) -> None:
        self.page, self.address = page, address

    def prepare(self) -> None:
        super().prepare()
        if self.address.token:
            raise HTTPError(403, reason="The address lacks the token: scan the QR code in the terminal again")
        raise HTTPError(404)


class _ConfigHandler(_Guard):
    def initialize(self, page: Page, address: Address) -> None:
        self.page, self.address = page, address
        self.set_default_headers()

    def get(self) -> None:
        self.set_header("Cache-Control", "no-cache")
        self.write(dict(self.page.config))


class _FileHandler(_Guard, StaticFileHandler):
    """Ranges, ETags and HEAD are tornado's; which files there are is the table's."""

    def initialize(self, page: Page, address: Address, path: str) -> None:  # type: ignore[override]
        self.page, self.address = page, address
        StaticFileHandler.initialize(self, path)
        self.set_default_headers()

    def parse_url_path(self, url_path: str) -> str:
        return url_path or "index.html"

    @classmethod
    def get_absolute_path(cls, root: str, path: str) -> str:  # noqa: ARG003 (tornado's signature)
        return path

    def validate_absolute_path(self, root: str, absolute_path: str) -> str | None:  # noqa: ARG002
        found = self.page.files.get(absolute_path)
        if found is None or not found.is_file():
            raise HTTPError(404)
        return str(found)

    def compute_etag(self) -> str | None:
        # Tornado's own is remembered by path, so it would not see that a file was written anew.
        found = Path(self.absolute_path or "").stat()
        return f'"{found.st_mtime_ns:x}-{found.st_size:x}"'

    def get_content_type(self) -> str:
        suffix = Path(self.absolute_path or "").suffix
        guess = mimetypes.types_map.get(suffix, "application/octet-stream")
        return MIME_TYPES.get(suffix, guess)

    def get_cache_time(self, path: str, modified: Any, mime_type: str) -> int:  # noqa: ARG002
        # Big files are fetched with their hash in the query, so they may be kept; all others are asked for.
        return YEAR_SECONDS if "sha256" in self.request.arguments else 0

    def set_extra_headers(self, path: str) -> None:  # noqa: ARG002
        if "sha256" not in self.request.arguments:
            self.set_header("Cache-Control", "no-cache")


@stream_request_body
class _CallHandler(_Guard):
    """Reads a body up to the call's limit, then asks the call."""

    def initialize(self, page: Page, address: Address, call: Call) -> None:
        self.page, self.address, self.call = page, address, call
        self.body = bytearray()
        self.set_default_headers()

    def prepare(self) -> None:
        super().prepare()
        self.methods = "GET" if self.call.max_bytes is None else "POST"
        if self.request.method != self.methods:
            raise HTTPError(METHOD_NOT_ALLOWED)
        most = self.call.max_bytes() if self.call.max_bytes else 0
        length = self.request.headers.get("Content-Length", "0")
        if not length.isdecimal() or int(length) > most:
            raise HTTPError(413, reason=f"At most {most} bytes are taken here")
        # For a body in chunks, of which nobody says how many come.
        self.request.connection.set_max_body_size(most)  # type: ignore[union-attr]

    def data_received(self, chunk: bytes) -> None:
        self.body += chunk

    async def get(self, *rest: str) -> None:
        await self._answer(rest)

    async def post(self, *rest: str) -> None:
        await self._answer(rest)

    async def _answer(self, rest: tuple[str, ...]) -> None:
        query = {
            name: values[-1].decode("utf-8", "replace")
            for name, values in self.request.query_arguments.items()
        }
        reply = await self.call.answer(rest, query, bytes(self.body))
        self.set_status(reply.status)
        self.set_header("Content-Type", "application/json; charset=utf-8")
        self.set_header("Cache-Control", "no-store")
        self.finish(json.dumps(reply.data, allow_nan=False))
