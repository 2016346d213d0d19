"""The data set that a user named: a folder, or an annotation file with the folder of its photos."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path

from tinysam_mobile.errors import DatasetError, UsageError
from tinysam_mobile.evaluation.average_precision import rules_named
from tinysam_mobile.evaluation.coco import CocoDataset, check_photos, read_annotations

__all__ = ["DataChoice"]


@dataclass(frozen=True, kw_only=True)
class DataChoice:
    """A folder with instances.json and images/, or an annotation file and the folder of its photos."""

    folder: Path | None
    annotations: Path | None
    images: Path | None
    rules: str
    last: int | None

    @property
    def file(self) -> Path:
        """The annotation file; raises `UsageError` unless exactly one form was used."""
        if (self.folder is None) == (self.annotations is None):
            raise UsageError(
                "name the data set once: DATASET (a folder with instances.json and images/), or "
                "--annotations FILE with --images FOLDER"
            )
        if self.folder is not None:
            return self.folder / "instances.json"
        assert self.annotations is not None
        if self.images is None:
            raise UsageError("--annotations needs --images, the folder of the photos")
        return self.annotations

    def read(self) -> CocoDataset:
        """Return the photos to measure; raises `DatasetError` for missing annotations or photos."""
        photos = self.images or self.file.parent / "images"
        data = read_annotations(self.file, photos, federated=rules_named(self.rules).federated)
        images = data.images if self.last is None else data.images[-self.last :]
        name = self.folder.name if self.folder else data.name
        if not images:
            raise DatasetError(f"{name}: has no images to measure on")
        data = replace(data, name=name, images=images)
        check_photos(data)
        return data
