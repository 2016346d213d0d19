"""One training step as a function: forward passes of student and teachers, all losses, figures to log."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from tinysam_mobile.contract.spec import Label
from tinysam_mobile.distill.backbone import PretrainedBackbone, feature_loss
from tinysam_mobile.distill.batches import Batch
from tinysam_mobile.distill.config import LossWeights, TrainConfig, TrainingStage
from tinysam_mobile.distill.learner import Encoded, Learner
from tinysam_mobile.distill.losses import mask_iou, mask_losses
from tinysam_mobile.distill.prompts import Prompts, add_error_points
from tinysam_mobile.distill.teacher import distillation_losses, teach
from tinysam_mobile.distill.windows import see_through
from tinysam_mobile.modeling.mask_decoder import DecoderOutput
from tinysam_mobile.modeling.sam import TinySAM

__all__ = ["StepResult", "Teachers", "learn"]


@dataclass(frozen=True, kw_only=True)
class Teachers:
    """Frozen networks to learn from."""

    backbone: PretrainedBackbone | None = None
    model: TinySAM | None = None


@dataclass(frozen=True, kw_only=True)
class StepResult:
    """Weighted losses by name and figures to log, all scalars."""

    losses: dict[str, Tensor]
    figures: dict[str, Tensor]

    @property
    def total(self) -> Tensor:
        """What is differentiated."""
        return torch.stack(list(self.losses.values())).sum()


def learn(
    learner: Learner,
    batch: Batch,
    stage: TrainingStage,
    config: TrainConfig,
    generator: torch.Generator,
    teachers: Teachers,
) -> StepResult:
    """Forward pass and losses of one batch."""
    with torch.autocast(batch.images.device.type, torch.bfloat16, enabled=config.precision == "bf16"):
        encoded = learner.encode(batch.images, stage)
        prompts = hard_prompts(learner, encoded, batch, stage, generator)
        out = learner.decode(encoded, prompts, batch.images.shape[-1])
        extra = _backbone_loss(learner, encoded, batch, config.losses, teachers)
        if teachers.model is not None and stage.use_image:
            taught = teach(teachers.model, batch, prompts)
            extra |= distillation_losses(
                taught, encoded, out, learner=learner, batch=batch, prompts=prompts, weights=config.losses
            )
    result = supervised(out, batch, config.losses)
    return StepResult(losses=result.losses | extra, figures=result.figures)


def hard_prompts(
    learner: Learner, encoded: Encoded, batch: Batch, stage: TrainingStage, generator: torch.Generator
) -> Prompts:
    """Return the prompts of a randomly drawn iteration of click refinement (arXiv 2312.13789)."""
    prompts = batch.prompts
    if torch.rand((), generator=generator).item() >= stage.refine_share:
        return prompts
    for _ in range(_random_count(stage.max_refinements, generator)):
        with torch.no_grad():
            out = learner.decode(encoded, prompts, batch.images.shape[-1])
        prompts = add_error_points(prompts, picked(out.masks, out.iou), batch.targets, generator)
    return prompts


def _random_count(most: int, generator: torch.Generator) -> int:
    return int(torch.randint(1, most + 1, (), generator=generator).item())


def _backbone_loss(
    learner: Learner, encoded: Encoded, batch: Batch, weights: LossWeights, teachers: Teachers
) -> dict[str, Tensor]:
    if teachers.backbone is None or encoded.features is None:
        return {}
    # Every other scene: the features are dense, so half of them teach as much for half of the work.
    ours = learner.adapters["backbone"](encoded.features[::2])
    target = teachers.backbone(batch.images[::2], grid_size=ours.shape[-1])
    return {"backbone": weights.backbone * feature_loss(ours, target)}


def picked(masks: Tensor, scores: Tensor) -> Tensor:
    """The mask with the highest of its `scores` (K, 3) for each prompt: (K, 3, H, W) → f32 (K, H, W)."""
    best = scores.argmax(1).view(-1, 1, 1, 1).expand(-1, 1, *masks.shape[2:])
    return masks.gather(1, best).squeeze(1).float()


def supervised(out: DecoderOutput, batch: Batch, weights: LossWeights) -> StepResult:
    """Focal, dice and predicted-IoU loss, with the mean IoU of box and point prompts as figures."""
    masks, iou = out.masks.float(), out.iou.float()
    losses = mask_losses(
        masks,
        iou,
        batch.targets,
        focal_weight=weights.focal,
        dice_weight=weights.dice,
        others_weight=_others(batch, weights),
        focal_area=weights.focal_area,
        focal_alpha=weights.focal_alpha,
        close_up=None if batch.windows is None else see_through(batch.windows, masks),
    )
    terms = {"focal": losses.focal, "dice": losses.dice, "iou": weights.iou * losses.iou}
    if weights.window:
        terms["window"] = weights.window * losses.window
    if weights.rank:
        terms["rank"] = weights.rank * losses.rank
    return StepResult(losses=terms, figures=_figures(masks, iou, batch))


def _others(batch: Batch, weights: LossWeights) -> float | Tensor:
    """The share of masks that did not win, f32 (K, 1) if prompts with a box have their own."""
    if weights.box_others < 0:
        return weights.others
    is_box = batch.prompts.labels[:, :1] == Label.BOX_TOP_LEFT
    return torch.where(is_box, weights.box_others, weights.others)


@torch.no_grad()
def _figures(masks: Tensor, iou: Tensor, batch: Batch) -> dict[str, Tensor]:
    measured = mask_iou(masks, batch.targets.unsqueeze(1).expand_as(masks))
    chosen = measured.gather(1, iou.argmax(1, keepdim=True)).squeeze(1)
    best = measured.max(1).values
    is_box = (batch.prompts.labels[:, 0] == Label.BOX_TOP_LEFT).float()
    figures = {}
    for name, member in (("box", is_box), ("point", 1 - is_box)):
        count = member.sum().clamp(min=1)
        figures[f"iou_{name}"] = (chosen * member).sum() / count
        figures[f"iou_{name}_best"] = (best * member).sum() / count
    return figures
