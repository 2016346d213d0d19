"""The notebook's cells run in order, and what a cell ends with shows itself."""

from __future__ import annotations

import ast
import json
from pathlib import Path
from typing import Any

import pytest

from tinysam_mobile.contract.verdict import Verdict

NOTEBOOK = Path(__file__).parents[1] / "examples" / "tour.ipynb"
SMALLER = {
    "tsm.open()": 'tsm.open("stand-in:tiny-test")',
    '["default"]()': '["default"]("stand-in:tiny-test")',
    "tsm.convert(": 'tsm.convert("stand-in:tiny-test", ',
    "max_decoder_calls=20": "max_decoder_calls=1",
}
"""The shipped network takes a minute for what the smallest one does in seconds."""


def run_cell(source: str, names: dict[str, Any]) -> Any:
    """Execute one cell and return the value of its last expression, as a notebook does."""
    for text, smaller in SMALLER.items():
        source = source.replace(text, smaller)
    *body, last = ast.parse(source).body
    if not isinstance(last, ast.Expr):
        exec(compile(ast.Module([*body, last], []), "cell", "exec"), names)
        return None
    exec(compile(ast.Module(body, []), "cell", "exec"), names)
    return eval(compile(ast.Expression(last.value), "cell", "eval"), names)


def test_the_tour_runs_and_shows_what_it_finds(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    cells = json.loads(NOTEBOOK.read_text(encoding="utf-8"))["cells"]
    assert all(not cell.get("outputs") for cell in cells), (
        "clear the outputs before the notebook is committed"
    )
    names: dict[str, Any] = {}
    shown = [run_cell("".join(cell["source"]), names) for cell in cells if cell["cell_type"] == "code"]
    pictures = [value._repr_png_() for value in shown if hasattr(value, "_repr_png_")]
    assert len(pictures) == 4
    assert all(picture.startswith(b"\x89PNG") for picture in pictures)
    assert names["report"].verdict == Verdict.PASSED
    assert "PASSED" in names["report"]._repr_html_()
    assert (tmp_path / "mask.png").is_file()
