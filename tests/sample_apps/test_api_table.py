"""`sample_apps/API.md` says whose each call of the apps is; no app file is left out of what is compiled."""

from __future__ import annotations

import re
from pathlib import Path

from tests.app_stubs.declarations import API, LIBRARIES, all_declared, page, stub_files

ROOT = Path(__file__).parents[2]
APPS = ROOT / "sample_apps"
TEST_APPS = (APPS / "test-apps").read_text("utf-8")


def test_the_table_is_that_of_the_stubs() -> None:
    assert API.read_text("utf-8") == page(), "run python -m tests.app_stubs.declarations"


def test_every_stub_names_its_source() -> None:
    assert {name for name, _ in stub_files()} == set(LIBRARIES)


def test_the_declarations_that_matter_are_found() -> None:
    found = {(stub.file, stub.type): stub.members for stub in all_declared()}
    assert found["ExecuTorch.kt", "Module"] == ("LOAD_MODE_MMAP", "destroy", "execute", "load")
    assert {"create", "createInputBuffer", "run"} <= set(found["LiteRt.kt", "CompiledModel"])
    assert {"compileModel", "load", "prediction"} <= set(found["CoreML.swift", "MLModel"])
    assert "View.task" not in found["SwiftUIModifiers.swift", "View"]
    assert "accessibilityActions" in found["SwiftUIModifiers.swift", "View"]


def test_versions_of_the_table_are_those_of_the_build() -> None:
    catalog = (APPS / "android" / "gradle" / "libs.versions.toml").read_text("utf-8")
    for file, key in (("LiteRt.kt", "litert"), ("ExecuTorch.kt", "executorch")):
        assert f'\n{key} = "{LIBRARIES[file].version}"\n' in catalog
    package = (APPS / "ios" / "ExecuTorch" / "Package.swift").read_text("utf-8")
    assert LIBRARIES["ExecuTorch.swift"].version in package


def test_every_kotlin_file_of_the_apps_is_compiled() -> None:
    (modules,) = re.findall(r"sample_apps/android/\{([\w,]+)\}/src/main/kotlin", TEST_APPS)
    sources = {p.relative_to(APPS / "android").parts[0] for p in (APPS / "android").rglob("src/main/**/*.kt")}
    assert sources == {*modules.split(","), "core"}
    assert "sample_apps/android/core/src/main/kotlin" in TEST_APPS


def test_every_swift_file_of_the_apps_is_compiled() -> None:
    check = (APPS / "ios" / "check-platform").read_text("utf-8")
    for pattern in (
        "App/Sources/*.swift",
        "Sources/TinySAMCoreML/*.swift",
        "ExecuTorch/Sources/TinySAMExecuTorch/*.swift",
    ):
        assert pattern in check
    folders = {p.parent.relative_to(APPS / "ios").as_posix() for p in (APPS / "ios" / "App").rglob("*.swift")}
    assert folders == {"App/Sources"}
    stubbed = {path.stem for name, path in stub_files() if path.suffix == ".swift"}
    sources = [
        *(APPS / "ios" / "App").rglob("*.swift"),
        *(APPS / "ios" / "Sources" / "TinySAMCoreML").glob("*.swift"),
    ]
    imported = {m for p in sources for m in re.findall(r"^import (\w+)", p.read_text("utf-8"), re.MULTILINE)}
    # What Linux has itself, and what is ours.
    own = {"Foundation", "Observation", "Synchronization", "TinySAMKit", "TinySAMCoreML", "TinySAMExecuTorch"}
    assert imported - own <= stubbed
