"""`convert --auto-mixed` as a user runs it: layers stay float until the floor holds, and are named."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner
from PIL import Image

from tinysam_mobile.bundle.folder import Bundle
from tinysam_mobile.cli import main
from tinysam_mobile.parity.lint import Severity, lint_artifact


@pytest.fixture
def photos(tmp_path: Path) -> Path:
    """Eight smooth photos, the fewest without a warning."""
    folder = tmp_path / "photos"
    folder.mkdir()
    rng = np.random.default_rng(0)
    for index in range(8):
        coarse = rng.integers(0, 256, (6, 8, 3), np.uint8)
        Image.fromarray(coarse).resize((160, 120)).save(folder / f"{index}.png")
    return folder


def convert(photos: Path, out: Path, floor: str) -> tuple[int, str, str]:
    arguments = ["convert", "stand-in:tiny-test", "--target", "tflite", "--recipe", "static_w8a8", "--json"]
    arguments += ["--slots", "4", "--batch", "2", "--threads", "1", "--calibration", str(photos)]
    result = CliRunner().invoke(
        main, [*arguments, "--auto-mixed", floor, "--out", str(out)], catch_exceptions=False
    )
    return result.exit_code, result.stdout, result.stderr


@pytest.mark.slow
def test_auto_mixed_from_the_command_line(photos: Path, tmp_path: Path) -> None:
    out = tmp_path / "bundle"
    code, report, messages = convert(photos, out, "0.97")
    assert code == 0, messages
    assert [artifact["verdict"] for artifact in json.loads(report)["artifacts"]] == ["PASSED", "PASSED"]
    bundle = Bundle.open(out)
    (mixed,) = {tuple(a.details["mixed_float_layers"]) for a in bundle.manifest.artifacts}
    left = {
        n for a in bundle.manifest.artifacts for names in a.details["float_layers"].values() for n in names
    }
    assert mixed
    assert set(mixed) <= left
    for artifact in bundle.manifest.artifacts:
        findings = lint_artifact(bundle, artifact)
        assert [f for f in findings if f.severity is Severity.ERROR] == []


@pytest.mark.slow
def test_a_floor_out_of_reach_is_an_error_and_leaves_nothing(photos: Path, tmp_path: Path) -> None:
    out = tmp_path / "bundle"
    code, _, messages = convert(photos, out, "0.9999")
    assert code == 2
    assert "layers in float, not 0.9999" in messages
    assert not out.exists()
