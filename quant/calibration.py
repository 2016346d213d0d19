"""Calibration photos and the prompts asked of each: what fixes ranges and scales of a static recipe.

Photos are read one at a time, so any number of them costs the memory of one.  The decoder is calibrated
too: each photo is asked points, a box, a few points of everything mode's grid, and once more with the mask of
the call before as a mask prompt, as users refine.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from tinysam_mobile.contract.backend import Arrays
from tinysam_mobile.contract.rules import PadPoint
from tinysam_mobile.contract.spec import Contract, Label
from tinysam_mobile.files import file_sha256
from tinysam_mobile.imaging.images import load_image
from tinysam_mobile.imaging.photo_files import photos_in
from tinysam_mobile.imaging.preprocess import preprocess
from tinysam_mobile.segment.point_lattice import grid_points
from tinysam_mobile.segment.prompts import Prompt, make_prompt, pack_prompts

__all__ = ["MIN_PHOTOS", "CalibrationSet", "Sample"]

MIN_PHOTOS = 8
"""The paper's number; fewer leave ranges to chance."""
GRID_SIDE = 4
MIN_BOX_SIDE = 0.1
"""Shortest side of a sampled box as a share of the photo's."""


@dataclass(frozen=True, kw_only=True)
class Sample:
    """One photo's inputs: of `encode`, of one `decode_batch` call, and of one `decode` call but for the
    embeddings, which the model must make itself."""

    encode: Arrays
    decode_batch: Arrays
    decode: Arrays


@dataclass(frozen=True, kw_only=True)
class CalibrationSet:
    """Photos by path, in order of their names; `seed` draws the prompts."""

    photos: tuple[Path, ...]
    seed: int = 0

    @classmethod
    def from_folder(cls, folder: Path, *, seed: int = 0) -> CalibrationSet:
        """List the photos in `folder`, not below it; raises `ImageError` if there is none."""
        return cls(photos=tuple(photos_in(folder)), seed=seed)

    @property
    def warning(self) -> str | None:
        """What to tell the user about the size of the set, if anything."""
        if len(self.photos) >= MIN_PHOTOS:
            return None
        return (
            f"{len(self.photos)} calibration photo(s): fewer than {MIN_PHOTOS} leave the ranges of "
            "activations to chance; add photos like those that the app will see"
        )

    def samples(self, contract: Contract) -> Iterator[Sample]:
        """Yield the inputs that each photo gives, one photo in memory at a time; raises `ImageError`."""
        rng = np.random.default_rng(self.seed)
        for path in self.photos:
            photo = preprocess(load_image(path), contract.image_size, contract.rules)
            prompts = _prompts(photo.geometry.original_size, contract, rng)
            batch = pack_prompts(prompts, photo.geometry, slots=contract.slots, batch=contract.batch)
            one = pack_prompts(prompts[:1], photo.geometry, slots=contract.slots, batch=1)
            yield Sample(
                encode={"image": photo.image, "valid_size": photo.valid_size},
                decode_batch={"point_coords": batch.point_coords, "point_labels": batch.point_labels},
                decode={"point_coords": one.point_coords, "point_labels": one.point_labels},
            )

    def to_json(self) -> dict[str, Any]:
        """Return names, hash, seed and number of the photos for the manifest; paths are not told."""
        return {
            "photos": [path.name for path in self.photos],
            "sha256": self._sha256(),
            "count": len(self.photos),
            "seed": self.seed,
        }

    def _sha256(self) -> str:
        digest = hashlib.sha256()
        for path in self.photos:
            digest.update(path.name.encode() + b"\0" + bytes.fromhex(file_sha256(path)))
        return digest.hexdigest()


def _prompts(size: tuple[int, int], contract: Contract, rng: np.random.Generator) -> list[Prompt]:
    """Return at most K prompts on a photo of `size` (H, W): points and boxes in turn, then grid points."""
    makers = (_points, _box, _points_and_box)
    drawn = [makers[i % len(makers)](size, contract, rng) for i in range(max(contract.batch // 2, 1))]
    grid = rng.permutation(grid_points(GRID_SIDE, size))[: contract.batch - len(drawn)]
    return drawn + [make_prompt([point], [Label.FOREGROUND]) for point in grid]


def _points(size: tuple[int, int], contract: Contract, rng: np.random.Generator) -> Prompt:
    count = int(rng.integers(1, min(contract.slots - 1, 3) + 1))
    labels = rng.integers(0, 2, count)
    labels[0] = Label.FOREGROUND
    if not contract.rules.negative_points:
        labels[:] = Label.FOREGROUND
    return make_prompt(rng.uniform(0, 1, (count, 2)) * size[::-1], labels)


def _box(size: tuple[int, int], contract: Contract, rng: np.random.Generator) -> Prompt:  # noqa: ARG001
    sides = rng.uniform(MIN_BOX_SIDE, 1, 2)
    corner = rng.uniform(0, 1 - sides)
    return make_prompt(box=np.concatenate([corner, corner + sides]) * [*size[::-1], *size[::-1]])


def _points_and_box(size: tuple[int, int], contract: Contract, rng: np.random.Generator) -> Prompt:
    box = _box(size, contract, rng).box
    if contract.slots < 4 - (contract.rules.pad_point is not PadPoint.ALWAYS) or box is None:
        return make_prompt(box=box)
    inside = rng.uniform(box[:2], box[2:])
    return make_prompt([inside], [Label.FOREGROUND], box)
