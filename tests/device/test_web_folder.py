"""`bundle-for-app web` and the command line of `serve`: what they write, and what they refuse in one line."""

from __future__ import annotations

import json
import socket
from pathlib import Path

import pytest

from tests.device.test_device_loop import World, call, world
from tests.device.test_serve import litert_folder
from tinysam_mobile.bundle.folder import Bundle
from tinysam_mobile.device.fixtures import read_fixtures

__all__ = ["world"]


def test_the_folder_is_the_page_the_bundle_and_litert_js(world: World, tmp_path: Path) -> None:
    litert_folder(tmp_path)
    out = tmp_path / "demo"
    options = ("-o", out, "--litert-js", tmp_path, "--fixtures", world.fixtures)
    result = call("bundle-for-app", "web", world.bundle, *options, "--json")
    assert result.exit_code == 0, result.stderr
    written = {item["path"] for item in json.loads(result.stdout)["contents"]}
    assert written == {path.relative_to(out).as_posix() for path in out.rglob("*") if path.is_file()}
    assert {"index.html", "app/main.js", "core/Everything.js", "config.json", "manifest.json"} <= written
    assert not any("node_modules" in path or path.startswith(("tests/", "browser/")) for path in written)
    opened = Bundle.open(out)
    assert {a.runtime for a in opened.manifest.artifacts} == {"tflite"}
    for artifact in opened.manifest.artifacts:
        assert opened.path_of(artifact).is_file(), "or its hash was another"
    assert read_fixtures(out / "fixtures").id == read_fixtures(world.fixtures).id
    config = json.loads((out / "config.json").read_text())
    assert (config["api"], config["bundle"], config["fixtures"]) == (None, "./", "fixtures/")
    for file in config["litert"]["files"].values():
        assert (out / file["url"]).is_file()


def test_an_older_folder_is_replaced_only_if_asked(world: World, tmp_path: Path) -> None:
    litert_folder(tmp_path)
    arguments = ("bundle-for-app", "web", world.bundle, "-o", tmp_path / "demo", "--litert-js", tmp_path)
    assert call(*arguments).exit_code == 0
    refused = call(*arguments)
    assert refused.exit_code == 2
    assert "exists already" in refused.stderr
    assert call(*arguments, "--overwrite").exit_code == 0
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "thesis.txt").write_text("years of work")
    other = (*arguments[:4], tmp_path / "mine", "--litert-js", tmp_path, "--overwrite")
    assert call(*other).exit_code == 2
    assert (tmp_path / "mine" / "thesis.txt").read_text() == "years of work"


@pytest.mark.parametrize("place", [".", "inside"])
def test_a_folder_in_the_bundle_is_refused(world: World, place: str) -> None:
    result = call("bundle-for-app", "web", world.bundle, "-o", world.bundle / place, "--overwrite")
    assert result.exit_code == 2
    assert "the bundle" in result.stderr
    assert Bundle.open(world.bundle)


def test_an_unknown_recipe_lists_what_there_is(world: World, tmp_path: Path) -> None:
    result = call("bundle-for-app", "web", world.bundle, "-o", tmp_path / "demo", "--recipe", "fp17")
    assert result.exit_code == 2
    assert "tflite/fp32" in result.stderr
    assert not (tmp_path / "demo").exists()


def test_serve_refuses_in_one_line(world: World, tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = str(taken.getsockname()[1])
        cases = {
            (world.bundle, "--port", port): "cannot be listened on",
            (world.bundle, "--litert-js", tmp_path): "npm install",
            (world.bundle, "--host-runtime", "onnx"): "is not one of",
            (world.bundle, "--host-runtime", "coreml"): "no coreml artifact",
            (tmp_path / "nothing",): "is",
        }
        for arguments, words in cases.items():
            result = call("serve", *arguments, "--out", tmp_path / "reports")
            assert result.exit_code == 2, arguments
            assert words in result.stderr, arguments
            assert len(result.stderr.strip().splitlines()) == 1, result.stderr
