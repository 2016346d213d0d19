"""The benchmark's table: drops against float on the same photos, and floors that are missed."""

from __future__ import annotations

import pytest

from benchmarks.quantization_table import drops, line, markdown

BASE = {"100": {"miou_box": 0.5, "miou_point": 0.3}, "25": {"miou_box": 0.6, "miou_point": 0.4}}


def row(recipe: str, photos: int, box: float, point: float) -> dict[str, object]:
    measured = {"photos": photos, "miou_box": box, "miou_point": point}
    return {
        "target": "tflite",
        "recipe": recipe,
        "size_bytes": {"encoder": 3_000_000, "decoder": 1_000_000},
        "integer_share": {"encode": 0.998},
        "sqnr_db": {"encode": 30.0, "decode": 25.0},
        "latency_ms": {name: {"row": 50.0, "fp32": 100.0} for name in ("encode", "decode")},
        "drop_points": drops(measured, BASE),
        **measured,
    }


def test_a_drop_is_against_float_on_the_same_photos() -> None:
    assert drops({"photos": 25, "miou_box": 0.59, "miou_point": 0.41}, BASE) == {
        "miou_box": pytest.approx(1.0),
        "miou_point": pytest.approx(-1.0),
    }


def test_a_floor_that_is_missed_is_said_with_the_worse_prompt() -> None:
    missed = row("dynamic_w8", 100, 0.499, 0.290)
    assert "≤ 0.5: **missed by 0.50**" in line(missed)
    assert "missed" not in line(row("dynamic_w8", 100, 0.499, 0.299))
    assert "≤" not in line(row("palettized_w4", 100, 0.1, 0.1))


def test_markdown_has_a_line_for_each_row() -> None:
    rows = [row("fp32", 100, 0.5, 0.3), row("static_w8a8", 100, 0.48, 0.3)]
    page = markdown(
        {
            "checkpoint": "nano",
            "dataset": "dev",
            "threads": 1,
            "everything_photos": 2,
            "points_per_side": 16,
            "torch": BASE,
            "rows": rows,
        }
    )
    assert "| tflite | `static_w8a8` | 4.00 (1.000) | 100 | 0.4800 | +2.00 |" in page
    assert "99.8 %" in page
    assert all(len(cells.split("|")) == 16 for cells in page.splitlines() if cells.startswith("|"))
