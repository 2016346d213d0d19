"""Batches as a function of (seed, step, rank), made one step ahead in a thread."""

from __future__ import annotations

from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, replace

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor

from tinysam_mobile.distill.cache import EmbeddingCache
from tinysam_mobile.distill.config import TrainConfig
from tinysam_mobile.distill.pixels import normalised
from tinysam_mobile.distill.prompts import CELL, Prompts, sample_prompts
from tinysam_mobile.distill.scenes import Scene, SceneComposer
from tinysam_mobile.distill.shapes import random_masks
from tinysam_mobile.distill.windows import Windows, windows_of
from tinysam_mobile.errors import UsageError

__all__ = ["Batch", "Batches"]


@dataclass(frozen=True, kw_only=True)
class Batch:
    """`images` f32 (G, 3, S, S) normalised, 0 outside the photo; prompts of K = G·M masks, side by side per
    image; `targets` f32 (K, S/4, S/4), the share of each cell that the mask covers."""

    images: Tensor
    prompts: Prompts
    targets: Tensor
    teacher_embeddings: Tensor | None = None
    """f32 (G, C, g, g) from the teacher's cache, if there is one."""
    windows: Windows | None = None
    """Close-ups of the masks, if a loss looks at them."""

    def to(self, device: torch.device) -> Batch:
        """Return the batch on another device; itself if it is there."""
        if self.images.device == device:
            return self
        taught = self.teacher_embeddings
        return Batch(
            images=self.images.to(device),
            prompts=Prompts(coords=self.prompts.coords.to(device), labels=self.prompts.labels.to(device)),
            targets=self.targets.to(device),
            teacher_embeddings=None if taught is None else taught.to(device),
            windows=None
            if self.windows is None
            else (self.windows[0].to(device), self.windows[1].to(device)),
        )


class Batches:
    """Makes the batch of any step; the next one is made while the caller uses the last."""

    def __init__(
        self,
        composer: SceneComposer,
        config: TrainConfig,
        *,
        rank: int = 0,
        cache: EmbeddingCache | None = None,
    ) -> None:
        self._composer = composer
        self._cache = cache
        self._config = config
        self._rank = rank
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="batches")
        self._ahead: tuple[int, Future[Batch]] | None = None

    def at(self, step: int) -> Batch:
        """Return the batch of `step` and start on that of the next one."""
        ahead = self._ahead
        future = ahead[1] if ahead and ahead[0] == step else self._thread.submit(self._make, step)
        batch = future.result()
        if step + 1 < self._config.total_steps:
            self._ahead = (step + 1, self._thread.submit(self._make, step + 1))
        return batch

    def close(self) -> None:
        """Stop the thread."""
        self._thread.shutdown(cancel_futures=True)

    def _make(self, step: int) -> Batch:
        config = self._config
        stage = config.stage_at(step)[1]
        rng = np.random.default_rng([config.seed, step, self._rank])
        if not stage.use_image:
            masks = random_masks(rng, size=stage.image_size, masks=stage.photos * stage.prompts)
            return make_batch(torch.zeros(0, 3, stage.image_size, stage.image_size), masks, rng, config)
        scenes = [
            self._composer.compose(rng, size=stage.image_size, masks=stage.prompts)
            for _ in range(stage.photos)
        ]
        pixels = torch.from_numpy(np.stack([scene.pixels for scene in scenes]))
        images = normalised(pixels, [scene.valid_size for scene in scenes])
        batch = make_batch(images, np.concatenate([scene.masks for scene in scenes]), rng, config)
        if self._cache is None:
            return batch
        return replace(batch, teacher_embeddings=_cached(self._cache, scenes))


def _cached(cache: EmbeddingCache, scenes: list[Scene]) -> Tensor:
    keys = [scene.photo for scene in scenes]
    if None in keys:
        raise UsageError(
            "cached embeddings fit whole, unchanged photos only: set whole_photo_share = 1 and paste_share, "
            "flip_share, colour_jitter, gray_share = 0 in [scenes], or leave [teacher] cache empty"
        )
    return torch.stack([cache[key] for key in keys if key is not None])


def make_batch(
    images: Tensor, masks: NDArray[np.bool_], rng: np.random.Generator, config: TrainConfig
) -> Batch:
    """Draw a prompt for each mask of bool (K, S, S)."""
    return Batch(
        images=images,
        prompts=sample_prompts(masks, rng, config.prompts),
        targets=F.avg_pool2d(torch.from_numpy(masks).float().unsqueeze(1), CELL).squeeze(1),
        windows=windows_of(masks) if config.losses.window else None,
    )
