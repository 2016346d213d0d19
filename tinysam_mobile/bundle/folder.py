"""A bundle: one folder with the artifacts and `manifest.json`, written whole or not at all.

`new_bundle` builds beside the target and renames at the end, so a killed conversion leaves no half-made one.
`Bundle.open` trusts nothing: schema and paths are checked, and an artifact's hash before its first use.
"""

from __future__ import annotations

import hashlib
import json
import os.path
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath

from tinysam_mobile.bundle.manifest import Artifact, Manifest
from tinysam_mobile.errors import BundleError, UsageError
from tinysam_mobile.files import new_folder, open_regular, read_json, write_text

__all__ = ["MANIFEST_NAME", "Bundle", "hash_path", "new_bundle", "size_of", "write_manifest"]

MANIFEST_NAME = "manifest.json"
"""The file by which a folder is known to be a bundle."""
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
        mend = f"is {folder} a bundle? Make one with 'tinysam-mobile convert'"
        path = folder / MANIFEST_NAME
        data = read_json(path, limit=MAX_MANIFEST_BYTES, error=BundleError, mend=mend)
        manifest = Manifest.from_json(data)
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


def _check_place(folder: Path, artifact: Artifact) -> None:
    relative = PurePosixPath(artifact.path)
    if relative.is_absolute() or ".." in relative.parts or "\\" in artifact.path or not relative.parts:
        raise BundleError(f"{folder}: the manifest names {artifact.path!r}, which is not inside the bundle")
    path = folder / relative
    try:
        if not path.exists():
            raise BundleError(f"{path}: listed in the manifest but missing; copy the whole bundle again")
        root = folder.resolve()
        for member in [path, *_members(path)]:
            if not member.resolve().is_relative_to(root):
                raise BundleError(f"{member}: a link that leads out of the bundle; it is not followed")
    except (OSError, ValueError, RuntimeError) as error:
        # A name that is too long or holds NUL; a loop of links is a RuntimeError in Python 3.11 and 3.12.
        reason = getattr(error, "strerror", None) or error
        raise BundleError(f"{folder}: cannot find {artifact.path!r} ({reason}); convert again") from error


def _members(path: Path) -> list[Path]:
    """Files and folders in a folder, without what macOS leaves in every folder that it shows."""
    # os.path says no, where pathlib raises, of a name that is too long.
    found = sorted(path.rglob("*")) if os.path.isdir(path) else []  # noqa: PTH112
    return [member for member in found if member.name != ".DS_Store" and not member.name.startswith("._")]


def hash_path(path: Path) -> str:
    """SHA-256 of a file, or of a folder's relative paths and contents in sorted order, in hexadecimal.

    Raises `BundleError` for what is neither, such as a pipe.
    """
    digest = hashlib.sha256()
    for member in _members(path) or [path]:
        if os.path.isdir(member):  # noqa: PTH112
            continue
        if member != path:
            digest.update(f"{member.relative_to(path).as_posix()}\0{member.stat().st_size}\0".encode())
        with open_regular(member, error=BundleError, mend="copy the whole bundle again") as file:
            while chunk := file.read(HASH_CHUNK_BYTES):
                digest.update(chunk)
    return digest.hexdigest()


def size_of(path: Path) -> int:
    """Bytes of a file or of all files in a folder."""
    return sum(member.stat().st_size for member in _members(path) or [path] if member.is_file())


def write_manifest(folder: Path, manifest: Manifest) -> None:
    """Write `manifest.json` into `folder`."""
    text = json.dumps(manifest.to_json(), indent=2, ensure_ascii=False, allow_nan=False)
    write_text(folder / MANIFEST_NAME, text + "\n")


def new_bundle(target: Path, *, overwrite: bool = False) -> AbstractContextManager[Path]:
    """Give a folder to build in, which becomes the bundle `target` if the block ends without an error.

    A `target` that exists and is not empty raises `UsageError` unless `overwrite`; with it, only a bundle is
    replaced, after the new one is complete.
    """
    return new_folder(target, MANIFEST_NAME, overwrite=overwrite)
