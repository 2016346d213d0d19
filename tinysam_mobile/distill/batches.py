"""Batches as a function of (seed, step, rank), made ahead in a thread or in processes of their own."""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.utils.data import DataLoader, Dataset

from tinysam_mobile.distill.cache import EmbeddingCache
from tinysam_mobile.distill.config import TrainConfig
from tinysam_mobile.distill.pixels import normalised
from tinysam_mobile.distill.prompts import CELL, Prompts, sample_prompts
from tinysam_mobile.distill.scenes import Scene, SceneComposer
from tinysam_mobile.distill.shapes import random_masks
from tinysam_mobile.distill.windows import Windows, windows_of
from tinysam_mobile.errors import UsageError

__all__ = ["Batch", "Batches"]

BATCHES_AHEAD = 4
"""Of each process."""


class RawBatch(NamedTuple):
    """What a batch is made from, in a fifth of its bytes: what one process hands to another.

    `pixels` uint8 (G, S, S, 3) with a photo in the top-left `valid_sizes` i64 (G, 2) as H, W; `coords` and
    `labels` as in `Prompts`; `covered` uint8 (K, S/4, S/4), pixels of each cell that the mask covers.
    """

    pixels: Tensor
    valid_sizes: Tensor
    coords: Tensor
    labels: Tensor
    covered: Tensor
    teacher_embeddings: Tensor | None
    windows: Windows | None


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


def on_device(raw: RawBatch, device: torch.device) -> Batch:
    """Turn bytes into what the networks take, on the device that they are on."""

    def moved(tensor: Tensor) -> Tensor:
        return tensor.to(device, non_blocking=True)

    return Batch(
        images=normalised(moved(raw.pixels), moved(raw.valid_sizes)),
        prompts=Prompts(coords=moved(raw.coords), labels=moved(raw.labels)),
        targets=moved(raw.covered).float() / CELL**2,
        teacher_embeddings=None if raw.teacher_embeddings is None else moved(raw.teacher_embeddings),
        windows=None if raw.windows is None else Windows(*map(moved, raw.windows)),
    )


class _Steps(Dataset[RawBatch]):
    """The raw batch of each step of a run."""

    def __init__(
        self, composer: SceneComposer, config: TrainConfig, rank: int, cache: EmbeddingCache | None
    ) -> None:
        self._composer = composer
        self._config = config
        self._rank = rank
        self._cache = cache

    def __getitem__(self, step: int) -> RawBatch:
        stage = self._config.stage_at(step)[1]
        rng = np.random.default_rng([self._config.seed, step, self._rank])
        if not stage.use_image:
            masks = random_masks(rng, size=stage.image_size, masks=stage.photos * stage.prompts)
            return raw_batch(torch.zeros(0, *masks.shape[1:], 3, dtype=torch.uint8), masks, rng, self._config)
        scenes = [
            self._composer.compose(rng, size=stage.image_size, masks=stage.prompts)
            for _ in range(stage.photos)
        ]
        pixels = torch.from_numpy(np.stack([scene.pixels for scene in scenes]))
        raw = raw_batch(pixels, np.concatenate([scene.masks for scene in scenes]), rng, self._config)
        return raw._replace(
            valid_sizes=torch.tensor([scene.valid_size for scene in scenes]),
            teacher_embeddings=None if self._cache is None else _cached(self._cache, scenes),
        )


class Batches:
    """Makes the batch of any step; the next ones are made while the caller uses the last.

    With `workers` processes those of a whole run are made in turn; without, the next one in a thread.
    """

    def __init__(
        self,
        composer: SceneComposer,
        config: TrainConfig,
        *,
        rank: int = 0,
        cache: EmbeddingCache | None = None,
        workers: int = 0,
        device: torch.device | None = None,
    ) -> None:
        self._steps = _Steps(composer, config, rank, cache)
        self._total_steps = config.total_steps
        self._workers = workers
        self._device = device or torch.device("cpu")
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="batches")
        self._ahead: tuple[int, Future[RawBatch]] | None = None
        self._queue: tuple[int, Iterator[RawBatch]] | None = None

    def at(self, step: int) -> Batch:
        """Return the batch of `step` and start on those that follow it."""
        raw = self._from_processes(step) if self._workers else self._from_thread(step)
        return on_device(raw, self._device)

    def _from_thread(self, step: int) -> RawBatch:
        ahead = self._ahead
        future = (
            ahead[1] if ahead and ahead[0] == step else self._thread.submit(self._steps.__getitem__, step)
        )
        raw = future.result()
        if step + 1 < self._total_steps:
            self._ahead = (step + 1, self._thread.submit(self._steps.__getitem__, step + 1))
        return raw

    def _from_processes(self, step: int) -> RawBatch:
        if self._queue is None or self._queue[0] != step:
            self._queue = (step, self._processes(step))
        queue = self._queue[1]
        self._queue = (step + 1, queue)
        return next(queue)

    def _processes(self, first_step: int) -> Iterator[RawBatch]:
        with warnings.catch_warnings():
            # More processes than cores are slow, and may be asked for.
            warnings.filterwarnings("ignore", "This DataLoader will create")
            loader = DataLoader(
                self._steps,
                batch_size=None,
                sampler=range(first_step, self._total_steps),
                num_workers=self._workers,
                prefetch_factor=BATCHES_AHEAD,
                worker_init_fn=_alone_on_a_core,
                # Not forked: the threads of other libraries would be cut off in the middle.
                multiprocessing_context="spawn",
                pin_memory=self._device.type == "cuda",
            )
            return iter(loader)

    def close(self) -> None:
        """Stop the thread and the processes."""
        self._queue = None
        self._thread.shutdown(cancel_futures=True)


def _alone_on_a_core(_: int) -> None:
    import cv2

    cv2.setNumThreads(1)


def _cached(cache: EmbeddingCache, scenes: list[Scene]) -> Tensor:
    keys = [scene.photo for scene in scenes]
    if None in keys:
        raise UsageError(
            "cached embeddings fit whole, unchanged photos only: set whole_photo_share = 1 and paste_share, "
            "flip_share, colour_jitter, gray_share = 0 in [scenes], or leave [teacher] cache empty"
        )
    return torch.stack([cache[key] for key in keys if key is not None])


def raw_batch(
    pixels: Tensor, masks: NDArray[np.bool_], rng: np.random.Generator, config: TrainConfig
) -> RawBatch:
    """Draw a prompt for each mask of bool (K, S, S); `pixels` uint8 (G, S, S, 3) are taken as all photo."""
    prompts = sample_prompts(masks, rng, config.prompts)
    return RawBatch(
        pixels=pixels,
        valid_sizes=torch.tensor([pixels.shape[1:3]] * len(pixels)).view(-1, 2),
        coords=prompts.coords,
        labels=prompts.labels,
        covered=torch.from_numpy(_covered(masks)),
        teacher_embeddings=None,
        windows=windows_of(masks) if config.losses.window else None,
    )


def _covered(masks: NDArray[np.bool_]) -> NDArray[np.uint8]:
    """Pixels of each 4x4 cell that a mask covers: bool (K, S, S) → uint8 (K, S/4, S/4)."""
    import cv2

    # 16 for a pixel: the mean over the 16 pixels of a cell is their number, exactly.  OpenCV takes it ten
    # times as fast as numpy or torch.
    small = masks.shape[1] // CELL
    scaled = masks.view(np.uint8) * np.uint8(CELL**2)
    return np.stack([cv2.resize(mask, (small, small), interpolation=cv2.INTER_AREA) for mask in scaled])
