"""A whole data set on one model: photos split over processes, results on disk, figures from there.

The figures never depend on how many processes measured, on the order of the photos, or on whether a run was
killed and taken up again.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from datetime import timedelta
from typing import Any

from tinysam_mobile.contract.backend import Backend
from tinysam_mobile.errors import DatasetError
from tinysam_mobile.evaluation.average_precision import DetectedMask, average_precision, rules_named
from tinysam_mobile.evaluation.average_recall import average_recall
from tinysam_mobile.evaluation.instances import CocoDataset, CocoImage
from tinysam_mobile.evaluation.miou import MIN_AREA_PX, summary
from tinysam_mobile.evaluation.photo import EvaluationPlan, evaluate_photo
from tinysam_mobile.evaluation.prompt_kinds import check_kinds
from tinysam_mobile.evaluation.results import ResultFolder
from tinysam_mobile.segment.predictor import Predictor

__all__ = ["Table", "figures", "measure_photos", "plain", "wait_for_all"]

Table = dict[str, dict[str, float]]
"""Figure → column (`all`, `small`, …; a kind of prompt for `spearman`) → value."""
AREAS = {"s": "small", "m": "medium", "l": "large"}


def measure_photos(
    backend: Backend,
    dataset: CocoDataset,
    plan: EvaluationPlan,
    results: ResultFolder,
    *,
    rank: int = 0,
    processes: int = 1,
    progress: Callable[[int, int], None] | None = None,
) -> int:
    """Measure this process's photos that have no result yet; return how many those were.

    `progress` is called with the photos of this process that are done, and all of them.  Raises `UsageError`
    for prompts that the model has no slots for, `ImageError` and `DatasetError` for photos and annotations.
    """
    check_kinds(plan.prompts, slots=backend.contract.slots)
    predictor = Predictor(backend)
    mine = range(rank, len(dataset.images), processes)
    measured = 0
    for done, number in enumerate(mine, start=1):
        if not results.has(number):
            results.write(number, evaluate_photo(predictor, dataset.images[number], plan))
            measured += 1
        if progress:
            progress(done, len(mine))
    return measured


def wait_for_all() -> None:
    """Return when every process of the group has come here, however long the slowest takes."""
    import torch.distributed as dist

    if dist.is_initialized():
        # The group's own timeout of half an hour would end a run whose last photos are slow.
        dist.monitored_barrier(timeout=timedelta(days=7))


def figures(dataset: CocoDataset, plan: EvaluationPlan, results: ResultFolder) -> Table:
    """Return every figure of the plan from the results of all photos.

    Raises `DatasetError` if no instance counts, since then there is nothing to say.
    """
    count = len(dataset.images)
    table = summary(m for result in results.all(count) for m in result.measurements)
    if not table:
        raise DatasetError(
            f"{dataset.name}: no instance counts in {count} photos: all are crowds, empty or below "
            f"{MIN_AREA_PX} px, or there is none; check the annotations"
        )
    if plan.boxes is not None:
        masks = _detections(dataset, results)
        precision = average_precision(masks, rules_named(plan.rules), dataset.categories)
        table |= _by_area(precision)
    if plan.everything is not None:
        recalls = (result.recall for result in results.all(count) if result.recall)
        table |= _by_area(average_recall(recalls))
    return table


def _detections(
    dataset: CocoDataset, results: ResultFolder
) -> Iterator[tuple[CocoImage, tuple[DetectedMask, ...]]]:
    for number in range(len(dataset.images)):
        yield dataset.images[number], results.read(number).detections


def _by_area(values: Mapping[str, float]) -> Table:
    """APs, ARl@1000 and the like into the columns of sizes; a figure that is not defined is left out."""
    table: Table = {}
    for name, value in values.items():
        area = AREAS.get(name[2:3], "all")
        figure = name if area == "all" else name[:2] + name[3:]
        if value == value:
            table.setdefault(figure, {})[area] = value
    return table


def plain(table: Mapping[str, Mapping[str, Any]]) -> dict[str, float]:
    """One value for each figure: that of all sizes."""
    return {figure: row["all"] for figure, row in table.items() if "all" in row}
