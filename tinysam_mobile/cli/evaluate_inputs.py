"""What `tinysam-mobile evaluate` was asked to measure, before a model's own thresholds are known."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tinysam_mobile.cli.everything_options import given_settings
from tinysam_mobile.evaluation.data_choice import DataChoice
from tinysam_mobile.evaluation.detections import read_boxes
from tinysam_mobile.evaluation.models import ModelUnderTest
from tinysam_mobile.evaluation.photo import EvaluationPlan
from tinysam_mobile.evaluation.prompt_kinds import check_kinds, slots_of
from tinysam_mobile.files import file_sha256
from tinysam_mobile.segment.everything import EverythingConfig
from tinysam_mobile.version import __version__

__all__ = ["PlanChoice"]

MAX_SLOTS = 16


@dataclass(frozen=True, kw_only=True)
class PlanChoice:
    """What to measure, without the model's own thresholds of everything mode."""

    prompts: tuple[str, ...]
    seed: int
    boxes: Path | None
    everything: bool

    @property
    def slots(self) -> int:
        """Prompt slots that the prompts need; a box is always measured."""
        return max(map(slots_of, ("box", *self.prompts)))

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
            "annotations": file_sha256(data.file),
            "boxes": file_sha256(self.boxes) if self.boxes else None,
            "last": data.last,
            "plan": plan.to_json(),
        }
