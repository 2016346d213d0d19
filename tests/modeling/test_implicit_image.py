"""Predicted IoU and masks without each prompt's image, against the network itself."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import Tensor

from tests.segment.test_fast_mode import Discs
from tinysam_mobile.contract.backend import ScoringBackend
from tinysam_mobile.modeling.config import TINY_TEST
from tinysam_mobile.modeling.entry_points import contract_of
from tinysam_mobile.modeling.implicit_image import score_prompts
from tinysam_mobile.modeling.sam import TinySAM
from tinysam_mobile.modeling.stand_in import stand_in_model
from tinysam_mobile.segment.predictor import Predictor
from tinysam_mobile.segment.prompts import Prompt, make_prompt
from tinysam_mobile.simulator.registry import open_model

PROMPTS = 7
LOGITS_RTOL, SCORES_ATOL = 2e-5, 2e-6
"""Sums of up to a thousand float32 terms in another order: 2^-24 times √1000, of the largest."""


@pytest.fixture(scope="module")
def model() -> TinySAM:
    return stand_in_model(TINY_TEST).eval()


@pytest.fixture(scope="module")
def inputs() -> tuple[Tensor, Tensor, Tensor]:
    """Embeddings of a large mean, points, and labels with a spare slot and a negative point."""
    generator = torch.Generator().manual_seed(3)
    side = TINY_TEST.grid_size
    embeddings = torch.randn(1, TINY_TEST.decoder.dim, side, side, generator=generator) * 3 + 10
    coords = torch.rand(PROMPTS, 2, 2, generator=generator) * TINY_TEST.image_size
    labels = torch.tensor([[1, -2]] * 4 + [[1, 0], [2, 3], [0, -2]], dtype=torch.int32)
    return embeddings, coords, labels


def test_scores_and_masks_are_those_of_the_network(
    model: TinySAM, inputs: tuple[Tensor, Tensor, Tensor]
) -> None:
    with torch.inference_mode():
        expected = model.decode(*inputs)
        scored = score_prompts(model, *inputs)
        masks = scored.masks(model, torch.ones(PROMPTS, dtype=torch.bool))
    torch.testing.assert_close(scored.iou, expected.iou, rtol=0, atol=SCORES_ATOL)
    torch.testing.assert_close(
        masks, expected.masks, rtol=0, atol=LOGITS_RTOL * float(expected.masks.abs().max())
    )


def test_masks_of_chosen_prompts_only(model: TinySAM, inputs: tuple[Tensor, Tensor, Tensor]) -> None:
    chosen = torch.tensor([False, True, False, False, True, False, False])
    with torch.inference_mode():
        scored = score_prompts(model, *inputs)
        everyone = scored.masks(model, torch.ones_like(chosen))
        torch.testing.assert_close(scored.masks(model, chosen), everyone[chosen], rtol=1e-5, atol=1e-5)
        assert scored.masks(model, torch.zeros_like(chosen)).shape == (0, *everyone.shape[1:])


def prompts() -> list[Prompt]:
    rng = np.random.default_rng(5)
    return [make_prompt([point], [1]) for point in rng.uniform(0, 40, (PROMPTS, 2))]


def test_predictor_gives_masks_where_a_score_passes(model: TinySAM) -> None:
    backend = open_model(model, contract_of(model, slots=2, batch=4))
    assert isinstance(backend, ScoringBackend)
    predictor = Predictor(backend)
    predictor.set_image(np.random.default_rng(1).integers(0, 256, (40, 50, 3), np.uint8))
    expected = list(predictor.decode_many(prompts()))
    floor = float(np.median([low.scores.max() for low in expected]))
    got = list(predictor.decode_promising(prompts(), floor))
    assert len(got) == PROMPTS
    for ours, theirs in zip(got, expected, strict=True):
        np.testing.assert_allclose(ours.scores, theirs.scores, rtol=0, atol=SCORES_ATOL)
        if theirs.scores.max() > floor + SCORES_ATOL:
            bound = LOGITS_RTOL * np.abs(theirs.logits).max()
            np.testing.assert_allclose(ours.logits, theirs.logits, rtol=0, atol=bound)
        elif theirs.scores.max() < floor - SCORES_ATOL:
            assert ours.logits.shape == (0, *theirs.logits.shape[1:])


def test_any_other_backend_gives_all_masks() -> None:
    assert not isinstance(Discs(), ScoringBackend)
    predictor = Predictor(Discs())
    predictor.set_image(np.zeros((96, 120, 3), np.uint8))
    answers = list(predictor.decode_promising(prompts(), 2.0))
    assert all(low.logits.shape == (3, 32, 32) for low in answers)
