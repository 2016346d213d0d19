"""`manifest.json` changed at one place, as a stranger or a damaged download would: no reader may end badly.

A case is an edit of the text of `manifest.json`: at character `at`, `drop` characters are replaced by `put`,
`repeat` times.  A reader either refuses the text with its own error or, unless the case says `refused`, reads
it.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

from .store import Case

PLACES: tuple[tuple[str | int, ...], ...] = (
    ("schema_version",),
    ("sizes",),
    ("sizes", "image_size"),
    ("sizes", "mask_size"),
    ("sizes", "slots"),
    ("sizes", "batch"),
    ("entry_points", "encode", "outputs"),
    ("entry_points", "encode", "outputs", 0, "shape"),
    ("entry_points", "decode", "inputs", 0, "name"),
    ("preprocess", "value_range"),
    ("everything", "points_per_side"),
    ("everything_search", "offsets"),
    ("artifacts",),
    ("artifacts", 0, "path"),
    ("artifacts", 0, "sha256"),
    ("artifacts", 0, "size_bytes"),
    ("artifacts", 0, "entry_points"),
)
VALUES = (
    *("null", "true", '"8"', "[]", "{}", "[[]]", "-1", "0.5", "1e308", "1e400", "NaN", "-Infinity"),
    *("9007199254740993", "18446744073709551616", "1" * 5000, '"\\u0000"', '"\\ud800"', '"../../x"', ""),
)
NEVER = ("null", "[[]]", "-1", "1e400", "NaN", "-Infinity", "1" * 5000, "")
"""Values that are right at none of the places."""
PLACEHOLDER = "@"
DEPTH = 100_000


def hostile_cases(text: str) -> Iterator[Case]:
    """Edits of a manifest's text (ASCII): wrong values at each place, then damage to the whole."""
    document = json.loads(text)
    for number, place in enumerate(PLACES):
        # Every value at some places and every place with some values: all pairs would tell no more.
        for value in VALUES[number % 3 :: 3]:
            at, drop = where(document, place)
            name = f"{'.'.join(map(str, place))} = {value[:20] or 'nothing'}"
            yield edit(name, at, drop, value, refused=value in NEVER)
    yield edit("empty", 0, len(text), "", refused=True)
    yield edit("cut in the middle", len(text) // 2, len(text) - len(text) // 2, "", refused=True)
    yield edit("a byte order mark", 0, 0, "\ufeff", refused=False)
    yield edit("text behind it", len(text), 0, "{}", refused=True)
    yield edit("a list", 0, len(text), "[]", refused=True)
    for opening in ("[", '{"a":'):
        yield edit(f"nested {opening}", 0, len(text), opening, repeat=DEPTH, refused=True)
        at, drop = where(document, ("generator",))
        yield edit(f"nested inside {opening}", at, drop, opening, repeat=DEPTH, refused=True)


def edit(name: str, at: int, drop: int, put: str, *, refused: bool, repeat: int = 1) -> Case:
    """One case."""
    return {"name": name, "at": at, "drop": drop, "put": put, "repeat": repeat, "refused": refused}


def where(document: Any, place: tuple[str | int, ...]) -> tuple[int, int]:
    """Offset and length of the value at `place` in the text of a document that is written with indent 1."""
    value = document
    for key in place:
        value = value[key]
    depth = len(place)
    drop = len(json.dumps(value, indent=1).replace("\n", "\n" + " " * depth))
    changed = json.loads(json.dumps(document))
    holder = changed
    for key in place[:-1]:
        holder = holder[key]
    holder[place[-1]] = PLACEHOLDER
    return json.dumps(changed, indent=1).index(f'"{PLACEHOLDER}"'), drop


def edited(text: str, case: Case) -> str:
    """The text of a case."""
    at, drop = case["at"], case["drop"]
    return text[:at] + case["put"] * case["repeat"] + text[at + drop :]
