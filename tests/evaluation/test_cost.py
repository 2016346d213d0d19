"""The benchmark of cost measures what it says, and its result says under which conditions."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from click.testing import CliRunner

from benchmarks import cost, record

TIMINGS = {"encode", "decode", "photo_1_box", "photo_50_boxes", "everything_4"}


def test_a_row_has_size_memory_macs_parameters_and_times() -> None:
    row = cost.measured(cost.opened("stand-in:tiny-test", None, None, 1), grids=(4,), runs=2)
    assert row["timings"].keys() == TIMINGS
    for name, timing in row["timings"].items():
        assert timing["lower_quartile_ms"] <= timing["latency_ms"] <= timing["upper_quartile_ms"]
        assert timing["per_s"] == pytest.approx(1e3 / timing["latency_ms"])
        is_long = name.startswith("everything")
        assert (timing["runs"], timing["warm_up_runs"]) == ((1, 0) if is_long else (2, 1))
    assert row["peak_memory_bytes"] >= row["peak_memory_before_bytes"] > 0
    assert row["encode_macs"] > row["decode_macs"] > 0
    assert set(row["parameters"]) == {"image_encoder", "prompt_encoder", "mask_decoder"}


def test_the_result_carries_machine_versions_threads_and_note(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(record, "RESULTS", tmp_path)
    arguments = ["stand-in:tiny-test", "--quick", "--note", "a test", "--name", "tiny"]
    answer = CliRunner().invoke(cost.main, arguments, catch_exceptions=False)
    assert answer.exit_code == 0
    result = json.loads((tmp_path / "tiny.json").read_text())
    assert (result["threads"], result["note"]) == (1, "a test")
    assert result["machine"]["versions"]["torch"]
    assert result["machine"]["load_1min"] >= 0
    (row,) = result["models"]
    assert row["timings"]["encode"]["runs"] == cost.QUICK_RUNS
    assert "everything_16" in row["timings"]
    assert "everything_32" not in row["timings"]
