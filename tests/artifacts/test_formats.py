"""A further format takes one record and files of its own: `toy_format` is one, used through every command."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

from PIL import Image

from tests.artifacts.toy_format import RECORD
from tinysam_mobile.artifacts.formats import FORMATS, format_of

ROOT = Path(__file__).parents[2]


def tinysam_mobile(*arguments: object) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "tests.artifacts.toy_format", *map(str, arguments)]
    return subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)


def test_a_format_is_told_by_its_suffix_in_any_case() -> None:
    assert format_of(Path("encoder.TFLITE")) is FORMATS["tflite"]
    assert format_of(Path("encoder.pth")) is None
    assert len({fmt.suffix for fmt in FORMATS.values()}) == len(FORMATS)


def test_one_record_makes_a_format(tmp_path: Path) -> None:
    bundle, photo = tmp_path / "bundle", tmp_path / "photo.png"
    Image.effect_noise((64, 48), 50).convert("RGB").save(photo)
    done = tinysam_mobile("convert", "stand-in:tiny-test", "--target", "toy", "--out", bundle, "--json")
    assert done.returncode == 0, done.stderr
    assert {a["verdict"] for a in json.loads(done.stdout)["artifacts"]} == {"PASSED"}
    done = tinysam_mobile("inspect", bundle / "toy/fp32/decoder.toy", "--json")
    assert json.loads(done.stdout)["programs"] == ["decode", "decode_batch", "score_batch"]
    options = (
        "--prompts",
        2,
        "--everything-photos",
        0,
        "--out",
        tmp_path / "report",
        "--json",
    )
    done = tinysam_mobile("validate", bundle, "--images", photo, "--out", tmp_path / "report", *options)
    (side,) = json.loads(done.stdout)["sides"]
    assert (side["name"], side["answer"], done.returncode) == ("toy fp32", "PASSED", 0)


def test_what_the_record_denies_is_refused_with_the_nearest(tmp_path: Path) -> None:
    done = tinysam_mobile("convert", "--target", "toy", "--recipe", "fp16", "--out", tmp_path / "bundle")
    assert done.returncode == 2
    assert f"toy cannot do fp16: {RECORD.recipes['fp16'].how}; the nearest that it can is fp32" in done.stderr
