"""Entries of a JSON file one at a time, so that a file of many gigabytes takes no more memory than one entry.

ijson reads; what it yields goes into a private SQLite file (`scratch_database`) that the system deletes.
"""

from __future__ import annotations

import re
import sqlite3
from collections.abc import Iterator
from pathlib import Path
from typing import Any, BinaryIO

import ijson

from tinysam_mobile.errors import DatasetError
from tinysam_mobile.files import open_regular

__all__ = ["scratch_database", "stream_items"]

MAX_DEPTH = 64
"""Lists and objects inside one another; COCO and LVIS have 5."""
_STRING = re.compile(rb'"(?:[^"\\]++|\\.)*+(?:"|(\\?)\Z)', re.DOTALL)
"""A string; of one that the data cut off, the group is the backslash that it ends with, or nothing."""
_OTHER_THAN_BRACKETS = bytes(set(range(256)) - set(b"[]{}"))


class _ShallowJson:
    """A JSON stream that raises `DatasetError` where it nests deeper than `MAX_DEPTH`.

    ijson keeps the path to every level, which takes memory with the square of the depth.
    """

    def __init__(self, stream: BinaryIO, file: Path) -> None:
        self._stream = stream
        self._file = file
        self._depth = 0
        self._cut = b""

    def read(self, size: int = -1) -> bytes:
        """Return the next `size` bytes of the stream."""
        data = self._stream.read(size)
        parts = _STRING.split(self._cut + data)
        ending = parts[-2] if len(parts) > 1 else None
        self._cut = b"" if ending is None else b'"' + ending
        for bracket in b"".join(parts[::2]).translate(None, _OTHER_THAN_BRACKETS):
            self._depth += 1 if bracket in b"[{" else -1
            if self._depth > MAX_DEPTH:
                raise DatasetError(
                    f"{self._file}: nests more than {MAX_DEPTH} lists and objects; is it the right file?"
                )
        return data


def stream_items(file: Path, key: str | None = None) -> Iterator[Any]:
    """Yield the entries of the list under the top-level `key`, or of a file that is one list (None).

    Raises `DatasetError` for a file that cannot be read, is no JSON, or has no such list.
    """
    prefix = f"{key}.item" if key else "item"
    found = False
    try:
        with open_regular(file, error=DatasetError) as stream:
            for entry in ijson.items(_ShallowJson(stream, file), prefix, use_float=True):
                found = True
                yield entry
        if not found and not _has_list(file, key or ""):
            where = f"no list {key!r}" if key else "no list at its top"
            raise DatasetError(f"{file}: has {where}; is it the right file?")
    except ijson.JSONError as error:
        raise DatasetError(
            f"{file}: is not valid JSON ({_reason(error)}); download or write it again"
        ) from error


def _reason(error: ijson.JSONError) -> str:
    """The first line of what ijson says, which is bytes where it quotes bytes that are no UTF-8."""
    (said, *_) = error.args or ("",)
    text = said.decode(errors="replace") if isinstance(said, bytes) else str(said)
    return text.splitlines()[0] if text else "it ends in the middle"


def _has_list(file: Path, prefix: str) -> bool:
    with open_regular(file, error=DatasetError) as stream:
        events = ijson.parse(_ShallowJson(stream, file))
        return any(at == prefix and event == "start_array" for at, event, _ in events)


def scratch_database(*statements: str) -> sqlite3.Connection:
    """A database in a temporary file of SQLite's own, gone when it is closed, with `statements` executed."""
    # An empty name is SQLite's word for that: in memory while it is small, else in an unlinked file.
    database = sqlite3.connect("", isolation_level=None)
    database.execute("PRAGMA journal_mode = OFF")
    for statement in statements:
        database.execute(statement)
    return database
