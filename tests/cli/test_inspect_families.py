"""`inspect` and `convert` say which family a file is of, and what its licence forbids."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch
from click.testing import CliRunner

from tests.small_families import SMALL
from tinysam_mobile.cli import main
from tinysam_mobile.modeling import config as configurations
from tinysam_mobile.modeling.config import config_named
from tinysam_mobile.modeling.sam import TinySAM


def inspected(path: Path) -> dict[str, object]:
    result = CliRunner().invoke(main, ["inspect", str(path), "--json"])
    assert result.exit_code == 0, result.output
    data: dict[str, object] = json.loads(result.stdout)
    return data


def test_family_licence_and_figures(tmp_path: Path) -> None:
    torch.save(TinySAM(config_named("edgesam")).state_dict(), tmp_path / "edge_sam.pth")
    data = inspected(tmp_path / "edge_sam.pth")
    assert data["family"] == "EdgeSAM"
    assert data["licence"] == "S-Lab-1.0"
    assert "non-commercial" in str(data["restriction"])
    assert "COCO AP 42.2" in str(data["published_figures"])
    # Weights of our own are not the published file, and inspect does not claim it.
    assert "no public file" in str(data["published_file"])


def test_unknown_file_names_the_nearest(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(configurations.CONFIGS, "edgesam", SMALL["small-edgesam"])
    state = TinySAM(SMALL["small-edgesam"]).state_dict()
    del state["image_encoder.neck.2.weight"]
    torch.save(state, tmp_path / "other.pth")
    result = CliRunner().invoke(main, ["inspect", str(tmp_path / "other.pth")])
    assert result.exit_code == 2
    assert "EdgeSAM" in result.stderr
    assert "missing: image_encoder.neck.2.weight" in result.stderr
