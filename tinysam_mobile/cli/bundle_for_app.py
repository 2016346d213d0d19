"""`tinysam-mobile bundle-for-app`: put a bundle where a sample app looks for its model."""

from __future__ import annotations

from pathlib import Path

import click

from tinysam_mobile.bundle.folder import Bundle, size_of
from tinysam_mobile.cli.output import command_errors, print_json, print_table
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
@click.argument("bundle_path", metavar="BUNDLE", type=click.Path(path_type=Path))
@click.option("-o", "--out", type=click.Path(path_type=Path), help="Folder; the app's own by default.")
@click.option("--recipe", help="Of the runtime that the app needs; the first in BUNDLE by default.")
@click.option("--fixtures", type=click.Path(path_type=Path), help="Folder of `tinysam-mobile fixtures`.")
@click.option(
    "--litert-js",
    type=click.Path(path_type=Path),
    help="For web: npm's node_modules with LiteRT.js; by default one nearby, else the page asks a CDN.",
)
@click.option("--overwrite", is_flag=True, help="Replace the model that the app has.")
@click.option("--json", "as_json", is_flag=True, help="Print the result as JSON.")
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
        _web(
            bundle_path, out or WEB_FOLDER, recipe, fixtures, litert_js, overwrite=overwrite, as_json=as_json
        )
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
