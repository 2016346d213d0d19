"""`report.html`: the report as one page that needs nothing else, laid out by `report.html.j2`."""

from __future__ import annotations

import base64
from collections import Counter
from collections.abc import Mapping
from typing import Any

from jinja2 import Environment, PackageLoader, StrictUndefined

from tinysam_mobile.parity.prompt_causes import CAUSES
from tinysam_mobile.parity.report_data import ParityReport
from tinysam_mobile.parity.report_plots import (
    KIND_COLOURS,
    SCATTER_HEIGHT,
    SCATTER_WIDTH,
    figure,
    scatter,
    trade_offs,
)
from tinysam_mobile.parity.sides import SideResult

__all__ = ["render_page"]

STAGE_TITLES = {
    "preprocessed_image": "preprocessed image",
    "embedding": "embedding",
    "packed_prompt": "packed prompt",
    "low_res_logits": "low-resolution logits",
    "predicted_iou": "predicted IoU",
    "batch_scores": "scores of score_batch",
    "chosen_mask": "chosen mask",
    "full_size_mask": "full-size mask",
    "everything": "everything mode",
}
FIGURE_TITLES = {
    "sqnr_db": "SQNR must be at least",
    "max_abs_difference": "max |Δ| must be at most",
    "wrong_logit": "a wrong pixel's logit, over the RMS, must be at most",
}


def render_page(report: ParityReport, data: Mapping[str, Any]) -> str:
    """Return the page; `data` is `report_data(report)`."""
    page = Environment(
        loader=PackageLoader("tinysam_mobile.parity", "templates"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    page.filters["figure"] = figure
    page.filters["jpeg"] = _jpeg
    return page.get_template("report.html.j2").render(
        report=report,
        data=data,
        sides=[_side(side, side_data) for side, side_data in zip(report.sides, data["sides"], strict=True)],
        causes=CAUSES,
        stage_titles=STAGE_TITLES,
        figure_titles=FIGURE_TITLES,
        kind_colours=KIND_COLOURS,
        scatter_size=(SCATTER_WIDTH, SCATTER_HEIGHT),
        trade_offs=trade_offs(report.sides),
    )


def _side(side: SideResult, data: Mapping[str, Any]) -> dict[str, Any]:
    """What the page shows of a side."""
    prompts = [prompt for photo in data["photos"] for prompt in photo["prompts"]]
    return {
        "result": side,
        "data": data,
        "scatter": scatter(data["photos"]),
        "prompts": prompts,
        "by_cause": Counter(prompt["cause"] for prompt in prompts),
    }


def _jpeg(picture: bytes) -> str:
    return "data:image/jpeg;base64," + base64.b64encode(picture).decode()
