"""The iOS project: what would break its build in Xcode, as far as its files tell."""

from __future__ import annotations

import os
import re
import subprocess
from pathlib import Path
from typing import Any

import pytest
import yaml

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


def package(name: str) -> str:
    text = (IOS / name if name else ROOT / "Package.swift").read_text("utf-8")
    return text


@pytest.mark.parametrize("manifest", ["", "Package.swift", "ExecuTorch/Package.swift"])
def test_packages_and_app_have_one_floor(manifest: str) -> None:
    floor = PROJECT["options"]["deploymentTarget"]["iOS"]
    assert f".iOS(.v{int(float(floor))})" in package(manifest)


def test_the_executorch_release_exists_and_is_not_a_moving_branch_of_another() -> None:
    """pytorch/executorch has the branch swiftpm-1.5.0; 1.5.1 was released on Maven and PyPI only."""
    assert 'branch: "swiftpm-1.5.0"' in package("ExecuTorch/Package.swift")
    assert "swiftpm-1.5.1" not in package("ExecuTorch/Package.swift")


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
