"""`tinysam-mobile compare-dump`: is the mask on the device the right one, and if not, since which stage?"""

from __future__ import annotations

from pathlib import Path

import click

from tinysam_mobile.bundle.folder import Bundle
from tinysam_mobile.cli.bound_options import bound_options, given_bounds
from tinysam_mobile.cli.float_model import checkpoint_of
from tinysam_mobile.cli.output import command_errors, progress
from tinysam_mobile.simulator.registry import open_model

__all__ = ["command"]


@click.command()
@click.argument("bundle_path", metavar="BUNDLE", type=click.Path(path_type=Path))
@click.argument("dump_path", metavar="DUMP", type=click.Path(path_type=Path))
@click.option(
    "--fixtures",
    "fixtures_path",
    type=click.Path(path_type=Path),
    default=Path("fixtures"),
    show_default=True,
    help="What the app replayed.",
)
@click.option("--checkpoint", help="The float model that BUNDLE was made from; the shipped one by default.")
@bound_options
@click.option("--threads", type=click.IntRange(1), help="Threads of PyTorch.")
@click.option(
    "--out",
    type=click.Path(path_type=Path),
    default=Path("device_validation"),
    show_default=True,
    help="Folder for report.html, report.json and junit.xml.",
)
@click.option("--json", "as_json", is_flag=True, help="Print report.json.")
@command_errors
def command(
    bundle_path: Path,
    dump_path: Path,
    fixtures_path: Path,
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
    from tinysam_mobile.device.judge_dumps import check_fixtures, dump_report, judge_dump

    bundle, fixtures = Bundle.open(bundle_path), read_fixtures(fixtures_path)
    check_fixtures(bundle, fixtures)
    with progress() as say:
        say("loading the checkpoint")
        loaded = checkpoint_of(bundle, checkpoint)
        reference = open_model(loaded.model, bundle.manifest.contract, num_threads=threads)
        info, side = judge_dump(
            reference, bundle, fixtures, dump_path, overrides=given_bounds(), progress=say
        )
    names = {"name": loaded.name, "sha256": loaded.sha256}
    report = dump_report(names, bundle, fixtures, dump_path, info, side)
    finish(report, out, device=info, as_json=as_json)
