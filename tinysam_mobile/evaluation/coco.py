"""Data sets of instances in COCO's JSON format, LVIS's included, whatever their size."""

from __future__ import annotations

import os.path
from pathlib import Path

from tinysam_mobile.errors import DatasetError
from tinysam_mobile.evaluation.annotation_index import read_categories, read_images
from tinysam_mobile.evaluation.instances import CocoDataset, CocoImage, Instance, decode_segmentation

__all__ = [
    "CocoDataset",
    "CocoImage",
    "Instance",
    "check_photos",
    "decode_segmentation",
    "read_annotations",
    "read_coco",
]

FREQUENCIES = ("r", "c", "f")


def read_coco(folder: Path, *, annotations: str = "instances.json", images: str = "images") -> CocoDataset:
    """Read `annotations` in `folder`, whose photos lie in the folder `images`; raises `DatasetError`."""
    photos = read_images(folder / annotations, folder / images)
    return CocoDataset(name=folder.name, images=photos, without_area=photos.without_area)


def read_annotations(file: Path, images: Path, *, federated: bool = False) -> CocoDataset:
    """Read an annotation `file` whose photos lie in the folder `images`; raises `DatasetError`.

    `federated` files (LVIS) also say how frequent each category is, which is checked.
    """
    categories = read_categories(file) if federated else ()
    if any(category.frequency not in FREQUENCIES for category in categories):
        raise DatasetError(
            f"{file}: its categories have no frequency r, c or f, so it is not LVIS's; use --dataset coco"
        )
    photos = read_images(file, images)
    return CocoDataset(name=file.stem, images=photos, categories=categories, without_area=photos.without_area)


def check_photos(dataset: CocoDataset) -> None:
    """Raise `DatasetError` if photos of `dataset` are missing, with their number and the first of them."""
    first, missing = None, 0
    for image in dataset.images:
        # os.path says no, where pathlib raises, of a name that is too long.
        if not os.path.isfile(image.path):  # noqa: PTH113
            first, missing = first or image.path, missing + 1
    if first:
        raise DatasetError(
            f"{dataset.name}: {missing} of {len(dataset.images)} photos are missing, the first is {first}; "
            "check the folder of the photos"
        )
