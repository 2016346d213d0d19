"""MkDocs hook: pages of the site that live elsewhere in the repository, and the one that the code writes.

Files at the root keep their place, where GitHub shows them; their links are turned to the site's pages.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from importlib import import_module
from os.path import normpath
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING

import click

from tinysam_mobile.cli import COMMANDS

if TYPE_CHECKING:
    from mkdocs.config.defaults import MkDocsConfig
    from mkdocs.structure.files import Files

ROOT = Path(__file__).parents[1]
PAGES = {
    "README.md": "index.md",
    "MODEL_CARD.md": "model_card.md",
    "CHANGELOG.md": "changelog.md",
    "CONTRIBUTING.md": "contributing.md",
    "sample_apps/README.md": "sample_apps.md",
    "sample_apps/API.md": "sample_apps_api.md",
    "sample_apps/ios/README.md": "ios.md",
    "sample_apps/android/README.md": "android.md",
    "sample_apps/web/README.md": "web_app.md",
}
"""File of the repository → page of the site."""
COPIES = ("examples/tour.ipynb", "sample_apps/ios/Examples/OneScreen.swift")
"""Files that pages link to and that the site holds as they are."""
LINK = re.compile(r"(?<=\]\()(?!https?:|#)([^)#\s]+)")
"""Target of a relative Markdown link or picture, without its anchor."""
TABLE_ROW = re.compile(r"^\|.*$", re.MULTILINE)
CODE = re.compile(r"`[^`]+`")


def on_files(files: Files, config: MkDocsConfig) -> Files:
    """Add the pages that docs/ does not hold."""
    from mkdocs.structure.files import File

    for source, page in PAGES.items():
        text = turned((ROOT / source).read_text(encoding="utf-8"), PurePosixPath(source).parent)
        files.append(File.generated(config, page, content=text))
    for source in COPIES:
        files.append(File.generated(config, source, content=(ROOT / source).read_bytes()))
    files.append(File.generated(config, "reference/cli.md", content=cli_page()))
    return files


def on_page_markdown(markdown: str, **_: object) -> str:
    """Turn links to files at the root (`../MODEL_CARD.md`), and GitHub's escaped bars in code of a table."""
    linked = re.sub(r"(?<=\]\()\.\./([^)#\s]+)", lambda match: PAGES.get(match[1], match[0]), markdown)
    return TABLE_ROW.sub(lambda row: CODE.sub(lambda code: code[0].replace("\\|", "|"), row[0]), linked)


def turned(text: str, folder: PurePosixPath) -> str:
    """Turn the links of a file in `folder` of the repository to the pages of the site."""

    def target(match: re.Match[str]) -> str:
        path = normpath(folder / match[1])
        return PAGES.get(path, path.removeprefix("docs/"))

    return LINK.sub(target, text)


def cli_page() -> str:
    """Every command's --help, as one page."""
    sections = ["# Command line\n\nWhat `--help` of each command says.\n"]
    for verb in COMMANDS:
        command = import_module(COMMANDS[verb][0]).command
        for path, text in helps(command, f"tinysam-mobile {verb}"):
            sections.append(f"## `{path}`\n\n```text\n{text}\n```\n")
    return "\n".join(sections)


def helps(command: click.Command, path: str) -> Iterator[tuple[str, str]]:
    """Yield a command and its subcommands with the text of their --help, narrow enough for a page."""
    with click.Context(command, info_name=path, terminal_width=86) as context:
        yield path, command.get_help(context)
        if isinstance(command, click.Group):
            for name in command.list_commands(context):
                child = command.get_command(context, name)
                if child is not None:
                    yield from helps(child, f"{path} {name}")
