"""`tinysam-mobile compare-dump`: is the mask on the device the right one, and if not, since which stage?"""

from __future__ import annotations

from pathlib import Path

import click

from tinysam_mobile.bundle.folder import Bundle
from tinysam_mobile.cli.bound_options import bound_options, given_bounds
from tinysam_mobile.cli.options import (
    as_json_option,
    bundle_argument,
    checkpoint_option,
    fixtures_option,
    out_option,
    threads_option,
)
from tinysam_mobile.cli.output import command_errors, progress, warn
from tinysam_mobile.cli.parameter_types import InputFile, OutputFolder
from tinysam_mobile.parity.float_model import checkpoint_of
from tinysam_mobile.simulator.registry import open_model

__all__ = ["command"]


@click.command()
@bundle_argument
@click.argument(
    "dump_path",
    metavar="DUMP",
    type=InputFile(suffixes=(".zip",), mend="name the zip file that the app wrote"),
)
@fixtures_option(default=Path("fixtures"))
@checkpoint_option
@bound_options
@threads_option
@out_option(OutputFolder(), "Folder for report.html, report.json and junit.xml.", default="device_validation")
@as_json_option
@command_errors
def command(
    bundle_path: Path,
    dump_path: Path,
    fixtures: Path,
    checkpoint: str | None,
    threads: int | None,
    out: Path,
    as_json: bool,
) -> None:
    """Judge DUMP, the zip file that an app wrote after replaying the fixtures of BUNDLE.

    Same stages, bounds and report as validate.  Nothing of the zip is unpacked to disk.

    \b
    Examples:
      tinysam-mobile compare-dump bundle dump.zip
      tinysam-mobile compare-dump bundle dump.zip --fixtures fixtures --min-mask-iou 0.9 --json

    Exit codes: 0 passed; 1 failed; 2 wrong usage, or a dump that cannot be judged.
    """
    from tinysam_mobile.cli.parity_output import finish
    from tinysam_mobile.device.fixtures import read_fixtures
    from tinysam_mobile.device.judge_dumps import check_fixtures, dump_report, judge_dump, run_warnings

    bundle, replayed = Bundle.open(bundle_path), read_fixtures(fixtures)
    check_fixtures(bundle, replayed)
    with progress() as say:
        say("loading the checkpoint")
        loaded = checkpoint_of(bundle, checkpoint)
        reference = open_model(loaded.model, bundle.manifest.contract, num_threads=threads)
        info, side = judge_dump(
            reference, bundle, replayed, dump_path, overrides=given_bounds(), progress=say
        )
    for warning in run_warnings(bundle, info):
        warn(warning)
    names = {"name": loaded.name, "sha256": loaded.sha256}
    report = dump_report(names, bundle, replayed, dump_path, info, side)
    finish(report, out, device=info, as_json=as_json)
