"""Judge the artifacts of a bundle on photos, against the float model: what `tinysam-mobile validate` does.

import tinysam_mobile as tsm

report = tsm.validate("bundle", "photos", out="validation")
report.verdict
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from tinysam_mobile.contract.steps import Steps
from tinysam_mobile.modeling.checkpoint import Checkpoint
from tinysam_mobile.parity.photo_set import PhotoSet
from tinysam_mobile.parity.report import write_report
from tinysam_mobile.parity.report_data import ParityReport, environment
from tinysam_mobile.parity.side_by_side import SideBySide, SideBySideRow
from tinysam_mobile.parity.sides import SideResult
from tinysam_mobile.parity.subject import Asked, open_subject
from tinysam_mobile.parity.validation import judge_sides
from tinysam_mobile.segment.everything import EverythingConfig
from tinysam_mobile.simulator.registry import open_model

__all__ = ["validate", "validate_photos"]

EVERYTHING_GRID = {"points_per_side": 16}
"""A quarter of the official grid, since both sides decode every point."""


def validate(
    bundle: str | Path,
    images: str | Path,
    *,
    checkpoint: str | None = None,
    runtimes: Sequence[str] = (),
    recipes: Sequence[str] = (),
    prompts: int = 20,
    seed: int = 0,
    max_photos: int | None = None,
    everything_photos: int = 1,
    threads: int | None = None,
    out: str | Path | None = None,
) -> ParityReport:
    """Run every artifact of `bundle` on the photos and compare each stage with PyTorch.

    `bundle` is the folder of one, or a JSON file about a model converted elsewhere; `images` is a folder of
    photos, or one.  `prompts` are drawn on each photo with `seed`; on `everything_photos` of them everything
    mode is compared too.  Empty `runtimes` and `recipes` stand for all.  The report is written to the folder
    `out`, if one is named.  Raises `UsageError`, `BundleError`,
    `CheckpointError` and `ImageError`; a side that fails is in the report.
    """
    photos = PhotoSet.find(Path(images), None, max_photos=max_photos, prompts=prompts, seed=seed)
    asked = Asked(checkpoint=checkpoint, runtimes=runtimes, recipes=recipes, threads=threads)
    report = validate_photos(Path(bundle), asked, photos, everything_photos=everything_photos)
    if out is not None:
        write_report(report, Path(out))
    return report


def validate_photos(
    path: Path,
    asked: Asked,
    photos: PhotoSet,
    *,
    everything_photos: int,
    everything: Mapping[str, Any] = EVERYTHING_GRID,
    progress: Callable[[str], None] = lambda _: None,
) -> ParityReport:
    """Judge what lies at `path` on `photos`; `everything` are settings of everything mode.

    Raises as `validate`; photos that could not be read are told in `photos.damaged`.
    """
    progress("loading the checkpoint")
    subject = open_subject(path, asked)
    side_by_side = SideBySide()
    results = judge_sides(
        open_model(subject.checkpoint.model, subject.contract, num_threads=asked.threads),
        subject.sides,
        photos.cases(subject.contract),
        everything=list(photos.cases(subject.contract, first=everything_photos)),
        everything_config=EverythingConfig(**{**subject.everything, **everything}),
        side_by_side=side_by_side,
        progress=Steps(progress, (len(photos.paths) + everything_photos) * (1 + len(subject.sides))),
    )
    return _report(path.name, subject.checkpoint, photos, results, side_by_side.rows)


def _report(
    title: str,
    checkpoint: Checkpoint,
    photos: PhotoSet,
    sides: Sequence[SideResult],
    side_by_side: tuple[SideBySideRow, ...],
) -> ParityReport:
    """Return what was compared with what, on which prompts, and how it ended."""
    return ParityReport(
        title=title,
        reference={"name": checkpoint.name, "sha256": checkpoint.sha256},
        settings={
            "photos": len(photos.paths) - len(photos.damaged),
            "photos_left_out": photos.damaged,
            "prompts_per_photo": photos.prompts,
            "own_prompts": sum(map(len, photos.own.values())),
            "seed": photos.seed,
        },
        environment=environment(),
        sides=tuple(sides),
        side_by_side=side_by_side,
    )
