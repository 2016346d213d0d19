"""A comparison as `report.json` (versioned), `junit.xml` for CI and `report.html` for people."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from xml.etree import ElementTree

from tinysam_mobile.contract.foreign_text import xml_text
from tinysam_mobile.files import write_text
from tinysam_mobile.parity.report_data import ParityReport, report_data
from tinysam_mobile.parity.report_page import render_page
from tinysam_mobile.parity.sides import SideResult

__all__ = ["write_report"]


def write_report(report: ParityReport, folder: Path) -> dict[str, Path]:
    """Write the three files into `folder`, each whole or not at all; returns their paths by name."""
    folder.mkdir(parents=True, exist_ok=True)
    data = report_data(report)
    texts = {
        "report.json": json.dumps(data, indent=1, ensure_ascii=False, allow_nan=False) + "\n",
        "junit.xml": _junit(report),
        "report.html": render_page(report, data),
    }
    paths = {}
    for name, text in texts.items():
        paths[name] = folder / name
        write_text(paths[name], text)
    return paths


def _junit(report: ParityReport) -> str:
    """One suite per side, one test per stage and one for the masks end to end."""
    root = ElementTree.Element("testsuites", name="tinysam-mobile")
    for side in report.sides:
        suite = ElementTree.SubElement(root, "testsuite", name=xml_text(side.name))
        for name, failure in _junit_cases(side):
            case = ElementTree.SubElement(
                suite, "testcase", name=xml_text(name), classname=xml_text(side.name)
            )
            if side.not_run is not None:
                ElementTree.SubElement(case, "skipped", message=xml_text(side.not_run))
            elif failure is not None:
                ElementTree.SubElement(case, "failure", message=xml_text(failure))
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
