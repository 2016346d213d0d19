"""`tinysam-mobile bundle-for-app`: put a bundle where a sample app looks for its model."""

from __future__ import annotations

from pathlib import Path

import click

from tinysam_mobile.bundle.folder import Bundle, size_of
from tinysam_mobile.cli.options import (
    as_json_option,
    bundle_argument,
    fixtures_option,
    litert_js_option,
    out_option,
    overwrite_option,
    recipe_option,
)
from tinysam_mobile.cli.output import command_errors, print_json, print_table
from tinysam_mobile.cli.parameter_types import OutputFolder
from tinysam_mobile.device.app_resources import APPS, contents, fill_app_resources
from tinysam_mobile.device.serve_files import page_folder
from tinysam_mobile.device.serve_litert import find_litert
from tinysam_mobile.device.web_folder import fill_web_folder
from tinysam_mobile.errors import UsageError

__all__ = ["command"]


WEB = "web"
WEB_FOLDER = Path("web_demo")


@click.command()
@click.argument("app", metavar="ios|android|web", type=click.Choice([*APPS, WEB]))
@bundle_argument
@out_option(OutputFolder(), "Folder to put the model into; the app's own by default.")
@recipe_option()
@fixtures_option()
@litert_js_option
@overwrite_option
@as_json_option
@command_errors
def command(
    app: str,
    bundle_path: Path,
    out: Path | None,
    recipe: str | None,
    fixtures: Path | None,
    litert_js: Path | None,
    overwrite: bool,
    as_json: bool,
) -> None:
    """Copy what a sample app needs of BUNDLE to where the app expects it, and say what was put there.

    iOS takes Core ML packages, Android TFLite files; ExecuTorch programs go along if BUNDLE has them.
    Without -o run it in the repository's folder.  "web" writes a folder with the page and the TFLite files
    (web_demo without -o) that any static host serves.

    \b
    Examples:
      tinysam-mobile bundle-for-app ios bundle
      tinysam-mobile bundle-for-app android bundle --recipe dynamic_w8 --fixtures fixtures --overwrite
      tinysam-mobile bundle-for-app web bundle -o demo
    """
    if app == WEB:
        target = out or WEB_FOLDER
        _web(bundle_path, target, recipe, fixtures, litert_js, overwrite=overwrite, as_json=as_json)
        return
    target = out or _own_folder(app)
    filled = fill_app_resources(
        app, Bundle.open(bundle_path), target, recipe=recipe, fixtures=fixtures, overwrite=overwrite
    )
    rows = [(path, kind, size_of(filled.folder / path)) for path, kind in contents(filled)]
    if as_json:
        files = [{"path": path, "what": kind, "size_bytes": size_bytes} for path, kind, size_bytes in rows]
        print_json({"app": app, "folder": str(target), "contents": files})
        return
    table = [(path, kind, f"{size_bytes / 1e6:.2f}") for path, kind, size_bytes in rows]
    print_table(["in the folder", "what", "MB"], table, right=["MB"])
    click.echo(f"{app} app: {target}")
    click.echo(f"\nTo use the library in an app of your own:\n\n{APPS[app].snippet}", nl=False)


def _web(
    bundle_path: Path,
    target: Path,
    recipe: str | None,
    fixtures: Path | None,
    litert_js: Path | None,
    *,
    overwrite: bool,
    as_json: bool,
) -> None:
    litert = find_litert(page_folder(), litert_js)
    files = fill_web_folder(
        Bundle.open(bundle_path), target, litert, recipe=recipe, fixtures=fixtures, overwrite=overwrite
    )
    if as_json:
        contents = [{"path": path, "size_bytes": size_bytes} for path, size_bytes in files.items()]
        print_json({"app": WEB, "folder": str(target), "litert_js": litert.version, "contents": contents})
        return
    click.echo(f"web page: {target}, {len(files)} files, {sum(files.values()) / 1e6:.1f} MB")
    click.echo(f"LiteRT.js {litert.version} {'in it' if litert.local else f'from {litert.origin}'}")
    click.echo(f"look at it: python3 -m http.server --directory {target}")


def _own_folder(app: str) -> Path:
    resources = APPS[app].resources
    if not Path("sample_apps", app).is_dir():
        raise UsageError(
            f"there is no folder sample_apps/{app} here: run this in a clone of tinysam-mobile, or name the "
            "app's resource folder with -o"
        )
    return resources
