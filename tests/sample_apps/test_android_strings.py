"""Texts of the Android app: those that the code names are those in strings.xml, and the stub has them."""

from __future__ import annotations

import re
from pathlib import Path
from xml.etree import ElementTree

ROOT = Path(__file__).parents[2]
APP = ROOT / "sample_apps" / "android" / "app" / "src" / "main"
STUB = ROOT / "tests" / "app_stubs" / "kotlin" / "R.kt"
PLACEHOLDER = re.compile(r"%\d+\$")


def strings() -> dict[str, str]:
    tree = ElementTree.parse(APP / "res" / "values" / "strings.xml")
    return {entry.attrib["name"]: entry.text or "" for entry in tree.getroot()}


def code() -> str:
    sources = [*(APP / "kotlin").rglob("*.kt"), APP / "AndroidManifest.xml"]
    return "\n".join(path.read_text(encoding="utf-8") for path in sources)


def test_every_text_is_there_and_used() -> None:
    used = set(re.findall(r"R\.string\.(\w+)|@string/(\w+)", code()))
    assert {first or second for first, second in used} == set(strings())


def test_the_stub_has_the_texts_that_the_build_would_make() -> None:
    assert re.findall(r"const val (\w+)", STUB.read_text(encoding="utf-8")) == list(strings())


def test_texts_get_as_many_values_as_they_show() -> None:
    calls = re.findall(r"stringResource\(R\.string\.(\w+)((?:, [\w.]+)*)\)", code())
    wrong = [name for name, values in calls if len(PLACEHOLDER.findall(strings()[name])) != values.count(",")]
    assert calls
    assert not wrong
