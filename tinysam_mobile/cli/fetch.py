"""`tinysam-mobile fetch`: download a public checkpoint once, checked and resumable."""

from __future__ import annotations

import sys
from pathlib import Path

import click
from rich.console import Console
from rich.progress import (
    BarColumn,
    DownloadColumn,
    Progress,
    TextColumn,
    TimeRemainingColumn,
    TransferSpeedColumn,
)

from tinysam_mobile.cli.options import as_json_option
from tinysam_mobile.cli.output import command_errors, print_json, print_table
from tinysam_mobile.cli.parameter_types import OutputFolder
from tinysam_mobile.errors import UsageError
from tinysam_mobile.files import file_sha256
from tinysam_mobile.modeling.fetch import (
    PUBLIC_CHECKPOINTS,
    PublicCheckpoint,
    cache_folder,
    fetch,
    public_checkpoint,
)

__all__ = ["command"]


@click.command()
@click.argument("name", required=False)
@click.option(
    "--list", "list_only", is_flag=True, help="Print the names, licences and addresses, and download nothing."
)
@click.option(
    "--folder", type=OutputFolder(), help="Folder to keep the file in; the user's cache by default."
)
@as_json_option
@command_errors
def command(name: str | None, list_only: bool, folder: Path | None, as_json: bool) -> None:
    """Download the public checkpoint NAME and print its path.

    A file that is already there whole is not downloaded again; a broken download goes on where it stopped.
    The shipped checkpoint needs no download.

    \b
    Examples:
      tinysam-mobile fetch --list
      tinysam-mobile fetch mobile-sam
      tinysam-mobile convert $(tinysam-mobile fetch tinysam) --out bundle
    """
    if list_only:
        _list(as_json)
        return
    if name is None:
        raise UsageError(f"name a checkpoint: {', '.join(PUBLIC_CHECKPOINTS)} (see fetch --list)")
    checkpoint = public_checkpoint(name)
    path = _fetch_with_bar(checkpoint, folder or cache_folder())
    sha256 = file_sha256(path)
    if checkpoint.sha256 is None:
        click.echo(f"no hash of {name} is published; this file has SHA-256 {sha256}", err=True)
    if as_json:
        print_json({"name": name, "path": str(path), "sha256": sha256, "licence": checkpoint.licence})
    else:
        click.echo(path)


def _list(as_json: bool) -> None:
    if as_json:
        print_json(
            {
                c.name: {"url": c.url, "sha256": c.sha256, "licence": c.licence}
                for c in PUBLIC_CHECKPOINTS.values()
            }
        )
        return
    rows = [[c.name, c.licence, c.description, c.url] for c in PUBLIC_CHECKPOINTS.values()]
    print_table(["name", "licence", "what", "address"], rows)


def _fetch_with_bar(checkpoint: PublicCheckpoint, folder: Path) -> Path:
    """Show a bar on a terminal, and without one a line at each tenth."""
    console = Console(stderr=True)
    if not console.is_terminal:
        return fetch(checkpoint, folder, on_bytes=_Tenths(checkpoint.name))
    columns = (
        TextColumn(checkpoint.name),
        BarColumn(),
        DownloadColumn(),
        TransferSpeedColumn(),
        TimeRemainingColumn(),
    )
    with Progress(*columns, console=console) as bar:
        task = bar.add_task(checkpoint.name, total=None)
        return fetch(
            checkpoint, folder, on_bytes=lambda done, total: bar.update(task, completed=done, total=total)
        )


class _Tenths:
    """Prints a line each time another tenth of the file is there."""

    def __init__(self, name: str) -> None:
        self._name = name
        self._tenths = 0

    def __call__(self, done: int, total: int | None) -> None:
        tenths = 10 * done // total if total else 0
        if tenths > self._tenths:
            self._tenths = tenths
            print(f"{self._name}: {10 * tenths} % of {(total or 0) / 1e6:.0f} MB", file=sys.stderr)
