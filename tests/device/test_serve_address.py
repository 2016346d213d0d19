"""The address that a phone opens: its token, its QR code as a camera reads it, its certificate."""

from __future__ import annotations

import socket
import ssl
import threading
from pathlib import Path

import cv2
import numpy as np
import pytest

from tinysam_mobile.device.serve_address import Address, lan_address, qr_code, self_signed

pytest.importorskip("segno")
pytest.importorskip("cryptography")

CELL_PX = 6
UPPER, LOWER = {"█": True, "▀": True, "▄": False, " ": False}, {"█": True, "▀": False, "▄": True, " ": False}


def photographed(blocks: str) -> np.ndarray:
    """What a camera sees of a dark terminal: half blocks as light pixels."""
    rows = []
    for line in blocks.splitlines():
        rows.append([UPPER[character] for character in line])
        rows.append([LOWER[character] for character in line])
    picture = np.array(rows, np.uint8) * 255
    return cv2.copyMakeBorder(
        np.kron(picture, np.ones((CELL_PX, CELL_PX), np.uint8)),
        30,
        30,
        30,
        30,
        cv2.BORDER_CONSTANT,
        value=255,
    )


@pytest.mark.parametrize("text", ["http://192.168.178.23:8470/AbC-_dEfGh1234567890xy/", "https://h:1/"])
def test_a_camera_reads_the_code(text: str) -> None:
    read, _, _ = cv2.QRCodeDetector().detectAndDecode(photographed(qr_code(text)))
    assert read == text


def test_only_this_machine_needs_no_token() -> None:
    assert Address.of("127.0.0.1").url(80) == "http://127.0.0.1:80/"
    first, second = Address.of("0.0.0.0"), Address.of("0.0.0.0")
    assert first.token != second.token
    assert len(first.token) >= 20
    assert first.url(8470) == f"http://{lan_address()}:8470/{first.token}/"
    assert Address.of("::1", is_https=True).url(1) == "https://[::1]:1/"


def test_the_certificate_names_the_hosts_and_the_key_is_gone_from_disk(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    with self_signed(["localhost", "192.168.1.2"]) as context:
        assert list(tmp_path.iterdir()) == []
        names = certificate_of(context)["subjectAltName"]
    assert names == (("DNS", "localhost"), ("IP Address", "192.168.1.2"))


def certificate_of(context: ssl.SSLContext) -> dict[str, object]:
    """What a client that trusts nobody reads of the certificate."""
    ours, theirs = socket.socketpair()

    def serve() -> None:
        with context.wrap_socket(ours, server_side=True) as secure:
            secure.recv(1)

    thread = threading.Thread(target=serve)
    thread.start()
    client = ssl.create_default_context()
    client.check_hostname = False
    client.verify_mode = ssl.CERT_NONE
    with client.wrap_socket(theirs, server_hostname="localhost") as secure:
        found = secure.getpeercert(binary_form=True)
        secure.send(b"x")
    thread.join()
    assert found is not None
    return decoded(found)


def decoded(certificate: bytes) -> dict[str, object]:
    from cryptography import x509

    names = x509.load_der_x509_certificate(certificate).extensions.get_extension_for_class(
        x509.SubjectAlternativeName
    )
    listed = [
        ("DNS" if isinstance(name, x509.DNSName) else "IP Address", str(name.value)) for name in names.value
    ]
    return {"subjectAltName": tuple(listed)}
