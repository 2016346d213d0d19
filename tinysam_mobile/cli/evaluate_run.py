"""How `tinysam-mobile evaluate` measures: each model in turn, its photos shared among the processes."""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from tinysam_mobile.cli.evaluate_inputs import PlanChoice
from tinysam_mobile.cli.output import progress
from tinysam_mobile.errors import UsageError
from tinysam_mobile.evaluation.coco import CocoDataset
from tinysam_mobile.evaluation.data_choice import DataChoice
from tinysam_mobile.evaluation.detections import check_matches
from tinysam_mobile.evaluation.models import ModelUnderTest
from tinysam_mobile.evaluation.processes import joined_processes
from tinysam_mobile.evaluation.results import open_results
from tinysam_mobile.evaluation.run import Table, figures, measure_photos, wait_for_all

__all__ = ["measure_models"]


def measure_models(
    models: Sequence[ModelUnderTest],
    dataset: CocoDataset,
    data: DataChoice,
    plan: PlanChoice,
    out: Path | None,
) -> list[Table] | None:
    """Return the figures of each model on the first process; None on the others."""
    with joined_processes() as (rank, processes), _results_folder(out, processes) as folder:
        split = _Split(out=folder, rank=rank, processes=processes)
        tables = [_measure(model, dataset, data, plan, split) for model in models]
    return tables if rank == 0 else None


@dataclass(frozen=True, kw_only=True)
class _Split:
    """Where the results go, and which of the photos are this process's."""

    out: Path
    rank: int
    processes: int


@contextmanager
def _results_folder(out: Path | None, processes: int) -> Iterator[Path]:
    """--out, or for one process a folder that goes when the command ends."""
    if out is not None:
        yield out
        return
    if processes > 1:
        raise UsageError("several processes need --out, a folder that all of them see")
    with tempfile.TemporaryDirectory() as folder:
        yield Path(folder)


def _measure(
    model: ModelUnderTest, dataset: CocoDataset, data: DataChoice, choice: PlanChoice, split: _Split
) -> Table:
    """The figures of one model on the first process; nothing on the others."""
    plan = choice.plan(data.rules, model.everything)
    if plan.boxes is not None:
        check_matches(plan.boxes, dataset)
    results = open_results(split.out, model.name, choice.describe(data, model, plan))
    with progress() as say:
        measure_photos(
            model.open(),
            dataset,
            plan,
            results,
            rank=split.rank,
            processes=split.processes,
            progress=partial(_say_photo, say, model),
        )
    wait_for_all()
    return figures(dataset, plan, results) if split.rank == 0 else {}


def _say_photo(say: Callable[[str], None], model: ModelUnderTest, done: int, total: int) -> None:
    say(f"{model.name} {model.runtime} {model.recipe}: photo {done} of {total}")
