"""What an option or argument may be: checked as it is read, before any work and without heavy imports."""

from __future__ import annotations

import math
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import click

from tinysam_mobile.bundle.folder import MANIFEST_NAME
from tinysam_mobile.cli.output import warn
from tinysam_mobile.errors import InputError, TinySAMError, UsageError
from tinysam_mobile.files import check_replaceable, check_writable
from tinysam_mobile.imaging.photo_files import PHOTO_SUFFIXES, photos_in, skipped_in

__all__ = [
    "BundleFolder",
    "CheckpointSource",
    "ImageSize",
    "InputFile",
    "InputFolder",
    "InputPath",
    "ModelSourceName",
    "Number",
    "OutputFile",
    "OutputFolder",
    "OutputPath",
    "Photos",
]

STAND_IN = "stand-in"
JOINED_BY = "+"
MAX_NAMED = 3
OTHER_SUFFIXES = (".tflite", ".pte", ".mlpackage", ".json", ".toml", ".zip", ".txt", ".md", *PHOTO_SUFFIXES)
"""Of files that are certainly no checkpoint; a checkpoint itself may have any suffix, or none."""


class Number(click.FloatRange):
    """A finite number in a range; click's own lets `nan` through, which is in no range."""

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        number = super().convert(value, param, ctx)
        if not math.isfinite(number):
            self.fail(f"{value} is no finite number", param, ctx)
        return number


class ImageSize(click.IntRange):
    """A side that every encoder takes: a multiple of `STEP`."""

    STEP = 64

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> int:
        size: int = super().convert(value, param, ctx)
        if size % self.STEP:
            nearest = max(round(size / self.STEP), 1) * self.STEP
            self.fail(f"{size} is no multiple of {self.STEP} (the nearest is {nearest})", param, ctx)
        return size


class CheckedPath(click.ParamType[Path]):
    """A path that `check` finds fit for its purpose; every refusal is one line."""

    name = "path"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Path:
        try:
            if not str(value) or "\0" in str(value):
                raise UsageError(f"{str(value)!r} is not the name of a file or folder")
            self.check(Path(value))
        except TinySAMError as error:
            self.fail(str(error), param, ctx)
        except (OSError, ValueError) as error:
            self.fail(f"{value!r}: {getattr(error, 'strerror', None) or error}", param, ctx)
        return Path(value)

    def check(self, path: Path) -> None:
        """Raise `TinySAMError` if `path` does not suit."""
        raise NotImplementedError


@dataclass(frozen=True, kw_only=True)
class InputFile(CheckedPath):
    """A regular file to be read, with one of `suffixes` if there are any; `mend` says how to get one."""

    suffixes: Sequence[str] = ()
    mend: str = "check the name"

    def check(self, path: Path) -> None:
        check_exists(path, self.mend)
        if not path.is_file():
            raise InputError(f"{path}: is no regular file; {self.mend}")
        if self.suffixes and path.suffix.lower() not in self.suffixes:
            raise InputError(f"{path}: must end in {' or '.join(self.suffixes)}; {self.mend}")


@dataclass(frozen=True, kw_only=True)
class InputPath(CheckedPath):
    """A regular file or a folder; with `joined` also files with + between them."""

    joined: bool = False

    def check(self, path: Path) -> None:
        if self.joined and JOINED_BY in str(path) and not path.exists():
            for part in str(path).split(JOINED_BY):
                InputFile().check(Path(part))
            return
        check_exists(path, "check the name")
        if not path.is_file() and not path.is_dir():
            raise InputError(f"{path}: is neither a regular file nor a folder")


@dataclass(frozen=True, kw_only=True)
class InputFolder(CheckedPath):
    """A folder to be read, which holds a file called `index` if one is named."""

    index: str | None = None
    mend: str = "check the name"

    def check(self, path: Path) -> None:
        check_exists(path, self.mend)
        if not path.is_dir():
            raise InputError(f"{path}: is no folder; {self.mend}")
        if self.index and not (path / self.index).is_file():
            raise InputError(f"{path}: holds no {self.index}; {self.mend}")


@dataclass(frozen=True, kw_only=True)
class BundleFolder(InputFolder):
    """A folder that convert made; with `or_mapping` also a JSON file about a model converted elsewhere."""

    index: str | None = MANIFEST_NAME
    mend: str = "make a bundle with 'tinysam-mobile convert --out bundle'"
    or_mapping: bool = False

    def check(self, path: Path) -> None:
        if self.or_mapping and path.is_file():
            InputFile(suffixes=(".json",), mend="name a bundle's folder or a mapping in JSON").check(path)
        else:
            super().check(path)


@dataclass(frozen=True, kw_only=True)
class Photos(CheckedPath):
    """A folder that holds photos; with `or_one` also a single photo."""

    or_one: bool = False

    def check(self, path: Path) -> None:
        check_exists(path, self._mend(path))
        if path.is_dir() or not self.or_one:
            photos_in(path)
            if skipped := skipped_in(path):
                names = ", ".join(skip.name for skip in skipped[:MAX_NAMED])
                warn(f"{path}: {len(skipped)} photos of kinds that are not read here are left out: {names}")
        elif not path.is_file():
            raise InputError(f"{path}: is no regular file; name a photo or a folder of photos")

    def _mend(self, path: Path) -> str:
        if not self.or_one:
            return "name a folder of photos"
        if path.name.isdigit():
            return "x and y of a point are joined by a comma, as in --point 320,240"
        return "name a photo or a folder of photos"


class CheckpointSource(click.ParamType[str]):
    """A checkpoint's file, or `stand-in` or `stand-in:CONFIGURATION`; whether it fits is seen on loading."""

    name = "checkpoint"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> str:
        source = str(value)
        if source.partition(":")[0] != STAND_IN:
            mend = "name a .safetensors or .pth file, or see 'tinysam-mobile fetch --list'"
            # A model that is published in parts is named by its files with + between them.
            whole = source if JOINED_BY not in source or _is_there(source) else None
            for part in [whole] if whole is not None else source.split(JOINED_BY):
                path = InputFile(mend=mend).convert(part, param, ctx)
                if path.suffix.lower() in OTHER_SUFFIXES:
                    self.fail(
                        f"{path}: a file that ends in {path.suffix} is no checkpoint; {mend}", param, ctx
                    )
        return source


class ModelSourceName(CheckpointSource):
    """A checkpoint, or the folder of a bundle."""

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> str:
        if str(value) and "\0" not in str(value) and Path(str(value)).is_dir():
            return str(BundleFolder().convert(value, param, ctx))
        return super().convert(value, param, ctx)


class OutputPath(CheckedPath):
    """A name for something to be written; whether it is a file or a folder depends on other options."""

    def check(self, path: Path) -> None:
        check_writable(path, is_folder=path.is_dir() or not path.suffix)


@dataclass(frozen=True, kw_only=True)
class OutputFile(CheckedPath):
    """A file that can be written, with one of `suffixes` if any are given."""

    suffixes: Sequence[str] = ()

    def check(self, path: Path) -> None:
        if self.suffixes and path.suffix.lower() not in self.suffixes:
            raise UsageError(f"{path}: must end in {', '.join(self.suffixes)}; choose another name")
        check_writable(path, is_folder=False)


@dataclass(frozen=True, kw_only=True)
class OutputFolder(CheckedPath):
    """A folder that can be written.

    With `marker`, the name of a file that the command writes into it, the folder must be empty or not exist;
    with --overwrite it may also hold that file.
    """

    marker: str | None = None

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Path:
        path = super().convert(value, param, ctx)
        if self.marker:
            try:
                check_replaceable(path, self.marker, overwrite=bool(ctx and ctx.params.get("overwrite")))
            except UsageError as error:
                self.fail(str(error), param, ctx)
        return path

    def check(self, path: Path) -> None:
        check_writable(path, is_folder=True)


def _is_there(name: str) -> bool:
    with suppress(OSError, ValueError):
        return Path(name).exists()
    return False


def check_exists(path: Path, mend: str) -> None:
    """Raise `InputError` if there is nothing at `path`, which may be too long to be a name at all."""
    if not path.exists():
        raise InputError(f"{path}: does not exist; {mend}")
