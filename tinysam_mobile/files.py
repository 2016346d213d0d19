"""Every file that is read or written passes through here.

Reading: regular files only, of at most a size that the caller names, so that a pipe, a device, a folder or a
bomb is refused before it can hang or fill the memory.  Writing: into a new folder of our own beside the
target, which nobody else can have prepared (no link is followed), then one rename; what lies at the target is
whole at every moment, and nothing is deleted that is not an older one of the same kind.

Every error is one line that names the file and says what to do.
"""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import stat
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, BinaryIO

from tinysam_mobile.errors import InputError, TinySAMError, UsageError

__all__ = [
    "check_regular",
    "check_replaceable",
    "check_writable",
    "file_sha256",
    "new_file",
    "new_folder",
    "only_writer",
    "open_regular",
    "parse_json",
    "read_bytes",
    "read_json",
    "write_bytes",
    "write_text",
    "write_with",
]

PROBE_BYTES = 4096
STAGING = ".writing-"
LOCK = "lock"
MAX_JSON_BYTES = 16 * 2**20


@contextmanager
def open_regular(
    path: Path, *, error: type[TinySAMError] = InputError, mend: str = "check the name"
) -> Iterator[BinaryIO]:
    """Open a regular file to read bytes; raises `error` for anything else.

    Opening a pipe waits for a writer and reading a device may never end, so neither is tried.
    """
    try:
        # Without O_NONBLOCK the very opening of a pipe would wait.
        descriptor = os.open(path, os.O_RDONLY | getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_BINARY", 0))
    except (OSError, ValueError) as reason:  # ValueError: NUL, or characters that no file system takes
        said = getattr(reason, "strerror", None) or reason
        raise error(f"{path}: cannot be read ({said}); {mend}") from reason
    kind = os.fstat(descriptor).st_mode
    if not stat.S_ISREG(kind):
        os.close(descriptor)
        what = "a folder" if stat.S_ISDIR(kind) else "no regular file"
        raise error(f"{path}: is {what}, so it is not read; {mend}")
    with os.fdopen(descriptor, "rb") as file:
        yield file


def check_regular(path: Path, *, error: type[TinySAMError] = InputError, mend: str = "check the name") -> int:
    """Return the size in bytes of a regular file, for libraries that open it themselves; raises `error`."""
    with open_regular(path, error=error, mend=mend) as file:
        return os.fstat(file.fileno()).st_size


def read_bytes(
    path: Path, *, limit: int, error: type[TinySAMError] = InputError, mend: str = "check the name"
) -> bytes:
    """Return what a regular file of at most `limit` bytes holds; raises `error`."""
    with open_regular(path, error=error, mend=mend) as file:
        size = os.fstat(file.fileno()).st_size
        # Not up to the limit: room is made for as much as one asks for.
        data = file.read(min(size, limit) + 1)
    if size > limit or len(data) > limit:
        raise error(f"{path}: is larger than {limit} bytes, so it is not read; is it the right file?")
    if len(data) > size:
        raise error(f"{path}: grows while it is read; wait until it is written, then try again")
    return data


def read_json(
    path: Path,
    *,
    limit: int = MAX_JSON_BYTES,
    error: type[TinySAMError] = InputError,
    mend: str = "check the name",
) -> Any:
    """Return the document in a JSON file; raises `error`, also for NaN and infinity, which JSON has not."""
    return parse_json(read_bytes(path, limit=limit, error=error, mend=mend), str(path), error=error)


def parse_json(data: bytes | str, where: str, *, error: type[TinySAMError] = InputError) -> Any:
    """Return the document in `data`, which came from `where`; raises `error`."""
    try:
        document = json.loads(data, parse_constant=_refuse_constant)
        if "\\ud" in (data if isinstance(data, str) else data.decode(errors="replace")).lower():
            # Half of a pair of escapes is a character that no file, terminal or other program takes.
            json.dumps(document, ensure_ascii=False).encode()
        return document
    except (ValueError, RecursionError) as reason:
        said = "it nests too deep" if isinstance(reason, RecursionError) else reason
        raise error(f"{where}: is not valid JSON ({said}); write or download it again") from reason


def _refuse_constant(name: str) -> None:
    raise ValueError(f"{name} is no number in JSON")


def file_sha256(path: Path, *, error: type[TinySAMError] = InputError) -> str:
    """Return the SHA-256 of a regular file in hexadecimal."""
    with open_regular(path, error=error) as file:
        return hashlib.file_digest(file, "sha256").hexdigest()  # type: ignore[arg-type]  # it has readinto


def check_writable(target: Path, *, is_folder: bool) -> None:
    """Raise `UsageError` unless `target`, which need not exist, can be written as a file or a folder."""
    if target.name in ("", ".."):
        raise UsageError(f"{str(target)!r}: names no file or folder to write; give it a name")
    with _write_errors(target):
        if target.exists() or target.is_symlink():
            _check_existing(target, is_folder=is_folder)
        parent = target.absolute().parent
        while not parent.exists() and is_folder:
            parent = parent.parent
        if is_folder and target.is_dir():
            parent = target
        if not parent.is_dir():
            kind = "is no folder" if parent.exists() else "does not exist"
            raise UsageError(f"{target}: cannot be written: {parent} {kind}; choose another place")
        # Tried, since permissions do not tell of read-only and full disks, or of folders that are none.
        with tempfile.TemporaryFile(dir=parent) as file:
            file.write(bytes(PROBE_BYTES))
            file.flush()


def _check_existing(target: Path, *, is_folder: bool) -> None:
    if is_folder and not target.is_dir():
        raise UsageError(f"{target}: is a file, and a folder is to be written there; choose another name")
    if not is_folder and target.exists() and not target.is_file():
        raise UsageError(f"{target}: is no regular file, so it is not replaced; choose another name")


def check_replaceable(folder: Path, marker: str, *, overwrite: bool) -> None:
    """Raise `UsageError` unless nothing is at `folder`, or with `overwrite` an older one of the same kind.

    `marker` is the name of the file by which a folder of that kind is known.  An empty folder is nothing.
    """
    if not folder.exists() and not folder.is_symlink():
        return
    if folder.is_dir() and not folder.is_symlink() and not any(folder.iterdir()):
        return
    if not overwrite:
        raise UsageError(f"{folder}: exists already; choose another --out or pass --overwrite")
    if folder.is_symlink() or not folder.is_dir() or not _is_ours(folder, marker):
        raise UsageError(
            f"{folder}: holds no {marker}, so --overwrite will not delete it; choose another --out"
        )


def _is_ours(folder: Path, marker: str) -> bool:
    return (folder / marker).is_file() or not any(folder.iterdir())


@contextmanager
def new_file(target: Path) -> Iterator[Path]:
    """Give the path of a file to write, which becomes `target` if the block ends without an error.

    It has the target's name, so its suffix too, and lies in a folder of its own.  A link at `target` is
    replaced, not followed.  Raises `UsageError` if it cannot be written.
    """
    with _write_errors(target), _staging(target) as folder:
        building = folder / target.name
        yield building
        # Libraries that write weights make files for their owner alone; everyone else's files are not.
        building.chmod(0o666 & ~_umask())
        building.replace(target)


def write_bytes(target: Path, data: bytes) -> None:
    """Write a file whole or not at all; raises `UsageError`."""
    with new_file(target) as building:
        building.write_bytes(data)


def write_text(target: Path, text: str) -> None:
    """Write a UTF-8 file whole or not at all; lone surrogates, which UTF-8 has not, become question marks."""
    write_bytes(target, text.encode("utf-8", errors="replace"))


@contextmanager
def new_folder(target: Path, marker: str, *, overwrite: bool = False) -> Iterator[Path]:
    """Give a folder to fill, which becomes `target` if the block ends without an error.

    A `target` that exists and is not empty raises `UsageError` unless `overwrite`; with it, only one that
    holds the file `marker` is replaced, after the new one is complete.  What appears at `target` in the
    meantime is treated the same.
    """
    check_replaceable(target, marker, overwrite=overwrite)
    with _write_errors(target):
        target.parent.mkdir(parents=True, exist_ok=True)
        with _staging(target) as folder:
            building = folder / target.name
            building.mkdir()
            yield building
            _put(building, target, marker, overwrite=overwrite)


def _put(building: Path, target: Path, marker: str, *, overwrite: bool) -> None:
    check_replaceable(target, marker, overwrite=overwrite)
    if target.exists():
        old = building.with_name("replaced")
        target.rename(old)
        if not _is_ours(old, marker):
            # It took the older one's place since the check: put back, never deleted.
            old.rename(target)
            check_replaceable(target, marker, overwrite=overwrite)
    building.rename(target)


@contextmanager
def _staging(target: Path) -> Iterator[Path]:
    """A new folder beside `target`, deleted in the end; what killed runs left goes at the beginning."""
    _sweep(target.parent)
    folder = Path(tempfile.mkdtemp(prefix=f".{target.name[:100]}{STAGING}", dir=target.parent))
    lock = _locked(folder / LOCK)
    try:
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)
        if lock is not None:
            os.close(lock)


def _sweep(parent: Path) -> None:
    """Delete the staging folders of runs that ended without a chance to; a running one holds its lock.

    Those of other targets too: one that was renamed before the kill is perhaps never written again.
    """
    with suppress(OSError):
        for entry in list(os.scandir(parent)):
            is_staging = entry.name.startswith(".") and STAGING in entry.name
            if is_staging and entry.is_dir(follow_symlinks=False):
                lock = _locked(Path(entry.path) / LOCK, create=False)
                if lock is not None:
                    shutil.rmtree(entry.path, ignore_errors=True)
                    os.close(lock)


@contextmanager
def only_writer(folder: Path) -> Iterator[None]:
    """Keep other processes of this package from writing files that belong together into `folder` meanwhile.

    Makes the folder; raises `UsageError` if another process holds it.  The system keeps the lock and gives
    it up when the process ends in whatever way.
    """
    try:
        import fcntl
    except ImportError:
        yield
        return
    with _write_errors(folder):
        folder.mkdir(parents=True, exist_ok=True)
        descriptor = os.open(folder, os.O_RDONLY | os.O_CLOEXEC)
    try:
        with suppress(OSError):  # a file system without locks
            try:
                fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError as error:
                raise UsageError(
                    f"{folder}: another process is writing there; wait for it, or choose another --out"
                ) from error
        yield
    finally:
        os.close(descriptor)


def _locked(path: Path, *, create: bool = True) -> int | None:
    """Lock a file while this process lives; None if another one holds it, or there are no locks.

    The system keeps the lock, so it needs no process number, which other containers do not share.
    """
    try:
        import fcntl
    except ImportError:
        return None
    flags = os.O_RDWR | os.O_NOFOLLOW | os.O_CLOEXEC
    try:
        descriptor = os.open(path, flags | (os.O_CREAT | os.O_EXCL if create else 0), 0o600)
    except OSError:
        return None
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        os.close(descriptor)
        return None
    return descriptor


def _umask() -> int:
    mask = os.umask(0)
    os.umask(mask)
    return mask


@contextmanager
def _write_errors(target: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        reason = error.strerror or error
        raise UsageError(
            f"{target}: cannot be written ({reason}); free some space or choose another place"
        ) from error
    except UnicodeError as error:
        raise UsageError(f"{target}: cannot be written ({error}); choose another name") from error


def write_with(target: Path, save: Callable[[Path], object]) -> None:
    """Let `save` write a file, whole or not at all; raises `UsageError`."""
    with new_file(target) as building:
        save(building)
