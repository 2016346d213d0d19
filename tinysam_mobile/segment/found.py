"""What segmenting a photo found, as objects that save and show themselves."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from tinysam_mobile.errors import UsageError
from tinysam_mobile.imaging.images import RGBImage
from tinysam_mobile.imaging.masks import RunLengths
from tinysam_mobile.imaging.pictures import draw_prompts, mask_image, overlay, overlay_labels
from tinysam_mobile.segment.everything import EverythingResult
from tinysam_mobile.segment.label_map import label_map
from tinysam_mobile.segment.output import coco_document, coco_polygons

__all__ = ["FoundMask", "FoundObjects"]

PICTURE_SUFFIXES = (".png", ".jpg", ".jpeg", ".webp")


@dataclass(frozen=True, kw_only=True)
class FoundMask:
    """One mask of a photo; a notebook shows it over the photo.

    `mask` bool (H, W) in pixels of the photo; `score` the IoU with the object that the model predicts;
    `photo` uint8 (H, W, 3); `points` (x, y, label) and `box` xyxy are the prompt.
    """

    mask: NDArray[np.bool_]
    score: float
    photo: RGBImage
    points: tuple[tuple[float, float, int], ...] = ()
    box: tuple[float, float, float, float] | None = None

    def picture(self) -> Image.Image:
        """The photo with the mask and the prompt drawn over it."""
        return draw_prompts(overlay(self.photo, self.mask), points=self.points, box=self.box)

    def polygons(self) -> list[list[float]]:
        """The mask's outlines as COCO writes them: x0, y0, x1, y1, … along the pixels' edges."""
        return coco_polygons(self.mask)

    def rle(self) -> dict[str, Any]:
        """The mask as COCO's compressed run lengths, which pycocotools reads."""
        return RunLengths.encode(self.mask).to_coco()

    def save(self, path: str | Path) -> Path:
        """Write the mask as a picture (255 inside, 0 outside), or as COCO's run lengths if `path` is .json.

        Raises `UsageError` for another suffix.
        """
        target = Path(path)
        if target.suffix.lower() == ".json":
            target.write_text(json.dumps(self.rle()), encoding="utf-8")
        else:
            mask_image(self.mask).save(_picture_path(target))
        return target

    def _repr_png_(self) -> bytes:
        return _png(self.picture())

    def __repr__(self) -> str:
        height, width = self.mask.shape
        share = 100 * self.mask.mean()
        return f"FoundMask({width}x{height}, {share:.1f} % of the photo, predicted IoU {self.score:.3f})"


@dataclass(frozen=True, kw_only=True)
class FoundObjects:
    """Every object of a photo, by falling score; a notebook shows them in colours."""

    photo: RGBImage
    result: EverythingResult

    def __len__(self) -> int:
        return len(self.result.objects)

    def __getitem__(self, index: int) -> FoundMask:
        found = self.result.objects[index]
        return FoundMask(
            mask=found.runs.decode(), score=found.score, photo=self.photo, points=((*found.point, 1),)
        )

    def __iter__(self) -> Iterator[FoundMask]:
        return (self[index] for index in range(len(self)))

    def labels(self) -> NDArray[np.uint16]:
        """u16 (H, W): the number of the smallest object over each pixel, counted from 1, 0 where is none."""
        return label_map(self.result.objects, self._size)

    def picture(self) -> Image.Image:
        """The photo with a colour for each object."""
        return overlay_labels(self.photo, self.labels())

    def coco(self, file_name: str = "photo", *, polygons: bool = False) -> dict[str, Any]:
        """The objects as a COCO document: run lengths, or outlines with `polygons`."""
        return coco_document(self.result.objects, file_name, self._size, polygons=polygons)

    def save(self, path: str | Path) -> Path:
        """Write the coloured picture, or the COCO document if `path` is .json; raises `UsageError`."""
        target = Path(path)
        if target.suffix.lower() == ".json":
            target.write_text(json.dumps(self.coco(target.stem)), encoding="utf-8")
        else:
            self.picture().save(_picture_path(target))
        return target

    @property
    def _size(self) -> tuple[int, int]:
        return self.photo.shape[0], self.photo.shape[1]

    def _repr_png_(self) -> bytes:
        return _png(self.picture())

    def __repr__(self) -> str:
        height, width = self._size
        return f"FoundObjects({len(self)} objects, {width}x{height})"


def _picture_path(path: Path) -> Path:
    if path.suffix.lower() not in PICTURE_SUFFIXES:
        known = ", ".join((*PICTURE_SUFFIXES, ".json"))
        raise UsageError(f"{path}: no format is known by this suffix; end the name in one of {known}")
    return path


def _png(picture: Image.Image) -> bytes:
    buffer = BytesIO()
    picture.save(buffer, "PNG")
    return buffer.getvalue()
