"""What `tinysam-mobile evaluate` was asked to measure: the data set, the plan, the models."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tinysam_mobile.cli.everything_options import given_settings
from tinysam_mobile.errors import DatasetError, UsageError
from tinysam_mobile.evaluation.average_precision import rules_named
from tinysam_mobile.evaluation.coco import CocoDataset, check_photos, read_annotations
from tinysam_mobile.evaluation.detections import read_boxes
from tinysam_mobile.evaluation.models import ModelUnderTest, bundle_models, checkpoint_model, is_bundle
from tinysam_mobile.evaluation.photo import EvaluationPlan
from tinysam_mobile.evaluation.prompt_kinds import check_kinds, slots_of
from tinysam_mobile.segment.everything import EverythingConfig
from tinysam_mobile.version import __version__

__all__ = ["DataChoice", "ModelChoice", "PlanChoice"]

HASH_CHUNK_BYTES = 2**20
MAX_SLOTS = 16


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
        if self.last is not None and self.last < 1:
            raise UsageError(f"--last must be at least 1, not {self.last}")
        images = data.images if self.last is None else data.images[-self.last :]
        name = self.folder.name if self.folder else data.name
        if not images:
            raise DatasetError(f"{name}: has no images to measure on")
        data = CocoDataset(name=name, images=images, categories=data.categories)
        check_photos(data)
        return data


@dataclass(frozen=True, kw_only=True)
class PlanChoice:
    """What to measure, without the model's own thresholds of everything mode."""

    prompts: tuple[str, ...]
    seed: int
    boxes: Path | None
    everything: bool

    def plan(self, rules: str, thresholds: Mapping[str, Any]) -> EvaluationPlan:
        """Return the plan for one model; raises `UsageError` and `DatasetError`."""
        check_kinds(self.prompts, slots=MAX_SLOTS)
        config = EverythingConfig(**{**thresholds, **given_settings()}) if self.everything else None
        boxes = read_boxes(self.boxes) if self.boxes else None
        return EvaluationPlan(
            prompts=self.prompts, seed=self.seed, rules=rules, boxes=boxes, everything=config
        )

    def describe(self, data: DataChoice, model: ModelUnderTest, plan: EvaluationPlan) -> dict[str, Any]:
        """Everything that decides the figures, for the name of the results' folder."""
        return {
            "version": __version__,
            "model": dict(model.fingerprint),
            "annotations": _sha256(data.file),
            "boxes": _sha256(self.boxes) if self.boxes else None,
            "last": data.last,
            "plan": plan.to_json(),
        }


def _sha256(file: Path) -> str:
    digest = hashlib.sha256()
    with file.open("rb") as stream:
        while chunk := stream.read(HASH_CHUNK_BYTES):
            digest.update(chunk)
    return digest.hexdigest()


@dataclass(frozen=True, kw_only=True)
class ModelChoice:
    """One model by the options of `segment`, or several by name."""

    checkpoint: str | None
    bundle: Path | None
    runtime: str | None
    recipe: str | None
    image_size: int | None
    threads: int | None

    def one(self, prompts: tuple[str, ...]) -> ModelUnderTest:
        """The model of --checkpoint, or of --bundle with --runtime; raises `UsageError` for a mixture."""
        if self.bundle is None:
            if self.runtime not in (None, "torch"):
                raise UsageError(
                    f"--runtime {self.runtime} runs a converted bundle: make one with "
                    "'tinysam-mobile convert' and pass --bundle"
                )
            return self._torch(self.checkpoint, prompts)
        if self.checkpoint is not None or self.runtime in (None, "torch"):
            raise UsageError("--bundle goes with --runtime tflite, executorch, coreml or coreml-native")
        (model,) = bundle_models(self.bundle, runtime=self.runtime, recipe=self.recipe, threads=self.threads)
        return model

    def named(self, sources: tuple[str, ...], prompts: tuple[str, ...]) -> list[ModelUnderTest]:
        """Checkpoints and bundles; a bundle stands for all its artifacts, or those that the options name."""
        if self.checkpoint or self.bundle:
            raise UsageError("--compare takes its models after DATASET, not by --checkpoint or --bundle")
        models = []
        for source in sources:
            if is_bundle(source):
                models += bundle_models(
                    Path(source), runtime=self.runtime, recipe=self.recipe, threads=self.threads
                )
            else:
                models.append(self._torch(source, prompts))
        return models

    def _torch(self, source: str | None, prompts: tuple[str, ...]) -> ModelUnderTest:
        slots = max(map(slots_of, ("box", *prompts)))
        return checkpoint_model(source, slots=slots, image_size=self.image_size, threads=self.threads)
