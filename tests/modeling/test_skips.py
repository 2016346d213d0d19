"""Maps that skip from the encoder to the decoder: order, several images, and what is refused."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from tests.small_families import SMALL
from tinysam_mobile.errors import UsageError
from tinysam_mobile.modeling.encoders.skip_neck import child_order, grandchild_order
from tinysam_mobile.modeling.implicit_image import score_prompts
from tinysam_mobile.modeling.mask_decoder import raster_order
from tinysam_mobile.modeling.stand_in import stand_in_model

GRID = 3
SAME = 1e-4
"""Of logits of order 10: the image is written out in another order of sums."""


def test_grandchildren_are_in_the_decoder_s_order() -> None:
    """`raster_order` puts the decoder's masks in place, and so undoes this order."""
    picture = torch.randn(1, 4 * GRID, 4 * GRID, 2)
    ordered = grandchild_order(picture, GRID).transpose(1, 2)
    assert torch.equal(raster_order(ordered, GRID), picture.permute(0, 3, 1, 2))


def test_children_are_in_the_decoder_s_order() -> None:
    """Each cell's four children follow each other, row by row."""
    picture = torch.arange(4 * GRID**2, dtype=torch.float32).view(1, 2 * GRID, 2 * GRID, 1)
    side = 2 * GRID
    expected = [
        (2 * row + y) * side + 2 * column + x
        for row in range(GRID)
        for column in range(GRID)
        for y in (0, 1)
        for x in (0, 1)
    ]
    assert child_order(picture, GRID).flatten().tolist() == expected


def test_prompts_of_two_images_get_their_own_skips() -> None:
    model = stand_in_model(SMALL["small-sam2"])
    images = torch.from_numpy(np.random.RandomState(0).standard_normal((2, 3, 128, 128)).astype(np.float32))
    coords, labels = torch.tensor([[[40.0, 50.0]], [[80.0, 20.0]]]), torch.ones(2, 1, dtype=torch.int32)
    with torch.inference_mode():
        embedding, *skips = model.features(images)
        both = model.decode(embedding, coords, labels, skips=skips)
        for i in range(2):
            own = [part[i : i + 1] for part in (embedding, *skips)]
            alone = model.decode(own[0], coords[i : i + 1], labels[i : i + 1], skips=own[1:])
            torch.testing.assert_close(both.masks[i], alone.masks[0], rtol=SAME, atol=SAME)


def test_scores_need_no_skips() -> None:
    model = stand_in_model(SMALL["small-sam2"])
    coords, labels = torch.rand(5, 2, 2) * 128, torch.ones(5, 2, dtype=torch.int32)
    with torch.inference_mode():
        embedding, *skips = model.features(torch.randn(1, 3, 128, 128))
        expected = model.decode(embedding, coords, labels, skips=skips)
        # Skips only make masks: scores need the embedding alone.
        scores = score_prompts(model, embedding, coords, labels)
    torch.testing.assert_close(scores, expected.iou, rtol=SAME, atol=SAME)


def test_a_decoder_without_its_skips_is_refused() -> None:
    model = stand_in_model(SMALL["small-edgetam"])
    embedding = model.encode(torch.zeros(1, 3, 128, 128))
    with pytest.raises(UsageError, match="all that `features` returned"):
        model.decode(embedding, torch.zeros(1, 1, 2), torch.ones(1, 1, dtype=torch.int32))
