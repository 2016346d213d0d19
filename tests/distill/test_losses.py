"""Losses, hard prompts and schedule against their formulas written out in numpy."""

from __future__ import annotations

import numpy as np
import pytest
import scipy.ndimage
import torch

from tinysam_mobile.contract.spec import Label
from tinysam_mobile.distill.config import OptimiserSettings
from tinysam_mobile.distill.losses import (
    dice_loss,
    focal_loss,
    hard_mask_weight,
    mask_iou,
    mask_losses,
    rank_loss,
)
from tinysam_mobile.distill.prompts import Prompts, PromptSettings, add_error_points, sample_prompts
from tinysam_mobile.distill.train import learning_rate

F32_SUM_OF_64 = 1e-5
"""Relative error of a float32 mean of 64 values of order 1, with room for exp and log."""


def test_focal_loss_is_the_papers_formula() -> None:
    rng = np.random.default_rng(0)
    logits, truth = rng.normal(0, 3, (2, 8, 8)), rng.integers(0, 2, (2, 8, 8))
    p = 1 / (1 + np.exp(-logits))
    p_t, alpha_t = np.where(truth, p, 1 - p), np.where(truth, 0.25, 0.75)
    wanted = (-alpha_t * (1 - p_t) ** 2 * np.log(p_t)).mean((1, 2))
    got = focal_loss(torch.from_numpy(logits).float(), torch.from_numpy(truth).float())
    np.testing.assert_allclose(got.numpy(), wanted, rtol=F32_SUM_OF_64)


def test_dice_loss_is_near_0_for_the_truth_and_near_1_for_its_complement() -> None:
    truth = torch.zeros(1, 32, 32)
    truth[:, 8:24, 8:24] = 1
    sure = 40 * (2 * truth - 1)
    assert dice_loss(sure, truth).item() < 1e-6
    assert dice_loss(-sure, truth).item() == pytest.approx(1 - 1 / (1024 + 1), abs=1e-6)


def test_mask_iou_counts_cells_that_are_more_than_half_covered() -> None:
    targets = torch.tensor([[[0.6, 0.4], [1.0, 0.0]], [[0.0, 0.0], [0.0, 0.0]]])
    logits = torch.tensor([[[1.0, 1.0], [-1.0, -1.0]], [[-1.0, -1.0], [-1.0, -1.0]]])
    assert mask_iou(logits, targets).tolist() == pytest.approx([1 / 3, 1.0])


def test_hard_mask_weight_is_above_a_half_where_the_student_is_worse() -> None:
    weight = hard_mask_weight(torch.tensor([0.9, 0.5, 0.5]), torch.tensor([0.3, 0.4, 0.9]))
    assert weight[0] > weight[1] > 0.5 > weight[2]
    assert weight[0].item() == pytest.approx(1 / (1 + np.exp(-(0.9 / 0.31 - 1))))


def test_the_best_mask_carries_the_loss_and_the_others_their_share() -> None:
    truth = torch.zeros(1, 8, 8)
    truth[:, :4] = 1
    good, bad = 6 * (2 * truth - 1), -6 * (2 * truth - 1)
    logits = torch.stack([bad, good, bad], dim=1).requires_grad_()
    losses = mask_losses(
        logits, torch.zeros(1, 3), truth, focal_weight=0.0, dice_weight=1.0, others_weight=0.3
    )
    each = dice_loss(logits.detach()[0], truth.expand(3, 8, 8))
    assert losses.best.tolist() == [1]
    assert losses.dice.item() == pytest.approx((0.7 * each[1] + 0.3 * each.mean()).item(), abs=1e-6)
    # Predicted 0, measured 0, 1, 0.
    assert losses.iou.item() == pytest.approx(1 / 3)


def test_each_prompt_has_its_own_share_of_the_others() -> None:
    truth = torch.zeros(2, 8, 8)
    truth[:, :4] = 1
    right = 6 * (2 * truth - 1)
    logits = torch.stack([-right, right, -right], dim=1).requires_grad_()
    losses = mask_losses(
        logits,
        torch.zeros(2, 3),
        truth,
        focal_weight=1.0,
        dice_weight=1.0,
        others_weight=torch.tensor([[0.0], [1.0]]),
    )
    (losses.focal + losses.dice).backward()
    assert logits.grad is not None
    assert not logits.grad[0, [0, 2]].any()
    assert logits.grad[1, [0, 2]].abs().sum((1, 2)).min() > 0


def test_error_points_lie_on_the_error_with_the_right_label() -> None:
    targets = torch.zeros(3, 16, 16)
    targets[:, 4:8, 4:8] = 1
    logits = torch.stack([-torch.ones(16, 16), 2 * targets[1] - 1, torch.ones(16, 16)])
    prompts = Prompts(coords=torch.zeros(3, 2, 2), labels=torch.ones(3, 2, dtype=torch.int32))
    for seed in range(20):
        added = add_error_points(prompts, logits, targets, torch.Generator().manual_seed(seed))
        assert added.coords.shape == (3, 3, 2)
        assert added.labels[:, 2].tolist() == [Label.FOREGROUND, Label.UNUSED, Label.BACKGROUND]
        x, y = ((added.coords[:, 2] - 1.5) / 4).round().long().unbind(1)
        assert targets[0, y[0], x[0]] == 1
        assert targets[2, y[2], x[2]] == 0


def test_prompts_touch_their_masks_and_are_packed_as_the_predictor_packs_them() -> None:
    masks = np.zeros((200, 64, 64), np.bool_)
    masks[:, 20:41, 10:31] = True
    settings = PromptSettings(box_share=0.4, box_and_point_share=0.2, tight_share=1.0)
    prompts = sample_prompts(masks, np.random.default_rng(0), settings)
    kinds = {tuple(row) for row in prompts.labels.tolist()}
    assert kinds == {(2, 3, -2), (2, 3, 1), (1, -1, -2)}
    is_box = prompts.labels[:, 0] == Label.BOX_TOP_LEFT
    assert (prompts.coords[is_box][:, :2] == torch.tensor([[10.0, 20.0], [31.0, 41.0]])).all()
    points = prompts.coords[prompts.labels == Label.FOREGROUND].long()
    assert masks[0][points[:, 1], points[:, 0]].all()


def test_small_masks_get_their_share_of_boxes() -> None:
    masks = np.zeros((400, 64, 64), np.bool_)
    masks[:200, 5:8, 5:8] = True
    masks[200:, 5:50, 5:50] = True
    settings = PromptSettings(box_share=0.4, box_and_point_share=0.0, small_box_share=0.9)
    is_box = sample_prompts(masks, np.random.default_rng(0), settings).labels[:, 0] == Label.BOX_TOP_LEFT
    # Four standard deviations of the share of 200.
    assert is_box[:200].float().mean().item() == pytest.approx(0.9, abs=0.09)
    assert is_box[200:].float().mean().item() == pytest.approx(0.4, abs=0.14)


def test_central_points_are_those_of_the_evaluation() -> None:
    rng = np.random.default_rng(3)
    masks = np.zeros((30, 64, 64), np.bool_)
    for mask in masks:
        y, x = rng.integers(0, 32, 2)
        mask[y : y + int(rng.integers(3, 30)), x : x + int(rng.integers(3, 30))] = True
        mask[rng.integers(0, 64, 40), rng.integers(0, 64, 40)] = False
    settings = PromptSettings(box_share=0.0, box_and_point_share=0.0, centre_share=1.0)
    points = sample_prompts(masks, rng, settings).coords[:, 0].numpy()
    for mask, point in zip(masks, points, strict=True):
        depth = scipy.ndimage.distance_transform_edt(np.pad(mask, 1))[1:-1, 1:-1]
        # Of equally deep ones either may be first, by the rounding of float32.
        assert depth[int(point[1]), int(point[0])] == pytest.approx(depth.max(), rel=1e-5)


def test_jittered_boxes_never_turn_inside_out() -> None:
    masks = np.zeros((300, 32, 32), np.bool_)
    masks[:, 30:, 30:] = True
    settings = PromptSettings(box_share=1.0, box_and_point_share=0.0, tight_share=0.0, jitter=5.0)
    boxes = sample_prompts(masks, np.random.default_rng(1), settings).coords[:, :2]
    assert (boxes[:, 1] > boxes[:, 0]).all()
    assert boxes.min() >= 0
    assert boxes.max() <= 32


def test_learning_rate_warms_up_and_follows_a_cosine() -> None:
    settings = OptimiserSettings(learning_rate=1.0, warm_up_steps=10, final_share=0.1)
    rates = [learning_rate(step, 110, settings) for step in range(111)]
    assert rates[0] == pytest.approx(0.1)
    assert rates[9] == rates[10] == 1.0
    assert rates[60] == pytest.approx(0.55)
    assert rates[110] == pytest.approx(0.1)


def test_rank_loss_is_small_for_the_right_order_only() -> None:
    measured = torch.tensor([[0.1, 0.5, 0.9]])
    right = rank_loss(torch.tensor([[0.0, 1.0, 2.0]]), measured)
    wrong = rank_loss(torch.tensor([[2.0, 1.0, 0.0]]), measured)
    assert right < 0.01 < 5 < wrong
    # Equal IoUs have no order.
    assert rank_loss(torch.tensor([[2.0, 0.0]]), torch.tensor([[0.5, 0.51]])) == 0


def test_focal_area_makes_small_masks_weigh_as_much_as_large_ones() -> None:
    small, large = torch.zeros(1, 64, 64), torch.zeros(1, 64, 64)
    small[:, :4, :4], large[:, :32, :32] = 1, 1

    def focal(truth: torch.Tensor, share: float) -> float:
        # Half of the object is missed.
        logits = 8 * (2 * truth - 1)
        logits[:, : truth.shape[1] // 2 if truth.mean() > 0.1 else 2] = -8
        losses = mask_losses(
            logits.unsqueeze(1).expand(-1, 3, -1, -1),
            torch.zeros(1, 3),
            truth,
            focal_weight=1.0,
            dice_weight=0.0,
            others_weight=0.0,
            focal_area=share,
        )
        return losses.focal.item()

    assert focal(large, 0.0) > 20 * focal(small, 0.0)
    assert focal(large, 0.001) < 3 * focal(small, 0.001)
