"""What `torch.save` wrote, read as data only, and measured before torch opens it.

`torch.load(weights_only=True)` runs nothing, but it unpacks a compressed archive of any size, follows a
pickle of any length and makes what the pickle asks for.  So the archive's table and the pickle's operations
are looked at first: a right file has nothing compressed, and a few dozen operations for each tensor.
"""

from __future__ import annotations

import pickletools
import warnings
import zipfile
from pathlib import Path
from typing import Any, BinaryIO

import torch

from tinysam_mobile.errors import CheckpointError
from tinysam_mobile.files import open_regular

__all__ = ["read_torch"]

MAX_PICKLE_BYTES = 16 * 2**20
"""Of the names and shapes; a SAM checkpoint with its optimizer has some 200 kB."""
MAX_OPERATIONS = 2_000_000
MAX_MEMBERS = 200_000
LEGACY_PICKLES = 4
"""Before zip archives (PyTorch 1.6): a magic number, a version, the machine, then the objects."""
GROWING = ("bytearray",)
"""Globals that torch allows and that make as many bytes as a number in the file says."""
DAMAGED = "is truncated or not a PyTorch checkpoint; download it again"
FOREIGN = (
    "is a pickled Python object (like tinysam_w8a8.pth or SlimSAM-77.pth) or no checkpoint at all; "
    "it is not opened, since unpickling runs code from the file. Save model.state_dict() where you "
    "trust it, or take a published state dict (tinysam_42.3.pth, SlimSAM-77-uniform.pth)"
)
SCRIPT = "is a TorchScript program, which is not run; take the file with the state dict (.pt, .pth)"
NO_PICKLE = (
    "is a zip archive in which no PyTorch checkpoint lies; unpack it and name the checkpoint inside, if any"
)
TOO_LARGE = "would unpack to far more than a checkpoint holds, so it is not opened; download it again"


def read_torch(path: Path) -> Any:
    """Return what lies in a file of `torch.save`, tensors on the CPU; raises `CheckpointError`."""
    with open_regular(path, error=CheckpointError) as file:
        is_archive = file.read(4) == b"PK\x03\x04"
        file.seek(0)
        try:
            (_check_archive if is_archive else _check_legacy)(file)
        except _RefusedError as reason:
            raise CheckpointError(f"{path}: {reason}") from reason
        except Exception as error:  # whatever a damaged archive or pickle makes their readers raise
            raise CheckpointError(f"{path}: {DAMAGED}") from error
        file.seek(0)
        try:
            with warnings.catch_warnings():
                # torch warns about odd archives before it refuses them; the refusal is what counts.
                warnings.simplefilter("ignore")
                return torch.load(file, map_location="cpu", weights_only=True)
        except Exception as error:  # whatever a hostile file makes the reader raise, it is one kind of error
            raise CheckpointError(f"{path}: {_reason(str(error))}") from error


class _RefusedError(Exception):
    """The message says why, to follow the file's name."""


def _check_archive(file: BinaryIO) -> None:
    with zipfile.ZipFile(file) as archive:
        members = archive.infolist()
        pickles = [member for member in members if member.filename.endswith("/data.pkl")]
        if not pickles:
            raise _RefusedError(NO_PICKLE)
        if len(members) > MAX_MEMBERS or any(m.compress_type != zipfile.ZIP_STORED for m in members):
            raise _RefusedError(TOO_LARGE)
        if any(member.filename.endswith("/constants.pkl") for member in members):
            raise _RefusedError(SCRIPT)
        for member in pickles:
            if member.file_size > MAX_PICKLE_BYTES:
                raise _RefusedError(TOO_LARGE)
            _count_operations(archive.read(member), 0)


def _check_legacy(file: BinaryIO) -> None:
    """The pickles stand one after the other at the beginning; what they describe follows as plain bytes."""
    data = file.read(MAX_PICKLE_BYTES)
    place = 0
    for _ in range(LEGACY_PICKLES):
        if place < len(data):
            place = _count_operations(data, place)


def _count_operations(data: bytes, start: int) -> int:
    """Return where the pickle at `start` ends; raises `_RefusedError` if following it would take too much."""
    source = memoryview(data)[start:]
    last = 0
    for count, (operation, argument, place) in enumerate(pickletools.genops(bytes(source))):
        if count > MAX_OPERATIONS:
            raise _RefusedError(TOO_LARGE)
        if operation.name in ("GLOBAL", "STACK_GLOBAL") and str(argument).endswith(GROWING):
            raise _RefusedError(FOREIGN)
        last = place or 0
    return start + last + 1


def _reason(message: str) -> str:
    if "TorchScript" in message:
        return SCRIPT
    if "Unsupported global" in message or "weights_only" in message or "Weights only" in message:
        return FOREIGN
    return DAMAGED
