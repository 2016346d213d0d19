"""Tensors into a .safetensors file, the same bytes for the same content.

The library writes the metadata in an order that it draws anew each time, so two runs that computed the same
would have files of different hashes.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path

from safetensors.torch import save
from torch import Tensor

from tinysam_mobile.files import write_with

__all__ = ["write_safetensors"]

LENGTH_BYTES = 8
"""Of the header's length, little-endian, before the header."""
ALIGNMENT_BYTES = 8
METADATA = "__metadata__"


def write_safetensors(path: Path, tensors: Mapping[str, Tensor], metadata: Mapping[str, str]) -> None:
    """Write contiguous `tensors` and `metadata`, whole or not at all; raises `UsageError`."""
    data = save(dict(tensors), metadata=dict(metadata))
    start = LENGTH_BYTES + int.from_bytes(data[:LENGTH_BYTES], "little")
    header = json.loads(data[LENGTH_BYTES:start])
    header[METADATA] = dict(sorted(header.get(METADATA, {}).items()))
    text = json.dumps(header, separators=(",", ":")).encode()
    text += b" " * (-len(text) % ALIGNMENT_BYTES)

    def write(building: Path) -> None:
        with building.open("wb") as file:
            file.write(len(text).to_bytes(LENGTH_BYTES, "little") + text)
            file.write(memoryview(data)[start:])

    write_with(path, write)
