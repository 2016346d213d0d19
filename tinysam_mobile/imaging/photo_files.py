"""Which files of a folder are photos: one list of suffixes for every command."""

from __future__ import annotations

from importlib.util import find_spec
from pathlib import Path

from tinysam_mobile.errors import ImageError

__all__ = ["HEIC_SUFFIXES", "PHOTO_SUFFIXES", "photos_in", "reads_heic", "skipped_in"]

PHOTO_SUFFIXES = (".jpg", ".jpeg", ".png", ".webp", ".bmp", ".tif", ".tiff")
"""In small letters; a file's own may be in capitals."""
HEIC_SUFFIXES = (".heic", ".heif")
"""Of the photos that iPhones take; read where the package pillow-heif (the extra `heic`) is installed."""
UNREADABLE_SUFFIXES = (".avif", ".dng", ".gif", ".jxl")
"""Photos, but not ones that are read here: their number is told, so that nobody misses them unawares."""


def photos_in(folder: Path) -> list[Path]:
    """Return the photos in `folder` by name, not those below it; raises `ImageError` if there is none.

    Hidden files are none, such as the `._photo.jpg` that macOS writes beside `photo.jpg`.
    """
    if not folder.is_dir():
        raise ImageError(f"{folder}: does not exist, or is no folder; name a folder of photos")
    read = PHOTO_SUFFIXES + (HEIC_SUFFIXES if reads_heic() else ())
    photos = sorted(path for path in folder.iterdir() if _is_shown(path, read) and path.is_file())
    if not photos:
        raise ImageError(f"{folder}: holds no photo ({', '.join(PHOTO_SUFFIXES)}){_hint(folder)}")
    return photos


def skipped_in(folder: Path) -> list[Path]:
    """Return the photos in `folder`, by name, of kinds that are not read here."""
    skipped = UNREADABLE_SUFFIXES + (() if reads_heic() else HEIC_SUFFIXES)
    return sorted(path for path in folder.iterdir() if _is_shown(path, skipped))


def reads_heic() -> bool:
    """Whether pillow-heif is installed."""
    return find_spec("pillow_heif") is not None


def _is_shown(path: Path, suffixes: tuple[str, ...]) -> bool:
    return path.suffix.lower() in suffixes and not path.name.startswith(".")


def _hint(folder: Path) -> str:
    skipped = skipped_in(folder)
    return f"; it holds {len(skipped)} like {skipped[0].name}: convert them to JPEG" if skipped else ""
