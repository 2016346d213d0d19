"""The one mask of SAM 2's decoder against the rule written out prompt by prompt, and in the whole decoder."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from tests.small_families import SMALL
from tinysam_mobile.converters.descriptions import TENSORS
from tinysam_mobile.converters.tflite_metadata import DIMENSIONS
from tinysam_mobile.modeling.entry_points import contract_of, entry_points
from tinysam_mobile.modeling.implicit_image import score_prompts
from tinysam_mobile.modeling.single_mask import StableOrBest
from tinysam_mobile.modeling.stand_in import stand_in_model

STEEPER = 3.0
SAM2 = SMALL["small-sam2"]


def by_hand(logits: NDArray[np.float32], iou: NDArray[np.float32]) -> int:
    """As the released code has it: stability of token 0, else the first of the best of the others."""
    around = int((logits > -0.05).sum())
    stability = int((logits > 0.05).sum()) / around if around else 1.0
    return 0 if stability >= 0.98 else 1 + int(np.argmax(iou[1:]))


def test_choice_prompt_by_prompt() -> None:
    rng = np.random.default_rng(0)
    steps = rng.choice([0.04, 0.06, 0.3, 2.0], (200, 1, 1))
    logits = (rng.normal(0, 1, (200, 1, 512)) * steps + rng.choice([-9, 0, 0.5, 9], (200, 1, 1))).astype("f4")
    iou = rng.choice(np.linspace(0, 1, 5), (200, 4)).astype(np.float32)
    chosen = StableOrBest()(torch.from_numpy(logits), torch.from_numpy(iou)).numpy()
    assert set(np.unique(chosen)) == {0.0, 1.0}
    expected = [by_hand(*pair) for pair in zip(logits, iou, strict=True)]
    assert set(expected) == {0, 1, 2, 3}
    np.testing.assert_array_equal(chosen.sum(1), 1)
    np.testing.assert_array_equal(chosen.argmax(1), expected)


@pytest.mark.parametrize(("inside", "is_stable"), [(97, False), (98, True)])
def test_threshold_and_empty_masks(inside: int, is_stable: bool) -> None:
    logits = torch.zeros(2, 1, 200) - 1
    logits[0, 0, :100] = 0.0
    logits[0, 0, :inside] = 1.0
    iou = torch.tensor([[0.1, 0.2, 0.9, 0.3]] * 2)
    chosen = StableOrBest()(logits, iou).argmax(1).tolist()
    # The second mask has no pixel, with either threshold.
    assert chosen == [0 if is_stable else 2, 0]


def test_decoder_gives_that_mask_and_scores_are_its_upper_bound() -> None:
    every = replace(SAM2, decoder=replace(SAM2.decoder, first_mask=0), rules=replace(SAM2.rules, num_masks=4))
    models = [stand_in_model(config) for config in (every, SAM2.with_single_mask())]
    with torch.no_grad():
        # Steeper edges, so that token 0 is stable for some of the prompts.
        for model in models:
            model.mask_decoder.output_hypernetworks_mlps[0].layers[-1].weight *= STEEPER
    contract = contract_of(models[1], slots=3, batch=8)
    rng = torch.Generator().manual_seed(2)
    embedding, *skips = (torch.randn(s.shape, generator=rng) for s in contract.encoder_outputs)
    coords = torch.rand(8, 3, 2, generator=rng) * 128
    labels = torch.tensor([[1, -1, -2], [2, 3, -1]] * 4, dtype=torch.int32)
    with torch.inference_mode():
        all_masks, one = (model.decode(embedding, coords, labels, skips=skips) for model in models)
        bound = score_prompts(models[1], embedding, coords, labels)
    logits, iou = all_masks.masks.numpy(), all_masks.iou.numpy()
    chosen = [by_hand(logits[i, :1], iou[i]) for i in range(8)]
    assert len(set(chosen)) > 1
    for i, token in enumerate(chosen):
        np.testing.assert_allclose(one.masks[i, 0], logits[i, token], atol=1e-5)
        np.testing.assert_allclose(one.iou[i], iou[i, token : token + 1], atol=1e-6)
    np.testing.assert_allclose(bound[:, 0], iou.max(1), atol=1e-5)


def test_object_score_is_an_output_of_the_decoders() -> None:
    contract = contract_of(stand_in_model(SAM2), slots=3, batch=2)
    names = {name: [spec.name for spec in s.outputs] for name, s in contract.signatures.items()}
    assert names["decode"] == names["decode_batch"] == ["low_res_masks", "iou_predictions", "object_scores"]
    assert names["score_batch"] == ["iou_predictions"]
    model = stand_in_model(SAM2)
    head, entry = model.mask_decoder.pred_obj_score_head, entry_points(model, contract)["decode_batch"]
    rng = torch.Generator().manual_seed(3)
    features = [torch.randn(s.shape, generator=rng) for s in contract.encoder_outputs]
    coords = torch.rand(2, 3, 2, generator=rng) * 128
    labels = torch.tensor([[1, -1, -2], [2, 3, -1]], dtype=torch.int32)
    with torch.inference_mode():
        out = model.decode(features[0], coords, labels, skips=features[1:])
        _, _, found = entry.module(*features, coords, labels)
    x = out.tokens[:, 0].clone()
    for i, layer in enumerate(head.layers):
        x = x @ layer.weight.T + layer.bias
        x = x.clamp(min=0) if i < 2 else x
    torch.testing.assert_close(found, 1 / (1 + torch.exp(-x)), atol=1e-6, rtol=0)


def test_mask_prompts_of_sam2_are_limited() -> None:
    encoder = stand_in_model(SAM2).prompt_encoder
    mask = torch.randn(1, 1, 32, 32, generator=torch.Generator().manual_seed(4)) * 40
    with torch.inference_mode():
        ours = encoder.embed_mask(mask, torch.ones(1))
        limited = encoder.embed_mask(mask.clamp(-32, 32), torch.ones(1))
        encoder.mask_limit = 0.0
        free = encoder.embed_mask(mask, torch.ones(1))
    torch.testing.assert_close(ours, limited, atol=0, rtol=0)
    assert not torch.allclose(ours, free)


@pytest.mark.parametrize("name", SMALL)
def test_every_tensor_of_a_family_has_a_description(name: str) -> None:
    """Artifacts carry one, and converters look it up after minutes of work."""
    signatures = contract_of(stand_in_model(SMALL[name])).signatures.values()
    used = {spec.name for signature in signatures for spec in (*signature.inputs, *signature.outputs)}
    assert used <= set(TENSORS)
    assert used <= set(DIMENSIONS)
