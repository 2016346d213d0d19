"""What kind of weights a file holds, by its first bytes and without torch."""

from __future__ import annotations

from pathlib import Path

from tinysam_mobile.errors import CheckpointError
from tinysam_mobile.files import open_regular

__all__ = ["HEAD_BYTES", "SUFFIXES", "kind_of_bytes", "kind_of_file"]

SUFFIXES = (".pth", ".pt", ".safetensors", ".onnx")
HEAD_BYTES = 512


def kind_of_file(path: Path) -> str | None:
    """Tell by its first bytes whether a file holds weights: "torch", "safetensors", "onnx" or None.

    A name that ends in one of `SUFFIXES`, in whatever case, decides where the bytes do not.  Raises
    `CheckpointError` if the file cannot be read.
    """
    with open_regular(path, error=CheckpointError) as file:
        head = file.read(HEAD_BYTES)
        size = file.seek(0, 2)
    return kind_of_bytes(path, head, size)


def kind_of_bytes(path: Path, head: bytes, size: int) -> str | None:
    """The same for a file of `size` bytes that begins with `head`, its first `HEAD_BYTES`."""
    if head[8:9] == b"{" and int.from_bytes(head[:8], "little") <= size:
        return "safetensors"
    if head.startswith((b"PK\x03\x04", b"\x80\x02", b"\x80\x03", b"\x80\x04", b"\x80\x05")):
        return "torch"
    # A message of ONNX begins with its version, field 1, a number below 128.
    if head.startswith(b"\x08") and head[1:2] < b"\x80" and head[2:3] in (b"\x12", b"\x1a", b"\x3a", b"B"):
        return "onnx"
    kinds = {".safetensors": "safetensors", ".onnx": "onnx", ".pth": "torch", ".pt": "torch"}
    return kinds.get(path.suffix.lower())
