"""`distill cache`: the teacher's embeddings of stored photos, computed once, in shards of safetensors.

A shard is written under another name and then renamed, and it records what it was made from, so a killed
run goes on where it stopped and a changed teacher or photo makes its shard anew.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from safetensors import SafetensorError, safe_open
from torch import Tensor

from tinysam_mobile.distill.photo_store import Photo, PhotoStore
from tinysam_mobile.distill.pixels import normalised
from tinysam_mobile.errors import DatasetError
from tinysam_mobile.imaging.preprocess import preprocess
from tinysam_mobile.modeling.checkpoint import Checkpoint
from tinysam_mobile.modeling.safetensors_writer import write_safetensors
from tinysam_mobile.modeling.sam import TinySAM

__all__ = ["EmbeddingCache", "write_cache"]

PHOTOS_PER_SHARD = 32
EMBEDDINGS = "embeddings"


@dataclass(frozen=True, kw_only=True)
class _Shard:
    """A run of photos and what its file must have been made from."""

    path: Path
    photos: tuple[Photo, ...]
    origin: str


def _digest(*parts: bytes) -> str:
    digest = hashlib.sha256()
    for part in parts:
        digest.update(hashlib.sha256(part).digest())
    return digest.hexdigest()


def _shards(store: PhotoStore, folder: Path, origin: str) -> Iterator[_Shard]:
    for start in range(0, len(store), PHOTOS_PER_SHARD):
        photos = tuple(store[i] for i in range(start, min(start + PHOTOS_PER_SHARD, len(store))))
        pixels = [photo.key.encode() + photo.pixels.tobytes() for photo in photos]
        yield _Shard(
            path=folder / f"{store.folder.name}-{start // PHOTOS_PER_SHARD:05d}.safetensors",
            photos=photos,
            origin=_digest(origin.encode(), *pixels),
        )


def write_cache(
    teacher: Checkpoint,
    store: PhotoStore,
    folder: Path,
    *,
    rank: int = 0,
    processes: int = 1,
    progress: Callable[[int, int], None] | None = None,
) -> int:
    """Write the shards of `store` that are this process's and not there yet; return how many were written.

    `progress` is called with the number of shards looked at and of all.
    """
    folder.mkdir(parents=True, exist_ok=True)
    size = teacher.model.config.image_size
    origin = f"{teacher.sha256 or teacher.name} at {size}"
    total = -(-len(store) // PHOTOS_PER_SHARD)
    written = 0
    for index, shard in enumerate(_shards(store, folder, origin)):
        if index % processes == rank and _recorded(shard.path).get("origin") != shard.origin:
            _write_shard(teacher.model, shard)
            written += 1
        if progress:
            progress(index + 1, total)
    return written


def _recorded(path: Path) -> dict[str, str]:
    """The metadata of a shard; empty if it does not exist or is damaged."""
    if not path.exists():
        return {}
    try:
        with safe_open(path, framework="pt") as file:
            return dict(file.metadata() or {})
    except (OSError, SafetensorError):
        return {}


@torch.inference_mode()
def _write_shard(teacher: TinySAM, shard: _Shard) -> None:
    embeddings = torch.cat([_embed(teacher, photo) for photo in shard.photos]).half().contiguous()
    metadata = {
        "origin": shard.origin,
        "content": _digest(embeddings.numpy().tobytes()),
        "photos": json.dumps([photo.key for photo in shard.photos]),
    }
    write_safetensors(shard.path, {EMBEDDINGS: embeddings}, metadata)


def _embed(teacher: TinySAM, photo: Photo) -> Tensor:
    ready = preprocess(photo.pixels, teacher.config.image_size, teacher.config.rules)
    height, width = (int(side) for side in ready.valid_size)
    pixels = torch.from_numpy(np.ascontiguousarray(ready.image.transpose(0, 2, 3, 1)))
    return teacher.encode(normalised(pixels, [(height, width)]))


class EmbeddingCache:
    """Embeddings by photo key, one shard read at a time and checked against its hash when it is opened.

    Raises `DatasetError` for a folder without shards, a damaged shard or a photo that is not in it.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._places: dict[str, tuple[Path, int]] = {}
        self._open: dict[Path, Tensor] = {}
        for path in sorted(folder.glob("*.safetensors")):
            keys = json.loads(_recorded(path).get("photos", "[]"))
            self._places |= {key: (path, row) for row, key in enumerate(keys)}
        if not self._places:
            raise DatasetError(f"{folder}: holds no cached embeddings; make them with `distill cache`")

    def __getitem__(self, key: str) -> Tensor:
        """The embedding of a photo, f32 (C, g, g)."""
        if key not in self._places:
            raise DatasetError(
                f"{self._folder}: has no embedding of {key}; run `distill cache` for its store"
            )
        path, row = self._places[key]
        if path not in self._open:
            self._open[path] = self._checked(path)
        return self._open[path][row].float()

    def _checked(self, path: Path) -> Tensor:
        with safe_open(path, framework="pt") as file:
            embeddings: Tensor = file.get_tensor(EMBEDDINGS)
            expected = (file.metadata() or {}).get("content")
        if _digest(embeddings.numpy().tobytes()) != expected:
            raise DatasetError(f"{path}: does not match its hash; delete it and run `distill cache` again")
        return embeddings
