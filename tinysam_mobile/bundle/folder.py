"""A bundle: one folder with the artifacts and `manifest.json`, written whole or not at all.

`new_bundle` builds in a hidden folder beside the target and renames it at the end, so a killed conversion
leaves no half-made bundle, and the next one sweeps up the hidden folder.  `Bundle.open` trusts nothing:
schema and paths are checked, and an artifact's hash before its first use.
"""

from __future__ import annotations

import glob
import hashlib
import json
import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath

from tinysam_mobile.bundle.manifest import Artifact, Manifest
from tinysam_mobile.errors import BundleError, UsageError
from tinysam_mobile.files import check_replaceable

__all__ = ["MANIFEST_NAME", "Bundle", "hash_path", "new_bundle", "size_of", "write_manifest"]

MANIFEST_NAME = "manifest.json"
MAX_MANIFEST_BYTES = 16 * 2**20
HASH_CHUNK_BYTES = 2**20


@dataclass(frozen=True, kw_only=True)
class Bundle:
    """An opened bundle: `path_of` gives files that are those which the manifest lists."""

    folder: Path
    manifest: Manifest
    _checked: set[str] = field(default_factory=set, repr=False, compare=False)
    """Paths of artifacts whose hash was compared: a large file is read once for that, not at each use."""

    @classmethod
    def open(cls, folder: Path) -> Bundle:
        """Open the bundle in `folder`.

        Raises `BundleError` if the manifest is missing or malformed, its schema is another one, or a listed
        file is missing or outside the folder.
        """
        manifest = Manifest.from_json(_read_json(folder / MANIFEST_NAME))
        for artifact in manifest.artifacts:
            _check_place(folder, artifact)
        return cls(folder=folder, manifest=manifest)

    def artifacts(self, runtime: str, recipe: str | None = None) -> list[Artifact]:
        """Return the artifacts of `runtime`, of one recipe: the named one or the first in the manifest."""
        found = [a for a in self.manifest.artifacts if a.runtime == runtime and recipe in (None, a.recipe)]
        if not found:
            have = sorted({f"{a.runtime}/{a.recipe}" for a in self.manifest.artifacts})
            wanted = f"{runtime}/{recipe}" if recipe else runtime
            raise UsageError(f"{self.folder}: holds no {wanted} artifact, only {', '.join(have) or 'none'}")
        return [a for a in found if a.recipe == found[0].recipe]

    def path_of(self, artifact: Artifact) -> Path:
        """Return where an artifact lies; raises `BundleError` if its SHA-256 is not the manifest's."""
        path = self.folder / artifact.path
        if artifact.path not in self._checked:
            if hash_path(path) != artifact.sha256:
                raise BundleError(
                    f"{path}: its SHA-256 is not that of the manifest; the file was changed or cut"
                )
            self._checked.add(artifact.path)
        return path

    def verify(self) -> Bundle:
        """Compare the hashes of all artifacts; returns the bundle, or raises `BundleError`."""
        for artifact in self.manifest.artifacts:
            self.path_of(artifact)
        return self


def _read_json(path: Path) -> object:
    try:
        if path.stat().st_size > MAX_MANIFEST_BYTES:
            raise BundleError(f"{path}: larger than any manifest; not read")
        return json.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise BundleError(f"{path}: cannot be read ({error.strerror}); is {path.parent} a bundle?") from error
    except (ValueError, RecursionError) as error:
        raise BundleError(f"{path}: is not valid JSON ({error}); convert again") from error


def _check_place(folder: Path, artifact: Artifact) -> None:
    relative = PurePosixPath(artifact.path)
    if relative.is_absolute() or ".." in relative.parts or "\\" in artifact.path or not relative.parts:
        raise BundleError(f"{folder}: the manifest names {artifact.path!r}, which is not inside the bundle")
    path = folder / relative
    if not path.exists():
        raise BundleError(f"{path}: listed in the manifest but missing; copy the whole bundle again")
    root = folder.resolve()
    for member in [path, *_members(path)]:
        if not member.resolve().is_relative_to(root):
            raise BundleError(f"{member}: a link that leads out of the bundle; it is not followed")


def _members(path: Path) -> list[Path]:
    return sorted(path.rglob("*")) if path.is_dir() else []


def hash_path(path: Path) -> str:
    """SHA-256 of a file, or of a folder's relative paths and contents in sorted order, in hexadecimal."""
    digest = hashlib.sha256()
    for member in _members(path) or [path]:
        if member.is_dir():
            continue
        if member != path:
            digest.update(f"{member.relative_to(path).as_posix()}\0{member.stat().st_size}\0".encode())
        with member.open("rb") as file:
            while chunk := file.read(HASH_CHUNK_BYTES):
                digest.update(chunk)
    return digest.hexdigest()


def size_of(path: Path) -> int:
    """Bytes of a file or of all files in a folder."""
    return sum(member.stat().st_size for member in _members(path) or [path] if member.is_file())


def write_manifest(folder: Path, manifest: Manifest) -> None:
    """Write `manifest.json` into `folder`."""
    text = json.dumps(manifest.to_json(), indent=2, ensure_ascii=False, allow_nan=False)
    (folder / MANIFEST_NAME).write_text(text + "\n", encoding="utf-8")


@contextmanager
def new_bundle(target: Path, *, overwrite: bool = False) -> Iterator[Path]:
    """Give a folder to build in, which becomes `target` if the block ends without an error.

    An existing `target` raises `UsageError` unless `overwrite`; with it, only an empty folder or a bundle is
    replaced, after the new one is complete.
    """
    check_replaceable(target, MANIFEST_NAME, overwrite=overwrite)
    target.parent.mkdir(parents=True, exist_ok=True)
    _remove_abandoned(target)
    building = target.parent / f".{target.name}.building-{os.getpid()}"
    building.mkdir()
    try:
        yield building
        _replace(building, target)
    finally:
        shutil.rmtree(building, ignore_errors=True)


def _remove_abandoned(target: Path) -> None:
    """Delete what killed conversions to `target` left; one that still runs is let be."""
    for folder in target.parent.glob(f".{glob.escape(target.name)}.building-*"):
        pid = folder.name.rpartition("-")[2]
        if not pid.isdigit() or int(pid) == os.getpid() or not _is_running(int(pid)):
            shutil.rmtree(folder, ignore_errors=True)


def _is_running(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return True


def _replace(building: Path, target: Path) -> None:
    if not target.exists():
        building.rename(target)
        return
    old = building.with_name(f".{target.name}.old-{os.getpid()}")
    target.rename(old)
    building.rename(target)
    shutil.rmtree(old)
