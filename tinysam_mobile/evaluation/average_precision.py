"""Average precision of scored masks, by COCO's rules or LVIS's; faster-coco-eval does the metric.

AP is a mean over categories, so each category is judged by itself: no more than one category's run lengths
are in memory, and the figures are those of one call with everything.
"""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tinysam_mobile.errors import RuntimeUnavailableError, UnknownNameError
from tinysam_mobile.evaluation.instances import Category, CocoImage
from tinysam_mobile.evaluation.json_stream import scratch_database
from tinysam_mobile.version import install_command

__all__ = [
    "METRIC_RULES",
    "DetectedMask",
    "MetricRules",
    "average_precision",
    "metric_classes",
    "rules_named",
]

TABLES = (
    "CREATE TABLE images (id, height, width, partial)",
    "CREATE TABLE truth (image_id, category_id, area, is_crowd, segmentation)",
    "CREATE TABLE found (image_id, category_id, area, score, counts)",
)
INDEXES = (
    "CREATE INDEX images_by_id ON images (id)",
    "CREATE INDEX truth_by_category ON truth (category_id, image_id)",
    "CREATE INDEX found_by_category ON found (category_id, image_id)",
)
WHERE = "WHERE category_id = ? AND image_id = ? ORDER BY rowid"
TRUTH = f"SELECT area, is_crowd, segmentation FROM truth {WHERE}"
FOUND = f"SELECT area, score, counts FROM found {WHERE}"
PHOTOS = (
    "SELECT id, height, width, partial FROM images WHERE id IN "
    "(SELECT image_id FROM truth WHERE category_id = ?1 UNION "
    "SELECT image_id FROM found WHERE category_id = ?1) ORDER BY id"
)
Precision = NDArray[np.float64]


@dataclass(frozen=True, kw_only=True)
class MetricRules:
    """How a benchmark counts.

    COCO takes at most 100 masks of each category in a photo; LVIS (arXiv 1908.03195, section 2.3) 300 in all
    of a photo, and leaves out what its federated annotation cannot judge.
    """

    name: str
    federated: bool
    masks_per_category: int
    masks_per_photo: int | None


METRIC_RULES = {
    "coco": MetricRules(name="coco", federated=False, masks_per_category=100, masks_per_photo=None),
    "lvis": MetricRules(name="lvis", federated=True, masks_per_category=300, masks_per_photo=300),
}


@dataclass(frozen=True, kw_only=True)
class DetectedMask:
    """A mask as COCO's compressed `counts`, its `area` in pixels, and the score that ranks it."""

    category_id: int
    area: int
    score: float
    counts: str


def rules_named(name: str) -> MetricRules:
    """Return the rules called `name`; raises `UnknownNameError`."""
    if name not in METRIC_RULES:
        raise UnknownNameError("data set", name, METRIC_RULES)
    return METRIC_RULES[name]


def metric_classes() -> tuple[Any, Any]:
    """faster-coco-eval's data set and evaluator; raises `RuntimeUnavailableError` without it."""
    try:
        from faster_coco_eval.core.coco import COCO
        from faster_coco_eval.core.faster_eval_api import COCOeval_faster
    except ImportError as error:
        raise RuntimeUnavailableError(
            f"average precision and recall need faster-coco-eval: {install_command('evaluation')}"
        ) from error
    return COCO, COCOeval_faster


def average_precision(
    photos: Iterable[tuple[CocoImage, Sequence[DetectedMask]]],
    rules: MetricRules,
    categories: Sequence[Category] = (),
) -> dict[str, float]:
    """Return AP, AP50, AP75 and APs, APm, APl (APr, APc, APf too for LVIS), 0 to 1.

    Each is a mean over the categories that have instances of that kind; NaN if there is none.  `photos` holds
    each photo once, in any order, with all its masks.  `categories` have the frequencies that LVIS needs.
    """
    database = _collected(photos, rules)
    rows = database.execute("SELECT DISTINCT category_id FROM truth WHERE NOT is_crowd ORDER BY category_id")
    precisions = {c: _precision(*_documents(database, c), rules) for (c,) in rows.fetchall()}
    return _figures(precisions, rules, categories)


def _collected(
    photos: Iterable[tuple[CocoImage, Sequence[DetectedMask]]], rules: MetricRules
) -> sqlite3.Connection:
    database = scratch_database(*TABLES)
    database.execute("BEGIN")
    for image, masks in photos:
        row = (image.id, image.height, image.width, json.dumps(image.partial_categories))
        database.execute("INSERT INTO images VALUES (?, ?, ?, ?)", row)
        database.executemany(
            "INSERT INTO truth VALUES (?, ?, ?, ?, ?)",
            [
                (image.id, i.category_id, i.area, int(i.is_crowd), json.dumps(i.segmentation))
                for i in image.instances
            ],
        )
        database.executemany(
            "INSERT INTO found VALUES (?, ?, ?, ?, ?)",
            [(image.id, m.category_id, m.area, m.score, m.counts) for m in _judged(image, masks, rules)],
        )
    database.execute("COMMIT")
    for index in INDEXES:
        database.execute(index)
    return database


def _judged(image: CocoImage, masks: Sequence[DetectedMask], rules: MetricRules) -> list[DetectedMask]:
    """The masks that count: no more than the limit, and of categories that the annotation can judge."""
    if rules.masks_per_photo is not None:
        masks = sorted(masks, key=lambda mask: -mask.score)[: rules.masks_per_photo]
    if not rules.federated:
        return list(masks)
    known = {*image.negative_categories, *(instance.category_id for instance in image.instances)}
    return [mask for mask in masks if mask.category_id in known]


def _documents(database: sqlite3.Connection, category: int) -> tuple[dict[str, Any], dict[str, Any]]:
    """What the metric must know of one category: annotations and results, on photos that have either."""
    images: list[dict[str, Any]] = []
    truth: list[dict[str, Any]] = []
    found: list[dict[str, Any]] = []
    for number, (image_id, image) in enumerate(_photos_of(database, category), start=1):
        images.append({"id": number, **image})
        key = {"image_id": number, "category_id": category}
        for area, is_crowd, segmentation in database.execute(TRUTH, (category, image_id)):
            segment = {"segmentation": json.loads(segmentation), "area": area, "iscrowd": is_crowd}
            truth.append({**key, **segment, "id": len(truth) + 1})
        size = [image["height"], image["width"]]
        for area, score, counts in database.execute(FOUND, (category, image_id)):
            segment = {"segmentation": {"size": size, "counts": counts}, "area": area, "iscrowd": 0}
            found.append({**key, **segment, "score": score, "id": len(found) + 1})
    # The metric only asks that there be a frequency.
    shared = {"images": images, "categories": [{"id": category, "frequency": "f"}]}
    return {**shared, "annotations": truth}, {**shared, "annotations": found}


def _photos_of(database: sqlite3.Connection, category: int) -> Iterator[tuple[Any, dict[str, Any]]]:
    """By rising id, as pycocotools goes, which decides between equal scores."""
    for image_id, height, width, partial in database.execute(PHOTOS, (category,)).fetchall():
        yield (
            image_id,
            {
                "height": height,
                "width": width,
                # Masks of categories that cannot be judged are out already (`_judged`).
                "neg_category_ids": [category],
                "not_exhaustive_category_ids": json.loads(partial),
            },
        )


def _precision(truth: dict[str, Any], found: dict[str, Any], rules: MetricRules) -> Precision:
    """Precision f64 (10 IoU levels, 101 recall levels, 4 areas); -1 where no instance is of that area."""
    dataset, evaluator = metric_classes()
    judge = evaluator(
        dataset(truth), dataset(found), "segm", lvis_style=rules.federated, rle_iou_max_workers=1
    )
    judge.params.maxDets = [rules.masks_per_category]
    judge.evaluate()
    judge.accumulate()
    return np.asarray(judge.eval["precision"], np.float64)[:, :, 0, :, 0]


def _figures(
    precisions: Mapping[int, Precision], rules: MetricRules, categories: Sequence[Category]
) -> dict[str, float]:
    every = list(precisions.values())
    figures = {"AP": _mean(every), "AP50": _mean(every, level=0), "AP75": _mean(every, level=5)}
    for area, name in enumerate(("APs", "APm", "APl"), start=1):
        figures[name] = _mean(every, area=area)
    if rules.federated:
        for frequency in ("r", "c", "f"):
            members = {category.id for category in categories if category.frequency == frequency}
            figures[f"AP{frequency}"] = _mean([p for c, p in precisions.items() if c in members])
    return figures


def _mean(precisions: Sequence[Precision], *, level: int | None = None, area: int = 0) -> float:
    """Mean over categories that have instances of the area, at one IoU level (0: 0.5, 5: 0.75) or all."""
    levels = slice(None) if level is None else slice(level, level + 1)
    means = [float(p[levels, :, area].mean()) for p in precisions if p[0, 0, area] > -1]
    return float(np.mean(means)) if means else float("nan")
