"""Models side by side: accuracy against cost, as a table in Markdown, JSON and CSV, and as a plot."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from tinysam_mobile.errors import RuntimeUnavailableError
from tinysam_mobile.evaluation.published import PUBLISHED
from tinysam_mobile.files import new_file, write_text
from tinysam_mobile.version import install_command

__all__ = ["ComparedModel", "comparison_files", "markdown", "published_rows", "to_csv"]

FIGURES = (
    "miou_box",
    "miou_point",
    "AP",
    "AR@1000",
    "miou_everything",
    "encode_ms",
    "decode_ms",
    "size_mb",
    "macs_g",
)
"""Columns that come first, where there are values for them."""


@dataclass(frozen=True, kw_only=True)
class ComparedModel:
    """One row; `figures` are 0 to 1, or in the unit of their name.

    `source` is the paper of a published row, whose figures were not measured here; None for ours.
    """

    name: str
    runtime: str
    recipe: str
    figures: Mapping[str, float] = field(default_factory=dict)
    source: str | None = None

    @property
    def is_published(self) -> bool:
        """Whether the figures are somebody else's."""
        return self.source is not None


def published_rows(rules: str) -> list[ComparedModel]:
    """The reference rows for `rules` coco or lvis; those without a figure for it are left out."""
    rows = []
    for model in PUBLISHED:
        figures = {
            "AP": model.lvis_ap if rules == "lvis" else model.coco_ap,
            "macs_g": model.macs / 1e9 if model.macs else None,
            "miou_point": model.miou_point if rules == "coco" else None,
            "everything_16_ms": model.everything_16_ms,
            "everything_32_ms": model.everything_32_ms,
            "everything_64_ms": model.everything_64_ms,
            "photo_1_box_ms": model.photo_1_box_ms,
        }
        known = {name: value for name, value in figures.items() if value is not None}
        if known:
            rows.append(
                ComparedModel(
                    name=model.name, runtime="published", recipe="", figures=known, source=model.source
                )
            )
    return rows


def _columns(rows: Sequence[ComparedModel]) -> list[str]:
    found = dict.fromkeys(name for row in rows for name in row.figures)
    return [*(name for name in FIGURES if name in found), *(name for name in found if name not in FIGURES)]


def to_csv(rows: Sequence[ComparedModel]) -> str:
    """Comma-separated values with a header; missing figures are empty."""
    columns = _columns(rows)
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(["model", "runtime", "recipe", "published", *columns])
    for row in rows:
        values = [row.figures.get(name, "") for name in columns]
        writer.writerow([row.name, row.runtime, row.recipe, int(row.is_published), *values])
    return text.getvalue()


def markdown(rows: Sequence[ComparedModel], *, title: str) -> str:
    """A GitHub table; published rows are in italics."""
    columns = _columns(rows)
    lines = [f"# {title}", "", "| model | runtime | recipe | " + " | ".join(columns) + " |"]
    lines.append("|---|---|---|" + "---:|" * len(columns))
    for row in rows:
        name = f"*{row.name}*" if row.is_published else row.name
        cells = [name, row.runtime, row.recipe]
        cells += [f"{row.figures[c]:.4g}" if c in row.figures else "" for c in columns]
        lines.append("| " + " | ".join(cells) + " |")
    sources = dict.fromkeys(row.source for row in rows if row.source)
    if sources:
        lines += ["", "*Italic*: published figures, not measured here: " + "; ".join(sources) + "."]
    return "\n".join(lines) + "\n"


def _plot(rows: Sequence[ComparedModel], path: Path) -> None:
    """Accuracy (AP if there is one, else mIoU from the box) over latency and over size, a point per model."""
    try:
        import matplotlib
    except ImportError as error:
        raise RuntimeUnavailableError(
            f"the plot needs matplotlib: {install_command('evaluation')}"
        ) from error
    matplotlib.use("agg")
    from matplotlib import pyplot

    measured_ap = any("AP" in row.figures for row in rows if not row.is_published)
    accuracy = "AP" if measured_ap else "miou_box"
    figure, axes = pyplot.subplots(1, 3, figsize=(15, 4.5), layout="constrained", sharey=True)
    for axis, cost in zip(axes, ("encode_ms", "size_mb", "macs_g"), strict=True):
        axis.set(xlabel=cost, ylabel=accuracy)
        for i, row in enumerate(rows):
            if accuracy not in row.figures or cost not in row.figures:
                continue
            place = row.figures[cost], row.figures[accuracy]
            if row.is_published:
                axis.plot(*place, marker="x", linestyle="", color="0.6")
                axis.annotate(row.name, place, fontsize=6, xytext=(3, 3), textcoords="offset points")
            else:
                label = f"{row.name} {row.runtime} {row.recipe}"
                axis.plot(*place, marker="o", linestyle="", color=f"C{i}", label=label)
    axes[2].set_xscale("log")
    figure.legend(*_by_label(axes), loc="outside lower center", ncols=4, fontsize=7)
    figure.savefig(path, dpi=110)
    pyplot.close(figure)


def _by_label(axes: Sequence[Any]) -> tuple[list[Any], list[str]]:
    """One legend entry for each model, whichever of the plots it is in."""
    found = {
        label: handle
        for axis in axes
        for handle, label in zip(*axis.get_legend_handles_labels(), strict=True)
    }
    return list(found.values()), list(found)


def comparison_files(
    rows: Sequence[ComparedModel], folder: Path, *, title: str, about: Mapping[str, Any]
) -> list[Path]:
    """Write comparison.md, .json (with `about`), .csv and .png into `folder`; return the paths.

    Raises `RuntimeUnavailableError` without matplotlib.
    """
    folder.mkdir(parents=True, exist_ok=True)
    entries = [
        {
            "model": row.name,
            "runtime": row.runtime,
            "recipe": row.recipe,
            "published": row.is_published,
            "source": row.source,
            "figures": dict(row.figures),
        }
        for row in rows
    ]
    texts = {
        "comparison.md": markdown(rows, title=title),
        "comparison.json": json.dumps({**about, "rows": entries}, indent=2) + "\n",
        "comparison.csv": to_csv(rows),
    }
    for name, text in texts.items():
        write_text(folder / name, text)
    with new_file(folder / "comparison.png") as building:
        _plot(rows, building)
    return [folder / name for name in (*texts, "comparison.png")]
