"""Gather the judgements of one side (an artifact on the host, a device) over photos into one verdict."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np

from tinysam_mobile.contract.backend import Backend
from tinysam_mobile.contract.verdict import Verdict
from tinysam_mobile.parity.bounds import Bounds
from tinysam_mobile.parity.diagnose import Explanation, diagnose, situation_of
from tinysam_mobile.parity.everything_section import EverythingCheck
from tinysam_mobile.parity.judge import (
    PhotoJudgement,
    PromptJudgement,
    StageJudgement,
    judge_photo,
    margin,
)
from tinysam_mobile.parity.lint import Finding, Severity
from tinysam_mobile.parity.prompt_causes import CAUSES, cause_of
from tinysam_mobile.parity.report_pictures import MaskPictures, badness, mask_pictures, small_mask
from tinysam_mobile.parity.stages import PhotoCase, Recording, Stage

__all__ = ["SideJudge", "SideResult"]

DIAGNOSED_PHOTOS = 3
"""Photos on which a cause is looked for: it must explain all of them."""
SHOWN_PER_CAUSE = 3
"""Prompts that are drawn in the report for each cause, the worst of as many photos as there are."""


@dataclass(frozen=True, kw_only=True)
class SideResult:
    """All that is known of one side.

    `not_run` says why it was not run, `error` why it broke off; `details` are the artifacts' hashes or the
    device's own words.  `explanation` is None also for a failure with no known cause.  `gallery` has the
    worst prompts by cause (`prompt_causes.CAUSES`), `size_bytes` is that of the artifacts, `latency_ms` the
    median of a call by entry point, as it was in this run.
    """

    name: str
    runtime: str
    recipe: str
    bounds: Bounds
    not_run: str | None = None
    error: str | None = None
    photos: tuple[PhotoJudgement, ...] = ()
    explanation: Explanation | None = None
    everything: tuple[EverythingCheck, ...] = ()
    lint: tuple[Finding, ...] = ()
    gallery: Mapping[str, tuple[MaskPictures, ...]] = field(default_factory=dict)
    size_bytes: int | None = None
    latency_ms: Mapping[str, float] = field(default_factory=dict)
    details: Mapping[str, Any] = field(default_factory=dict)

    @property
    def verdict(self) -> Verdict:
        """NOT_RUN where the runtime is missing, FAILED for an error, a stage or a lint error."""
        if self.not_run is not None:
            return Verdict.NOT_RUN
        wrong = self.error is not None or self.first_fault is not None or self.lint_errors
        return Verdict.FAILED if wrong else Verdict.PASSED

    @property
    def lint_errors(self) -> list[Finding]:
        """Findings of the lint that make an artifact useless, however well it runs here."""
        return [finding for finding in self.lint if finding.severity is Severity.ERROR]

    @property
    def first_fault(self) -> Stage | None:
        """The earliest stage that leaves its bound on any photo."""
        faults = {photo.first_fault for photo in self.photos} - {None}
        if not all(check.passed for check in self.everything):
            faults.add(Stage.EVERYTHING)
        return next((stage for stage in Stage if stage in faults), None)

    @property
    def mean_mask_iou(self) -> float | None:
        """Mean over all prompts; None if there is none, or if a figure is NaN."""
        ious = [prompt.mask_iou for photo in self.photos for prompt in photo.prompts]
        mean = sum(ious) / len(ious) if ious else np.nan
        return None if np.isnan(mean) else float(mean)

    @property
    def stages(self) -> dict[Stage, StageJudgement]:
        """Every recorded stage as it was on its worst photo."""
        found = {stage: [p.stages[stage] for p in self.photos if stage in p.stages] for stage in Stage}
        return {stage: min(judged, key=margin) for stage, judged in found.items() if judged}

    @property
    def answer(self) -> str:
        """One sentence for people: the verdict with the stage and the cause."""
        if self.not_run is not None:
            return f"{Verdict.NOT_RUN}: {self.not_run}"
        if self.error is not None:
            return f"{Verdict.FAILED}: {self.error}"
        if self.first_fault is None:
            wrong = self.lint_errors
            return f"{Verdict.FAILED}: {wrong[0].message}" if wrong else str(Verdict.PASSED)
        cause = f"{self.explanation.cause} ({self.explanation.how})" if self.explanation else "no known cause"
        return f"{Verdict.FAILED} at {self.first_fault}: {cause}"


class SideJudge:
    """Takes a side's recordings one photo at a time, so that no more than a few are in memory."""

    def __init__(self, reference: Backend, side: SideResult) -> None:
        """`side` has the name, the bounds and what else is known beforehand."""
        self._reference = reference
        self._side = side
        self._photos: list[PhotoJudgement] = []
        self._gallery: dict[str, list[MaskPictures]] = {}
        self._failed: dict[Stage, list[tuple[PhotoCase, Recording, Recording]]] = {}

    def add(self, case: PhotoCase, expected: Recording, recording: Recording) -> PhotoJudgement:
        """Judge one photo; `expected` is the float model's recording of `case`.  Raises `InputError`."""
        judgement = judge_photo(self._reference, case, expected, recording, self._side.bounds)
        self._photos.append(judgement)
        self._draw_worst(case, expected, recording, judgement)
        if judgement.first_fault is not None:
            kept = self._failed.setdefault(judgement.first_fault, [])
            kept.append((case, expected, recording))
            # A square photo looks the same after several mistakes, so it is the last to be asked.
            kept.sort(key=lambda item: item[0].pixels.shape[0] == item[0].pixels.shape[1])
            del kept[DIAGNOSED_PHOTOS:]
        return judgement

    def _draw_worst(
        self, case: PhotoCase, expected: Recording, recording: Recording, judgement: PhotoJudgement
    ) -> None:
        """Draw the photo's worst prompt of each cause, if it is among the worst of all photos."""
        worst: dict[str, PromptJudgement] = {}
        for prompt in sorted(judgement.prompts, key=badness):
            if (cause := cause_of(prompt)) is not None:
                worst.setdefault(cause, prompt)
        for cause, prompt in worst.items():
            shown = self._gallery.setdefault(cause, [])
            if len(shown) < SHOWN_PER_CAUSE or badness(prompt) < badness(shown[-1].prompt):
                shown.append(mask_pictures(case, expected, small_mask(recording, prompt.index), prompt))
                shown.sort(key=lambda pictures: badness(pictures.prompt))
                del shown[SHOWN_PER_CAUSE:]

    def result(
        self,
        *,
        everything: Sequence[EverythingCheck] = (),
        error: str | None = None,
        latency_ms: Mapping[str, float] | None = None,
    ) -> SideResult:
        """Return the side with the judgements so far; looks for a cause if a stage failed."""
        side = replace(
            self._side,
            photos=tuple(self._photos),
            gallery={cause: tuple(self._gallery[cause]) for cause in CAUSES if cause in self._gallery},
            latency_ms=latency_ms or self._side.latency_ms,
            everything=tuple(everything),
            error=error,
        )
        if side.first_fault not in self._failed:
            return side
        return replace(side, explanation=self._explain(side.first_fault))

    def _explain(self, stage: Stage) -> Explanation | None:
        situations = [situation_of(self._reference, *item) for item in self._failed[stage]]
        recording = self._failed[stage][0][2]
        recorded = {*recording.photo, *(s for prompt in recording.prompts for s in prompt)}
        with np.errstate(over="ignore", invalid="ignore"):
            return diagnose(stage, situations, self._side.bounds, recorded)
