"""The page of the Swift libraries' public declarations, with their documentation, out of their sources.

`python -m tests.swift_api` writes `docs/tinysamkit.md`.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

ROOT = Path(__file__).parents[1]
IOS = ROOT / "sample_apps" / "ios"
PAGE = ROOT / "docs" / "tinysamkit.md"
EXAMPLE = IOS / "Examples" / "OneScreen.swift"
LIBRARIES = {"TinySAMKit": IOS / "Sources" / "TinySAMKit", "TinySAMCoreML": IOS / "Sources" / "TinySAMCoreML"}
FIRST = (
    "TinySAM",
    "Predictor",
    "Prompts",
    "Mask",
    "RGBImage",
    "Everything",
    "FromBoxes",
    "RunLengths",
    "Manifest",
)
"""Files in the order in which one meets them; the others follow by name."""
TYPE = re.compile(r"(?:public )?(?:final )?(struct|final class|class|enum|actor|protocol|extension) ([\w.]+)")
HEAD = """# TinySAMKit: the Swift library

What is public in the two products of this repository's Swift package, out of their sources by
`python -m tests.swift_api`.
[iOS](../sample_apps/ios/README.md) says how to add the package; Swift 6, iOS 18 or macOS 15.

## A whole app

`sample_apps/ios/Examples/OneScreen.swift`, which is compiled on Linux against stubs of Apple's API. It needs
the model as step 1 of *Embed it* puts it into the app.

"""


@dataclass
class Declared:
    """A public type, or what an extension adds to one: its text, documentation, and public members."""

    text: str
    documentation: list[str]
    members: list[tuple[list[str], str]] = field(default_factory=list)


def page() -> str:
    """Return the whole page."""
    parts = [HEAD, f"```swift\n{EXAMPLE.read_text(encoding='utf-8')}```\n"]
    for library, folder in LIBRARIES.items():
        parts.append(f"\n## {library}\n")
        for path in sorted(folder.glob("*.swift"), key=_place):
            parts += map(_section, declarations(path.read_text(encoding="utf-8")))
    return "".join(parts)


def _place(path: Path) -> tuple[int, str]:
    return (FIRST.index(path.stem) if path.stem in FIRST else len(FIRST), path.stem)


def _section(declared: Declared) -> str:
    lines = [f"{declared.text} {{" if declared.members else declared.text]
    for documentation, text in declared.members:
        lines += [f"    /// {line}".rstrip() for line in documentation]
        lines += [f"    {line}" for line in text.splitlines()]
    if declared.members:
        lines.append("}")
    name = TYPE.search(declared.text)
    heading = f"\n### {name[2]}\n" if name and name[1] != "extension" else ""
    about = "".join(f"{line}\n" for line in ["", *declared.documentation]) if declared.documentation else ""
    return f"{heading}{about}\n```swift\n" + "\n".join(lines) + "\n```\n"


def declarations(source: str) -> Iterator[Declared]:
    """Yield the public types and functions of a file, and public members of its extensions, in order."""
    documentation: list[str] = []
    lines = iter(source.splitlines())
    current: Declared | None = None
    kind = ""
    for line in lines:
        indent, text = len(line) - len(line.lstrip()), line.strip()
        if text.startswith("///"):
            documentation.append(text.removeprefix("///").removeprefix(" "))
            continue
        if text.startswith("@"):
            # Attributes stand before what they are of.
            continue
        if indent == 0 and current is not None and text == "}":
            if current.members or not current.text.startswith("extension"):
                yield current
            current = None
        elif indent == 0 and (text.startswith(("public ", "extension "))):
            signature = _whole(text, lines)
            current, kind = Declared(signature, documentation), signature
            if text.endswith("}") or not _opens(text, signature):
                yield current
                current = None
        elif indent == 4 and current is not None and _is_public(text, kind):
            current.members.append((documentation, _whole(text, lines)))
        documentation = []


def _is_public(text: str, kind: str) -> bool:
    of_enum = " enum " in f" {kind}" and text.startswith("case ")
    of_protocol = " protocol " in f" {kind}" and text.startswith(("func ", "var "))
    in_public_extension = kind.startswith("public extension") and text.startswith(("func ", "var ", "init"))
    return text.startswith("public ") or of_enum or of_protocol or in_public_extension


def _opens(text: str, signature: str) -> bool:
    """Whether a declaration at the edge of the file has a body to read."""
    return bool(TYPE.match(signature)) and not text.endswith("}")


def _whole(text: str, lines: Iterator[str]) -> str:
    """A declaration over as many lines as its parentheses take, without its body."""
    whole = text
    while whole.count("(") > whole.count(")") or (
        not whole.endswith(("{", "}")) and whole.endswith((",", "->", "=", "throws"))
    ):
        whole += " " + next(lines).strip()
    # A body begins outside all parentheses; a default that is a closure does not.
    bodies = (match.start() for match in re.finditer(r"\s*\{", whole))
    start = next((at for at in bodies if whole[:at].count("(") == whole[:at].count(")")), None)
    if start is not None and not re.search(r"\{ get( set)? \}$", whole):
        whole = whole[:start]
    whole = re.sub(r"\( ", "(", re.sub(r" \)", ")", whole))
    return re.sub(r"^public (?=extension|func|init|var|let|static|nonisolated)", "", whole).rstrip()


if __name__ == "__main__":
    PAGE.write_text(page(), encoding="utf-8")
