"""A comparison as `report.json` (versioned), `junit.xml` for CI and `report.html` for people."""

from __future__ import annotations

import base64
import json
import os
import platform
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, is_dataclass
from importlib import metadata
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import numpy as np

from tinysam_mobile.bundle.manifest import TOOLS
from tinysam_mobile.parity.everything_section import EverythingCheck
from tinysam_mobile.parity.judge import PhotoJudgement
from tinysam_mobile.parity.report_page import render_page
from tinysam_mobile.parity.sides import SideResult
from tinysam_mobile.version import __version__

__all__ = ["REPORT_SCHEMA_VERSION", "ParityReport", "environment", "report_data", "write_report"]

REPORT_SCHEMA_VERSION = 1
SCHEMA_NAME = "tinysam-mobile parity report"


@dataclass(frozen=True, kw_only=True)
class ParityReport:
    """Everything that the three files say.

    `title` is what was compared, `reference` the float model's name and SHA-256, `settings` what the user
    chose.
    """

    title: str
    reference: Mapping[str, str | None]
    settings: Mapping[str, Any]
    environment: Mapping[str, Any]
    sides: tuple[SideResult, ...]

    @property
    def verdict(self) -> str:
        """FAILED if any side did, else NOT_RUN if any side was not run, else PASSED."""
        verdicts = [side.verdict for side in self.sides]
        return next((v for v in ("FAILED", "NOT_RUN") if v in verdicts), "PASSED")


def environment() -> dict[str, Any]:
    """What ran the comparison: machine, Python, and the versions of the tools that matter."""
    versions = {}
    for tool in TOOLS:
        try:
            versions[tool] = metadata.version(tool)
        except metadata.PackageNotFoundError:
            continue
    return {
        "tinysam_mobile": __version__,
        "python": platform.python_version(),
        "system": f"{platform.system()} {platform.machine()}",
        "cpus": os.cpu_count(),
        "tools": versions,
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
        "bounds": _plain(side.bounds),
        "details": _plain(side.details),
    }


def _photo_data(photo: PhotoJudgement) -> dict[str, Any]:
    return {
        "name": photo.name,
        "first_fault": photo.first_fault,
        "stages": [_plain(judgement) for judgement in photo.stages.values()],
        "prompts": [
            {**_plain(prompt), "argmax_agrees": prompt.argmax_agrees, "passed": prompt.passed}
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


def write_report(report: ParityReport, folder: Path) -> dict[str, Path]:
    """Write the three files into `folder`, each whole or not at all; returns their paths by name."""
    folder.mkdir(parents=True, exist_ok=True)
    data = report_data(report)
    texts = {
        "report.json": json.dumps(data, indent=1, ensure_ascii=False, allow_nan=False) + "\n",
        "junit.xml": _junit(report),
        "report.html": render_page(report, data, _images(report)),
    }
    paths = {}
    for name, text in texts.items():
        building = folder / f".{name}.building-{os.getpid()}"
        building.write_text(text, encoding="utf-8")
        paths[name] = building.replace(folder / name)
    return paths


def _images(report: ParityReport) -> list[dict[str, list[dict[str, str]]]]:
    """Per side, the pictures of masks and of everything mode as data URIs."""
    return [
        {
            "masks": [
                {key: _uri(getattr(picture, key)) for key in ("expected", "shown", "difference")}
                for picture in side.pictures
            ],
            "everything": [{"picture": _uri(check.picture)} for check in side.everything],
        }
        for side in report.sides
    ]


def _uri(jpeg: bytes) -> str:
    return "data:image/jpeg;base64," + base64.b64encode(jpeg).decode()


def _junit(report: ParityReport) -> str:
    """One suite per side, one test per stage and one for the masks end to end."""
    root = ElementTree.Element("testsuites", name="tinysam-mobile")
    for side in report.sides:
        suite = ElementTree.SubElement(root, "testsuite", name=side.name)
        for name, failure in _junit_cases(side):
            case = ElementTree.SubElement(suite, "testcase", name=name, classname=side.name)
            if side.not_run is not None:
                ElementTree.SubElement(case, "skipped", message=_xml_text(side.not_run))
            elif failure is not None:
                ElementTree.SubElement(case, "failure", message=_xml_text(failure))
        suite.set("tests", str(len(suite)))
        suite.set("failures", str(len(suite.findall("*/failure"))))
        suite.set("skipped", str(len(suite.findall("*/skipped"))))
    ElementTree.indent(root)
    return ElementTree.tostring(root, encoding="unicode", xml_declaration=True) + "\n"


def _junit_cases(side: SideResult) -> Sequence[tuple[str, str | None]]:
    if side.not_run is not None or side.error is not None:
        return [("run", side.error)]
    cases: list[tuple[str, str | None]] = []
    for stage, judged in side.stages.items():
        text = f"{judged.figure} {judged.value:.4g}, limit {judged.limit:.4g}: {side.answer}"
        cases.append((stage, None if judged.passed else text))
    bad = [(photo, prompt) for photo in side.photos for prompt in photo.prompts if not prompt.passed]
    listing = ", ".join(f"{photo.name} prompt {p.index}: mask IoU {p.mask_iou:.3f}" for photo, p in bad[:10])
    cases.append(("masks_end_to_end", f"{len(bad)} prompts: {listing}" if bad else None))
    cases += [(f"lint_{f.rule}", f.message) for f in side.lint_errors]
    for check in side.everything:
        text = f"{100 * check.unexplained:.1f} % of the objects are unexplained"
        cases.append((f"everything_{check.mode}_{check.photo}", None if check.passed else text))
    return cases


def _xml_text(text: str) -> str:
    """XML 1.0 has no way to write control characters."""
    return "".join(c if c.isprintable() or c in "\n\t" else "\N{REPLACEMENT CHARACTER}" for c in text)
