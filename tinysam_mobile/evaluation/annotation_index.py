"""Annotations on disk: a file in COCO's or LVIS's format, read once, and its photos looked up one by one."""

from __future__ import annotations

import json
import os.path
import sqlite3
from collections.abc import Iterator, Sequence
from pathlib import Path, PurePosixPath
from typing import Any, overload

from tinysam_mobile.errors import DatasetError
from tinysam_mobile.evaluation.instances import Category, CocoImage, Instance, decode_segmentation
from tinysam_mobile.evaluation.json_stream import scratch_database, stream_items
from tinysam_mobile.imaging.images import MAX_PIXELS

__all__ = ["IndexedImages", "photo_id", "read_categories", "read_images", "whole"]

TABLES = (
    "CREATE TABLE images (number INTEGER PRIMARY KEY, id UNIQUE, path, height, width, negative, partial)",
    "CREATE TABLE annotations (image_id, id, category_id, area, is_crowd, segmentation)",
)
MAX_SIDE_PX = 2**16
MAX_DIGITS = 18
"""Of an id; SQLite's integers have 64 bits."""
INDEX = "CREATE INDEX annotations_by_image ON annotations (image_id)"


class IndexedImages(Sequence[CocoImage]):
    """The photos of an annotation file, in its order; each is read from the index when it is asked for.

    A slice is another view of the same index.
    """

    def __init__(self, database: sqlite3.Connection, folder: Path, numbers: range) -> None:
        self._database = database
        self._folder = folder
        self._numbers = numbers

    def __len__(self) -> int:
        return len(self._numbers)

    @overload
    def __getitem__(self, index: int) -> CocoImage: ...
    @overload
    def __getitem__(self, index: slice) -> IndexedImages: ...
    def __getitem__(self, index: int | slice) -> CocoImage | IndexedImages:
        numbers = self._numbers[index]
        if isinstance(numbers, range):
            return IndexedImages(self._database, self._folder, numbers)
        row = self._database.execute("SELECT * FROM images WHERE number = ?", (numbers,)).fetchone()
        _, image_id, path, height, width, negative, partial = row
        return CocoImage(
            id=image_id,
            path=_existing(self._folder, path),
            height=height,
            width=width,
            instances=tuple(self._instances(image_id, (height, width))),
            negative_categories=tuple(json.loads(negative)),
            partial_categories=tuple(json.loads(partial)),
        )

    @property
    def without_area(self) -> int:
        """How many annotations of the whole file tell no area, so that the mask's is taken."""
        (count,) = self._database.execute("SELECT count(*) FROM annotations WHERE area IS NULL").fetchone()
        return int(count)

    def _instances(self, image_id: Any, size: tuple[int, int]) -> Iterator[Instance]:
        """Those of one photo of `size` (H, W); an area that the file does not tell is that of the mask."""
        rows = self._database.execute(
            "SELECT id, category_id, area, is_crowd, segmentation FROM annotations WHERE image_id = ? "
            "ORDER BY rowid",
            (image_id,),
        )
        for number, category, area, is_crowd, segmentation in rows:
            shape = json.loads(segmentation)
            yield Instance(
                id=number,
                category_id=category,
                area=area if area is not None else float(decode_segmentation(shape, *size).sum()),
                is_crowd=bool(is_crowd),
                segmentation=shape,
            )


def _existing(folder: Path, path: str) -> Path:
    """LVIS names the COCO folder as well (val2017/0001.jpg), which `folder` may be already."""
    full = folder / path
    inside = folder / PurePosixPath(path).name
    # os.path says no, where pathlib raises, of a name that is too long.
    return inside if not os.path.exists(full) and os.path.exists(inside) else full  # noqa: PTH110


def read_images(file: Path, folder: Path) -> IndexedImages:
    """Index the photos and annotations of `file`, whose photos lie in `folder`; raises `DatasetError`.

    Annotations of photos that the file does not list are left out, as in pycocotools.
    """
    database = scratch_database(*TABLES)
    database.execute("BEGIN")
    try:
        database.executemany(
            "INSERT INTO images VALUES (?, ?, ?, ?, ?, ?, ?)",
            (_image_row(i, entry) for i, entry in enumerate(stream_items(file, "images"))),
        )
        database.executemany(
            "INSERT INTO annotations VALUES (?, ?, ?, ?, ?, ?)",
            (_annotation_row(entry) for entry in stream_items(file, "annotations")),
        )
    except (LookupError, TypeError, ValueError, ArithmeticError, AttributeError, sqlite3.Error) as error:
        raise DatasetError(
            f"{file}: no instance annotations in COCO's format ({error!r}); check the file"
        ) from error
    database.execute("COMMIT")
    database.execute(INDEX)
    _check_matches(database, file)
    (count,) = database.execute("SELECT count(*) FROM images").fetchone()
    return IndexedImages(database, folder, range(count))


def _check_matches(database: sqlite3.Connection, file: Path) -> None:
    """Raise `DatasetError` if the file has annotations and none is of a photo that it lists."""
    (total,) = database.execute("SELECT count(*) FROM annotations").fetchone()
    matching = "SELECT 1 FROM annotations WHERE image_id IN (SELECT id FROM images) LIMIT 1"
    if total and database.execute(matching).fetchone() is None:
        raise DatasetError(
            f"{file}: none of its {total} annotations has the image_id of a photo in the file; check the ids"
        )


def _image_row(number: int, entry: Any) -> tuple[Any, ...]:
    height, width = _side(entry["height"]), _side(entry["width"])
    if height * width > MAX_PIXELS:
        raise ValueError(f"a photo of {width} x {height} pixels is more than can be read")
    return (
        number,
        photo_id(entry["id"]),
        _text(entry["file_name"]) if "file_name" in entry else _name_in_url(entry["coco_url"]),
        height,
        width,
        json.dumps([whole(number) for number in entry.get("neg_category_ids", [])]),
        json.dumps([whole(number) for number in entry.get("not_exhaustive_category_ids", [])]),
    )


def _text(value: Any) -> str:
    if not isinstance(value, str) or not value or "\0" in value:
        raise TypeError(f"a file name must be text, not {str(value)[:40]!r}")
    value.encode()  # raises a ValueError for a lone surrogate, which is in no file's name
    return value


def _side(value: Any) -> int:
    side = whole(value)
    if not 0 < side <= MAX_SIDE_PX:
        raise ValueError(f"height and width must be 1 to {MAX_SIDE_PX} pixels, not {side}")
    return side


def _name_in_url(url: Any) -> str:
    """LVIS has no file names, but …/val2017/000000397133.jpg."""
    url = _text(url)
    return "/".join(PurePosixPath(url).parts[-2:])


def _annotation_row(entry: Any) -> tuple[Any, ...]:
    area = entry.get("area")
    if area is not None and (type(area) not in (int, float) or not 0 <= area <= MAX_SIDE_PX**2):
        raise ValueError(f"annotation {entry['id']!r}: area must be a number of pixels, not {area!r}")
    is_crowd = entry.get("iscrowd", 0)
    if type(is_crowd) not in (int, float, bool) or is_crowd not in (0, 1):
        # pycocotools fails at int("no") and counts "0" as a crowd in one place and not in the other.
        raise ValueError(f"annotation {entry['id']!r}: iscrowd must be 0 or 1, not {str(is_crowd)[:40]!r}")
    return (
        photo_id(entry["image_id"]),
        whole(entry["id"]),
        whole(entry.get("category_id", 0)),
        float(area) if area else None,
        int(is_crowd),
        json.dumps(entry["segmentation"]),
    )


def whole(value: Any) -> int:
    """A number of COCO's, which some tools write as 1.0 or "1"; raises `ValueError` for anything else."""
    number = photo_id(value)
    if not isinstance(number, int):
        raise ValueError(f"{value!r} is no whole number")
    return number


def photo_id(value: Any) -> int | str:
    """The id of a photo, the same for 1, 1.0 and "1", so that files of different tools match.

    Raises `ValueError` for what is neither a whole number nor a text.
    """
    if isinstance(value, str):
        is_number = value.isascii() and value.isdigit() and len(value) <= MAX_DIGITS
        return int(value) if is_number else value
    if type(value) not in (int, float) or value != value // 1 or abs(value) >= 10**MAX_DIGITS:
        raise ValueError(f"an id must be a whole number or a text, not {str(value)[:40]}")
    return int(value)


def read_categories(file: Path) -> tuple[Category, ...]:
    """Return the file's categories; raises `DatasetError` if it has none or they are malformed."""
    try:
        return tuple(
            Category(id=whole(entry["id"]), frequency=entry.get("frequency"))
            for entry in stream_items(file, "categories")
        )
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise DatasetError(f"{file}: a category is malformed ({error!r}); check the file") from error
