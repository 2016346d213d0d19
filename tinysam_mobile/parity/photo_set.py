"""The photos of a comparison and their prompts, made one photo at a time."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from tinysam_mobile.contract.spec import Contract
from tinysam_mobile.errors import ImageError, UsageError
from tinysam_mobile.imaging.images import load_image
from tinysam_mobile.imaging.photo_files import photos_in
from tinysam_mobile.parity.prompt_sampling import make_case, read_own_prompts
from tinysam_mobile.parity.stages import PhotoCase
from tinysam_mobile.segment.prompts import Prompt

__all__ = ["PhotoSet"]


@dataclass(frozen=True, kw_only=True)
class PhotoSet:
    """Photo files, `prompts` to be drawn on each with `seed`, and the user's `own` prompts by file name."""

    paths: tuple[Path, ...]
    prompts: int
    seed: int
    own: Mapping[str, list[Prompt]]
    damaged: dict[str, str] = field(default_factory=dict)
    """Name of a photo that could not be read → why; filled while photos are read."""

    @classmethod
    def find(
        cls, images: Path, own_prompts: Path | None, *, max_photos: int | None, prompts: int, seed: int
    ) -> PhotoSet:
        """Return the photos in the folder `images` by name (or that one file), at most `max_photos`.

        Raises `ImageError` if there is none, `InputError` for a file of own prompts that cannot be used, and
        `UsageError` if it names a photo that is not there.
        """
        paths = [images] if images.is_file() else photos_in(images)
        paths = paths[:max_photos]
        own = read_own_prompts(own_prompts) if own_prompts else {}
        if unknown := sorted(set(own) - {path.name for path in paths}):
            raise UsageError(f"{own_prompts}: {', '.join(unknown)}: not among the photos of {images}")
        return cls(paths=tuple(paths), prompts=prompts, seed=seed, own=own)

    def cases(self, contract: Contract, *, first: int | None = None) -> Iterator[PhotoCase]:
        """Yield the photos, or the `first` ones, with the prompts for a model of `contract`.

        A photo among others that cannot be read is left out and told in `damaged`; raises `ImageError` if
        none can be read.
        """
        for path in self.paths[:first]:
            try:
                pixels = load_image(path)
            except ImageError as error:
                self.damaged[path.name] = str(error)
                if len(self.damaged) == len(self.paths):
                    raise
                continue
            yield make_case(
                path.name,
                pixels,
                contract,
                count=self.prompts,
                seed=self.seed,
                own=self.own.get(path.name, ()),
            )
