"""The iOS project: what would break its build in Xcode, as far as its files tell."""

from __future__ import annotations

import json
import os
import re
import subprocess
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import pytest
import yaml

from tests import xcode_project, xcode_strings
from tinysam_mobile.device.app_resources import APPS

ROOT = Path(__file__).parents[2]
IOS = ROOT / "sample_apps" / "ios"
APP = IOS / "App"
PROJECT: dict[str, Any] = yaml.safe_load((APP / "project.yml").read_text("utf-8"))
TARGET: dict[str, Any] = PROJECT["targets"]["TinySAM"]
SWIFT = "\n".join(path.read_text("utf-8") for path in (APP / "Sources").glob("*.swift"))


def resource_folders() -> list[Path]:
    return [APP / source["path"] for source in TARGET["sources"] if isinstance(source, dict)]


def test_nothing_is_copied_to_the_place_of_the_program() -> None:
    """TinySAM.app/TinySAM is the program: a folder of that name is "Multiple commands produce"."""
    names = [path.name for path in resource_folders()]
    assert names == ["Model"]
    assert "TinySAM" not in names
    # A flat app with a folder Resources is no bundle that codesign knows.
    assert "Resources" not in names


def test_a_folder_that_is_copied_is_in_the_repository() -> None:
    """XcodeGen's `optional` does not spare Xcode a folder reference whose folder is missing."""
    tracked = subprocess.run(["git", "ls-files", "--", IOS], capture_output=True, text=True, cwd=ROOT)
    for folder in resource_folders():
        assert "optional" not in str(TARGET["sources"])
        relative = folder.relative_to(ROOT).as_posix()
        assert any(line.startswith(f"{relative}/") for line in tracked.stdout.splitlines())


def test_bundle_for_app_fills_the_folder_that_the_app_opens() -> None:
    resources = ROOT / APPS["ios"].resources
    assert resources.parent in resource_folders()
    subdirectory, name = resources.parent.name, resources.name
    assert f'url(forResource: "{name}", withExtension: nil, subdirectory: "{subdirectory}")' in SWIFT


def ignored(path: Path) -> bool:
    return subprocess.run(["git", "check-ignore", "-q", "--no-index", path], cwd=ROOT).returncode == 0


def test_models_and_signatures_stay_out_of_the_repository() -> None:
    assert ignored(ROOT / APPS["ios"].resources / "manifest.json")
    assert ignored(APP / "Signing.local.xcconfig")
    assert not ignored((ROOT / APPS["ios"].resources).parent / "README.md")


def test_anyone_can_sign_the_app() -> None:
    """One team only can register a bundle id, and a new project must not forget the team."""
    assert TARGET["settings"]["base"]["PRODUCT_BUNDLE_IDENTIFIER"] == "$(TINYSAM_BUNDLE_ID)"
    assert set(PROJECT["configFiles"].values()) == {"Signing.xcconfig"}
    assert '#include? "Signing.local.xcconfig"' in (APP / "Signing.xcconfig").read_text("utf-8")
    readme = (IOS / "README.md").read_text("utf-8")
    assert "TINYSAM_TEAM=" in readme
    assert "TINYSAM_BUNDLE_ID=" in readme


def sign(folder: Path, **variables: str) -> subprocess.CompletedProcess[str]:
    script = folder / "sign"
    script.write_text((APP / "sign").read_text("utf-8"))
    environment = {"PATH": os.environ["PATH"], **variables}
    return subprocess.run(["sh", script], capture_output=True, text=True, env=environment)


def test_the_team_is_written_down_from_the_environment(tmp_path: Path) -> None:
    done = sign(tmp_path, TINYSAM_TEAM="ABCDE12345", TINYSAM_BUNDLE_ID="com.example.tinysam")
    assert done.returncode == 0, done.stderr
    written = (tmp_path / "Signing.local.xcconfig").read_text()
    assert written == "DEVELOPMENT_TEAM = ABCDE12345\nTINYSAM_BUNDLE_ID = com.example.tinysam\n"


@pytest.mark.parametrize("team", ["", "A B", "A\nOTHER_LDFLAGS = x"])
def test_a_team_that_is_none_writes_nothing(tmp_path: Path, team: str) -> None:
    done = sign(tmp_path, TINYSAM_TEAM=team, TINYSAM_BUNDLE_ID="com.example.tinysam")
    assert done.returncode == 2
    assert done.stderr
    assert not (tmp_path / "Signing.local.xcconfig").exists()


def test_run_times_release_code() -> None:
    assert PROJECT["schemes"]["TinySAM"]["run"]["config"] == "Release"
    dump = (APP / "Sources" / "DeviceDump.swift").read_text("utf-8")
    assert re.search(r'#if DEBUG\s+"debug"\s+#else\s+"release"', dump)


SWIFTPM_1_5_0 = "56cc93a96d5fb8d21554ec5f00fbad5a5b228bc4"
"""As three public projects record it, of which one says "the head of swiftpm-1.5.0"."""


def package(name: str) -> str:
    return (IOS / name if name else ROOT / "Package.swift").read_text("utf-8")


@pytest.mark.parametrize("manifest", ["", "Package.swift", "ExecuTorch/Package.swift"])
def test_packages_and_app_have_one_floor(manifest: str) -> None:
    floor = PROJECT["options"]["deploymentTarget"]["iOS"]
    assert f".iOS(.v{int(float(floor))})" in package(manifest)


def test_executorch_is_pinned_by_a_revision() -> None:
    """A branch can move.  The one of swiftpm-1.5.0: 1.5.1 was released on Maven and PyPI only."""
    text = package("ExecuTorch/Package.swift")
    assert re.findall(r"(?:branch|revision|from|exact): *\"(.*)\"", text) == [SWIFTPM_1_5_0]


def test_static_executorch_is_linked_as_a_whole() -> None:
    """-ObjC is not enough: kernels register themselves when they are loaded."""
    text = (APP / "project.yml").read_text("utf-8")
    assert "OTHER_LDFLAGS: $(inherited) -all_load" in text
    for product in re.findall(r'product\(name: "(\w+)"', package("ExecuTorch/Package.swift")):
        assert product in text, f"project.yml does not say that {product} needs -force_load"


def test_an_ipad_may_be_held_in_all_four_ways() -> None:
    """App Store Connect refuses an app for iPads that does not say so."""
    assert "2" in TARGET["settings"]["base"]["TARGETED_DEVICE_FAMILY"].split(",")
    ways = TARGET["info"]["properties"]["UISupportedInterfaceOrientations~ipad"]
    assert len(set(ways)) == 4


def test_the_checked_in_project_is_that_of_project_yml() -> None:
    for path, text in xcode_project.files().items():
        assert path.read_text("utf-8") == text, "run python -m tests.xcode_project"


TOKEN = re.compile(r'\s*(?:"((?:[^"\\]|\\.)*)"|([\w./]+)|([{}()=;,]))')


def parsed(text: str) -> Any:
    """A property list in the old format, read by a parser that shares nothing with the writer."""
    assert text.startswith("// !$*UTF8*$!\n")
    found = TOKEN.findall(text.partition("\n")[2])
    tokens = iter([("text", quoted or plain) if not mark else (mark, mark) for quoted, plain, mark in found])

    def value(token: tuple[str, str]) -> Any:
        kind, word = token
        if kind == "{":
            items = {}
            while (name := next(tokens))[0] != "}":
                assert next(tokens)[0] == "="
                items[name[1]] = value(next(tokens))
                assert next(tokens)[0] == ";"
            return items
        if kind == "(":
            listed = []
            while (first := next(tokens))[0] != ")":
                listed.append(value(first))
                assert next(tokens)[0] == ","
            return listed
        assert kind == "text"
        return word

    return value(next(tokens))


def test_nothing_in_the_project_is_missing() -> None:
    project = parsed((xcode_project.PROJECT / "project.pbxproj").read_text("utf-8"))
    objects = project["objects"]
    assert objects[project["rootObject"]]["isa"] == "PBXProject"
    text = str(project)
    named = set(re.findall(r"\b[0-9A-F]{24}\b", text))
    assert named == set(objects), "a key without an object, or an object that nothing names"
    swift = {o["path"] for o in objects.values() if o.get("lastKnownFileType") == "sourcecode.swift"}
    assert swift == {path.name for path in (APP / "Sources").glob("*.swift")}
    built = {o["fileRef"] for o in objects.values() if o["isa"] == "PBXBuildFile" and "fileRef" in o}
    for identifier, o in objects.items():
        if o.get("lastKnownFileType") in ("sourcecode.swift", "folder", "text.json.xcstrings"):
            assert identifier in built, f"{o['path']} is in no build phase"
            assert (APP / o["path"]).exists() or (APP / "Sources" / o["path"]).exists()


def test_run_of_the_checked_in_project_builds_release() -> None:
    scheme = ElementTree.parse(xcode_project.PROJECT / "xcshareddata" / "xcschemes" / "TinySAM.xcscheme")
    launch = scheme.find("LaunchAction")
    assert launch is not None
    assert launch.attrib["buildConfiguration"] == "Release"


def test_every_text_of_the_app_is_in_its_catalog() -> None:
    assert xcode_strings.CATALOG.read_text("utf-8") == xcode_strings.catalog(), (
        "run python -m tests.xcode_strings"
    )
    assert len(xcode_strings.texts()) > 30
    info = json.loads((APP / "InfoPlist.xcstrings").read_text("utf-8"))
    english = {
        key: entry["localizations"]["en"]["stringUnit"]["value"] for key, entry in info["strings"].items()
    }
    properties = TARGET["info"]["properties"]
    assert english == {key: properties[key] for key in english}


def test_the_packages_at_the_root_and_of_the_app_are_the_same() -> None:
    def libraries(text: str) -> set[str]:
        return set(re.findall(r"\.library\(name: \"(\w+)\"", text))

    assert libraries(package("")) == libraries(package("Package.swift"))
    for path in re.findall(r'path: "([^"]+)"', package("")):
        assert (ROOT / path).is_dir()
    for line in ("swift-tools-version: 6.0", "platforms: [.iOS(.v18), .macOS(.v15)]", "[.v6]"):
        assert line in package("")
        assert line in package("Package.swift")


def test_touches_arrive_all_over_the_photo() -> None:
    """Offsets do not move what takes touches: without a frame a landscape photo's lower part is dead."""
    canvas = (APP / "Sources" / "PhotoCanvas.swift").read_text("utf-8")
    frame = canvas.index("width: geometry.size.width, height: geometry.size.height")
    assert frame < canvas.index(".contentShape(") < canvas.index(".onTapGesture")


def test_photos_are_made_smaller_and_upright_while_they_are_decoded() -> None:
    files = (IOS / "Sources" / "TinySAMCoreML" / "PhotoFiles.swift").read_text("utf-8")
    assert "kCGImageSourceCreateThumbnailWithTransform: true" in files
    assert "kCGImageSourceThumbnailMaxPixelSize: longestSide" in files
    assert "CGImageSourceCreateImageAtIndex" not in files


def test_core_ml_blocks_no_thread_of_the_pool_and_keeps_no_old_models() -> None:
    core_ml = "".join(p.read_text("utf-8") for p in (IOS / "Sources" / "TinySAMCoreML").glob("*.swift"))
    assert "MLModel(contentsOf" not in core_ml
    assert "await MLModel.load(contentsOf:" in core_ml
    assert "models.removeAll(but: manifest.artifacts)" in core_ml
