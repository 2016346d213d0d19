"""IoU by size on fixed scenes of held-back photos: the validation that knows objects of every size."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import replace
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor

from tinysam_mobile.distill.config import TrainConfig
from tinysam_mobile.distill.losses import mask_iou
from tinysam_mobile.distill.photo_store import PhotoStore
from tinysam_mobile.distill.pixels import normalised
from tinysam_mobile.distill.prompts import PromptSettings, sample_prompts
from tinysam_mobile.distill.scenes import CLASS_BOUNDS, Scene, SceneComposer
from tinysam_mobile.evaluation.ideal_prompts import tight_box
from tinysam_mobile.modeling.sam import TinySAM

__all__ = ["figures_of", "held_back_scenes"]

SCENE_SEED = 20_260
MASKS_PER_SCENE = 12
SIZES = ("small", "medium", "large")
TIGHT_BOX = PromptSettings(box_share=1.0, box_and_point_share=0.0, tight_share=1.0)
CENTRE_POINT = PromptSettings(box_share=0.0, box_and_point_share=0.0, centre_share=1.0)


def held_back_scenes(config: TrainConfig, size: int) -> Iterator[Scene]:
    """The validation scenes of a run at `size` pixels; the same for the same settings of scenes."""
    stores = [PhotoStore(Path(folder)) for folder in config.validation_stores]
    # What the model must do is what photos need: no worn or recoloured pictures, no regions.
    settings = replace(config.scenes, wear_share=0.0, colour_jitter=0.0, gray_share=0.0, object_weight=1000.0)
    composer = SceneComposer(stores, settings)
    for index in range(config.validation_scenes):
        rng = np.random.default_rng([SCENE_SEED, index])
        yield composer.compose(rng, size=size, masks=MASKS_PER_SCENE)


@torch.inference_mode()
def figures_of(model: TinySAM, scenes: Iterator[Scene]) -> Mapping[str, float]:
    """Mean IoU of tight boxes by size, of centre points, of filled boxes, and rank correlations."""
    rows: dict[str, list[NDArray[np.float64]]] = {}
    for scene in scenes:
        image = normalised(torch.from_numpy(scene.pixels).unsqueeze(0), [scene.valid_size])
        embedding = model.encode(image)
        truth = torch.from_numpy(scene.masks).float()
        areas = scene.masks.mean((1, 2))
        rows.setdefault("class", []).append(np.searchsorted(CLASS_BOUNDS, areas).astype(np.float64))
        rows.setdefault("filled", []).append(_filled(scene.masks))
        for kind, settings in (("box", TIGHT_BOX), ("point", CENTRE_POINT)):
            prompts = sample_prompts(scene.masks, np.random.default_rng(0), settings)
            out = model.decode(embedding, prompts.coords, prompts.labels)
            measured = _full_size_iou(out.masks, truth)
            rows.setdefault(f"{kind}_predicted", []).append(out.iou.flatten().double().numpy())
            rows.setdefault(f"{kind}_measured", []).append(measured.flatten().double().numpy())
            picked = measured.gather(1, out.iou.argmax(1, keepdim=True)).squeeze(1)
            rows.setdefault(kind, []).append(picked.double().numpy())
            rows.setdefault(f"{kind}_best", []).append(measured.max(1).values.double().numpy())
    return _summary({name: np.concatenate(parts) for name, parts in rows.items()})


def _full_size_iou(logits: Tensor, truth: Tensor) -> Tensor:
    """(K, 3, h, w) against (K, S, S) at the size of the latter → (K, 3)."""
    side = truth.shape[-1]
    return torch.cat(
        [
            mask_iou(F.interpolate(mask.unsqueeze(0).float(), (side, side), mode="bilinear")[0], one)
            .float()
            .unsqueeze(0)
            for mask, one in zip(logits, truth, strict=True)
        ]
    )


def _filled(masks: NDArray[np.bool_]) -> NDArray[np.float64]:
    shares = []
    for mask in masks:
        x0, y0, x1, y1 = tight_box(mask)
        shares.append(mask.sum() / ((x1 - x0) * (y1 - y0)))
    return np.array(shares)


def _summary(columns: Mapping[str, NDArray[np.float64]]) -> dict[str, float]:
    table: dict[str, float] = {}
    for name in ("box", "filled", "point_best", "point"):
        values = columns[name]
        table[f"miou_{name}"] = float(values.mean())
        for index, size in enumerate(SIZES):
            member = columns["class"] == index
            table[f"miou_{name}_{size}"] = float(values[member].mean()) if member.any() else float("nan")
    for kind in ("box", "point"):
        table[f"rank_{kind}"] = _rank_correlation(columns[f"{kind}_predicted"], columns[f"{kind}_measured"])
    return table


def _rank_correlation(first: NDArray[np.float64], second: NDArray[np.float64]) -> float:
    from scipy.stats import spearmanr

    return float(spearmanr(first, second).statistic)
