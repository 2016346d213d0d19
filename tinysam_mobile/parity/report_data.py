"""What a comparison found, as one record and as the plain data of `report.json`."""

from __future__ import annotations

import os
import platform
from collections.abc import Mapping
from dataclasses import asdict, dataclass, is_dataclass
from html import escape
from typing import Any

import numpy as np

from tinysam_mobile.artifacts.formats import tool_versions
from tinysam_mobile.contract.verdict import Verdict
from tinysam_mobile.parity.everything_section import EverythingCheck
from tinysam_mobile.parity.judge import PhotoJudgement
from tinysam_mobile.parity.prompt_causes import cause_of
from tinysam_mobile.parity.side_by_side import SideBySideRow
from tinysam_mobile.parity.sides import SideResult
from tinysam_mobile.version import __version__

__all__ = ["ParityReport", "environment", "report_data"]

REPORT_SCHEMA_VERSION = 1
SCHEMA_NAME = "tinysam-mobile parity report"


@dataclass(frozen=True, kw_only=True)
class ParityReport:
    """Everything that the three files say.

    `title` is what was compared, `reference` the float model's name and SHA-256, `settings` what the user
    chose.  `side_by_side` are pictures of the prompts on which the sides differ most.
    """

    title: str
    reference: Mapping[str, str | None]
    settings: Mapping[str, Any]
    environment: Mapping[str, Any]
    sides: tuple[SideResult, ...]
    side_by_side: tuple[SideBySideRow, ...] = ()

    @property
    def verdict(self) -> Verdict:
        """FAILED if any side did, else NOT_RUN if any side was not run, else PASSED."""
        return Verdict.worst(side.verdict for side in self.sides)

    def _repr_html_(self) -> str:
        rows = "".join(
            f"<tr><td>{escape(side.name)}</td><td>{side.verdict}</td><td>{escape(side.answer)}</td></tr>"
            for side in self.sides
        )
        headers = "<th>runtime and recipe</th><th>verdict</th><th>what was found</th>"
        return f"<table><tr>{headers}</tr>{rows}</table>"


def environment() -> dict[str, Any]:
    """What ran the comparison: machine, Python, and the versions of the tools that matter."""
    return {
        "tinysam_mobile": __version__,
        "python": platform.python_version(),
        "system": f"{platform.system()} {platform.machine()}",
        "cpus": os.cpu_count(),
        "tools": tool_versions(),
    }


def report_data(report: ParityReport) -> dict[str, Any]:
    """Return `report.json` as plain data; infinities and NaN are null, pictures are left out."""
    return {
        "schema": SCHEMA_NAME,
        "schema_version": REPORT_SCHEMA_VERSION,
        "verdict": report.verdict,
        "title": report.title,
        "reference": dict(report.reference),
        "settings": _plain(report.settings),
        "environment": _plain(report.environment),
        "sides": [_side_data(side) for side in report.sides],
    }


def _side_data(side: SideResult) -> dict[str, Any]:
    return {
        "name": side.name,
        "runtime": side.runtime,
        "recipe": side.recipe,
        "verdict": side.verdict,
        "answer": side.answer,
        "not_run": side.not_run,
        "error": side.error,
        "first_fault": side.first_fault,
        "explanation": _plain(side.explanation),
        "stages": [_plain(judgement) for judgement in side.stages.values()],
        "photos": [_photo_data(photo) for photo in side.photos],
        "everything": [_everything_data(check) for check in side.everything],
        "lint": [_plain(finding) for finding in side.lint],
        "size_bytes": side.size_bytes,
        "latency_ms": _plain(side.latency_ms),
        "bounds": _plain(side.bounds),
        "details": _plain(side.details),
    }


def _photo_data(photo: PhotoJudgement) -> dict[str, Any]:
    return {
        "name": photo.name,
        "first_fault": photo.first_fault,
        "stages": [_plain(judgement) for judgement in photo.stages.values()],
        "prompts": [
            {
                **_plain(prompt),
                "argmax_agrees": prompt.argmax_agrees,
                "passed": prompt.passed,
                "cause": cause_of(prompt),
            }
            for prompt in photo.prompts
        ],
    }


def _everything_data(check: EverythingCheck) -> dict[str, Any]:
    return {
        "photo": check.photo,
        "mode": check.mode,
        "passed": check.passed,
        "unexplained": check.unexplained,
        "limit": check.limit,
        **_plain(check.parity.to_dict()),
    }


def _plain(value: Any) -> Any:
    if is_dataclass(value) and not isinstance(value, type):
        return _plain(asdict(value))
    if isinstance(value, Mapping):
        return {str(key): _plain(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(item) for item in value]
    if isinstance(value, float | np.floating):
        return float(value) if np.isfinite(value) else None
    return value
