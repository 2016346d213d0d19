"""Where `tinysam-mobile segment` writes: a file for one photo, a folder for several."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import click

from tinysam_mobile.cli.output import warn
from tinysam_mobile.cli.parameter_types import OutputFolder
from tinysam_mobile.errors import ImageError, UsageError
from tinysam_mobile.files import check_writable, write_with
from tinysam_mobile.imaging.images import RGBImage, load_image
from tinysam_mobile.imaging.photo_files import photos_in

__all__ = ["Photo", "Task", "each_photo", "tasks_of", "write_targets"]

FILE_SUFFIXES = (".png", ".jpg", ".jpeg", ".webp", ".bmp", ".tif", ".tiff", ".json")
"""Of pictures that Pillow writes, and of COCO files."""
OBJECT_ENDINGS = {"overlay": "_overlay.png", "mask": "_mask.png", "coco": "_object.json"}
EVERYTHING_ENDINGS = {
    "overlay": "_everything.png",
    "coco": "_everything.json",
    "labels": "_everything_labels.png",
}


@dataclass(frozen=True, kw_only=True)
class Photo:
    """A photo with the path that it came from."""

    path: Path
    pixels: RGBImage


@dataclass(frozen=True, kw_only=True)
class Task:
    """A photo to segment; `targets` is format → file."""

    photo: Path
    targets: Mapping[str, Path]


def tasks_of(inputs: Sequence[Path], out: Path | None, kind: str | None, *, everything: bool) -> list[Task]:
    """Name the files of every photo among `inputs`, which are photos and folders of photos.

    Raises `UsageError` if `kind` is not a format of this mode or a photo would be overwritten, and
    `InputError` for a target that cannot be written.
    """
    endings = EVERYTHING_ENDINGS if everything else OBJECT_ENDINGS
    _check_kind(kind, everything=everything)
    photos = [photo for path in inputs for photo in (photos_in(path) if path.is_dir() else [path])]
    if (len(inputs) == 1 and inputs[0].is_file()) and not (out is not None and out.is_dir()):
        tasks = [Task(photo=photos[0], targets=_one_photo(photos[0], out, kind, endings, everything))]
    else:
        if out is not None:
            OutputFolder().check(out)
        tasks = _in_folder(photos, out or Path(), [kind] if kind else list(endings), endings, everything)
    _check_apart(photos, [target for task in tasks for target in task.targets.values()])
    return tasks


def _check_kind(kind: str | None, *, everything: bool) -> None:
    known = EVERYTHING_ENDINGS if everything else OBJECT_ENDINGS
    if kind is None or kind in known:
        return
    if everything:
        raise UsageError(f"--format {kind} goes with a prompt; --everything writes {', '.join(known)}")
    raise UsageError(f"--format {kind} goes with --everything")


def _one_photo(
    photo: Path, out: Path | None, kind: str | None, endings: Mapping[str, str], everything: bool
) -> dict[str, Path]:
    if out is not None:
        if out.suffix.lower() not in FILE_SUFFIXES:
            known = ", ".join(FILE_SUFFIXES)
            raise UsageError(f"--out {out}: must end in {known}, or be the name of a folder that exists")
        if kind is None and out.suffix.lower() == ".json":
            kind = "coco"
    if kind is None and everything:
        # Joined, since with_suffix would take a dot inside the name for the beginning of a suffix.
        stem = str(out.parent / out.stem) if out else f"{photo.stem}_everything"
        others = {"coco": Path(f"{stem}.json"), "labels": Path(f"{stem}_labels.png")}
        return {"overlay": out or Path(f"{stem}.png"), **others}
    kind = kind or "overlay"
    return {kind: out or Path(photo.stem + endings[kind])}


def _in_folder(
    photos: Sequence[Path], folder: Path, kinds: Sequence[str], endings: Mapping[str, str], everything: bool
) -> list[Task]:
    kinds = kinds if everything else kinds[:1]
    stems = Counter(photo.stem for photo in photos)
    # a.jpg and a.png, whose files would have one name, keep their suffixes.
    bases = [photo.stem if stems[photo.stem] == 1 else photo.name for photo in photos]
    if len(set(bases)) < len(bases):
        twice = next(base for base, count in Counter(bases).items() if count > 1)
        raise UsageError(f"two photos are called {twice}: segment them one by one, with --out")
    return [
        Task(photo=photo, targets={kind: folder / (base + endings[kind]) for kind in kinds})
        for photo, base in zip(photos, bases, strict=True)
    ]


def _check_apart(photos: Sequence[Path], targets: Sequence[Path]) -> None:
    """Raise `UsageError` if a target is one of the photos, by whatever name, or cannot be written."""
    identities = {(stat.st_dev, stat.st_ino) for stat in (photo.stat() for photo in photos)}
    for target in targets:
        if target.exists() and (target.stat().st_dev, target.stat().st_ino) in identities:
            raise UsageError(f"{target}: is the photo itself, which is not overwritten; choose another --out")
        if target.parent.exists():
            check_writable(target, is_folder=False)


def each_photo(tasks: Sequence[Task], say: Callable[[str], None]) -> Iterator[tuple[Task, Photo]]:
    """Yield the photos one by one; one that cannot be read, among several, is told and left out.

    Raises `ImageError` if it is the only one.
    """
    for number, task in enumerate(tasks, start=1):
        if len(tasks) > 1:
            say(f"photo {number} of {len(tasks)}, {task.photo.name}")
        try:
            pixels = load_image(task.photo)
        except ImageError as error:
            if len(tasks) == 1:
                raise
            warn(f"left out: {error}")
            continue
        yield task, Photo(path=task.photo, pixels=pixels)


def write_targets(targets: Mapping[str, Path], savers: Mapping[str, Callable[[Path], None]]) -> list[str]:
    """Write each format to its file, and return a line about each."""
    lines = []
    for kind, target in targets.items():
        replaced = ", which is replaced" if target.exists() else ""
        target.parent.mkdir(parents=True, exist_ok=True)
        write_with(target, savers[kind])
        lines.append(f"{kind}: {click.format_filename(target)}{replaced}")
    return lines
