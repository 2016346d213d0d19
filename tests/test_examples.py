"""The notebook's cells run in order, and what is stored under them is of the kind that they show."""

from __future__ import annotations

import base64
import io
import json
import shutil
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from tests.notebook import NOTEBOOK, WIDTH_PX, outputs_of
from tinysam_mobile.contract.verdict import Verdict

SMALLER = {
    "tsm.open()": 'tsm.open("stand-in:tiny-test")',
    '["default"]()': '["default"]("stand-in:tiny-test")',
    "tsm.convert(": 'tsm.convert("stand-in:tiny-test", ',
    "max_decoder_calls=20": "max_decoder_calls=1",
}
"""The shipped network takes a minute for what the smallest one does in seconds."""
MAX_NOTEBOOK_BYTES = 400_000


def code_cells() -> list[dict[str, Any]]:
    cells = json.loads(NOTEBOOK.read_text(encoding="utf-8"))["cells"]
    return [cell for cell in cells if cell["cell_type"] == "code"]


def smaller(source: str) -> str:
    for text, replacement in SMALLER.items():
        source = source.replace(text, replacement)
    return source


def kinds(outputs: list[dict[str, Any]]) -> list[list[str]]:
    return [sorted(output.get("data", [output["output_type"]])) for output in outputs]


def test_the_tour_runs_and_shows_what_is_stored_in_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    shutil.copy(NOTEBOOK.with_name("photo.jpg"), tmp_path)
    names: dict[str, Any] = {}
    pictures = 0
    for number, cell in enumerate(code_cells(), 1):
        shown = list(outputs_of(smaller("".join(cell["source"])), names, number))
        assert kinds(shown) == kinds(cell["outputs"]), "run python -m tests.notebook"
        assert cell["execution_count"] == number
        pictures += sum("image/jpeg" in output.get("data", ()) for output in shown)
    assert pictures == 4
    assert names["report"].verdict == Verdict.PASSED
    assert "PASSED" in names["report"]._repr_html_()
    assert (tmp_path / "mask.png").is_file()


def test_stored_outputs_are_small_and_name_no_machine() -> None:
    text = NOTEBOOK.read_text(encoding="utf-8")
    assert len(text) < MAX_NOTEBOOK_BYTES
    assert not any(place in text for place in ("/tmp/", "/home/", "/root/", "/work/"))
    stored = [output["data"] for cell in code_cells() for output in cell["outputs"] if "data" in output]
    for data in stored:
        if "image/jpeg" in data:
            picture = Image.open(io.BytesIO(base64.b64decode(data["image/jpeg"])))
            assert max(picture.size) == WIDTH_PX
    assert any("PASSED" in "".join(data.get("text/html", [])) for data in stored)
