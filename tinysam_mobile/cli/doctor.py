"""`tinysam-mobile doctor`: what can run here, and what mends the rest."""

from __future__ import annotations

import platform
import sys
from typing import Any

import click

from tinysam_mobile.artifacts.formats import FORMATS
from tinysam_mobile.cli.options import as_json_option
from tinysam_mobile.cli.output import command_errors, print_json, print_table, progress
from tinysam_mobile.errors import RuntimeUnavailableError
from tinysam_mobile.simulator.registry import RUNTIMES, import_runtime
from tinysam_mobile.version import __version__, install_command, package_version

__all__ = ["command"]


def _runtime_row(name: str) -> dict[str, Any]:
    info = RUNTIMES[name]
    try:
        module = import_runtime(name)
        reason = module.unavailable_reason() if hasattr(module, "unavailable_reason") else None
    except (RuntimeUnavailableError, ImportError) as error:
        reason = str(error)
    return {
        "kind": "run",
        "name": name,
        "what": info.description,
        "package": info.distribution,
        "version": package_version(info.distribution),
        "problem": reason,
    }


def _target_row(name: str) -> dict[str, Any]:
    distribution = FORMATS[name].distributions[0]
    version = package_version(distribution)
    mend = None if version else f"run: {install_command(FORMATS[name].extra)}"
    return {
        "kind": "convert",
        "name": name,
        "what": f"--target {name}",
        "package": distribution,
        "version": version,
        "problem": mend,
    }


@click.command()
@as_json_option
@command_errors
def command(as_json: bool) -> None:
    """List what this machine can convert and run, and the command that mends what is missing.

    \b
    Example:
      tinysam-mobile doctor
    """
    rows = [_target_row(name) for name in FORMATS]
    with progress() as say:
        for name in RUNTIMES:
            say(f"loading the runtime {name}")
            rows.append(_runtime_row(name))
    from tinysam_mobile.modeling.checkpoint import shipped_checkpoint

    shipped = shipped_checkpoint()
    machine = {
        "tinysam-mobile": __version__,
        "python": platform.python_version(),
        "platform": f"{platform.system()} {platform.machine()}",
        "shipped checkpoint": shipped.name if shipped else "none: stand-in weights are used",
    }
    if as_json:
        print_json({"machine": machine, "components": rows})
    else:
        for key, value in machine.items():
            click.echo(f"{key}: {value}")
        cells = [
            [r["kind"], r["name"], r["what"], f"{r['package']} {r['version'] or ''}", r["problem"] or "ready"]
            for r in rows
        ]
        print_table(["to", "name", "what", "package", "status"], cells)
    # What cannot exist on this platform (Apple's predictor off macOS) is no fault of the installation.
    missing = [r for r in rows if r["version"] is None]
    sys.exit(3 if missing else 0)
