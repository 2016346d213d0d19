"""Runs the cells of `examples/tour.ipynb` in order, and stores what they show in it.

    python -m tests.notebook

Do this again when the shipped checkpoint or the notebook changes.  Pictures are stored small.
"""

from __future__ import annotations

import ast
import base64
import io
import json
import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import redirect_stdout
from pathlib import Path
from typing import Any

from PIL import Image

from tinysam_mobile.files import write_text

NOTEBOOK = Path(__file__).parents[1] / "examples" / "tour.ipynb"
WIDTH_PX = 400
JPEG_QUALITY = 75


def run_cell(source: str, names: dict[str, Any]) -> Any:
    """Execute one cell and return the value of its last expression, as a notebook does."""
    *body, last = ast.parse(source).body
    if not isinstance(last, ast.Expr):
        exec(compile(ast.Module([*body, last], []), "cell", "exec"), names)
        return None
    exec(compile(ast.Module(body, []), "cell", "exec"), names)
    return eval(compile(ast.Expression(last.value), "cell", "eval"), names)


def outputs_of(source: str, names: dict[str, Any], number: int) -> Iterator[dict[str, Any]]:
    """Execute one cell; yields what a notebook would store: what was printed, and what the cell ends with."""
    printed = io.StringIO()
    with redirect_stdout(printed):
        value = run_cell(source, names)
    if printed.getvalue():
        yield {
            "name": "stdout",
            "output_type": "stream",
            "text": printed.getvalue().splitlines(keepends=True),
        }
    if value is not None:
        yield {
            "data": _shown(value),
            "execution_count": number,
            "metadata": {},
            "output_type": "execute_result",
        }


def _shown(value: Any) -> dict[str, Any]:
    if hasattr(value, "_repr_png_"):
        return {"image/jpeg": _small_jpeg(value._repr_png_()), "text/plain": [repr(value)]}
    if hasattr(value, "_repr_html_"):
        return {"text/html": [value._repr_html_()], "text/plain": [f"{type(value).__name__}"]}
    return {"text/plain": [repr(value)]}


def _small_jpeg(png: bytes) -> str:
    picture = Image.open(io.BytesIO(png)).convert("RGB")
    picture.thumbnail((WIDTH_PX, WIDTH_PX))
    stored = io.BytesIO()
    picture.save(stored, "JPEG", quality=JPEG_QUALITY)
    return base64.b64encode(stored.getvalue()).decode()


def main() -> None:
    """Run the notebook in a folder that is thrown away and store its outputs."""
    notebook = json.loads(NOTEBOOK.read_text(encoding="utf-8"))
    names: dict[str, Any] = {}
    with tempfile.TemporaryDirectory() as folder:
        shutil.copy(NOTEBOOK.with_name("photo.jpg"), folder)
        os.chdir(folder)
        cells = [cell for cell in notebook["cells"] if cell["cell_type"] == "code"]
        for number, cell in enumerate(cells, 1):
            cell["outputs"] = list(outputs_of("".join(cell["source"]), names, number))
            cell["execution_count"] = number
        os.chdir(NOTEBOOK.parent)
    write_text(NOTEBOOK, json.dumps(notebook, indent=1, ensure_ascii=False) + "\n")


if __name__ == "__main__":
    main()
