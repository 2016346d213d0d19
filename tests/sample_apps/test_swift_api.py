"""The page of the Swift libraries names every public type, and is that of today's sources."""

from __future__ import annotations

import re

import pytest

from tests.swift_api import EXAMPLE, LIBRARIES, PAGE, declarations, page

SOURCE = """
/// A thing.
@MainActor
public struct Thing: Sendable {
    /// Kept.
    public let name: String
    let hidden: Int
    /// Does it,
    /// over two lines.
    public func act(
        _ times: Int, when: () -> Bool = { false }
    ) throws -> [Int] {
        public_looking()
    }
    public var count: Int { 3 }
}

struct Inner { public let x: Int }

extension Thing {
    public static let none = Thing()
}

public func run() {}
"""


def test_declarations_are_read_with_their_documentation() -> None:
    thing, extension, run = declarations(SOURCE)
    assert (thing.text, thing.documentation) == ("public struct Thing: Sendable", ["A thing."])
    assert thing.members == [
        (["Kept."], "let name: String"),
        (
            ["Does it,", "over two lines."],
            "func act(_ times: Int, when: () -> Bool = { false }) throws -> [Int]",
        ),
        ([], "var count: Int"),
    ]
    assert (extension.text, extension.members) == ("extension Thing", [([], "static let none = Thing()")])
    assert run.text == "func run()"


def test_the_page_is_that_of_the_sources() -> None:
    assert PAGE.read_text(encoding="utf-8") == page(), "run python -m tests.swift_api"
    assert EXAMPLE.read_text(encoding="utf-8") in page()


@pytest.mark.parametrize("library", LIBRARIES)
def test_every_public_type_has_a_heading(library: str) -> None:
    sources = "".join(path.read_text(encoding="utf-8") for path in LIBRARIES[library].glob("*.swift"))
    names = re.findall(
        r"^public (?:final )?(?:struct|class|enum|actor|protocol) (\w+)", sources, re.MULTILINE
    )
    assert names or library == "TinySAMCoreML"
    headings = re.findall(r"^### (\w+)$", PAGE.read_text(encoding="utf-8"), re.MULTILINE)
    assert set(names) <= set(headings)
