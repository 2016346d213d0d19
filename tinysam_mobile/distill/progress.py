"""A run's figures as CSV, a line on the terminal with the time left, and a plot."""

from __future__ import annotations

import csv
import sys
import time
from collections.abc import Mapping
from pathlib import Path

from torch import Tensor

from tinysam_mobile.files import write_text, write_with

__all__ = ["Progress", "plot_curves"]


class Progress:
    """Averages figures over `every` steps, then appends a row to `losses.csv` and prints it.

    `write` is False on all ranks but the first.
    """

    def __init__(self, folder: Path, *, total_steps: int, every: int = 20, write: bool = True) -> None:
        self._file = folder / "losses.csv"
        self._total = total_steps
        self._every = every
        self._write = write
        self._sums: dict[str, Tensor | float] = {}
        self._count = 0
        self._step = 0
        self._since = time.monotonic()

    def add(self, step: int, figures: Mapping[str, Tensor | float]) -> None:
        """Take the figures of step number `step` (from 1); what an accelerator computes is not waited for."""
        if not self._write:
            return
        for name, value in figures.items():
            self._sums[name] = self._sums.get(name, 0.0) + value
        self._count += 1
        self._step = step
        if step % self._every == 0:
            self.flush()

    def flush(self) -> None:
        """Write what has come since the last row, if anything."""
        if not self._count:
            return
        row = {name: float(total) / self._count for name, total in self._sums.items()}
        now = time.monotonic()
        step_s = (now - self._since) / self._count
        row["step_s"] = step_s
        append_row(
            self._file, {"step": str(self._step)} | {name: f"{value:.5g}" for name, value in row.items()}
        )
        shown = "  ".join(f"{name} {value:.3f}" for name, value in row.items())
        eta_h = (self._total - self._step) * step_s / 3600
        now_text = time.strftime("%H:%M:%S")
        print(
            f"{now_text} {self._step}/{self._total}  {shown}  ETA {eta_h:.1f} h", file=sys.stderr, flush=True
        )
        self._sums, self._count, self._since = {}, 0, now


def append_row(file: Path, row: Mapping[str, str]) -> None:
    """Append a row to a CSV file, with the header if the file is new; its columns must stay the same."""
    is_new = not file.exists()
    with file.open("a", newline="") as handle:
        writer = csv.DictWriter(handle, fieldnames=list(row), lineterminator="\n")
        if is_new:
            writer.writeheader()
        writer.writerow(row)


def forget_rows_after(file: Path, step: int) -> None:
    """Take out of a run's CSV file what was logged after its saved state, which is at `step`.

    A run that goes on from there logs those steps again; rows that a kill cut short go too.
    """
    if not file.exists():
        return
    header, *rows = file.read_text(encoding="utf-8").splitlines() or [""]
    kept = [row for row in rows if row.count(",") == header.count(",") and _step_of(row) <= step]
    if not kept:
        file.unlink()
    elif len(kept) < len(rows):
        write_text(file, "\n".join([header, *kept, ""]))


def _step_of(row: str) -> float:
    number = row.partition(",")[0]
    return int(number) if number.isdigit() else float("inf")


def read_columns(file: Path) -> dict[str, list[float]]:
    """Read a CSV file of numbers by column."""
    with file.open(newline="") as handle:
        rows = list(csv.DictReader(handle))
    return {name: [float(row[name]) for row in rows] for name in (rows[0] if rows else {})}


def plot_curves(folder: Path, out: Path) -> None:
    """Draw `losses.csv` and, where there is one, `validation.csv` of a run into the image file `out`."""
    import matplotlib

    matplotlib.use("agg")
    from matplotlib import pyplot

    figure, (left, right) = pyplot.subplots(1, 2, figsize=(10, 4), layout="constrained")
    losses = read_columns(folder / "losses.csv")
    for name in ("focal", "dice", "iou", "embedding", "token", "output", "backbone"):
        if name in losses:
            left.plot(losses["step"], losses[name], label=name, linewidth=0.8)
    validation = folder / "validation.csv"
    curves = read_columns(validation) if validation.exists() else {}
    for name in ("iou_box", "iou_point_best"):
        right.plot(losses["step"], losses[name], label=f"{name} (training)", linewidth=0.6, alpha=0.6)
    for name in ("miou_box", "miou_point", "miou_point_best"):
        if name in curves:
            right.plot(curves["step"], curves[name], "o-", label=f"{name} (held out)", markersize=3)
    left.set(xlabel="step", ylabel="weighted loss")
    right.set(xlabel="step", ylabel="IoU", ylim=(0, 1))
    left.legend(fontsize=7)
    right.legend(fontsize=7)
    write_with(out, lambda path: figure.savefig(path, dpi=110))
    pyplot.close(figure)
