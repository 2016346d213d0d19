"""The teacher of full-stage distillation: any checkpoint that the package loads, live or from its cache."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor

from tinysam_mobile.contract.spec import Label
from tinysam_mobile.distill.batches import Batch
from tinysam_mobile.distill.config import LossWeights
from tinysam_mobile.distill.learner import Encoded, Learner
from tinysam_mobile.distill.losses import hard_mask_weight, mask_iou
from tinysam_mobile.distill.prompts import Prompts
from tinysam_mobile.modeling.mask_decoder import DecoderOutput
from tinysam_mobile.modeling.sam import TinySAM

__all__ = ["Taught", "distillation_losses", "teach"]


class Taught(NamedTuple):
    """A teacher's answers to a batch: `embedding` (G, C, g, g) and the decoder's output for K prompts."""

    embedding: Tensor
    output: DecoderOutput


@torch.no_grad()
def teach(teacher: TinySAM, batch: Batch, prompts: Prompts) -> Taught:
    """Answer a batch, from cached embeddings if it has some; pixels and points are scaled to its own S."""
    size = teacher.config.image_size
    skips: Sequence[Tensor] = ()
    embedding = batch.teacher_embeddings
    if embedding is None:
        images = batch.images
        if images.shape[-1] != size:
            images = F.interpolate(images, (size, size), mode="bilinear", antialias=True)
        embedding, *skips = teacher.features(images)
    coords = prompts.coords * (teacher.config.frame_size / batch.images.shape[-1])
    return Taught(embedding, teacher.decode(embedding, coords, prompts.labels, skips=skips))


def distillation_losses(
    taught: Taught,
    encoded: Encoded,
    out: DecoderOutput,
    *,
    learner: Learner,
    batch: Batch,
    prompts: Prompts,
    weights: LossWeights,
) -> Mapping[str, Tensor]:
    """ℓ1 of embeddings, tokens and masks (arXiv 2312.13789, section 3.2), each if its weight is not 0.

    Where teacher and student differ in width the student's side passes its adapter, where they differ in
    size the teacher's side is resampled.
    """
    losses: dict[str, Tensor] = {}
    if weights.embedding:
        ours = learner.adapters["embedding"](encoded.embedding).float()
        theirs = _resized(taught.embedding, ours.shape[-1])
        losses["embedding"] = weights.embedding * F.l1_loss(ours, theirs)
    if weights.token:
        ours = learner.adapters["token"](out.tokens).float()
        own = out.tokens.shape[1] - prompts.labels.shape[1]
        used = F.pad((prompts.labels != Label.UNUSED).float(), (own, 0), value=1.0).unsqueeze(-1)
        # A token for the object score, which some teachers have, comes first.
        theirs = taught.output.tokens[:, -ours.shape[1] :].float()
        distance = (ours - theirs).abs() * used
        losses["token"] = weights.token * distance.sum() / (used.sum() * ours.shape[-1])
    if weights.output:
        # So does the mask of the token for single masks, which NanoSAM gives too.
        theirs = taught.output.masks[:, -out.masks.shape[1] :]
        losses["output"] = weights.output * _output_loss(out.masks.float(), theirs, batch.targets, weights)
    return losses


def _output_loss(ours: Tensor, teacher_masks: Tensor, targets: Tensor, weights: LossWeights) -> Tensor:
    theirs = _resized(teacher_masks, ours.shape[-1])
    distance = (ours - theirs).abs().mean((-2, -1))
    if not weights.hard_mask_weighting:
        return distance.mean()
    truth = targets.unsqueeze(1).expand_as(ours)
    with torch.no_grad():
        weight = hard_mask_weight(mask_iou(theirs, truth), mask_iou(ours, truth))
    return (weight * distance).mean()


def _resized(maps: Tensor, side: int) -> Tensor:
    """(B, C, s, s) → f32 (B, C, side, side)."""
    maps = maps.float()
    return maps if maps.shape[-1] == side else F.interpolate(maps, (side, side), mode="bilinear")
