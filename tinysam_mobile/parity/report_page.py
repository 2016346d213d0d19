"""`report.html`: the report as one page that needs nothing else, laid out by `report.html.j2`."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from jinja2 import Environment, PackageLoader, StrictUndefined

from tinysam_mobile.parity.report_data import ParityReport
from tinysam_mobile.parity.stages import PROMPT_KINDS

__all__ = ["render_page", "scatter"]

SCATTER_WIDTH = 340
SCATTER_HEIGHT = 200
KIND_COLOURS = dict(
    zip(
        PROMPT_KINDS,
        ("#1f77b4", "#17becf", "#d62728", "#2ca02c", "#8c9c00", "#9467bd", "#7f7f7f", "#ff7f0e", "#e377c2"),
        strict=True,
    )
)
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


def render_page(report: ParityReport, data: Mapping[str, Any], images: Sequence[Mapping[str, Any]]) -> str:
    """Return the page; `data` is `report_data(report)`, `images` the pictures of each side as data URIs."""
    page = Environment(
        loader=PackageLoader("tinysam_mobile.parity", "templates"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    page.filters["figure"] = figure
    return page.get_template("report.html.j2").render(
        report=report,
        data=data,
        sides=[
            {
                "result": side,
                "data": side_data,
                "images": side_images,
                "scatter": scatter(side_data["photos"]),
                "prompts": [prompt for photo in side_data["photos"] for prompt in photo["prompts"]],
            }
            for side, side_data, side_images in zip(report.sides, data["sides"], images, strict=True)
        ],
        stage_titles=STAGE_TITLES,
        figure_titles=FIGURE_TITLES,
        kind_colours=KIND_COLOURS,
        scatter_size=(SCATTER_WIDTH, SCATTER_HEIGHT),
    )


def figure(value: float | None) -> str:
    """A number for a table; equal arrays have an infinite SQNR, which JSON holds as null."""
    if value is None:
        return "–"
    if value == float("inf"):
        return "∞"
    return f"{value:.1f}" if abs(value) >= 10 else f"{value:.4g}"


def scatter(photos: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """Return one mark per prompt: pixel x by the float model's predicted IoU, pixel y by the mask IoU.

    Both axes go from 0 to 1 and hold values outside at their ends.
    """
    return [
        {
            "x": round(SCATTER_WIDTH * _share(prompt["expected_score"]), 1),
            "y": round(SCATTER_HEIGHT * (1 - _share(prompt["mask_iou"])), 1),
            "colour": KIND_COLOURS[prompt["kind"]],
            "agrees": prompt["argmax_agrees"],
            "title": f"{photo['name']}, prompt {prompt['index']} ({prompt['kind']}): "
            f"mask IoU {figure(prompt['mask_iou'])}",
        }
        for photo in photos
        for prompt in photo["prompts"]
    ]


def _share(value: float | None) -> float:
    return min(max(value or 0.0, 0.0), 1.0)
