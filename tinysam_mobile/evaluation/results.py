"""Results photo by photo in a folder: what is there is not measured again, whoever measured it.

The folder's name holds a hash of everything that decides the figures, so results of another model, data set
or protocol are never taken for these.  Processes that share the folder need not talk to each other.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from tinysam_mobile.errors import DatasetError
from tinysam_mobile.evaluation.photo import PhotoResult
from tinysam_mobile.files import read_json, write_text

__all__ = ["ResultFolder", "open_results"]

PHOTOS_PER_FOLDER = 1000
HASH_DIGITS = 16


class ResultFolder:
    """One file for each photo, by the photo's number in the data set."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def has(self, number: int) -> bool:
        """Whether the photo was measured."""
        return self._path(number).exists()

    def write(self, number: int, result: PhotoResult) -> None:
        """Store a photo's result, whole or not at all."""
        path = self._path(number)
        path.parent.mkdir(exist_ok=True)
        write_text(path, json.dumps(result.to_json()))

    def read(self, number: int) -> PhotoResult:
        """Return a photo's result; raises `DatasetError` if it is missing or damaged."""
        path = self._path(number)
        try:
            return PhotoResult.from_json(read_json(path, error=DatasetError))
        except (ValueError, KeyError, TypeError) as error:
            raise DatasetError(f"{path}: is missing or damaged ({error}); delete it and run again") from error

    def all(self, count: int) -> Iterator[PhotoResult]:
        """Yield the results of the photos 0 … `count` - 1, one at a time."""
        return map(self.read, range(count))

    def _path(self, number: int) -> Path:
        return self.folder / str(number // PHOTOS_PER_FOLDER) / f"{number}.json"


def open_results(out: Path, name: str, description: Mapping[str, Any]) -> ResultFolder:
    """Return the folder in `out` for a `description` (JSON data); it may hold results already."""
    text = json.dumps(description, sort_keys=True, indent=2)
    digest = hashlib.sha256(text.encode()).hexdigest()[:HASH_DIGITS]
    safe = "".join(c if c.isalnum() or c in "-_." else "-" for c in name)
    folder = out / f"{safe}-{digest}"
    folder.mkdir(parents=True, exist_ok=True)
    write_text(folder / "run.json", text + "\n")
    return ResultFolder(folder)
