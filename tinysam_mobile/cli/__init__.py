"""The command line: one thin file per verb, imported only when that verb is called.

A verb's file imports torch and SDKs inside the functions that need them, so that --help and wrong usage are
answered at once.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from importlib import import_module
from typing import Any

import click

from tinysam_mobile.cli.loading import telling_of_torch
from tinysam_mobile.cli.outcome import run_to_an_end
from tinysam_mobile.errors import did_you_mean
from tinysam_mobile.version import __version__

__all__ = ["main"]

SECTIONS = {
    "Segment": {
        "segment": ("tinysam_mobile.cli.segment", "Segment an object in a photo, on any runtime."),
        "fetch": ("tinysam_mobile.cli.fetch", "Download a public checkpoint, checked and resumable."),
    },
    "Convert and check": {
        "convert": (
            "tinysam_mobile.cli.convert",
            "Turn a checkpoint into Core ML, TFLite and ExecuTorch artifacts.",
        ),
        "validate": (
            "tinysam_mobile.cli.validate",
            "Compare artifacts with PyTorch stage by stage; name what is wrong.",
        ),
        "inspect": ("tinysam_mobile.cli.inspect", "Describe a checkpoint, an artifact or a bundle."),
        "bench": ("tinysam_mobile.cli.bench", "Measure latency, load time and memory on this machine."),
        "evaluate": ("tinysam_mobile.cli.evaluate", "Measure mIoU, AP and AR on annotated photos."),
        "sensitivity": (
            "tinysam_mobile.cli.sensitivity",
            "Rank layers by the accuracy that their integers cost.",
        ),
    },
    "Phones and apps": {
        "serve": (
            "tinysam_mobile.cli.serve",
            "Serve a page that runs a bundle in the browser of any phone.",
        ),
        "bundle-for-app": (
            "tinysam_mobile.cli.bundle_for_app",
            "Put a bundle where a sample app expects it, or make a web page of it.",
        ),
        "fixtures": ("tinysam_mobile.cli.fixtures", "Write what an app replays on a device."),
        "compare-dump": (
            "tinysam_mobile.cli.compare_dump",
            "Judge what a device computed, by the zip that its app wrote.",
        ),
    },
    "Train": {
        "distill": ("tinysam_mobile.cli.distill", "Train a small network, from masks or from a teacher."),
    },
    "Core ML interpreter": {
        "mil": ("tinysam_mobile.cli.mil", "Run, describe, compare and trace any Core ML model."),
    },
    "This machine": {
        "doctor": (
            "tinysam_mobile.cli.doctor",
            "List runtimes and versions, what is missing and what mends it.",
        ),
    },
}
"""Heading in --help → verb → the module that has it as `command`, and its line."""
COMMANDS = {verb: entry for verbs in SECTIONS.values() for verb, entry in verbs.items()}


class LazyGroup(click.Group):
    """A group that knows its commands by name and imports one only to run it, so that --help stays fast."""

    def list_commands(self, ctx: click.Context) -> list[str]:  # noqa: ARG002 (click's signature)
        return list(COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:  # noqa: ARG002
        if cmd_name not in COMMANDS:
            return None
        command: click.Command = import_module(COMMANDS[cmd_name][0]).command
        return command

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        """Find the command, or say which ones have nearly that name."""
        if args[0] not in COMMANDS and not args[0].startswith("-"):
            raise click.UsageError(f"No such command {args[0]!r}{did_you_mean(args[0], COMMANDS)}", ctx)
        return super().resolve_command(ctx, args)

    def main(  # type: ignore[override]  # click's own has a second form, which gives the same
        self, args: Sequence[str] | None = None, *, standalone_mode: bool = True, **kwargs: Any
    ) -> Any:
        """Run the command line to one of the ends that `outcome` lists."""
        if not standalone_mode:
            return super().main(args, standalone_mode=False, **kwargs)
        with run_to_an_end(), telling_of_torch():
            code = super().main(args, standalone_mode=False, **kwargs)
            sys.stdout.flush()
        sys.exit(code if isinstance(code, int) else 0)

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:  # noqa: ARG002
        width = max(map(len, COMMANDS))
        for title, verbs in SECTIONS.items():
            with formatter.section(title):
                formatter.write_dl([(verb.ljust(width), line) for verb, (_, line) in verbs.items()])


@click.command(cls=LazyGroup, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(__version__, prog_name="tinysam-mobile")
def main() -> None:
    """TinySAM on phones: convert a checkpoint, and see that every format gives the same masks.

    \b
    Examples:
      tinysam-mobile convert --out bundle                       the shipped checkpoint, all three formats
      tinysam-mobile convert tinysam_42.3.pth --target coreml --recipe fp16 --out bundle
      tinysam-mobile segment photo.jpg --point 320,240 --out overlay.png
      tinysam-mobile segment photo.jpg --box 10,20,300,400 --bundle bundle --runtime coreml
      tinysam-mobile doctor

    Results go to stdout, progress to stderr.  Exit codes: 0 all passed; 1 something failed; 3 something was
    not run; 2 wrong usage or bad input; 70 an error of this program.
    """
