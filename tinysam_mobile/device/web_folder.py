"""`bundle-for-app web`: the page, a bundle and LiteRT.js as one folder that any static host serves."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

from tinysam_mobile.bundle.folder import Bundle, new_bundle, write_manifest
from tinysam_mobile.bundle.manifest import Manifest
from tinysam_mobile.device.fixtures import read_fixtures
from tinysam_mobile.device.judge_dumps import check_fixtures
from tinysam_mobile.device.serve_files import (
    BUNDLE,
    TFLITE,
    bundle_files,
    config,
    fixture_files,
    page_files,
    page_folder,
)
from tinysam_mobile.device.serve_litert import LiteRtSource
from tinysam_mobile.errors import UsageError

__all__ = ["fill_web_folder"]


def fill_web_folder(
    bundle: Bundle,
    out: Path,
    litert: LiteRtSource,
    *,
    recipe: str | None = None,
    fixtures: Path | None = None,
    overwrite: bool = False,
) -> dict[str, int]:
    """Write the folder `out`, complete or not at all; return its files with their sizes in bytes.

    The folder is a bundle too, with the page in it.  All recipes of TFLite go along, or the one that
    `recipe` names.  Without a local LiteRT.js the page asks the CDN.  Raises `UsageError` if `out` exists and
    is not to be overwritten or holds the bundle, or if the bundle has no such artifacts, and `DumpError` for
    fixtures of another model.
    """
    source, target = bundle.folder.resolve(), out.resolve()
    if target == source or target in source.parents or source in target.parents:
        raise UsageError(f"-o {out}: is or holds the bundle {bundle.folder}, or lies in it; choose another")
    chosen = _of_a_browser(bundle, recipe)
    files = page_files(page_folder())
    files |= {address.removeprefix(f"{BUNDLE}/"): path for address, path in bundle_files(chosen).items()}
    files |= {litert.urls[name]: path for name, path in litert.local.items()}
    if fixtures is not None:
        check_fixtures(bundle, read_fixtures(fixtures))
        files |= fixture_files(fixtures)
    settings = config(litert, api=False, fixtures=fixtures is not None, host_runtimes={}) | {"bundle": "./"}
    with new_bundle(out, overwrite=overwrite) as folder:
        for address, path in files.items():
            (folder / address).parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(path, folder / address)
        write_manifest(folder, chosen.manifest)
        (folder / "config.json").write_text(json.dumps(settings, indent=1) + "\n", encoding="utf-8")
    return {path.relative_to(out).as_posix(): path.stat().st_size for path in sorted(out.rglob("*.*"))}


def _of_a_browser(bundle: Bundle, recipe: str | None) -> Bundle:
    """The bundle with its TFLite artifacts only, of one recipe or of all."""
    artifacts = [a for a in bundle.manifest.artifacts if a.runtime == TFLITE]
    if recipe is not None:
        artifacts = bundle.artifacts(TFLITE, recipe)
    return Bundle(
        folder=bundle.folder, manifest=Manifest(data=bundle.manifest.data, artifacts=tuple(artifacts))
    )
