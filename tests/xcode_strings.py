"""Texts of the iOS app's sources, as Xcode extracts them.

`python -m tests.xcode_strings` writes the catalog.
"""

from __future__ import annotations

import json
import re
from pathlib import Path

APP = Path(__file__).parents[1] / "sample_apps" / "ios" / "App"
CATALOG = APP / "Localizable.xcstrings"
SHOWN = (
    r"Text|Button|Toggle|Picker|Menu|ProgressView|ContentUnavailableView|Label|ShareLink"
    r"|\.alert|\.navigationTitle|String\(\s*localized:\s*"
)
ONE = r'"((?:[^"\\]|\\.)*)"'
LITERAL = re.compile(rf"(?:{SHOWN})\(?\s*{ONE}")
EITHER = re.compile(rf"Text\([^\"\n]*\? {ONE} : {ONE}\)")


def specifier(expression: str) -> str:
    """What stands for an interpolation in a key: whole numbers are %lld, all else is %@."""
    return "%@" if re.search(r"ms\(|formatted|reason", expression) else "%lld"


def key_of(literal: str) -> str:
    """The catalog's key of a literal with interpolations."""
    key, rest = "", literal
    while (start := rest.find("\\(")) >= 0:
        depth, end = 1, start + 2
        while depth:
            depth += {"(": 1, ")": -1}.get(rest[end], 0)
            end += 1
        key += rest[:start].replace("%", "%%") + specifier(rest[start:end])
        rest = rest[end:]
    return key + rest


def texts() -> list[str]:
    """The keys of every text that the app's sources show, sorted."""
    sources = [path.read_text("utf-8") for path in sorted((APP / "Sources").glob("*.swift"))]
    found = [literal for source in sources for literal in LITERAL.findall(source)]
    found += [literal for source in sources for pair in EITHER.findall(source) for literal in pair]
    return sorted({key_of(literal) for literal in found})


def catalog() -> str:
    """The catalog as Xcode writes it: English is the source, so a key needs no entry of its own."""
    data = {"sourceLanguage": "en", "strings": {text: {} for text in texts()}, "version": "1.0"}
    return json.dumps(data, indent=2, ensure_ascii=False, separators=(",", " : ")) + "\n"


if __name__ == "__main__":
    CATALOG.write_text(catalog(), encoding="utf-8")
