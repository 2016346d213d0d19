"""The training loop: stages, schedule, moving average, several processes, exact resume.

A step is a function of the state before it and of (seed, step, rank), so a run that was killed and
resumed ends with the weights of one that was not.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from math import cos, pi
from pathlib import Path

import torch
import torch.distributed as dist
from torch import Tensor, nn

from tinysam_mobile.distill.backbone import PretrainedBackbone
from tinysam_mobile.distill.batches import Batches
from tinysam_mobile.distill.cache import EmbeddingCache
from tinysam_mobile.distill.config import OptimiserSettings, TrainConfig
from tinysam_mobile.distill.learner import FREQUENCIES, Learner
from tinysam_mobile.distill.networks import averaged_model, network_of, starting_weights, teacher_named
from tinysam_mobile.distill.photo_store import PhotoStore
from tinysam_mobile.distill.progress import Progress, forget_rows_after
from tinysam_mobile.distill.run_state import RunState, adam_groups, read_state, restore_adam, write_state
from tinysam_mobile.distill.scenes import SceneComposer
from tinysam_mobile.distill.step import Teachers, learn
from tinysam_mobile.errors import CheckpointError
from tinysam_mobile.modeling.sam import TinySAM

__all__ = ["learning_rate", "train"]

Validator = Callable[[TinySAM, int], None]
CPU = torch.device("cpu")


def learning_rate(
    step: int, total_steps: int, settings: OptimiserSettings, *, time_share: float = 0.0
) -> float:
    """Rate of step number `step` (from 0): linear warm-up, then a cosine down to `final_share`.

    `time_share` of a limited time is over: the cosine follows what is further, steps or time.
    """
    if step < settings.warm_up_steps:
        return settings.learning_rate * (step + 1) / settings.warm_up_steps
    share = (step - settings.warm_up_steps) / max(1, total_steps - settings.warm_up_steps)
    share = min(1.0, max(share, time_share))
    floor = settings.final_share
    return settings.learning_rate * (floor + (1 - floor) * 0.5 * (1 + cos(pi * share)))


class TimeLimit:
    """How much of the time for a run is over, in 0 to 1; always 0 without a limit."""

    def __init__(self, minutes: float | None) -> None:
        self._begun = time.monotonic()
        self._seconds = 60 * minutes if minutes else float("inf")

    @property
    def share(self) -> float:
        return min(1.0, (time.monotonic() - self._begun) / self._seconds)


def train(
    config: TrainConfig,
    folder: Path,
    *,
    stop_after: int | None = None,
    minutes: float | None = None,
    workers: int = 0,
    validate: Validator | None = None,
    device: torch.device = CPU,
) -> None:
    """Run `config` in `folder`, from where the folder's state stands to the end or to step `stop_after`.

    With `minutes` the run ends when they are over, and the learning rate falls with the clock: such a run
    cannot be repeated step by step.  `workers` processes make the batches, a thread if there are none.
    Under `torchrun` every process takes its share: gradients and batch-norm statistics are averaged, the
    first process writes.  Raises `CheckpointError` if the folder holds another run.
    """
    # What is not bf16 may be TF32 on an accelerator; a CPU knows no such thing.
    torch.set_float32_matmul_precision("high" if device.type == "cuda" else "highest")
    rank, processes = (dist.get_rank(), dist.get_world_size()) if dist.is_initialized() else (0, 1)
    state = read_state(folder)
    if state is not None and state.config_json != config.to_json():
        raise CheckpointError(f"{folder}: holds a run with another configuration; choose another --out")
    photos, things = ([PhotoStore(Path(f)) for f in names] for names in (config.stores, config.cutout_stores))
    composer = SceneComposer(photos, config.scenes, things)
    teachers = Teachers(
        backbone=PretrainedBackbone().to(device) if config.losses.backbone else None,
        model=teacher_named(config.teacher.checkpoint).to(device).requires_grad_(False)
        if config.teacher
        else None,
    )
    folder.mkdir(parents=True, exist_ok=True)
    if rank == 0:
        for name in ("losses.csv", "validation.csv"):
            forget_rows_after(folder / name, state.step if state else 0)
    progress = Progress(folder, total_steps=config.total_steps, write=rank == 0)
    cache = EmbeddingCache(Path(config.teacher.cache)) if config.teacher and config.teacher.cache else None
    batches = Batches(composer, config, rank=rank, cache=cache, workers=workers, device=device)
    limit = TimeLimit(minutes)
    end = min(config.total_steps, stop_after or config.total_steps)
    try:
        while (state.step if state else 0) < end and limit.share < 1:
            run = _StageRun(config, state, teachers, limit, rank=rank, processes=processes, device=device)
            state = run.advance(batches, progress, folder, end=end, validate=validate)
    finally:
        batches.close()
        progress.flush()
    if processes > 1:
        # Nobody may read the state before the first process has written it.
        dist.barrier()


class _StageRun:
    """One stage: its batch shape fixes the size of the student, so it is built anew from the state."""

    def __init__(
        self,
        config: TrainConfig,
        state: RunState | None,
        teachers: Teachers,
        limit: TimeLimit,
        *,
        rank: int,
        processes: int,
        device: torch.device,
    ) -> None:
        self.teachers, self.device, self.limit = teachers, device, limit
        self.config, self.rank, self.processes = config, rank, processes
        self.step = state.step if state else 0
        index, self.stage = config.stage_at(self.step)
        self.end = sum(stage.steps for stage in config.stages[: index + 1])
        torch.manual_seed(config.seed)
        self.learner = Learner(
            network_of(config, self.stage.image_size),
            config.losses,
            teachers.model.config if teachers.model else None,
        )
        self.learner.to(device).train(not config.optimiser.only)
        self.optimiser = _adam(self.learner, config.optimiser)
        if state:
            self.learner.load_state_dict(dict(state.groups["weights"]))
            restore_adam(self.optimiser, self.learner, state)
        elif config.start_from:
            self.learner.load_state_dict(starting_weights(config), strict=False)
        start = state.groups["average"] if state else self.learner.state_dict()
        self.average = {name: value.detach().to(device, copy=True) for name, value in start.items()}

    def advance(
        self, batches: Batches, progress: Progress, folder: Path, *, end: int, validate: Validator | None
    ) -> RunState:
        """Train to the end of the stage or to step `end`; return and write the state there."""
        while self.step < min(self.end, end) and self.limit.share < 1:
            figures = self._one_step(batches)
            self.step += 1
            progress.add(self.step, figures)
            if validate and self.rank == 0 and self.step % self.config.validate_every_steps == 0:
                size = self.stage.image_size
                validate(averaged_model(self._state(), self.config, image_size=size), self.step)
            if self.rank == 0 and self.step % self.config.checkpoint_every_steps == 0:
                # The log first: a run that goes on from a state has all that came before it in the log.
                progress.flush()
                write_state(self._state(), folder)
        state = self._state()
        if self.rank == 0:
            progress.flush()
            write_state(state, folder)
        return state

    def _one_step(self, batches: Batches) -> dict[str, Tensor | float]:
        config = self.config
        batch = batches.at(self.step)
        seed = (config.seed * 1_000_003 + self.step) * 1_009 + self.rank
        generator = torch.Generator().manual_seed(seed)
        result = learn(self.learner, batch, self.stage, config, generator, self.teachers)
        self.optimiser.zero_grad()
        result.total.backward()
        if self.processes > 1:
            _average_over_processes(self.learner, self.processes)
        norm = nn.utils.clip_grad_norm_(self.learner.parameters(), config.optimiser.clip_norm)
        rate = learning_rate(self.step, config.total_steps, config.optimiser, time_share=self.limit.share)
        for group in self.optimiser.param_groups:
            group["lr"] = rate * group["share"]
        self.optimiser.step()
        self._update_average()
        # A loss that this stage has no use for is logged as 0: the columns of a run stay the same.
        absent = dict.fromkeys(config.losses.active, torch.zeros(()))
        logged = {"loss": result.total} | absent | result.losses | result.figures | {"norm": norm}
        return {name: value.detach() for name, value in logged.items()} | {"rate": rate}

    @torch.no_grad()
    def _update_average(self) -> None:
        # A short memory at first, so that the average is not the random start for thousands of steps.
        decay = min(self.config.optimiser.ema_decay, (1 + self.step) / (10 + self.step))
        pairs = [(self.average[name], value) for name, value in self.learner.state_dict().items()]
        floats = [pair for pair in pairs if pair[1].dtype.is_floating_point]
        torch._foreach_lerp_([old for old, _ in floats], [new for _, new in floats], 1 - decay)
        for old, new in pairs:
            if not new.dtype.is_floating_point:
                old.copy_(new)

    def _state(self) -> RunState:
        groups = {"weights": self.learner.state_dict(), "average": self.average}
        return RunState(
            step=self.step,
            config_json=self.config.to_json(),
            groups=groups | adam_groups(self.optimiser, self.learner),
        )


def _adam(learner: nn.Module, settings: OptimiserSettings) -> torch.optim.AdamW:
    """AdamW without decay on biases, norms, embeddings, frequencies and relative position biases."""
    for name, parameter in learner.named_parameters():
        parameter.requires_grad_(settings.only in name)
    frequencies = [p for name, p in learner.named_parameters() if name.endswith(FREQUENCIES)]
    for parameter in frequencies:
        parameter.requires_grad_(parameter.requires_grad and settings.frequency_share > 0)
    decayed = [
        p
        for name, p in learner.named_parameters()
        if p.ndim > 1
        and "embed" not in name
        and "attention_biases" not in name
        and not name.endswith(FREQUENCIES)
    ]
    chosen = {id(p) for p in (*decayed, *frequencies)}
    rest = [p for p in learner.parameters() if id(p) not in chosen]
    groups = [
        {"params": decayed, "weight_decay": settings.weight_decay, "share": 1.0},
        {"params": rest, "weight_decay": 0.0, "share": 1.0},
        {"params": frequencies, "weight_decay": 0.0, "share": settings.frequency_share},
    ]
    return torch.optim.AdamW(groups, lr=settings.learning_rate, betas=(0.9, 0.99), fused=True)


def _average_over_processes(learner: nn.Module, processes: int) -> None:
    """Average gradients and floating buffers over all processes, in one message."""
    tensors: list[Tensor] = []
    for parameter in learner.parameters():
        if parameter.grad is None:
            # Which losses run is drawn per process: a parameter may be used by the others only.
            parameter.grad = torch.zeros_like(parameter)
        tensors.append(parameter.grad)
    tensors += [buffer for buffer in learner.buffers() if buffer.dtype.is_floating_point]
    flat = torch.cat([tensor.flatten() for tensor in tensors])
    dist.all_reduce(flat)
    flat /= processes
    start = 0
    for tensor in tensors:
        tensor.copy_(flat[start : start + tensor.numel()].view_as(tensor))
        start += tensor.numel()
