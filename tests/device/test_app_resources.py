"""`bundle-for-app`: the right artifacts, manifest and fixtures in an app's folder, whole or not at all."""

from __future__ import annotations

import json
import shutil
from importlib import metadata
from pathlib import Path
from subprocess import CompletedProcess
from typing import Any

import pytest
from click.testing import CliRunner, Result

from tinysam_mobile.bundle.folder import Bundle, hash_path, new_bundle, size_of, write_manifest
from tinysam_mobile.bundle.manifest import Artifact, Manifest, contract_data
from tinysam_mobile.cli import main
from tinysam_mobile.contract.spec import Component
from tinysam_mobile.device.app_resources import APPS, fill_app_resources
from tinysam_mobile.errors import UnknownNameError
from tinysam_mobile.modeling.checkpoint import load_checkpoint
from tinysam_mobile.modeling.entry_points import contract_of

SUFFIXES = {"coreml": "mlpackage", "tflite": "tflite", "executorch": "pte"}


def call(*arguments: str | Path) -> Result:
    return CliRunner().invoke(main, [str(argument) for argument in arguments], catch_exceptions=False)


@pytest.fixture(scope="module")
def contract_json() -> dict[str, Any]:
    checkpoint = load_checkpoint("stand-in:tiny-test")
    return contract_data(checkpoint, contract_of(checkpoint.model, batch=2))


def test_the_manifest_has_what_the_apps_would_have_to_know(contract_json: dict[str, Any]) -> None:
    prompts, search = contract_json["prompts"], contract_json["everything_search"]
    assert {str(code) for code in prompts["label_codes"].values()} == set(prompts["labels"])
    assert contract_json["postprocess"]["masks_per_prompt"] == 3
    # Every cell of a 4 x 4 block around a coarse point but the point itself, once.
    block = {(x, y) for x in range(-1, 3) for y in range(-1, 3)} - {(0, 0)}
    assert search["coarse_factor"] == 4
    assert len(search["offsets"]) == len(block)
    assert {tuple(offset) for offset in search["offsets"]} == block
    assert search["crop_nms_thresh"] == 0.7


def make_bundle(folder: Path, data: dict[str, Any], *kinds: tuple[str, str]) -> Path:
    """A bundle whose artifacts, a pair of each (runtime, recipe), hold no model but text."""
    artifacts = []
    with new_bundle(folder) as building:
        for runtime, recipe in kinds:
            for component in Component:
                path = building / runtime / recipe / f"{component}.{SUFFIXES[runtime]}"
                inner = path / "Data" / "model" if runtime == "coreml" else path
                inner.parent.mkdir(parents=True, exist_ok=True)
                inner.write_text(f"{runtime} {recipe} {component}")
                artifacts.append(artifact_of(building, path, runtime, recipe, component))
        write_manifest(building, Manifest(data=data, artifacts=tuple(artifacts)))
    return folder


def artifact_of(folder: Path, path: Path, runtime: str, recipe: str, component: Component) -> Artifact:
    return Artifact(
        runtime=runtime,
        recipe=recipe,
        component=component,
        path=path.relative_to(folder).as_posix(),
        entry_points={},
        sha256=hash_path(path),
        size_bytes=size_of(path),
    )


@pytest.fixture
def full_bundle(tmp_path: Path, contract_json: dict[str, Any]) -> Path:
    kinds = [("coreml", "fp16"), ("tflite", "fp32"), ("tflite", "dynamic_w8"), ("executorch", "dynamic_w8")]
    return make_bundle(tmp_path / "bundle", contract_json, *kinds)


def paths(folder: Path) -> list[str]:
    return [artifact.path for artifact in Bundle.open(folder).manifest.artifacts]


def test_ios_takes_core_ml_and_executorch(full_bundle: Path, tmp_path: Path) -> None:
    result = call("bundle-for-app", "ios", full_bundle, "-o", tmp_path / "app", "--json")
    assert result.exit_code == 0, result.stderr
    report = json.loads(result.stdout)
    assert paths(tmp_path / "app") == [
        "coreml/fp16/encoder.mlpackage",
        "coreml/fp16/decoder.mlpackage",
        "executorch/dynamic_w8/encoder.pte",
        "executorch/dynamic_w8/decoder.pte",
    ]
    assert [row["path"] for row in report["contents"]] == ["manifest.json", *paths(tmp_path / "app")]
    assert all(row["size_bytes"] == size_of(tmp_path / "app" / row["path"]) for row in report["contents"])
    assert not (tmp_path / "app" / "tflite").exists()


@pytest.mark.parametrize("recipe", [None, "fp32", "dynamic_w8"])
def test_android_takes_one_recipe_of_tflite(full_bundle: Path, tmp_path: Path, recipe: str | None) -> None:
    options = ["--recipe", recipe] if recipe else []
    result = call("bundle-for-app", "android", full_bundle, "-o", tmp_path / "app", *options)
    assert result.exit_code == 0, result.stderr
    taken = recipe or "fp32"
    assert [p for p in paths(tmp_path / "app") if p.startswith("tflite")] == [
        f"tflite/{taken}/encoder.tflite",
        f"tflite/{taken}/decoder.tflite",
    ]
    for part in ("manifest.json", f"tflite/{taken}/encoder.tflite", "contract, thresholds", "android app"):
        assert part in result.stdout


def test_a_real_bundle_with_its_fixtures(
    tflite_bundle: tuple[Path, CompletedProcess[str]], tmp_path: Path
) -> None:
    bundle = tflite_bundle[0]
    options = ["--checkpoint", "stand-in:tiny-test", "--prompts", "2"]
    made = call("fixtures", bundle, "-o", tmp_path / "fixtures", *options)
    assert made.exit_code == 0, made.stderr
    folder = tmp_path / "app"
    result = call(
        "bundle-for-app", "android", bundle, "-o", folder, "--fixtures", tmp_path / "fixtures", "--json"
    )
    assert result.exit_code == 0, result.stderr
    assert "fixtures" in [row["path"] for row in json.loads(result.stdout)["contents"]]
    assert hash_path(folder / "fixtures") == hash_path(tmp_path / "fixtures")
    assert Bundle.open(folder).manifest.data == Bundle.open(bundle).manifest.data


def test_fixtures_of_another_model_are_refused(
    full_bundle: Path, tflite_bundle: tuple[Path, CompletedProcess[str]], tmp_path: Path
) -> None:
    fixtures = tmp_path / "fixtures"
    options = ["--checkpoint", "stand-in:tiny-test", "--prompts", "1"]
    assert call("fixtures", tflite_bundle[0], "-o", fixtures, *options).exit_code == 0
    index = json.loads((fixtures / "fixtures.json").read_text())
    index["checkpoint_sha256"] = "0" * 64
    (fixtures / "fixtures.json").write_text(json.dumps(index))
    result = call("bundle-for-app", "android", full_bundle, "-o", tmp_path / "app", "--fixtures", fixtures)
    assert_refused(result, tmp_path / "app", "another model", "tinysam-mobile fixtures")


def assert_refused(result: Result, folder: Path, *parts: str) -> None:
    assert result.exit_code == 2
    assert result.stderr.startswith("error: ")
    assert len(result.stderr.splitlines()) == 1
    for part in parts:
        assert part in result.stderr
    assert not folder.exists()
    assert not list(folder.parent.glob(f".{folder.name}*"))


@pytest.mark.parametrize(("app", "needed"), [("ios", "coreml"), ("android", "tflite")])
def test_a_bundle_without_the_format_is_refused(
    app: str, needed: str, tmp_path: Path, contract_json: dict[str, Any]
) -> None:
    bundle = make_bundle(tmp_path / "bundle", contract_json, ("executorch", "fp32"))
    result = call("bundle-for-app", app, bundle, "-o", tmp_path / "app")
    command = f"tinysam-mobile convert --target {needed}"
    assert_refused(result, tmp_path / "app", f"needs {needed}", "only executorch", command)


def test_an_unknown_recipe_lists_what_is_there(full_bundle: Path, tmp_path: Path) -> None:
    result = call("bundle-for-app", "ios", full_bundle, "-o", tmp_path / "app", "--recipe", "fp99")
    assert_refused(result, tmp_path / "app", "coreml/fp99", "coreml/fp16")


def test_an_old_manifest_is_refused(tmp_path: Path, contract_json: dict[str, Any]) -> None:
    old = {key: value for key, value in contract_json.items() if key != "everything_search"}
    bundle = make_bundle(tmp_path / "bundle", old, ("tflite", "fp32"))
    result = call("bundle-for-app", "android", bundle, "-o", tmp_path / "app")
    assert_refused(result, tmp_path / "app", "everything_search", "convert again")


def test_a_changed_artifact_is_refused(full_bundle: Path, tmp_path: Path) -> None:
    (full_bundle / "tflite" / "fp32" / "encoder.tflite").write_text("other")
    result = call("bundle-for-app", "android", full_bundle, "-o", tmp_path / "app")
    assert_refused(result, tmp_path / "app", "SHA-256")


def test_an_existing_folder_stays_unless_it_is_to_go(full_bundle: Path, tmp_path: Path) -> None:
    folder = tmp_path / "app"
    assert call("bundle-for-app", "ios", full_bundle, "-o", folder).exit_code == 0
    before = hash_path(folder)
    again = call("bundle-for-app", "android", full_bundle, "-o", folder)
    assert again.exit_code == 2
    assert "--overwrite" in again.stderr
    assert hash_path(folder) == before
    assert call("bundle-for-app", "android", full_bundle, "-o", folder, "--overwrite").exit_code == 0
    assert not (folder / "coreml").exists()


def test_the_bundle_itself_is_never_replaced(full_bundle: Path) -> None:
    before = hash_path(full_bundle)
    for folder in (full_bundle, full_bundle.parent, full_bundle / "inside"):
        result = call("bundle-for-app", "ios", full_bundle, "-o", folder, "--overwrite")
        assert result.exit_code == 2
        assert "choose another folder" in result.stderr
    assert hash_path(full_bundle) == before


def test_the_default_folder_is_the_apps_own(
    full_bundle: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "clone").mkdir()
    monkeypatch.chdir(tmp_path / "clone")
    assert "clone of tinysam-mobile" in call("bundle-for-app", "ios", full_bundle).stderr
    Path("sample_apps/ios").mkdir(parents=True)
    assert call("bundle-for-app", "ios", full_bundle).exit_code == 0
    assert (APPS["ios"].resources / "manifest.json").is_file()
    shutil.rmtree("sample_apps")


def test_an_unknown_app_is_refused(full_bundle: Path, tmp_path: Path) -> None:
    with pytest.raises(UnknownNameError, match="android, ios"):
        fill_app_resources("windows", Bundle.open(full_bundle), tmp_path / "app")


def with_details(bundle: Path, **details: Any) -> Path:
    """The bundle with `details` at each artifact."""
    path = bundle / "manifest.json"
    data = json.loads(path.read_text())
    for artifact in data["artifacts"]:
        artifact["details"] = details
    path.write_text(json.dumps(data))
    return bundle


@pytest.mark.parametrize(("target", "code"), [("iOS17", 0), ("iOS18", 0), ("iOS26", 2)])
def test_a_package_for_a_newer_system_than_the_app_s_is_refused(
    full_bundle: Path, tmp_path: Path, target: str, code: int
) -> None:
    with_details(full_bundle, deployment_target=target)
    result = call("bundle-for-app", "ios", full_bundle, "-o", tmp_path / "out")
    assert result.exit_code == code, result.stderr
    if code:
        assert "--deployment-target iOS18" in result.stderr
        assert not (tmp_path / "out").exists()


def test_the_floor_is_that_of_the_project() -> None:
    project = (Path(__file__).parents[2] / "sample_apps/ios/App/project.yml").read_text("utf-8")
    target = APPS["ios"].deployment_target or ""
    assert f'iOS: "{target.removeprefix("iOS")}.0"' in project


@pytest.mark.parametrize(
    ("app", "lines"),
    [
        ("ios", ["TinySAM(bundle: folder)", "mask(at: Point(x: 320, y: 240))", '"TinySAMCoreML"']),
        ("android", ["TinySam.open(context, LiteRt())", "tinysam-litert:0.1.0", 'noCompress += "tflite"']),
    ],
)
def test_what_another_app_needs_is_printed(
    full_bundle: Path, tmp_path: Path, app: str, lines: list[str]
) -> None:
    result = call("bundle-for-app", app, full_bundle, "-o", tmp_path / "out")
    assert result.exit_code == 0, result.stderr
    for line in lines:
        assert line in result.stdout


def test_a_bundle_from_before_the_fast_mode_is_refused(full_bundle: Path, tmp_path: Path) -> None:
    path = full_bundle / "manifest.json"
    data = json.loads(path.read_text())
    del data["everything_search"]["fast"]
    path.write_text(json.dumps(data))
    result = call("bundle-for-app", "android", full_bundle, "-o", tmp_path / "out")
    assert result.exit_code == 2
    assert "convert again" in result.stderr


def test_the_manifest_names_the_releases_that_judge(contract_json: dict[str, Any]) -> None:
    assert contract_json["runtimes"]["tflite"] == metadata.version("ai-edge-litert")
    assert contract_json["runtimes"]["executorch"] == metadata.version("executorch")
