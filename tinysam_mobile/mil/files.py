"""Reading files that nobody vouches for: regular files of a bounded size, one error line each."""

from __future__ import annotations

import stat
from pathlib import Path

from tinysam_mobile.errors import MilError

__all__ = ["MAX_SPECIFICATION_BYTES", "read_bytes", "require_file"]

MAX_SPECIFICATION_BYTES = 1 << 30
_LFS_MARK = b"version https://git-lfs.github.com/spec"


def require_file(path: Path, what: str) -> int:
    """Size of `path` in bytes; MilError unless it is a regular file and not a git-LFS pointer.

    what: how the message calls it, e.g. "the weight file".
    """
    try:
        status = path.stat()
    except (OSError, ValueError) as error:
        if isinstance(error, FileNotFoundError):
            raise MilError(f"{what} {path} is missing; save the model again") from None
        raise MilError(f"{what} {path} cannot be read: {error}") from error
    if not stat.S_ISREG(status.st_mode):
        raise MilError(f"{what} {path} is not a regular file")
    if status.st_size < 1024 and _starts_as_pointer(path, what):
        raise MilError(
            f"{what} {path} is a git-LFS pointer, not the file itself: run `git lfs pull` in the repository, "
            "or download the file"
        )
    return status.st_size


def read_bytes(path: Path, what: str, limit: int = MAX_SPECIFICATION_BYTES) -> bytes:
    """Content of the regular file `path`; MilError when it cannot be read or has more than `limit` bytes."""
    size = require_file(path, what)
    if size > limit:
        raise MilError(f"{what} {path} has {size} bytes, more than the {limit} that are read")
    try:
        return path.read_bytes()
    except OSError as error:
        raise MilError(f"{what} {path} cannot be read: {error}") from error


def _starts_as_pointer(path: Path, what: str) -> bool:
    try:
        with path.open("rb") as file:
            return file.read(len(_LFS_MARK)) == _LFS_MARK
    except OSError as error:
        raise MilError(f"{what} {path} cannot be read: {error}") from error
