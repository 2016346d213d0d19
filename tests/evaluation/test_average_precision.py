"""AP and AR against pycocotools on the same masks, and LVIS's rules against a straightforward computation."""

from __future__ import annotations

import json
import sys
from collections.abc import Sequence
from contextlib import redirect_stdout
from io import StringIO
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from pycocotools.coco import COCO
from pycocotools.cocoeval import COCOeval

from tinysam_mobile.errors import RuntimeUnavailableError, UnknownNameError
from tinysam_mobile.evaluation.average_precision import (
    METRIC_RULES,
    DetectedMask,
    average_precision,
    rules_named,
)
from tinysam_mobile.evaluation.average_recall import RecallCount, average_recall, count_recall
from tinysam_mobile.evaluation.instances import Category, CocoImage, Instance
from tinysam_mobile.imaging.masks import RunLengths

SAME = 1e-6
"""The issue's bound on the difference from pycocotools."""
HEIGHT, WIDTH = 150, 180
Photo = tuple[CocoImage, list[DetectedMask]]


def ellipse(rng: np.random.Generator, largest: int) -> NDArray[np.bool_]:
    y, x = np.mgrid[:HEIGHT, :WIDTH]
    a, b = rng.integers(4, largest, 2)
    cy, cx = rng.integers(0, HEIGHT), rng.integers(0, WIDTH)
    mask: NDArray[np.bool_] = ((y - cy) / a) ** 2 + ((x - cx) / b) ** 2 < 1
    return mask


def segmentation(mask: NDArray[np.bool_], kind: int) -> Any:
    if kind == 0:
        return RunLengths.encode(mask).to_coco(compressed=False)
    if kind == 1:
        return RunLengths.encode(mask).to_coco()
    rows, columns = np.flatnonzero(mask.any(1)), np.flatnonzero(mask.any(0))
    x0, x1, y0, y1 = columns[0], columns[-1] + 1.3, rows[0] + 0.2, rows[-1] + 1
    return [[float(v) for v in (x0, y0, x1, y0, x1, y1, (x0 + x1) / 2, y1 + 3.5)]]


@pytest.fixture(scope="module")
def photos() -> list[Photo]:
    """Ellipses of three categories, one never annotated, some crowds; masks near them and elsewhere."""
    rng = np.random.default_rng(3)
    made = []
    # Not in the order of their ids, and with scores that repeat.
    for image_id in rng.permutation(12).tolist():
        instances, masks = [], []
        for i in range(rng.integers(0, 7)):
            mask, category = ellipse(rng, 110), int(rng.integers(1, 4))
            instances.append(
                Instance(
                    id=100 * image_id + i,
                    area=float(mask.sum()),
                    is_crowd=bool(rng.random() < 0.1),
                    category_id=category,
                    segmentation=segmentation(mask, i % 3),
                )
            )
            shifts = rng.integers(0, 9, rng.integers(0, 3))
            masks += [found(np.roll(mask, shift, (0, 1)), category, rng) for shift in shifts]
        masks += [found(ellipse(rng, 40), int(rng.integers(1, 5)), rng) for _ in range(3)]
        image = CocoImage(path=Path("x"), id=image_id, height=HEIGHT, width=WIDTH, instances=tuple(instances))
        made.append((image, masks))
    return made


def found(mask: NDArray[np.bool_], category: int, rng: np.random.Generator) -> DetectedMask:
    runs = RunLengths.encode(mask)
    counts = runs.to_coco()["counts"]
    score = round(float(rng.random()), 1)
    return DetectedMask(category_id=category, area=runs.area, score=score, counts=counts)


def pycocotools_judge(photos: Sequence[Photo], *, use_categories: bool, limits: list[int]) -> COCOeval:
    truth, results = [], []
    for image, masks in photos:
        for i in image.instances:
            entry = {"segmentation": i.segmentation, "area": i.area, "iscrowd": int(i.is_crowd)}
            truth.append({**entry, "id": len(truth) + 1, "image_id": image.id, "category_id": i.category_id})
        for m in masks:
            entry = {"segmentation": {"size": [HEIGHT, WIDTH], "counts": m.counts}, "score": m.score}
            results.append({**entry, "image_id": image.id, "category_id": m.category_id})
    images = [{"id": image.id, "height": HEIGHT, "width": WIDTH} for image, _ in photos]
    with redirect_stdout(StringIO()):
        coco = COCO()
        coco.dataset = json.loads(
            json.dumps(
                {"images": images, "annotations": truth, "categories": [{"id": i} for i in (1, 2, 3, 4)]}
            )
        )
        coco.createIndex()
        judge = COCOeval(coco, coco.loadRes(json.loads(json.dumps(results))), "segm")
        judge.params.useCats = int(use_categories)
        judge.params.maxDets = limits
        judge.evaluate()
        judge.accumulate()
    return judge


def mean_of(values: NDArray[Any]) -> float:
    return float(values[values > -1].mean())


def test_ap_is_pycocotools(photos: list[Photo]) -> None:
    judge = pycocotools_judge(photos, use_categories=True, limits=[1, 10, 100])
    precision = judge.eval["precision"][..., -1]
    figures = average_precision(photos, METRIC_RULES["coco"])
    assert figures["AP"] == pytest.approx(mean_of(precision[..., 0]), abs=SAME)
    assert figures["AP50"] == pytest.approx(mean_of(precision[0, :, :, 0]), abs=SAME)
    assert figures["AP75"] == pytest.approx(mean_of(precision[5, :, :, 0]), abs=SAME)
    for area, name in enumerate(("APs", "APm", "APl"), start=1):
        assert figures[name] == pytest.approx(mean_of(precision[..., area]), abs=SAME)
    assert 0.05 < figures["AP"] < 0.95


def test_ap_does_not_depend_on_the_order_of_the_photos(photos: list[Photo]) -> None:
    rules = METRIC_RULES["coco"]
    assert average_precision(reversed(photos), rules) == average_precision(photos, rules)


def test_ar_added_up_over_photos_is_pycocotools_on_all_of_them(photos: list[Photo]) -> None:
    judge = pycocotools_judge(photos, use_categories=False, limits=[1, 10, 100, 1000])
    recall = judge.eval["recall"][:, 0]
    counts = []
    for image, masks in photos:
        runs = [RunLengths.from_coco({"size": [HEIGHT, WIDTH], "counts": m.counts}) for m in masks]
        count = count_recall(image, runs, [m.score for m in masks])
        counts.append(RecallCount.from_json(json.loads(json.dumps(count.to_json()))))
    figures = average_recall(counts)
    wanted = {"AR@100": (0, 2), "AR@1000": (0, 3), "ARs@1000": (1, 3), "ARm@1000": (2, 3), "ARl@1000": (3, 3)}
    assert figures == pytest.approx(
        {name: mean_of(recall[:, area, limit]) for name, (area, limit) in wanted.items()}, abs=SAME
    )


def test_crowds_alone_and_nothing_at_all_have_no_ap() -> None:
    runs = RunLengths.encode(np.ones((4, 4), np.bool_))
    crowd = Instance(id=1, area=16, is_crowd=True, category_id=1, segmentation=runs.to_coco())
    image = CocoImage(path=Path("x"), id=1, height=4, width=4, instances=(crowd,))
    mask = DetectedMask(category_id=1, area=16, score=1.0, counts=runs.to_coco()["counts"])
    assert np.isnan(average_precision([(image, [mask])], METRIC_RULES["coco"])["AP"])
    assert np.isnan(average_precision([], METRIC_RULES["coco"])["AP"])
    assert np.isnan(average_recall([count_recall(image, [runs], [1.0])])["AR@1000"])


def test_a_photo_without_masks_counts_as_missed() -> None:
    runs = RunLengths.encode(np.ones((40, 40), np.bool_))
    instance = Instance(id=1, area=1600, is_crowd=False, category_id=1, segmentation=runs.to_coco())
    image = CocoImage(path=Path("x"), id=1, height=40, width=40, instances=(instance,))
    assert average_precision([(image, [])], METRIC_RULES["coco"])["AP"] == 0
    assert average_recall([count_recall(image, [], [])])["AR@1000"] == 0


# LVIS: arXiv 1908.03195, section 2.3, and its public code's rules, written out for masks that are all or
# nothing (disjoint squares), so that a match does not depend on the IoU level.

SQUARES = 9


def square(place: int) -> RunLengths:
    mask = np.zeros((HEIGHT, WIDTH), np.bool_)
    y, x = divmod(place, 3)
    mask[50 * y : 50 * y + 40, 60 * x : 60 * x + 40] = True
    return RunLengths.encode(mask)


def lvis_photos() -> tuple[list[Photo], list[list[tuple[int, int, float]]]]:
    """Photos with squares, and for each its results as (category, place, score)."""
    rng = np.random.default_rng(8)
    photos, results = [], []
    for image_id in range(1, 9):
        categories = rng.integers(1, 6, SQUARES)
        instances = tuple(
            Instance(
                id=100 * image_id + p,
                area=1600,
                is_crowd=False,
                category_id=int(categories[p]),
                segmentation=square(p).to_coco(),
            )
            for p in range(SQUARES)
            if rng.random() < 0.4
        )
        present = {i.category_id for i in instances}
        negative = tuple({1, 2} - present)
        image = CocoImage(
            path=Path("x"),
            id=image_id,
            height=HEIGHT,
            width=WIDTH,
            instances=instances,
            negative_categories=negative,
            partial_categories=tuple(sorted(present)[:1]),
        )
        # Every place guessed with its own category or another, scores all different.
        guesses = [
            (int(categories[p]) if rng.random() < 0.6 else int(rng.integers(1, 6)), p, float(rng.random()))
            for p in range(SQUARES)
        ]
        masks = [
            DetectedMask(category_id=c, area=1600, score=s, counts=square(p).to_coco()["counts"])
            for c, p, s in guesses
        ]
        photos.append((image, masks))
        results.append(guesses)
    return photos, results


def lvis_ap(photos: list[Photo], results: list[list[tuple[int, int, float]]], category: int) -> float | None:
    """AP of one category: mean of the interpolated precision at 101 recalls."""
    judged, objects = [], 0
    for (image, _), guesses in zip(photos, results, strict=True):
        truth = {i.id % 100 for i in image.instances if i.category_id == category}
        objects += len(truth)
        if not truth and category not in image.negative_categories:
            continue
        for guessed, place, score in guesses:
            if guessed == category and (place in truth or category not in image.partial_categories):
                judged.append((score, place in truth))
    if not objects:
        return None
    hits = np.array([hit for _, hit in sorted(judged, reverse=True)], np.bool_)
    right = np.cumsum(hits)
    precision = right / np.arange(1, len(hits) + 1)
    precision = np.maximum.accumulate(precision[::-1])[::-1]
    recall = right / objects
    levels = np.searchsorted(recall, np.linspace(0, 1, 101), side="left")
    return float(np.mean([precision[i] if i < len(precision) else 0.0 for i in levels]))


def test_lvis_rules_are_those_of_the_federated_annotation() -> None:
    photos, results = lvis_photos()
    frequencies = {1: "r", 2: "c", 3: "c", 4: "f", 5: "f"}
    wanted = {c: lvis_ap(photos, results, c) for c in frequencies}
    assert None not in wanted.values()
    categories = [Category(id=c, frequency=f) for c, f in frequencies.items()]
    figures = average_precision(photos, METRIC_RULES["lvis"], categories)
    assert figures["AP"] == pytest.approx(np.mean(list(wanted.values())), abs=SAME)
    for kind in "rcf":
        members = [ap for c, ap in wanted.items() if frequencies[c] == kind]
        assert figures[f"AP{kind}"] == pytest.approx(np.mean(members), abs=SAME)
    assert average_precision(photos, METRIC_RULES["coco"])["AP"] != pytest.approx(figures["AP"], abs=0.01)


def test_lvis_takes_300_masks_of_a_photo_in_all_categories() -> None:
    right, wrong = square(0), square(1)
    instance = Instance(id=1, area=1600, is_crowd=False, category_id=1, segmentation=right.to_coco())
    image = CocoImage(path=Path("x"), id=1, height=HEIGHT, width=WIDTH, instances=(instance,))
    noise = DetectedMask(category_id=2, area=1600, score=0.9, counts=wrong.to_coco()["counts"])
    hit = DetectedMask(category_id=1, area=1600, score=0.1, counts=right.to_coco()["counts"])
    categories = [Category(id=1, frequency="f"), Category(id=2, frequency="f")]
    rules = METRIC_RULES["lvis"]
    assert average_precision([(image, [noise] * 299 + [hit])], rules, categories)["AP"] == pytest.approx(1)
    assert average_precision([(image, [noise] * 300 + [hit])], rules, categories)["AP"] == 0


def test_unknown_rules_list_those_that_exist() -> None:
    with pytest.raises(UnknownNameError, match="coco, lvis"):
        rules_named("voc")


def test_without_the_metric_the_error_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "faster_coco_eval.core.coco", None)
    instance = Instance(id=1, area=1, is_crowd=False, category_id=1, segmentation=square(0).to_coco())
    image = CocoImage(path=Path("x"), id=1, height=HEIGHT, width=WIDTH, instances=(instance,))
    with pytest.raises(RuntimeUnavailableError, match="pip install 'faster-coco-eval"):
        average_precision([(image, [])], METRIC_RULES["coco"])
