"""The docs site builds without a warning, and what it says of the code is in the code."""

from __future__ import annotations

import ast
import os
import re
import subprocess
import sys
from importlib import import_module
from pathlib import Path

import pytest

from tinysam_mobile.bundle.contract_page import contract_markdown

ROOT = Path(__file__).parents[1]
DOCS = ROOT / "docs"
MESSAGES = (DOCS / "troubleshooting.md").read_text(encoding="utf-8").partition("| message contains")[2]
QUOTED = re.findall(r"^\| (`.*?`) \|", MESSAGES, re.MULTILINE)
REFERENCE = [
    name
    for page in sorted((DOCS / "reference").glob("*.md"))
    for name in re.findall(r"^::: (\S+)$", page.read_text(encoding="utf-8"), re.MULTILINE)
]


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The built site; mkdocs.yml makes every warning an error."""
    out = tmp_path_factory.mktemp("site")
    command = [sys.executable, "-m", "mkdocs", "build", "--strict", "--site-dir", str(out)]
    environment = {**os.environ, "NO_MKDOCS_2_WARNING": "1"}
    done = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr[-3000:]
    return out


def test_site_has_every_page_and_every_object_of_the_reference(site: Path) -> None:
    text = "".join(page.read_text(encoding="utf-8") for page in (site / "reference").glob("*.html"))
    assert REFERENCE
    for name in REFERENCE:
        for public in import_module(name).__all__:
            assert f'id="{name}.{public}"' in text, f"{name}.{public} has no docstring"
    for page in ("index", "tutorial", "troubleshooting", "contract", "model_card", "reference/cli"):
        assert (site / f"{page}.html").is_file()


def test_site_needs_no_other_host(site: Path) -> None:
    """Scripts, styles, fonts and pictures come with it; links for readers may lead away."""
    loaded = re.compile(r'<(?:script|img|link)\b[^>]*?(?:src|href)="(https?:[^"]+)"')
    for page in site.rglob("*.html"):
        assert loaded.findall(page.read_text(encoding="utf-8")) == [], page.name


def test_contract_page_is_what_spec_and_manifest_say() -> None:
    assert (DOCS / "contract.md").read_text(encoding="utf-8") == contract_markdown(), (
        "run: python -m tinysam_mobile.bundle.contract_page"
    )


def literals() -> list[str]:
    """Every text in the code, with what is filled in left out."""
    found = []
    for folder in ("tinysam_mobile", "converters", "quant"):
        for file in (ROOT / folder).rglob("*.py"):
            for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
                if isinstance(node, ast.JoinedStr):
                    found.append(
                        "".join(v.value if isinstance(v, ast.Constant) else "\0" for v in node.values)
                    )
                elif isinstance(node, ast.Constant) and isinstance(node.value, str):
                    found.append(node.value)
    return found


def test_quoted_messages_exist() -> None:
    texts = literals()
    assert len(QUOTED) > 10
    for row in QUOTED:
        parts = re.findall(r"`([^`]+)`", row)
        assert any(all(part in text for part in parts) for text in texts), f"no message says {row}"


def test_no_page_holds_a_figure_that_was_never_filled_in() -> None:
    for page in (ROOT / "README.md", ROOT / "MODEL_CARD.md", *DOCS.glob("*.md")):
        assert re.findall(r"(?<![\w/`])@\w+@", page.read_text(encoding="utf-8")) == [], page.name
