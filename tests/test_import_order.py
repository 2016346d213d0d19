"""The rooms depend on each other in one direction only, and no two files import each other."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from graphlib import CycleError, TopologicalSorter
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
ROOMS = (
    ("errors", "version"),
    ("files",),
    ("contract",),
    ("imaging",),
    ("modeling",),
    ("mil",),
    ("artifacts",),
    ("bundle",),
    ("simulator",),
    ("segment",),
    ("quant",),
    ("converters",),
    ("parity",),
    ("device", "evaluation"),
    ("distill",),
    ("cli",),
    ("demo", "__main__"),
)
"""From the ground up: a room imports those before it.  Rooms of one line do not know each other."""
ONLY_ERRORS = "mil"
"""The Core ML interpreter knows nothing of SAM."""
LEVELS = {room: level for level, rooms in enumerate(ROOMS) for room in rooms}


def modules() -> dict[str, Path]:
    """Name below `tinysam_mobile` → file; the package itself is ''."""
    found = {}
    for folder in ("tinysam_mobile", "converters", "quant"):
        for path in sorted((ROOT / folder).rglob("*.py")):
            parts = path.relative_to(ROOT).with_suffix("").parts
            if folder == "tinysam_mobile" and parts[1:2] in (("converters",), ("quant",)):
                continue  # links to the folders at the root
            name = ".".join(parts[1:] if folder == "tinysam_mobile" else parts)
            found[name.removesuffix("__init__").removesuffix(".")] = path
    return found


def imports(source: str) -> Iterator[tuple[str, list[str]]]:
    """Each import of this package in `source`, in functions and under TYPE_CHECKING too: module, names."""
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.ImportFrom) and node.level == 0 and node.module:
            if node.module.split(".")[0] == "tinysam_mobile":
                yield node.module.removeprefix("tinysam_mobile").lstrip("."), [a.name for a in node.names]
        elif isinstance(node, ast.ImportFrom) and node.level:
            raise AssertionError("a relative import: write the whole name")
        elif isinstance(node, ast.Import):
            for alias in node.names:
                if alias.name.split(".")[0] == "tinysam_mobile":
                    yield alias.name.removeprefix("tinysam_mobile").lstrip("."), []


def arrows() -> dict[str, set[str]]:
    """Module → the modules that it imports."""
    known = modules()
    found: dict[str, set[str]] = {}
    for name, path in known.items():
        found[name] = set()
        for module, names in imports(path.read_text(encoding="utf-8")):
            inner = {f"{module}.{n}".lstrip(".") for n in names} & known.keys()
            found[name] |= inner or {module}
    return found


def running_back(graph: dict[str, set[str]]) -> list[str]:
    """The arrows of `graph` that do not point towards the ground."""
    wrong = []
    for name, targets in graph.items():
        room = name.split(".")[0]
        for target in sorted(targets - {""}):
            other = target.split(".")[0]
            below = LEVELS[other] < LEVELS[room] if room else False
            if room != other and not (below and (room != ONLY_ERRORS or other == "errors")):
                wrong.append(f"{name} imports {target}")
    return wrong


def test_every_room_has_its_place() -> None:
    assert {name.split(".")[0] for name in modules()} - {""} == set(LEVELS)


def test_imports_point_one_way() -> None:
    assert running_back({name: targets for name, targets in arrows().items() if name}) == []


def test_no_two_files_import_each_other() -> None:
    graph = {name: targets - {name} for name, targets in arrows().items()}
    try:
        TopologicalSorter(graph).prepare()
    except CycleError as error:
        pytest.fail(f"import cycle: {' → '.join(error.args[1])}")


def test_few_files_lie_loose() -> None:
    assert len(list((ROOT / "tinysam_mobile").glob("*.py"))) <= 6


@pytest.mark.parametrize(
    ("name", "target"),
    [("contract.spec", "cli"), ("mil.program", "contract.spec"), ("device.dumps", "evaluation.miou")],
)
def test_an_arrow_that_runs_back_is_found(name: str, target: str) -> None:
    assert running_back({name: {target}}) == [f"{name} imports {target}"]
