"""The address of the page, for this machine or for the phones in the room; its QR code and certificate."""

from __future__ import annotations

import ipaddress
import secrets
import socket
import ssl
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING

from tinysam_mobile.errors import RuntimeUnavailableError
from tinysam_mobile.version import install_command

if TYPE_CHECKING:
    from cryptography.x509 import GeneralName

__all__ = ["Address", "lan_address", "qr_code", "self_signed"]

TOKEN_BYTES = 16
LOOPBACK_NAMES = ("localhost", "127.0.0.1", "::1")
CERTIFICATE_DAYS = 30
ANY_OTHER_HOST = ("10.255.255.255", 1)
"""Nothing is sent there: a datagram socket that is only connected tells which interface would be used."""


@dataclass(frozen=True, kw_only=True)
class Address:
    """Where the server listens (`host`), and what stands before every path (`token`, empty on loopback)."""

    host: str
    token: str
    is_https: bool = False

    @classmethod
    def of(cls, host: str, *, is_https: bool = False) -> Address:
        """An address with a new random token, unless only this machine can reach it."""
        token = "" if host in LOOPBACK_NAMES else secrets.token_urlsafe(TOKEN_BYTES)
        return cls(host=host, token=token, is_https=is_https)

    @property
    def is_loopback(self) -> bool:
        """Whether only this machine can reach it."""
        return self.host in LOOPBACK_NAMES

    @property
    def prefix(self) -> str:
        """Of every path: empty, or / and the token."""
        return f"/{self.token}" if self.token else ""

    def url(self, port: int) -> str:
        """What to open, on a phone too: 'all interfaces' is shown as this machine's address."""
        name = lan_address() if self.host in ("0.0.0.0", "::") else self.host
        shown = f"[{name}]" if ":" in name else name
        return f"{'https' if self.is_https else 'http'}://{shown}:{port}{self.prefix}/"


def lan_address() -> str:
    """This machine's address in its network; 127.0.0.1 if it has none."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        try:
            probe.connect(ANY_OTHER_HOST)
        except OSError:
            return "127.0.0.1"
        return str(probe.getsockname()[0])


def qr_code(text: str) -> str:
    """Lines of half blocks that a phone's camera reads from a terminal; raises `RuntimeUnavailableError`."""
    try:
        import segno
    except ImportError as error:
        raise RuntimeUnavailableError(f"a QR code needs segno; run: {install_command('serve')}") from error
    matrix = [[bool(cell) for cell in row] for row in segno.make(text, micro=False).matrix_iter(border=2)]
    if len(matrix) % 2:
        matrix.append([False] * len(matrix[0]))
    # Light cells are drawn, so that it reads on a dark terminal, where most are.
    blocks = {(False, False): "█", (False, True): "▀", (True, False): "▄", (True, True): " "}
    pairs = zip(matrix[::2], matrix[1::2], strict=True)
    return "\n".join("".join(blocks[cells] for cells in zip(*rows, strict=True)) for rows in pairs)


@contextmanager
def self_signed(names: list[str]) -> Iterator[ssl.SSLContext]:
    """Give a TLS context with a new certificate for `names`, hosts or IP addresses, that nobody vouches for.

    Browsers warn once, and then count the page as a secure context.  The key is on disk, readable to this
    user only, while the context is made.  Raises `RuntimeUnavailableError` without `cryptography`.
    """
    with TemporaryDirectory(prefix="tinysam-tls-") as folder:
        path = Path(folder) / "page.pem"
        path.touch(mode=0o600)
        path.write_bytes(_certificate(names))
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(path)
    yield context


def _certificate(names: list[str]) -> bytes:
    """A key and a certificate as PEM."""
    try:
        from cryptography import x509
        from cryptography.hazmat.primitives import hashes, serialization
        from cryptography.hazmat.primitives.asymmetric import ec
        from cryptography.x509.oid import NameOID
    except ImportError as error:
        raise RuntimeUnavailableError(
            f"--https needs cryptography; run: {install_command('serve')}"
        ) from error
    key = ec.generate_private_key(ec.SECP256R1())
    issuer = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "tinysam-mobile serve")])
    now = datetime.now(UTC)
    certificate = (
        x509.CertificateBuilder(issuer, issuer, key.public_key(), x509.random_serial_number())
        .not_valid_before(now - timedelta(hours=1))
        .not_valid_after(now + timedelta(days=CERTIFICATE_DAYS))
        .add_extension(x509.SubjectAlternativeName([_alternative(name) for name in names]), critical=False)
        .sign(key, hashes.SHA256())
    )
    secret = key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    return secret + certificate.public_bytes(serialization.Encoding.PEM)


def _alternative(name: str) -> GeneralName:
    from cryptography.x509 import DNSName, IPAddress

    try:
        return IPAddress(ipaddress.ip_address(name))
    except ValueError:
        return DNSName(name)
