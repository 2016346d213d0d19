"""The command line as a user meets it: whole runs on a tiny configuration, exit codes, one-line errors."""

from __future__ import annotations

import json
import re
import sys
from pathlib import Path
from subprocess import CompletedProcess

import numpy as np
import pytest
from click.testing import CliRunner, Result
from PIL import Image

from tinysam_mobile.cli import COMMANDS, SECTIONS, main
from tinysam_mobile.imaging.masks import RunLengths


def call(*arguments: str | Path) -> Result:
    return CliRunner().invoke(main, [str(argument) for argument in arguments], catch_exceptions=False)


@pytest.fixture(scope="module")
def photo(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("photo") / "photo.png"
    pixels = np.random.default_rng(0).integers(0, 256, (60, 90, 3), np.uint8)
    Image.fromarray(pixels).save(path)
    return path


@pytest.fixture(scope="module")
def bundle(tflite_bundle: tuple[Path, CompletedProcess[str]]) -> tuple[Path, CompletedProcess[str]]:
    return tflite_bundle


def test_convert_reports_each_artifact(bundle: tuple[Path, CompletedProcess[str]]) -> None:
    out, result = bundle
    assert result.returncode == 0, result.stderr
    report = json.loads(result.stdout)
    assert [Path(a["path"]).name for a in report["artifacts"]] == ["encoder.tflite", "decoder.tflite"]
    assert all(
        a["verdict"] == "PASSED" and a["size_bytes"] == (out / a["path"]).stat().st_size
        for a in report["artifacts"]
    )
    entry_points = [p["entry_point"] for a in report["artifacts"] for p in a["parity"]]
    assert entry_points == ["encode", "decode", "decode_batch", "score_batch"]
    assert "stand-in weights" in result.stderr


def test_convert_refuses_an_existing_folder(bundle: tuple[Path, CompletedProcess[str]]) -> None:
    out, _ = bundle
    before = (out / "manifest.json").read_bytes()
    result = call("convert", "stand-in:tiny-test", "--target", "tflite", "--out", out)
    assert result.exit_code == 2
    assert "--overwrite" in result.stderr
    assert (out / "manifest.json").read_bytes() == before


@pytest.mark.parametrize("runtime", ["torch", "tflite"])
def test_segment_gives_one_mask_on_every_runtime(
    runtime: str, bundle: tuple[Path, CompletedProcess[str]], photo: Path, tmp_path: Path
) -> None:
    source = ["--checkpoint", "stand-in:tiny-test"] if runtime == "torch" else ["--bundle", bundle[0]]
    out = tmp_path / "object.json"
    prompts = ["--point", "30,20", "--point", "50,40,0", "--box", "10,5,60,50"]
    result = call("segment", photo, *prompts, "--runtime", runtime, *source, "--out", out, "--json")
    assert result.exit_code == 0, result.stderr
    annotation = json.loads(result.stdout)["annotation"]
    assert json.loads(out.read_text()) == [annotation]
    mask = RunLengths.from_coco(annotation["segmentation"]).decode()
    assert mask.shape == (60, 90)
    assert mask.sum() == annotation["area"]
    rows, columns = np.nonzero(mask)
    x, y, width, height = annotation["bbox"]
    assert (x, y, x + width - 1, y + height - 1) == (columns.min(), rows.min(), columns.max(), rows.max())


def test_segment_writes_pictures(photo: Path, tmp_path: Path) -> None:
    for kind, mode in (("overlay", "RGB"), ("mask", "L")):
        out = tmp_path / f"{kind}.png"
        arguments = ["--point", "30,20", "--checkpoint", "stand-in:tiny-test", "--out", out, "--format", kind]
        result = call("segment", photo, *arguments)
        assert result.exit_code == 0, result.stderr
        with Image.open(out) as picture:
            assert (picture.size, picture.mode) == ((90, 60), mode)
    assert set(np.unique(np.asarray(Image.open(tmp_path / "mask.png")))) <= {0, 255}


WRONG = {
    "nothing to segment": ([], "give --point"),
    "point": (["--point", "1"], "x,y"),
    "label": (["--point", "1,2,3"], "label is 1"),
    "not a number": (["--point", "a,b"], "x,y"),
    "not finite": (["--box", "1,2,nan,4"], "x0,y0,x1,y1"),
    "no bundle": (["--point", "1,2", "--runtime", "tflite"], "tinysam-mobile convert --target tflite"),
    "missing bundle": (
        ["--point", "1,2", "--runtime", "tflite", "--bundle", "none"],
        "none: does not exist; make a bundle",
    ),
    "bundle for torch": (["--point", "1,2", "--bundle", "bundle", "--runtime", "torch"], "--checkpoint"),
    "checkpoint for tflite": (
        ["--point", "1,2", "--runtime", "tflite", "--checkpoint", "stand-in"],
        "--bundle",
    ),
    "missing checkpoint": (["--point", "1,2", "--checkpoint", "none.pth"], "does not exist"),
    "out": (["--point", "1,2", "--checkpoint", "stand-in:tiny-test", "--out", "no/such/folder.png"], "--out"),
    "out suffix": (["--point", "1,2", "--checkpoint", "stand-in:tiny-test", "--out", "mask.xyz"], "--out"),
}


@pytest.mark.parametrize("kind", WRONG)
def test_wrong_usage_is_one_line(
    kind: str, photo: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "bundle").mkdir()
    (tmp_path / "bundle" / "manifest.json").touch()
    monkeypatch.chdir(tmp_path)
    arguments, says = WRONG[kind]
    result = call("segment", photo, *arguments)
    assert result.exit_code == 2
    error = [line for line in result.stderr.splitlines() if line.startswith("error: ")]
    assert len(error) == 1
    assert says in error[0]
    assert [path.name for path in tmp_path.iterdir()] == ["bundle"]


def test_a_missing_photo_is_one_line(tmp_path: Path) -> None:
    result = call("segment", tmp_path / "none.jpg", "--point", "1,2", "--checkpoint", "stand-in:tiny-test")
    assert result.exit_code == 2
    assert "none.jpg" in result.stderr


def test_unknown_names_list_what_exists() -> None:
    result = call("convert", "--target", "onnx")
    assert result.exit_code == 2
    assert "'coreml', 'tflite', 'executorch'" in result.stderr
    result = call("convert", "stand-in:sam3", "--target", "tflite")
    assert result.exit_code == 2
    assert "tiny-test" in result.stderr


def test_doctor_knows_every_runtime() -> None:
    result = call("doctor", "--json")
    assert result.exit_code == 0
    components = json.loads(result.stdout)["components"]
    assert {c["name"] for c in components if c["kind"] == "run"} == {
        "torch",
        "tflite",
        "executorch",
        "coreml",
        "coreml-native",
    }
    problems = {c["name"]: c["problem"] for c in components if c["kind"] == "run"}
    assert problems["torch"] is None
    assert (problems["coreml-native"] is None) == (sys.platform == "darwin")


def test_inspect_bundle_artifact_and_strangers(
    bundle: tuple[Path, CompletedProcess[str]], tmp_path: Path
) -> None:
    out, _ = bundle
    assert json.loads(call("inspect", out, "--json").stdout)["kind"] == "bundle"
    artifact = json.loads(call("inspect", out / "tflite/fp32/decoder.tflite", "--json").stdout)
    assert artifact["kind"] == "tflite"
    assert len(artifact["sha256"]) == 64
    (tmp_path / "x.txt").write_text("x")
    for path in (tmp_path / "x.txt", tmp_path / "none"):
        result = call("inspect", path)
        assert result.exit_code == 2
        assert result.stderr.startswith("error: ")


def test_help_lists_every_command_once_under_a_heading() -> None:
    text = call("--help").stdout
    listed = re.findall(r"^  ([a-z-]+)  +[A-Z]", text[text.index("Segment:") :], re.MULTILINE)
    assert listed == list(COMMANDS)
    assert re.findall(r"^(\w.*):$", text, re.MULTILINE)[-len(SECTIONS) :] == list(SECTIONS)


@pytest.mark.parametrize("name", COMMANDS)
def test_every_command_has_help_with_examples(name: str) -> None:
    result = call(name, "--help")
    assert result.exit_code == 0
    assert f"tinysam-mobile {name}" in result.stdout
    # The verbs of distill answer with files, serve with a page.
    assert "--json" in result.stdout or name in ("distill", "serve")


def test_segment_takes_a_folder_and_leaves_out_a_damaged_photo(photo: Path, tmp_path: Path) -> None:
    folder = tmp_path / "photos"
    folder.mkdir()
    for name in ("a.png", "b.c.png"):
        (folder / name).write_bytes(photo.read_bytes())
    (folder / "bad.png").write_bytes(b"no picture")
    source = ["--checkpoint", "stand-in:tiny-test"]
    result = call("segment", folder, "--point", "9,9", *source, "--out", tmp_path / "masks" / "deep")
    assert result.exit_code == 0, result.stderr
    assert sorted(path.name for path in (tmp_path / "masks" / "deep").iterdir()) == [
        "a_overlay.png",
        "b.c_overlay.png",
    ]
    assert "left out" in result.stderr
    assert "bad.png" in result.stderr
    again = call("segment", folder / "a.png", "--point", "9,9", *source, "--out", tmp_path / "masks" / "deep")
    assert "which is replaced" in again.stdout


@pytest.mark.parametrize(("kind", "name"), [("mask", "photo_mask.png"), ("coco", "photo_object.json")])
def test_segment_names_its_file_by_its_format(
    kind: str, name: str, photo: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    result = call("segment", photo, "--point", "9,9", "--checkpoint", "stand-in:tiny-test", "--format", kind)
    assert result.exit_code == 0, result.stderr
    assert [path.name for path in tmp_path.iterdir()] == [name]


def test_photos_of_one_name_keep_apart(photo: Path, tmp_path: Path) -> None:
    paths = [tmp_path / "a.png", tmp_path / "a.jpg"]
    for path in paths:
        path.write_bytes(photo.read_bytes())
    call("segment", *paths, "--point", "9,9", "--checkpoint", "stand-in:tiny-test", "-o", tmp_path / "masks")
    written = sorted(path.name for path in (tmp_path / "masks").iterdir())
    assert written == ["a.jpg_overlay.png", "a.png_overlay.png"]


def test_a_bundle_picks_its_runtime(
    tflite_bundle: tuple[Path, CompletedProcess[str]], photo: Path, tmp_path: Path
) -> None:
    bundle, _ = tflite_bundle
    result = call("segment", photo, "--point", "9,9", "--bundle", bundle, "-o", tmp_path / "a.json", "--json")
    assert result.exit_code == 0, result.stderr
    assert json.loads(result.stdout)["runtime"] == "tflite"
