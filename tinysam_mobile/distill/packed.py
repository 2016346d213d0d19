"""A photo store as one small file, to be taken to a borrowed machine: photos as WebP, layers without loss."""

from __future__ import annotations

import json
import zipfile
from collections.abc import Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from functools import partial
from io import BytesIO
from multiprocessing import get_context
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from tinysam_mobile.distill.photo_store import Photo, PhotoStore
from tinysam_mobile.errors import DatasetError, UsageError
from tinysam_mobile.files import new_file

__all__ = ["MAX_PACKED_BYTES", "pack", "unpacked"]

MAX_PACKED_BYTES = 64 * 2**20
"""What a borrowed machine is sent at once."""
INDEX = "index.json"
PHOTOS_AT_ONCE = 32


def pack(stores: Sequence[PhotoStore], out: Path, *, side: int, quality: int) -> int:
    """Write all photos of `stores` into the zip file `out`, none longer than `side`; return their number.

    `quality` is WebP's, from 1 to 100.  Raises `UsageError` if the file would be over `MAX_PACKED_BYTES`.
    """
    index: list[dict[str, object]] = []
    with new_file(out) as building:
        with zipfile.ZipFile(building, "w") as file:
            for photo in (store[i] for store in stores for i in range(len(store))):
                pixels, layers = _encoded(photo, side, quality)
                file.writestr(f"{len(index)}.webp", pixels)
                file.writestr(f"{len(index)}.layers.webp", layers)
                index.append({"name": photo.name, "source": photo.source, "kinds": photo.kinds})
            file.writestr(INDEX, json.dumps(index))
        if (size := building.stat().st_size) > MAX_PACKED_BYTES:
            raise UsageError(
                f"{out}: would be {size / 2**20:.0f} MiB, over {MAX_PACKED_BYTES // 2**20} MiB; "
                "take a smaller --side or --quality, or fewer stores"
            )
    return len(index)


def _encoded(photo: Photo, side: int, quality: int) -> tuple[bytes, bytes]:
    """A photo as WebP, and its layers, one below the other, as WebP without loss."""
    image = Image.fromarray(photo.pixels)
    image.thumbnail((side, side), Image.Resampling.BILINEAR, reducing_gap=None)
    layers = [
        np.asarray(Image.fromarray(layer).resize(image.size, Image.Resampling.NEAREST))
        for layer in photo.layers
    ]
    pixels, labels = BytesIO(), BytesIO()
    image.save(pixels, "WEBP", quality=quality)
    Image.fromarray(np.concatenate(layers)).convert("RGB").save(labels, "WEBP", lossless=True)
    return pixels.getvalue(), labels.getvalue()


def unpacked(path: Path, *, workers: int = 1) -> Iterator[Photo]:
    """Yield the photos of a file that `pack` wrote, decoded by `workers` processes; raises `DatasetError`."""
    try:
        with zipfile.ZipFile(path) as file:
            index = json.loads(file.read(INDEX))
        # Not forked: the threads of other libraries would be cut off in the middle.
        with ProcessPoolExecutor(workers, mp_context=get_context("spawn")) as pool:
            yield from pool.map(partial(_decoded, path), range(len(index)), index, chunksize=PHOTOS_AT_ONCE)
    except (OSError, KeyError, TypeError, ValueError, zipfile.BadZipFile) as error:
        raise DatasetError(f"{path}: not a packed photo store ({error!r}); pack it again") from error


def _decoded(path: Path, number: int, entry: dict[str, str | list[str]]) -> Photo:
    with zipfile.ZipFile(path) as file:
        pixels = _pixels(file.read(f"{number}.webp"))
        labels = _pixels(file.read(f"{number}.layers.webp"))[..., 0]
    kinds = tuple(entry["kinds"])
    return Photo(
        name=str(entry["name"]),
        source=str(entry["source"]),
        pixels=pixels,
        layers=labels.reshape(len(kinds), *pixels.shape[:2]),
        kinds=kinds,
    )


def _pixels(data: bytes) -> NDArray[np.uint8]:
    return np.asarray(Image.open(BytesIO(data), formats=["WEBP"]).convert("RGB"))
