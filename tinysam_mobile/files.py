"""Files that commands are pointed at: what may be read, what may be written, checked before any work.

Every error is one line that names the file and says what to do.
"""

from __future__ import annotations

import tempfile
from pathlib import Path

from tinysam_mobile.errors import UsageError

__all__ = ["check_replaceable", "check_writable"]

PROBE_BYTES = 4096


def check_replaceable(folder: Path, marker: str, *, overwrite: bool) -> None:
    """Raise `UsageError` unless nothing is at `folder`, or with `overwrite` an older one of the same kind.

    `marker` is the name of the file by which a folder of that kind is known; an empty folder is fine too.
    """
    if not folder.exists() and not folder.is_symlink():
        return
    if not overwrite:
        raise UsageError(f"{folder}: exists already; choose another --out or pass --overwrite")
    if (
        folder.is_symlink()
        or not folder.is_dir()
        or (any(folder.iterdir()) and not (folder / marker).is_file())
    ):
        raise UsageError(
            f"{folder}: holds no {marker}, so --overwrite will not delete it; choose another --out"
        )


def check_writable(target: Path, *, is_folder: bool) -> None:
    """Raise `UsageError` unless `target`, which need not exist, can be written as a file or a folder."""
    if target.name in ("", ".."):
        raise UsageError(f"{str(target)!r}: names no file or folder to write; give it a name")
    try:
        if target.exists() or target.is_symlink():
            _check_existing(target, is_folder=is_folder)
        parent = target.absolute().parent
        while not parent.exists() and is_folder:
            parent = parent.parent
        if not parent.is_dir():
            kind = "is no folder" if parent.exists() else "does not exist"
            raise UsageError(f"{target}: cannot be written: {parent} {kind}; choose another place")
        # Tried, since permissions do not tell of read-only and full disks, or of folders that are none.
        with tempfile.TemporaryFile(dir=parent) as file:
            file.write(bytes(PROBE_BYTES))
            file.flush()
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or error
        raise UsageError(f"{target}: cannot be written ({reason}); choose another place") from error


def _check_existing(target: Path, *, is_folder: bool) -> None:
    if is_folder and not target.is_dir():
        raise UsageError(f"{target}: is a file, and a folder is to be written there; choose another name")
    if not is_folder and target.exists() and not target.is_file():
        raise UsageError(f"{target}: is no regular file, so it is not replaced; choose another name")
