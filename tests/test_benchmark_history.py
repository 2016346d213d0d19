"""The page of benchmark history, made from a repository of its own."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from xml.etree import ElementTree

import pytest

sys.path.insert(0, str(Path(__file__).parents[1]))

from benchmarks.history import Point, history, leaves, page, plot


@pytest.fixture
def results(tmp_path: Path) -> Path:
    """Two commits of one result, the second on another machine, and a result that is not committed."""
    person = {f"GIT_{who}_{what}": "x" for who in ("AUTHOR", "COMMITTER") for what in ("NAME", "EMAIL")}

    def git(*arguments: str) -> None:
        command = ["git", "-c", "commit.gpgsign=false", "-c", "core.hooksPath=/dev/null", *arguments]
        subprocess.run(command, cwd=tmp_path, env={**os.environ, **person}, check=True, capture_output=True)

    folder = tmp_path / "results"
    folder.mkdir()
    git("init", "-q")
    for machine, seconds in (("Xeon", 4.0), ("M1 <Pro>", 1.5)):
        document = {"machine": {"processor": machine}, "seconds": seconds, "label": "x", "ok": True}
        (folder / "encode.json").write_text(json.dumps(document))
        git("add", "results")
        git("commit", "-q", "-m", machine)
    (folder / "later.json").write_text("{}")
    return folder


def test_points_are_the_commits_from_old_to_new(results: Path) -> None:
    found = history(results)
    assert list(found["encode"]) == ["seconds"]
    points = found["encode"]["seconds"]
    assert [(p.machine, p.value) for p in points] == [("Xeon", 4.0), ("M1 <Pro>", 1.5)]
    assert found["later"] == {}


def test_page_names_machines_and_last_values(results: Path) -> None:
    text = page(history(results))
    assert "M1 &lt;Pro&gt;" in text
    assert "<td>seconds</td><td>1.5</td><td><svg" in text


def test_figures_measured_once_are_folded_away() -> None:
    once = Point(commit="a", date="2026-01-01", machine="m", value=3.0)
    text = page({"encode": {"bytes": [once]}})
    assert "1 figures measured once" in text
    assert "<td>bytes</td><td>3</td><td>2026-01-01</td>" in text
    assert "<svg" not in text


def test_numbers_have_paths_and_lists_their_median() -> None:
    rows = [{"model": "nano", "runtime": "tflite", "ms": [3, 1, 2]}, {"ms": 5}]
    assert dict(leaves({"rows": rows, "version": "1", "done": True})) == {
        "rows.nano tflite.ms": 2.0,
        "rows.1.ms": 5.0,
    }


def test_entries_of_one_name_are_not_one_figure() -> None:
    rows = [
        {"runtime": "tflite", "component": "encoder", "mb": 4},
        {"runtime": "tflite", "component": "decoder", "mb": 2},
    ]
    assert [name for name, _ in leaves(rows)] == ["tflite encoder.mb", "tflite decoder.mb"]
    assert [name for name, _ in leaves([{"name": "a", "mb": 1}, {"name": "a", "mb": 2}])] == [
        "a 0.mb",
        "a 1.mb",
    ]


def test_plot_is_an_svg_with_a_point_for_each_commit() -> None:
    points = [Point(commit="a", date="2026-01-01", machine="m", value=v) for v in (1.0, 3.0)]
    points.append(Point(commit="b", date="2026-01-02", machine="n", value=2.0))
    tree = ElementTree.fromstring(plot(points, ["m", "n"]))
    heights = [float(circle.attrib["cy"]) for circle in tree.iter("circle")]
    assert len(heights) == 3
    assert min(heights) == heights[1]
