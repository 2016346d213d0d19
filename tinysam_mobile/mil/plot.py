"""A line of figures as a small SVG picture, without a plotting library."""

from __future__ import annotations

import math
from collections.abc import Sequence
from html import escape

__all__ = ["line_plot"]

_WIDTH, _HEIGHT, _MARGIN = 900, 320, 45


def line_plot(
    values: Sequence[float], labels: Sequence[str], *, title: str, unit: str, bound: float | None = None
) -> str:
    """`values` in order, each with a label that shows when pointed at; a line at `bound`.

    Infinite values are drawn at the top, what is not a number at the bottom, in red.
    """
    finite = [v for v in values if math.isfinite(v)] + ([bound] if bound is not None else [])
    low, high = (min(finite), max(finite)) if finite else (0.0, 1.0)
    high = high if high > low else low + 1.0

    def place(index: int, value: float) -> tuple[float, float]:
        x = _MARGIN + (_WIDTH - 2 * _MARGIN) * index / max(1, len(values) - 1)
        share = 0.0 if math.isnan(value) else min(1.0, max(0.0, (value - low) / (high - low)))
        return x, _HEIGHT - _MARGIN - (_HEIGHT - 2 * _MARGIN) * share

    points = [place(i, v) for i, v in enumerate(values)]
    marks = [_mark(x, y, v, label) for (x, y), v, label in zip(points, values, labels, strict=True)]
    line = " ".join(f"{x:.1f},{y:.1f}" for x, y in points)
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {_WIDTH} {_HEIGHT}" font-family="sans-serif" '
        'font-size="12">',
        f'<rect width="{_WIDTH}" height="{_HEIGHT}" fill="white"/>',
        f'<text x="{_MARGIN}" y="20" font-size="14">{escape(title)}</text>',
        *(f'<text x="4" y="{place(0, v)[1] + 4:.1f}">{v:.3g} {escape(unit)}</text>' for v in (low, high)),
        f'<polyline points="{line}" fill="none" stroke="#27c"/>',
        *([_bound_line(place(0, bound)[1], bound, unit)] if bound is not None else []),
        *marks,
        "</svg>",
    ]
    return "\n".join(parts) + "\n"


def _mark(x: float, y: float, value: float, label: str) -> str:
    colour = "#27c" if not math.isnan(value) else "#d22"
    title = escape(f"{label}: {value:.4g}")
    return f'<circle cx="{x:.1f}" cy="{y:.1f}" r="3" fill="{colour}"><title>{title}</title></circle>'


def _bound_line(y: float, bound: float, unit: str) -> str:
    right = _WIDTH - _MARGIN
    return (
        f'<line x1="{_MARGIN}" x2="{right}" y1="{y:.1f}" y2="{y:.1f}" stroke="#d22" stroke-dasharray="4"/>'
        f'<text x="{right - 90}" y="{y - 4:.1f}" fill="#d22">{bound:.3g} {escape(unit)}</text>'
    )
