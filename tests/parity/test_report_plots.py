"""Causes of bad prompts, the pictures that stand side by side, and the plots of the report."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from tests.small_model import cases, contract, reference
from tinysam_mobile.contract.backend import Arrays
from tinysam_mobile.parity.bounds import bounds_for
from tinysam_mobile.parity.judge import PhotoJudgement, PromptJudgement
from tinysam_mobile.parity.prompt_causes import CAUSES, cause_of
from tinysam_mobile.parity.record import record_photo
from tinysam_mobile.parity.report_pictures import small_mask
from tinysam_mobile.parity.report_plots import round_up, trade_offs
from tinysam_mobile.parity.side_by_side import SHOWN_ROWS, SideBySide, SideOfPhoto
from tinysam_mobile.parity.sides import SideResult
from tinysam_mobile.parity.stages import Stage
from tinysam_mobile.parity.timed_backend import TimedBackend

FINE = PromptJudgement(
    index=0,
    kind="point",
    mask_iou=0.999,
    boundary_iou=0.99,
    required_iou=0.98,
    required_boundary_iou=0.9,
    certain_iou=1.0,
    chosen=0,
    expected=0,
    score=0.9,
    expected_score=0.9,
    score_difference=0.0,
)


@pytest.mark.parametrize(
    ("changes", "cause"),
    [
        ({"mask_iou": 1.0}, None),
        ({}, "rounding"),
        ({"mask_iou": 0.5}, "together"),
        ({"mask_iou": float("nan")}, "together"),
        ({"chosen": 2, "mask_iou": 1.0}, "another_mask"),
        ({"required_iou": 0.6, "certain_iou": 0.6, "mask_iou": 0.7}, "uncertain_outline"),
        ({"fault": Stage.EMBEDDING, "chosen": 2, "mask_iou": 0.1}, "embedding"),
    ],
)
def test_the_cause_of_a_prompt(changes: dict[str, Any], cause: str | None) -> None:
    assert cause_of(replace(FINE, **changes)) == cause


def test_every_stage_of_a_prompt_is_a_cause_with_words() -> None:
    assert {*Stage} - {Stage.EVERYTHING} <= {*CAUSES}
    assert all(title and text.endswith(".") for title, text in CAUSES.values())


def side(size_bytes: int | None, iou: float, latency_ms: Mapping[str, float] | None = None) -> SideResult:
    photo = PhotoJudgement(name="a.png", stages={}, prompts=(replace(FINE, mask_iou=iou),))
    return SideResult(
        name="side",
        runtime="tflite",
        recipe="fp32",
        bounds=bounds_for("tflite", "fp32"),
        photos=(photo,),
        size_bytes=size_bytes,
        latency_ms=latency_ms or {},
    )


def test_marks_stand_where_size_and_iou_say() -> None:
    both = {"encode": 90.0, "decode": 10.0}
    plots = trade_offs([side(5_000_000, 0.96, both), side(None, 0.5), side(10_000_000, 1.0, {"encode": 1.0})])
    (size,) = plots
    assert (size.title, size.largest, size.lowest) == ("size, MB", 10.0, pytest.approx(0.95))
    # Half of 340 px across; 0.04 of 0.05 below the top of 200 px.
    assert [(mark["number"], mark["x"], mark["y"]) for mark in size.marks] == [(1, 170.0, 160.0), (3, 340, 0)]


def test_a_plot_needs_two_sides_and_a_figure_that_is_one() -> None:
    assert trade_offs([side(5_000_000, 0.9)]) == []
    assert trade_offs([side(5_000_000, 0.9), side(5_000_000, float("nan"))]) == []


@pytest.mark.parametrize(("value", "end"), [(0.0, 1.0), (9.9, 10), (10, 10), (10.1, 12), (1234, 1400)])
def test_axes_end_at_round_numbers(value: float, end: float) -> None:
    assert round_up(value) == pytest.approx(end)


def test_latency_is_the_median_without_the_first_call(monkeypatch: pytest.MonkeyPatch) -> None:
    clock = iter([0.0, 9.0, 10.0, 10.001, 20.0, 20.003, 30.0, 30.002])
    monkeypatch.setattr("tinysam_mobile.parity.timed_backend.time.perf_counter", lambda: next(clock))

    class Quick:
        contract = contract()

        def run(self, entry_point: str, inputs: Mapping[str, Any]) -> Arrays:
            return {entry_point: np.zeros(len(inputs))}

    timed = TimedBackend(Quick())
    answers = [timed.run("encode", {"image": np.zeros(1)}) for _ in range(4)]
    assert timed.latency_ms() == {"encode": pytest.approx(2.0)}
    assert "encode" in answers[0]


def test_side_by_side_keeps_the_photos_that_differ_most() -> None:
    case = cases()[0]
    expected = record_photo(reference(), case)
    masks = tuple(small_mask(expected, index) for index in range(len(case.prompts)))
    collected = SideBySide()
    order = [0.9, 0.2, 0.8, float("nan"), 0.7, 0.6, 0.95, 0.3]
    for iou in order:
        prompts = [replace(FINE, index=index) for index in range(len(case.prompts))]
        good = SideOfPhoto(prompts=tuple(prompts), masks=masks)
        prompts[2] = replace(prompts[2], mask_iou=iou)
        bad = SideOfPhoto(prompts=tuple(prompts), masks=masks)
        collected.add(case, expected, {"good": good, "bad": bad})
    assert [row.badness for row in collected.rows] == [-1.0, 0.2, 0.3, 0.6, 0.7, 0.8]
    assert len(collected.rows) == SHOWN_ROWS
    assert {row.index for row in collected.rows} == {2}
    row = collected.rows[0]
    assert row.expected == row.sides["good"].shown == row.sides["bad"].shown


def test_one_side_alone_stands_beside_none() -> None:
    case = cases()[0]
    collected = SideBySide()
    collected.add(case, record_photo(reference(), case), {})
    assert collected.rows == ()
