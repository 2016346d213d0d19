"""Close-ups of masks: what the loss sees is what someone who enlarges the mask gets."""

from __future__ import annotations

import numpy as np
import pytest
import torch
import torch.nn.functional as F

from tinysam_mobile.distill.windows import WINDOW_SIDE, places_of, see_through, windows_of

SIDE = 256


def disc(centre: tuple[float, float], radius: float) -> np.ndarray:
    y, x = np.mgrid[:SIDE, :SIDE] + 0.5
    return np.hypot(x - centre[0], y - centre[1]) < radius


@pytest.mark.parametrize(("centre", "radius"), [((100, 60), 7), ((128, 128), 40), ((250, 4), 12)])
def test_what_is_seen_is_the_enlarged_mask(centre: tuple[float, float], radius: float) -> None:
    masks = disc(centre, radius)[None]
    logits = F.avg_pool2d(torch.from_numpy(masks).float(), 4).unsqueeze(0) - 0.5
    windows = windows_of(masks)
    seen, truth = see_through(windows, logits)
    enlarged = F.interpolate(logits, (SIDE, SIDE), mode="bilinear")[0, 0]
    # Independent of grid_sample: the pixel that a place lies in, by its index.
    inside = (places_of(windows)[0].abs() < 1).all(-1)
    places = ((places_of(windows)[0][inside] + 1) / 2 * SIDE).long()
    differs = (truth[0, 0][inside] > 0.5) != torch.from_numpy(masks[0])[places[:, 1], places[:, 0]]
    assert differs.float().mean() < 0.01  # Places on the border of two pixels, where float32 decides.
    # Both interpolate between centres 4 pixels apart; places are at most half a pixel from a pixel's
    # centre, and the logits change by at most 1 over the 4 pixels between two centres, in each direction.
    nearest = enlarged[places[:, 1], places[:, 0]]
    assert (seen[0, 0][inside] - nearest).abs().max() <= 2 * 0.5 / 4


def test_a_shift_that_the_grid_does_not_show_is_seen() -> None:
    """Two objects whose low-resolution masks agree once thresholded differ in the window."""
    one, other = (disc((100 + shift, 60), 7)[None] for shift in (0, 1.5))
    logits = F.avg_pool2d(torch.from_numpy(one).float(), 4).unsqueeze(0) - 0.5
    seen, truth = see_through(windows_of(one), logits)
    elsewhere, truth_there = see_through(windows_of(other), logits)

    def error(got: torch.Tensor, wanted: torch.Tensor) -> float:
        return float(((got > 0) != (wanted > 0.5)).float().mean())

    assert truth.shape == (1, 1, WINDOW_SIDE, WINDOW_SIDE)
    assert error(seen, truth) < error(elsewhere, truth_there) / 2
