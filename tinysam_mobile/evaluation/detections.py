"""A detector's boxes in COCO's results format, such as ViTDet's file of the official repository as it is."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tinysam_mobile.errors import DatasetError
from tinysam_mobile.evaluation.annotation_index import photo_id, whole
from tinysam_mobile.evaluation.instances import CocoDataset, CocoImage
from tinysam_mobile.evaluation.json_stream import scratch_database, stream_items

__all__ = ["DetectedBox", "DetectedBoxes", "check_matches", "read_boxes"]

TABLE = "CREATE TABLE boxes (image_id, category_id, x0, y0, x1, y1, score)"
INDEX = "CREATE INDEX boxes_by_image ON boxes (image_id)"
LARGEST = 1e9
"""Of a coordinate in pixels, or a score."""
Box = tuple[float, float, float, float]


@dataclass(frozen=True, kw_only=True)
class DetectedBox:
    """`box` x0, y0, x1, y1 in pixels of the photo, which may reach beyond it; `score` by the detector."""

    category_id: int
    box: Box
    score: float

    def inside(self, image: CocoImage) -> Box | None:
        """The part inside the photo; None if there is none."""
        x0, y0, x1, y1 = self.box
        clipped = max(x0, 0.0), max(y0, 0.0), min(x1, float(image.width)), min(y1, float(image.height))
        return clipped if clipped[0] < clipped[2] and clipped[1] < clipped[3] else None


class DetectedBoxes:
    """The boxes of a results file by photo; only those of one photo are ever in memory."""

    def __init__(self, database: sqlite3.Connection) -> None:
        self._database = database

    def of(self, image: CocoImage, *, limit: int | None = None) -> list[DetectedBox]:
        """The photo's boxes in the file's order, or the `limit` with the highest scores by falling score."""
        query = "SELECT category_id, x0, y0, x1, y1, score FROM boxes WHERE image_id = ? ORDER BY "
        query += "rowid" if limit is None else "score DESC, rowid LIMIT ?"
        arguments = (image.id,) if limit is None else (image.id, limit)
        return [
            DetectedBox(category_id=category, box=(x0, y0, x1, y1), score=score)
            for category, x0, y0, x1, y1, score in self._database.execute(query, arguments)
        ]


def check_matches(boxes: DetectedBoxes, dataset: CocoDataset) -> None:
    """Raise `DatasetError` if no box is of a photo of `dataset`, so that AP 0 is never a mistake in ids."""
    if not any(boxes.of(image, limit=1) for image in dataset.images):
        raise DatasetError(f"{dataset.name}: none of the boxes has the image_id of a photo; check the ids")


def read_boxes(file: Path) -> DetectedBoxes:
    """Read a list of objects with image_id, category_id, bbox [x, y, width, height] and score.

    Anything else in them, such as a segmentation, is left out.  Raises `DatasetError`.
    """
    database = scratch_database(TABLE)
    database.execute("BEGIN")
    try:
        database.executemany("INSERT INTO boxes VALUES (?, ?, ?, ?, ?, ?, ?)", _rows(file))
    except (LookupError, TypeError, ValueError, ArithmeticError, AttributeError, sqlite3.Error) as error:
        raise DatasetError(
            f"{file}: no detections in COCO's results format ({error!r}); it must be a list of objects with "
            "image_id, category_id, bbox [x, y, width, height] and score"
        ) from error
    database.execute("COMMIT")
    database.execute(INDEX)
    return DetectedBoxes(database)


def _finite(value: Any) -> float:
    if type(value) not in (int, float) or not abs(value) <= LARGEST:
        raise ValueError(f"{str(value)[:40]} is no finite number")
    return float(value)


def _rows(file: Path) -> Iterator[tuple[Any, ...]]:
    for entry in stream_items(file):
        x, y, width, height = (_finite(value) for value in entry["bbox"])
        if width < 0 or height < 0:
            raise ValueError(f"bbox {entry['bbox']} has a negative side")
        yield (
            photo_id(entry["image_id"]),
            whole(entry["category_id"]),
            x,
            y,
            x + width,
            y + height,
            _finite(entry["score"]),
        )
