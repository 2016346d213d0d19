"""Photos and their label layers, decoded once into one memory-mapped file.

A layer is a map uint8 (H, W) of which every non-zero value is one mask; masks that overlap lie in
different layers.  Reading a photo costs nothing but page cache, so the loader never waits for a JPEG.
"""

from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from tinysam_mobile.errors import DatasetError
from tinysam_mobile.files import new_file, only_writer, write_text

__all__ = ["LAYER_KINDS", "Photo", "PhotoStore", "write_store"]

LAYER_KINDS = ("object", "region")
"""Annotated objects (or their parts), and regions found by a segmentation without labels."""
STORE_FORMAT = 1


@dataclass(frozen=True, kw_only=True)
class Photo:
    """`pixels` uint8 (H, W, 3) RGB; `layers` uint8 (L, H, W), each of one of `LAYER_KINDS` in `kinds`."""

    name: str
    source: str
    pixels: NDArray[np.uint8]
    layers: NDArray[np.uint8]
    kinds: tuple[str, ...]

    @property
    def key(self) -> str:
        """What the photo is called across stores."""
        return f"{self.source}/{self.name}"


@dataclass(frozen=True, kw_only=True)
class _Entry:
    name: str
    source: str
    height: int
    width: int
    kinds: tuple[str, ...]
    offset_bytes: int


def write_store(photos: Iterable[Photo], folder: Path) -> int:
    """Write `photos.bin` and `index.json` into `folder`; return the number of photos.

    The index is written last, so a folder without it is an unfinished store.  Raises `UsageError` if another
    process writes one there.
    """
    with only_writer(folder):
        return _write_store(photos, folder)


def _write_store(photos: Iterable[Photo], folder: Path) -> int:
    entries: list[_Entry] = []
    with new_file(folder / "photos.bin") as building, building.open("wb") as file:
        for photo in photos:
            height, width, _ = photo.pixels.shape
            entries.append(
                _Entry(
                    name=photo.name,
                    source=photo.source,
                    height=height,
                    width=width,
                    kinds=photo.kinds,
                    offset_bytes=file.tell(),
                )
            )
            file.write(np.ascontiguousarray(photo.pixels).tobytes())
            file.write(np.ascontiguousarray(photo.layers).tobytes())
        # An older store's index does not describe what takes the place of its photos.
        (folder / "index.json").unlink(missing_ok=True)
    index = {"format": STORE_FORMAT, "photos": [asdict(entry) for entry in entries]}
    write_text(folder / "index.json", json.dumps(index))
    return len(entries)


class PhotoStore:
    """Read-only access to what `write_store` wrote; raises `DatasetError` for anything else."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        try:
            index = json.loads((folder / "index.json").read_text())
            if index["format"] != STORE_FORMAT:
                raise DatasetError(f"{folder}: written by another version; run `distill prepare` again")
            self._entries = [_Entry(**{**entry, "kinds": tuple(entry["kinds"])}) for entry in index["photos"]]
            self._bytes = np.memmap(folder / "photos.bin", np.uint8, mode="r")
        except (OSError, ValueError, KeyError, TypeError) as error:
            raise DatasetError(
                f"{folder}: not a photo store ({error!r}); make one with `distill prepare`"
            ) from error

    def __reduce__(self) -> tuple[type[PhotoStore], tuple[Path]]:
        """Another process opens the store anew and shares the page cache; copied it would be gigabytes."""
        return PhotoStore, (self.folder,)

    def __len__(self) -> int:
        return len(self._entries)

    @property
    def sources(self) -> tuple[str, ...]:
        """The data set of each photo."""
        return tuple(entry.source for entry in self._entries)

    def __getitem__(self, index: int) -> Photo:
        entry = self._entries[index]
        area = entry.height * entry.width
        start = entry.offset_bytes + 3 * area
        pixels = self._bytes[entry.offset_bytes : start].reshape(entry.height, entry.width, 3)
        layers = self._bytes[start : start + len(entry.kinds) * area].reshape(-1, entry.height, entry.width)
        return Photo(name=entry.name, source=entry.source, pixels=pixels, layers=layers, kinds=entry.kinds)
