"""What the page's server can send: a table from addresses to files, made once.

An address that is not in the table does not exist, whatever lies on the disk; so there is no path to escape
from, and no folder is ever listed.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path

import tinysam_mobile
from tinysam_mobile.bundle.folder import Bundle
from tinysam_mobile.device.layout import FIXTURES_INDEX
from tinysam_mobile.device.serve_litert import LiteRtSource
from tinysam_mobile.errors import UsageError

__all__ = [
    "BUNDLE",
    "FIXTURES",
    "TFLITE",
    "bundle_files",
    "config",
    "fixture_files",
    "page_files",
    "page_folder",
]

TFLITE = "tflite"
"""The runtime that a browser has."""
PAGE_FOLDERS = ("core", "platform", "app")
PAGE_SUFFIXES = {".html", ".css", ".js", ".json", ".jpg", ".svg", ".webmanifest"}
BUNDLE, FIXTURES = "bundle", "fixtures"
"""Folders of the page's addresses."""

Files = dict[str, Path]


def page_folder() -> Path:
    """Where the page lies: in the package, or in a clone's `sample_apps/web`."""
    folder = Path(tinysam_mobile.__file__).parent / "web"
    if not (folder / "index.html").is_file():
        raise UsageError(f"{folder}: the page is missing; install tinysam-mobile again")
    return folder.resolve()


def page_files(page: Path) -> Files:
    """The page itself, without its tests and what npm put beside it."""
    files = {"index.html": page / "index.html"}
    for folder in PAGE_FOLDERS:
        for path in sorted((page / folder).rglob("*")):
            if path.suffix in PAGE_SUFFIXES:
                files[path.relative_to(page).as_posix()] = path
    return files


def bundle_files(bundle: Bundle) -> Files:
    """The manifest and the TFLite artifacts; raises `UsageError` for a bundle without."""
    artifacts = [artifact for artifact in bundle.manifest.artifacts if artifact.runtime == TFLITE]
    if not artifacts:
        have = ", ".join(sorted({a.runtime for a in bundle.manifest.artifacts})) or "none"
        raise UsageError(
            f"{bundle.folder}: a browser runs TFLite artifacts, this bundle holds only {have}; "
            "run: tinysam-mobile convert --target tflite --out NEW_BUNDLE"
        )
    files = {f"{BUNDLE}/manifest.json": bundle.folder / "manifest.json"}
    for artifact in artifacts:
        files[f"{BUNDLE}/{artifact.path}"] = bundle.path_of(artifact)
    return files


def fixture_files(folder: Path) -> Files:
    """What `tinysam-mobile fixtures` wrote."""
    return {f"{FIXTURES}/{name}": path for name, path in _members(folder)}


def _members(folder: Path) -> Iterator[tuple[str, Path]]:
    for path in sorted(folder.rglob("*")):
        if (
            path.is_file()
            and not path.is_symlink()
            and (path.suffix == ".bin" or path.name == FIXTURES_INDEX)
        ):
            yield path.relative_to(folder).as_posix(), path


def config(
    litert: LiteRtSource, *, api: bool, fixtures: bool, host_runtimes: Mapping[str, str]
) -> dict[str, object]:
    """What the page reads first: where everything is.

    `api` says that a server answers below `api/`; `fixtures` that the folder is there to replay without one;
    `host_runtimes` maps runtimes of the host that answer clicks too to a line about each.
    """
    return {
        "bundle": f"{BUNDLE}/",
        "fixtures": f"{FIXTURES}/" if fixtures or api else None,
        "api": "api/" if api else None,
        "host_runtimes": dict(host_runtimes),
        "litert": litert.to_json(),
    }
