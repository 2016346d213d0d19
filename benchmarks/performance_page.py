"""docs/performance.md as text, from the figures of `benchmarks.performance`."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np

from benchmarks.record import machine

__all__ = ["page"]

HEAD = """\
# Speed

Written by `python -m benchmarks.performance BUNDLE PHOTOS… --count {count}`; the figures behind it are in
`benchmarks/results/performance.json`. `tinysam-nano` in fp32, one thread, processor seconds of one run on
{processor}; Core ML is our interpreter on Linux, whose seconds say nothing of a phone's. A phone's own come
from [the page in its browser](web.md) or [the apps](device_loop.md).

## Everything mode

{photos} photos, 32 x 32 points, hierarchical. Calls are those of `decode_batch`; agreement is fast against
exact on the same runtime, at IoU 0.75.

| runtime | exact, s | fast, s | ratio | calls exact | calls fast | precision | recall | mean IoU | objects |
|---|---:|---:|---:|---:|---:|---:|---:|---:|---:|
"""
PROMPT = """
## What a prompt costs

With masks (`decode_batch`) and without (`score_batch`), milliseconds per prompt in full batches, and the
scores of 256 points against those of PyTorch's `decode_batch`.

| runtime | with masks, ms | score, ms | ratio | largest error | Spearman |
|---|---:|---:|---:|---:|---:|
"""
GROWTH = """
## How it grows

On {of}. The exponent is the slope of log seconds over log size, by least squares over the last three sizes.

| what | sizes | seconds | exponent |
|---|---|---|---:|
"""
GROWS = {
    "points": "everything mode over the points of the grid, n²",
    "megapixels": "one mask over the megapixels of the photo",
    "prompts": "masks at full size over the number of prompts",
}


def page(result: Mapping[str, Any]) -> str:
    """Return the page."""
    return "".join(_parts(result))


def _parts(result: Mapping[str, Any]) -> Iterator[str]:
    yield HEAD.format(photos=result["photos"], count=result["photos"], processor=machine()["processor"])
    for name, figures in result["runtimes"].items():
        yield _everything_row(name, figures["everything"])
    yield PROMPT
    for name, figures in result["runtimes"].items():
        yield _prompt_row(name, figures["prompt"])
    yield GROWTH.format(of=result["of"])
    for name, seconds in result["growth"].items():
        yield _growth_row(name, seconds)


def _everything_row(name: str, found: Mapping[str, Any]) -> str:
    seconds, calls, same = found["seconds"], found["decoder_calls"], found["agreement"]
    ratio = seconds["fast"] / seconds["exact"]
    return (
        f"| {name} | {seconds['exact']:.2f} | {seconds['fast']:.2f} | {ratio:.2f} "
        f"| {calls['exact']:.0f} | {calls['fast']:.0f} | {same['precision']:.3f} | {same['recall']:.3f} "
        f"| {same['mean_iou']:.3f} | {same['objects']:.0f} |\n"
    )


def _prompt_row(name: str, found: Mapping[str, Any]) -> str:
    ratio = found["score_ms"] / found["decode_ms"]
    return (
        f"| {name} | {found['decode_ms']:.2f} | {found['score_ms']:.2f} | {ratio:.2f} "
        f"| {found['error']:.1e} | {found['spearman']:.5f} |\n"
    )


def _growth_row(name: str, seconds: Mapping[str, float]) -> str:
    sizes = np.array([float(size) for size in seconds])
    # The points of a grid grow with the square of its side.
    growing = sizes**2 if name == "points" else sizes
    slope = np.polyfit(np.log(growing[-3:]), np.log(list(seconds.values())[-3:]), 1)[0]
    listed = ", ".join(f"{size:g}²" if name == "points" else f"{size:g}" for size in sizes)
    times = ", ".join(f"{value:.2f}" for value in seconds.values())
    return f"| {GROWS[name]} | {listed} | {times} | {slope:.2f} |\n"
