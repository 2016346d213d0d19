"""The folder that a sample app takes its model from: artifacts of the runtimes that it has, and the manifest.

`docs/app_fixtures.md` says what the apps expect in it.
"""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from tinysam_mobile.bundle.folder import Bundle, new_bundle, write_manifest
from tinysam_mobile.bundle.manifest import RUNTIMES_KEY, Artifact, Manifest
from tinysam_mobile.contract.spec import Component
from tinysam_mobile.device.fixtures import read_fixtures
from tinysam_mobile.errors import BundleError, DumpError, UnknownNameError, UsageError

__all__ = ["APPS", "App", "contents", "fill_app_resources"]

FIXTURES_FOLDER = "fixtures"


@dataclass(frozen=True, kw_only=True)
class App:
    """A sample app: the runtime that it needs, those that it can use too, and where it looks for them.

    `resources` is relative to the repository.  `deployment_target` is the oldest system that the app runs on,
    as `convert --deployment-target` names it: artifacts for a newer one are refused.  `snippet` shows how
    another app takes the library and opens the folder.
    """

    needs: str
    also: tuple[str, ...]
    resources: Path
    deployment_target: str | None = None
    snippet: str = ""


IOS_SNIPPET = """\
In Package.swift, or in Xcode under File > Add Package Dependencies:
    .package(url: "https://YOUR.HOST/tinysam-mobile.git", branch: "main")
    .product(name: "TinySAMCoreML", package: "tinysam-mobile")
In your code, with the folder above copied into your app as a folder reference:
    import TinySAMCoreML
    import TinySAMKit

    let folder = Bundle.main.url(forResource: "bundle", withExtension: nil, subdirectory: "Model")!
    let sam = try await TinySAM(bundle: folder)
    try await sam.setPhoto(RGBImage(photo: jpegData))
    let mask = try await sam.mask(at: Point(x: 320, y: 240))
    for try await event in try await sam.everything() { print(event) }
"""

ANDROID_SNIPPET = """\
In sample_apps/android, once:
    ./gradlew publishToMavenLocal
In your app's build.gradle.kts, with mavenLocal() among the repositories:
    implementation("mobile.tinysam:tinysam-litert:0.1.0")
    androidResources { noCompress += "tflite" }
In your code, with the folder above as src/main/assets/tinysam:
    import mobile.tinysam.core.TinySam
    import mobile.tinysam.litert.LiteRt
    import mobile.tinysam.platform.BitmapRows
    import mobile.tinysam.platform.open

    val sam = TinySam.open(context, LiteRt())
    sam.setPhoto(BitmapRows(bitmap))
    val mask = sam.mask(x = 320.0, y = 240.0)
    sam.everything().collect { event -> println(event) }
"""

APPS = {
    "ios": App(
        needs="coreml",
        also=("executorch",),
        resources=Path("sample_apps/ios/App/Resources/Model/bundle"),
        deployment_target="iOS18",
        snippet=IOS_SNIPPET,
    ),
    "android": App(
        needs="tflite",
        also=("executorch",),
        resources=Path("sample_apps/android/app/src/main/assets/tinysam"),
        snippet=ANDROID_SNIPPET,
    ),
}


def fill_app_resources(
    name: str,
    bundle: Bundle,
    out: Path,
    *,
    recipe: str | None = None,
    fixtures: Path | None = None,
    overwrite: bool = False,
) -> Bundle:
    """Put what the app `name` needs of `bundle` into `out`, which appears complete or not at all.

    `recipe` chooses among the artifacts of the runtime that the app needs, else the first in the manifest;
    optional runtimes come with the same recipe or else their first.  `fixtures` is a folder that
    `tinysam-mobile fixtures` wrote.  Raises `UnknownNameError` for another app, `UsageError` if `out` exists
    and is not to be overwritten or is the bundle itself, or if the bundle lacks the format or recipe;
    `BundleError` for a manifest without the apps' data; `DumpError` for fixtures that are damaged or
    belong to another model.
    """
    if name not in APPS:
        raise UnknownNameError("app", name, APPS)
    _check_apart(out, bundle.folder)
    _check_manifest(bundle)
    artifacts = _chosen(APPS[name], name, bundle, recipe)
    for artifact in artifacts:
        _check_system(APPS[name], artifact)
    if fixtures is not None:
        _check_fixtures(fixtures, bundle)
    with new_bundle(out, overwrite=overwrite) as folder:
        for artifact in artifacts:
            _copy(bundle.path_of(artifact), folder / artifact.path)
        if fixtures is not None:
            _copy(fixtures, folder / FIXTURES_FOLDER)
        write_manifest(folder, Manifest(data=bundle.manifest.data, artifacts=tuple(artifacts)))
    return Bundle.open(out)


def _chosen(app: App, name: str, bundle: Bundle, recipe: str | None) -> list[Artifact]:
    found = [artifact for artifact in bundle.manifest.artifacts if artifact.runtime == app.needs]
    missing = set(Component) - {artifact.component for artifact in found}
    if missing:
        have = sorted({artifact.runtime for artifact in bundle.manifest.artifacts})
        raise UsageError(
            f"{bundle.folder}: the {name} app needs {app.needs} artifacts, this bundle holds only "
            f"{', '.join(have) or 'none'}; run: tinysam-mobile convert --target {app.needs} --out NEW_BUNDLE"
        )
    chosen = bundle.artifacts(app.needs, recipe)
    for runtime in app.also:
        others = [artifact for artifact in bundle.manifest.artifacts if artifact.runtime == runtime]
        same = [artifact for artifact in others if artifact.recipe == chosen[0].recipe]
        chosen += same or [artifact for artifact in others if artifact.recipe == others[0].recipe]
    return chosen


def _check_apart(out: Path, bundle: Path) -> None:
    target, source = out.resolve(), bundle.resolve()
    if target == source or target in source.parents or source in target.parents:
        raise UsageError(f"-o {out}: is or holds the bundle {bundle}, or lies in it; choose another folder")


def _check_manifest(bundle: Bundle) -> None:
    data = bundle.manifest.data
    prompts = data.get("prompts")
    search = data.get("everything_search")
    has_search = isinstance(search, dict) and "fast" in search and RUNTIMES_KEY in data
    if not has_search or not isinstance(prompts, dict) or "label_codes" not in prompts:
        raise BundleError(
            f"{bundle.folder}: its manifest was written before the apps read it and lacks "
            "everything_search.fast, runtimes or prompts.label_codes; convert again with this version"
        )


def _check_system(app: App, artifact: Artifact) -> None:
    """Raise `UsageError` for an artifact that takes a newer system than the app promises to run on."""
    needed = artifact.details.get("deployment_target")
    if app.deployment_target is None or not isinstance(needed, str):
        return
    if _version(needed) > _version(app.deployment_target):
        raise UsageError(
            f"{artifact.path} was made for {needed}, but the app runs from {app.deployment_target} on: "
            f"convert with --deployment-target {app.deployment_target}, or raise the app's in project.yml"
        )


def _version(deployment_target: str) -> int:
    """The number in such as iOS18; 0 where there is none."""
    return int("".join(filter(str.isdigit, deployment_target)) or 0)


def _check_fixtures(folder: Path, bundle: Bundle) -> None:
    fixtures = read_fixtures(folder)
    manifest = bundle.manifest
    if (fixtures.contract, fixtures.checkpoint_sha256) != (manifest.contract, manifest.checkpoint_sha256):
        raise DumpError(
            f"{folder}: was made for another model; run: tinysam-mobile fixtures {bundle.folder} -o NEW"
        )


def _copy(source: Path, target: Path) -> None:
    target.parent.mkdir(parents=True, exist_ok=True)
    if source.is_dir():
        shutil.copytree(source, target)
    else:
        shutil.copyfile(source, target)


def contents(bundle: Bundle) -> Iterator[tuple[str, str]]:
    """Yield the path of each part of an app's folder, relative to it, and what it is."""
    yield "manifest.json", "contract, thresholds, everything-mode settings"
    for artifact in bundle.manifest.artifacts:
        yield artifact.path, f"{artifact.runtime} {artifact.recipe} {artifact.component}"
    if (bundle.folder / FIXTURES_FOLDER).is_dir():
        yield FIXTURES_FOLDER, "photos and prompts to replay, for compare-dump"
