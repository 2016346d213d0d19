"""Where the page gets LiteRT.js from: a folder on this machine, or a CDN at a pinned version.

The package is Google's and not ours to copy into a repository.  `platform/litert.json` beside the page names
the version and the SHA-384 of every file; the page checks them, whoever sends the file.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from tinysam_mobile.errors import UsageError

__all__ = ["LiteRtSource", "find_litert", "pinned_version"]

PINNED = Path("platform") / "litert.json"
PACKAGES = ("core", "wasm-utils")
"""Folders of the npm scope @litertjs that the page loads."""
SCOPE = "@litertjs"
CDN = "https://cdn.jsdelivr.net"
URL_FOLDER = "litert"


@dataclass(frozen=True, kw_only=True)
class LiteRtSource:
    """Files of LiteRT.js by name (`core/dist/index.js`, …).

    `local` maps each to a file of this machine and is empty for a CDN; `urls` are what the page fetches,
    relative to it or absolute; `integrity` are their hashes, none for a version that is not the pinned one.
    """

    version: str
    local: Mapping[str, Path]
    urls: Mapping[str, str]
    integrity: Mapping[str, str]

    @property
    def origin(self) -> str | None:
        """The other host that the page connects to, if any."""
        return None if self.local else CDN

    def to_json(self) -> dict[str, object]:
        """What the page's config.json says of it."""
        files = {name: {"url": url, "integrity": self.integrity.get(name)} for name, url in self.urls.items()}
        return {"version": self.version, "files": files}


def pinned_version(page: Path) -> str:
    """The version of LiteRT.js that the page was tested with."""
    return str(_pinned(page)["version"])


def find_litert(page: Path, given: Path | None = None) -> LiteRtSource:
    """Return `given` (`--litert-js`), else a node_modules near the page or the working folder, else the CDN.

    Raises `UsageError` if `given` does not hold the package.
    """
    if given is not None:
        scope = next((folder for folder in _scopes(given) if _is_whole(folder, page)), None)
        if scope is None:
            raise UsageError(
                f"--litert-js {given}: holds no LiteRT.js (core/ and wasm-utils/, whole); "
                f"run: npm install @litertjs/core@{pinned_version(page)}, and pass its node_modules folder"
            )
        return _local(scope, page)
    near = [page, Path.cwd(), *Path.cwd().parents]
    scopes = (folder / "node_modules" / SCOPE for folder in near)
    found = next((scope for scope in scopes if _is_whole(scope, page)), None)
    return _local(found, page) if found else _cdn(page)


def _pinned(page: Path) -> dict[str, object]:
    data: dict[str, object] = json.loads((page / PINNED).read_text(encoding="utf-8"))
    return data


def _hashes(page: Path) -> dict[str, str]:
    hashes = _pinned(page)["integrity"]
    assert isinstance(hashes, dict)
    return hashes


def _scopes(given: Path) -> Iterator[Path]:
    """Where the package may lie in a folder that somebody names."""
    yield from (given, given / SCOPE, given / "node_modules" / SCOPE)


def _is_whole(scope: Path, page: Path) -> bool:
    return all((scope / name).is_file() for name in _hashes(page))


def _local(scope: Path, page: Path) -> LiteRtSource:
    hashes = _hashes(page)
    version = str(json.loads((scope / "core" / "package.json").read_text(encoding="utf-8")).get("version"))
    return LiteRtSource(
        version=version,
        local={name: (scope / name).resolve() for name in hashes},
        urls={name: f"{URL_FOLDER}/{name}" for name in hashes},
        integrity=hashes if version == pinned_version(page) else {},
    )


def _cdn(page: Path) -> LiteRtSource:
    version, hashes = pinned_version(page), _hashes(page)
    urls = {}
    for name in hashes:
        package, _, path = name.partition("/")
        urls[name] = f"{CDN}/npm/{SCOPE}/{package}@{version}/{path}"
    return LiteRtSource(version=version, local={}, urls=urls, integrity=hashes)
