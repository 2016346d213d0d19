"""Predicted IoU without each prompt's image, against the network itself."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from tinysam_mobile.errors import UsageError
from tinysam_mobile.modeling.config import CONFIGS, TINY_TEST, TinySAMConfig
from tinysam_mobile.modeling.entry_points import contract_of
from tinysam_mobile.modeling.implicit_image import score_prompts
from tinysam_mobile.modeling.sam import TinySAM
from tinysam_mobile.modeling.stand_in import stand_in_model
from tinysam_mobile.segment.predictor import Predictor
from tinysam_mobile.segment.prompts import Prompt, make_prompt
from tinysam_mobile.simulator.registry import open_model

PROMPTS = 7
SCORES_ATOL = 2e-6
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


def test_scores_are_those_of_the_network(model: TinySAM, inputs: tuple[Tensor, Tensor, Tensor]) -> None:
    with torch.inference_mode():
        expected = model.decode(*inputs).iou
        scores = score_prompts(model, *inputs)
    assert expected.std() > 100 * SCORES_ATOL
    torch.testing.assert_close(scores, expected, rtol=0, atol=SCORES_ATOL)


def families() -> list[TinySAMConfig]:
    """A family for each kind of decoder, with one as small as that of `TINY_TEST`."""
    small = {"dim": 64, "num_heads": 4, "mlp_dim": 128, "iou_head_hidden_dim": 64}
    kinds = {replace(config.decoder, **small): config for config in CONFIGS.values()}
    return [replace(config, decoder=decoder) for decoder, config in kinds.items()]


@pytest.mark.parametrize("family", families(), ids=lambda family: family.name)
def test_scores_of_every_family(family: TinySAMConfig, inputs: tuple[Tensor, Tensor, Tensor]) -> None:
    torch.manual_seed(0)
    decoder = family.decoder
    model = TinySAM(replace(TINY_TEST, decoder=decoder, rules=family.rules)).eval()
    positions, dim = TINY_TEST.grid_size**2, decoder.dim
    skips = torch.randn(1, 16 * positions, dim // 8), torch.randn(1, 4 * positions, dim // 4)
    with torch.inference_mode():
        expected = model.decode(*inputs, skips=skips if decoder.skips else ()).iou
        scores = score_prompts(model, *inputs)
    assert expected.std() > 100 * SCORES_ATOL
    torch.testing.assert_close(scores, expected, rtol=0, atol=SCORES_ATOL)


def test_spare_slots_change_no_score(model: TinySAM, inputs: tuple[Tensor, Tensor, Tensor]) -> None:
    embeddings, coords, labels = inputs
    with torch.inference_mode():
        expected = score_prompts(model, embeddings, coords, labels)
        more = F.pad(labels, (0, 3), value=-2)
        scores = score_prompts(model, embeddings, F.pad(coords, (0, 0, 0, 3), value=1e6), more)
    torch.testing.assert_close(scores, expected, rtol=0, atol=SCORES_ATOL)


def test_the_entry_point_answers_as_decode_batch_does(model: TinySAM) -> None:
    backend = open_model(model, contract_of(model, slots=4, batch=4, score_batch=5))
    predictor = Predictor(backend)
    predictor.set_image(np.random.default_rng(1).integers(0, 256, (40, 50, 3), np.uint8))
    expected = np.array([low.scores for low in predictor.decode_many(prompts())])
    np.testing.assert_allclose(predictor.score_many(prompts()), expected, rtol=0, atol=SCORES_ATOL)
    assert predictor.score_many([]).shape == (0, 3)


def test_a_prompt_of_two_points_has_no_slots_there(model: TinySAM) -> None:
    predictor = Predictor(open_model(model, contract_of(model)))
    predictor.set_image(np.zeros((40, 50, 3), np.uint8))
    with pytest.raises(UsageError, match="slots"):
        predictor.score_many([make_prompt([(1, 1), (2, 2)], [1, 1])])


def prompts() -> list[Prompt]:
    rng = np.random.default_rng(5)
    points = [make_prompt([point], [1]) for point in rng.uniform(0, 40, (PROMPTS, 2))]
    return [*points, make_prompt(box=(3, 4, 30, 20))]
