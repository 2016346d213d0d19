"""A page that plots how every figure in benchmarks/results went, commit by commit.

    python -m benchmarks.history --out history.html

The history is git's: each commit that changed a result is a point.  Machines are told apart by colour, since
figures of two machines cannot be compared.  The page needs no other file.
"""

from __future__ import annotations

import html
import json
import subprocess
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import median
from typing import Any

import click

from benchmarks.record import RESULTS

COLOURS = ("#1f6feb", "#d1242f", "#1a7f37", "#8250df", "#9a6700")
WIDTH, HEIGHT, MARGIN = 320, 90, 10
NAMES = ("model", "name", "runtime", "recipe", "component", "entry_point", "format", "method")
"""Keys whose values name an entry of a list better than its number."""


@dataclass(frozen=True, kw_only=True)
class Point:
    """A figure at one commit."""

    commit: str
    date: str
    machine: str
    value: float


def git(folder: Path, *arguments: str) -> str:
    """Return what a git command prints."""
    done = subprocess.run(["git", *arguments], cwd=folder, stdout=subprocess.PIPE, text=True, check=True)
    return done.stdout


def leaves(data: Any, path: str = "") -> Iterator[tuple[str, float]]:
    """Yield every number of a result with its path; a list of numbers is one number, its median."""
    if isinstance(data, bool) or data is None or isinstance(data, str):
        return
    if isinstance(data, int | float):
        yield path, float(data)
    elif isinstance(data, list) and data and all(type(value) in (int, float) for value in data):
        yield path, float(median(data))
    elif isinstance(data, list):
        names = [_entry_name(value) for value in data]
        for i, (name, value) in enumerate(zip(names, data, strict=True)):
            key = name if name and names.count(name) == 1 else f"{name} {i}".strip()
            yield from leaves(value, _joined(path, key))
    else:
        for key, value in data.items():
            yield from leaves(value, _joined(path, key))


def _joined(path: str, key: str) -> str:
    return f"{path}.{key}" if path else key


def _entry_name(value: Any) -> str:
    if not isinstance(value, dict):
        return ""
    return " ".join(str(value[key]) for key in NAMES if value.get(key))


def history(results: Path) -> dict[str, dict[str, list[Point]]]:
    """Return result → figure → its points from the oldest commit to the newest."""
    found: dict[str, dict[str, list[Point]]] = {}
    for file in sorted(results.glob("*.json")):
        series = found.setdefault(file.stem, {})
        log = git(results, "log", "--reverse", "--diff-filter=AM", "--format=%h %cs", "--", file.name)
        for line in log.splitlines():
            commit, date = line.split()
            document = json.loads(git(results, "show", f"{commit}:./{file.name}"))
            machine = document.pop("machine", {}).get("processor", "unknown machine")
            for name, value in leaves(document):
                point = Point(commit=commit, date=date, machine=machine, value=value)
                series.setdefault(name, []).append(point)
    return found


def plot(points: Sequence[Point], machines: Sequence[str]) -> str:
    """An SVG of one figure: x the commits in order, y from 0, a line for each machine."""
    top = max(0.0, *(p.value for p in points))
    bottom = min(0.0, *(p.value for p in points))
    places = {
        id(p): (
            MARGIN + (WIDTH - 2 * MARGIN) * i / max(len(points) - 1, 1),
            HEIGHT - MARGIN - (HEIGHT - 2 * MARGIN) * (p.value - bottom) / ((top - bottom) or 1),
        )
        for i, p in enumerate(points)
    }
    parts = []
    for machine in machines:
        ours = [p for p in points if p.machine == machine]
        colour = COLOURS[machines.index(machine) % len(COLOURS)]
        line = " ".join(f"{x:.1f},{y:.1f}" for x, y in (places[id(p)] for p in ours))
        parts.append(f'<polyline points="{line}" fill="none" stroke="{colour}"/>')
        for p in ours:
            x, y = places[id(p)]
            title = html.escape(f"{p.value:.6g} at {p.commit}, {p.date}, {p.machine}")
            parts.append(
                f'<circle cx="{x:.1f}" cy="{y:.1f}" r="3" fill="{colour}"><title>{title}</title></circle>'
            )
    return f'<svg width="{WIDTH}" height="{HEIGHT}">{"".join(parts)}</svg>'


def page(found: dict[str, dict[str, list[Point]]]) -> str:
    """The whole page, `found` as `history` returns it."""
    machines = list(
        dict.fromkeys(p.machine for series in found.values() for points in series.values() for p in points)
    )
    key = "".join(
        f'<li style="color:{COLOURS[i % len(COLOURS)]}">{html.escape(machine)}</li>'
        for i, machine in enumerate(machines)
    )
    sections = [_section(result, series, machines) for result, series in found.items()]
    return (
        '<!doctype html><meta charset="utf-8"><title>Benchmark history</title>'
        "<style>body{font:14px sans-serif;margin:2em}td{padding:2px 12px;border-top:1px solid #ddd}</style>"
        f"<h1>Benchmark history</h1><ul>{key}</ul>{''.join(sections)}\n"
    )


def _section(result: str, series: dict[str, list[Point]], machines: Sequence[str]) -> str:
    """A result: a plot of each figure that was measured more than once; the others folded away."""
    plots = [_row(name, points, plot(points, machines)) for name, points in series.items() if len(points) > 1]
    single = [_row(name, points, points[-1].date) for name, points in series.items() if len(points) == 1]
    folded = (
        f"<details><summary>{len(single)} figures measured once</summary>"
        f"<table>{''.join(single)}</table></details>"
        if single
        else ""
    )
    return f"<h2>{html.escape(result)}</h2><table>{''.join(plots)}</table>{folded}"


def _row(name: str, points: Sequence[Point], shown: str) -> str:
    return f"<tr><td>{html.escape(name)}</td><td>{points[-1].value:.6g}</td><td>{shown}</td></tr>"


@click.command()
@click.option("--results", type=click.Path(path_type=Path), default=RESULTS, help="Folder of the results.")
@click.option("--out", type=click.Path(path_type=Path), default=Path("history.html"), show_default=True)
def main(results: Path, out: Path) -> None:
    """Write the page."""
    found = history(results)
    out.write_text(page(found), encoding="utf-8")
    click.echo(f"{out}: {sum(map(len, found.values()))} figures of {len(found)} results")


if __name__ == "__main__":
    main()
