"""`tinysam-mobile bundle-for-app`: put a bundle where a sample app looks for its model."""

from __future__ import annotations

from pathlib import Path

import click

from tinysam_mobile.bundle.folder import Bundle, size_of
from tinysam_mobile.cli.options import (
    as_json_option,
    bundle_argument,
    fixtures_option,
    out_option,
    overwrite_option,
    recipe_option,
)
from tinysam_mobile.cli.output import command_errors, print_json, print_table
from tinysam_mobile.cli.parameter_types import OutputFolder
from tinysam_mobile.device.app_resources import APPS, contents, fill_app_resources
from tinysam_mobile.errors import UsageError

__all__ = ["command"]


@click.command()
@click.argument("app", metavar="ios|android", type=click.Choice(list(APPS)))
@bundle_argument
@out_option(OutputFolder(), "Folder to put the model into; the app's own by default.")
@recipe_option()
@fixtures_option()
@overwrite_option
@as_json_option
@command_errors
def command(
    app: str,
    bundle_path: Path,
    out: Path | None,
    recipe: str | None,
    fixtures: Path | None,
    overwrite: bool,
    as_json: bool,
) -> None:
    """Copy what a sample app needs of BUNDLE to where the app expects it, and say what was put there.

    iOS takes Core ML packages, Android TFLite files; ExecuTorch programs go along if BUNDLE has them.
    Without -o run it in the repository's folder.

    \b
    Examples:
      tinysam-mobile bundle-for-app ios bundle
      tinysam-mobile bundle-for-app android bundle --recipe dynamic_w8 --fixtures fixtures --overwrite
    """
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


def _own_folder(app: str) -> Path:
    resources = APPS[app].resources
    if not Path("sample_apps", app).is_dir():
        raise UsageError(
            f"there is no folder sample_apps/{app} here: run this in a clone of tinysam-mobile, or name the "
            "app's resource folder with -o"
        )
    return resources
