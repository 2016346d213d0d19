"""A training run as data: one typed file that the checkpoint carries along."""

from __future__ import annotations

import json
import tomllib
from dataclasses import asdict, dataclass, field, fields, is_dataclass
from pathlib import Path
from types import NoneType
from typing import Any, TypeVar, get_args, get_origin, get_type_hints

from tinysam_mobile.distill.prompts import PromptSettings
from tinysam_mobile.distill.scenes import SceneSettings
from tinysam_mobile.errors import UsageError
from tinysam_mobile.files import read_bytes

__all__ = [
    "LossWeights",
    "OptimiserSettings",
    "TeacherSettings",
    "TrainConfig",
    "TrainingStage",
    "read_config",
]

PRECISIONS = ("fp32", "bf16")


@dataclass(frozen=True, kw_only=True)
class TrainingStage:
    """A part of the run with one batch shape: `photos` scenes, `image_size` wide, `prompts` masks of each."""

    steps: int
    image_size: int
    photos: int
    prompts: int
    use_image: bool = True
    """False trains the decoder alone, on an empty embedding and random shapes: it learns what prompts mean
    (the average mask of a box or point) in a small part of the time."""
    refine_share: float = 0.0
    """Share of the steps that decode again with points on the errors (online hard prompts)."""
    max_refinements: int = 1


@dataclass(frozen=True, kw_only=True)
class LossWeights:
    """0 switches a loss off; the first three need a mask, the others a teacher."""

    focal: float = 20.0
    focal_alpha: float = 0.25
    """Weight of the object in the focal loss, that of the background being 1 minus it.  Far below 0.5 the
    logits of large objects stay so low that half of them is missed."""
    dice: float = 1.0
    iou: float = 1.0
    others: float = 0.15
    """Share of the masks that did not win, in focal and dice."""
    box_others: float = -1.0
    """The same for prompts with a box, which leave little open: at 1 all three masks learn alike, so that it
    does not matter which one is picked.  Below 0 it is that of the others."""
    embedding: float = 0.0
    token: float = 0.0
    output: float = 0.0
    hard_mask_weighting: bool = True
    rank: float = 0.0
    """Pairs of masks of a batch that the predicted IoU puts in the wrong order."""
    focal_area: float = 0.0
    """If not 0, focal loss is summed over a mask and divided by its area plus this share of the scene, so
    that a small object weighs as much as a large one; 0 takes the mean over the scene, as SAM does."""
    window: float = 0.0
    """Dice and focal loss in a window around each object, finer than the mask (`distill.windows`), times this
    on top of `dice` and `focal`; it is what small objects learn their outline from."""
    backbone: float = 0.0
    """Distance to the features of a pretrained ImageNet network (`distill.backbone`)."""

    @property
    def active(self) -> list[str]:
        """Names of the losses that are not switched off."""
        names = ("focal", "dice", "iou", "rank", "window", "embedding", "token", "output", "backbone")
        return [name for name in names if getattr(self, name)]


@dataclass(frozen=True, kw_only=True)
class OptimiserSettings:
    """AdamW with linear warm-up and cosine decay to `final_share` of the rate over all stages."""

    learning_rate: float = 1e-3
    final_share: float = 0.02
    warm_up_steps: int = 200
    weight_decay: float = 0.05
    clip_norm: float = 1.0
    ema_decay: float = 0.999
    only: str = ""
    """Part of the names of the parameters to train, all if empty; the rest stays, batch norms too."""
    frequency_share: float = 0.0
    """Share of the rate at which the frequencies of the positional encoding are learned; SAM's are random."""


@dataclass(frozen=True, kw_only=True)
class TeacherSettings:
    """A checkpoint to learn from, and the folder of its cached embeddings (`distill cache`).

    `checkpoint` may be the folder of a run too.  Without a cache the teacher encodes every scene itself,
    which allows augmented scenes.
    """

    checkpoint: str
    cache: str = ""


@dataclass(frozen=True, kw_only=True)
class TrainConfig:
    """Everything that decides the weights, next to the photo stores themselves."""

    model: str
    """The student, any configuration.  But for TinySAM, they learn on from published weights (`start_from`)
    in the form that is exported.  Any checkpoint can be the teacher."""
    stores: tuple[str, ...]
    stages: tuple[TrainingStage, ...]
    cutout_stores: tuple[str, ...] = ()
    """Stores of things that are pasted into scenes and are never a scene themselves."""
    seed: int = 0
    precision: str = "fp32"
    losses: LossWeights = field(default_factory=LossWeights)
    optimiser: OptimiserSettings = field(default_factory=OptimiserSettings)
    prompts: PromptSettings = field(default_factory=PromptSettings)
    scenes: SceneSettings = field(default_factory=SceneSettings)
    teacher: TeacherSettings | None = None
    wide: bool = False
    """Train a teacher: EfficientNet-Lite0, pretrained on ImageNet, in place of the model's encoder."""
    start_from: str = ""
    """Folder of another run whose averaged weights are the start, or a checkpoint file (fp32 from fp16);
    random weights if empty."""
    start_decoder_only: bool = False
    """Take prompt encoder and decoder from `start_from`, and leave the encoder as it begins."""
    validation: str = ""
    """COCO-style folder of which the last `validation_photos` photos are validated on; none if empty."""
    validation_photos: int = 100
    validation_stores: tuple[str, ...] = ()
    """Stores of held-back photos of which `validation_scenes` fixed scenes are validated on."""
    validation_scenes: int = 60
    validate_every_steps: int = 1000
    checkpoint_every_steps: int = 100

    def __post_init__(self) -> None:
        if self.precision not in PRECISIONS:
            raise UsageError(f"precision must be one of {', '.join(PRECISIONS)}, not {self.precision!r}")
        if not self.stages or any(stage.steps < 1 for stage in self.stages):
            raise UsageError("a training run needs at least one stage, and each at least one step")
        distils = (self.losses.embedding, self.losses.token, self.losses.output)
        if any(distils) and self.teacher is None:
            raise UsageError("the losses embedding, token and output need a [teacher]")

    @property
    def total_steps(self) -> int:
        """Steps of all stages together."""
        return sum(stage.steps for stage in self.stages)

    def stage_at(self, step: int) -> tuple[int, TrainingStage]:
        """Return the index of the stage that step number `step` (from 0) belongs to, and the stage."""
        end = 0
        for index, stage in enumerate(self.stages):
            end += stage.steps
            if step < end:
                return index, stage
        raise UsageError(f"step {step} lies beyond the {end} steps of this run")

    def to_json(self) -> str:
        """Return the run as JSON, which `config_from_data` reads back."""
        return json.dumps(asdict(self), sort_keys=True)


T = TypeVar("T")

MAX_RECIPE_BYTES = 2**20
LARGEST = 1e15
"""Of any number in a recipe; every one that means something is far smaller."""


def config_from_data(kind: type[T], data: Any, *, where: str) -> T:
    """Build the dataclass `kind` from tables and lists; raises `UsageError` that names the place."""
    if not isinstance(data, dict):
        raise UsageError(f"{where}: expected a table")
    known = {f.name for f in fields(kind)}  # type: ignore[arg-type]
    unknown = sorted(set(data) - known)
    if unknown:
        raise UsageError(f"{where}: unknown key {unknown[0]!r}; choose one of: {', '.join(sorted(known))}")
    hints = get_type_hints(kind)
    values = {key: _value(hints[key], value, where=f"{where}.{key}") for key, value in data.items()}
    try:
        return kind(**values)
    except TypeError as error:
        raise UsageError(f"{where}: {error}") from error


def _value(hint: Any, value: Any, *, where: str) -> Any:
    if is_dataclass(hint):
        return config_from_data(hint, value, where=where)  # type: ignore[arg-type]
    arguments = get_args(hint)
    if get_origin(hint) is tuple:
        if not isinstance(value, list | tuple):
            raise UsageError(f"{where}: expected a list")
        kinds = [arguments[0]] * len(value) if arguments[-1] is Ellipsis else list(arguments)
        if len(kinds) != len(value):
            raise UsageError(f"{where}: expected {len(kinds)} values")
        return tuple(
            _value(k, v, where=f"{where}[{i}]") for i, (k, v) in enumerate(zip(kinds, value, strict=True))
        )
    if NoneType in arguments:
        return None if value is None else _value(arguments[0], value, where=where)
    if hint is float and type(value) in (int, float):
        if not abs(value) <= LARGEST:
            raise UsageError(f"{where}: expected a finite number, not {str(value)[:40]}")
        return float(value)
    if type(value) is int and abs(value) > LARGEST:
        raise UsageError(f"{where}: {str(value)[:40]} is too large")
    if type(value) is not hint:
        raise UsageError(f"{where}: expected {hint.__name__}, not {value!r}")
    return value


def read_config(path: Path) -> TrainConfig:
    """Read a run from a TOML file; raises `UsageError` for anything that is not one."""
    text = read_bytes(path, limit=MAX_RECIPE_BYTES, error=UsageError, mend="name a training recipe")
    try:
        data = tomllib.loads(text.decode())
    except (ValueError, RecursionError) as error:
        raise UsageError(f"{path}: cannot be read as TOML ({error})") from error
    return config_from_data(TrainConfig, data, where=path.name)
