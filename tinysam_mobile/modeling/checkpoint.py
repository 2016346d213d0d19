"""Checkpoints: weights from files that nobody vouches for, the network that they fit, and what does not fit.

The network's configuration comes from the file's metadata (safetensors) or from the configuration whose keys
and shapes the file has, in any form in which its family is published (`families`, `encoders`).
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from torch import Tensor

from tinysam_mobile.contract.everything_settings import EVERYTHING_KEY, everything_settings
from tinysam_mobile.errors import CheckpointError, InputError, UsageError
from tinysam_mobile.files import open_regular, parse_json
from tinysam_mobile.modeling.config import TINYSAM, TinySAMConfig, config_from_dict, config_named
from tinysam_mobile.modeling.encoders.registry import kind_of
from tinysam_mobile.modeling.families import Family, family_of, match_state
from tinysam_mobile.modeling.fetch import PublicCheckpoint, published_as
from tinysam_mobile.modeling.sam import TinySAM
from tinysam_mobile.modeling.stand_in import STAND_IN_NAME, stand_in_model
from tinysam_mobile.modeling.weights_file import read_weights

__all__ = ["Checkpoint", "load_checkpoint", "shipped_checkpoint"]

SHIPPED_NAME = "tinysam-nano.safetensors"
CONFIG_KEY = "config"
LICENCE_KEY = "licence"
JOINED_BY = "+"
"""Between the files of a model that is published in parts: `encoder.onnx+mobile_sam.pt`."""
ENCODER_ONLY = "missing: prompt_encoder."


@dataclass(frozen=True, kw_only=True)
class Checkpoint:
    """A model in evaluation mode and where it came from.

    `sha256` is that of the file (of all files one after the other), or None for stand-in weights; `metadata`
    is the file's own text metadata; `everything` the thresholds of everything mode that suit the model, for
    `EverythingConfig(**everything)`: the family's unless the metadata hold others.
    """

    model: TinySAM
    name: str
    sha256: str | None
    metadata: Mapping[str, str] = field(default_factory=dict)
    everything: Mapping[str, Any] = field(default_factory=lambda: everything_settings({}))

    @property
    def is_stand_in(self) -> bool:
        """True if the weights are pseudo-random, so that masks are noise."""
        return self.sha256 is None

    @property
    def family(self) -> Family:
        """The family that the network belongs to."""
        return family_of(self.model.config)

    @property
    def published(self) -> PublicCheckpoint | None:
        """The public file with these very bytes, where its hash is known."""
        return published_as(self.sha256)

    @property
    def licence(self) -> str:
        """Licence of the weights: the file's own word, else that of the published file, else the family's."""
        published = self.published
        return self.metadata.get(LICENCE_KEY) or (published.licence if published else self.family.licence)


def shipped_checkpoint() -> Path | None:
    """Return the path of the checkpoint inside the installed package, or None if it has none."""
    path = Path(__file__).parents[1] / "checkpoints" / SHIPPED_NAME
    return path if path.is_file() else None


def load_checkpoint(
    source: str | Path | None = None, *, image_size: int | None = None, single_mask: bool = False
) -> Checkpoint:
    """Load a checkpoint in evaluation mode.

    `source` is a file (.pth, .pt, .safetensors or .onnx), several joined by `+` where a model is published in
    parts, `stand-in` or `stand-in:CONFIG` for pseudo-random weights, or None for the shipped checkpoint.
    `image_size` S replaces the configuration's (a multiple of 64) where the weights are not bound to one.
    With `single_mask` a prompt gets the one mask of token 0, as MobileSAMv2 takes it for boxes.  Raises
    `CheckpointError` if the file cannot be used and `UsageError` for a wrong size or name.
    """
    if source is None:
        source = shipped_checkpoint() or STAND_IN_NAME
    kind, _, config_name = str(source).partition(":")
    if kind == STAND_IN_NAME:
        config = _sized(config_named(config_name) if config_name else TINYSAM, image_size)
        config = config.with_single_mask() if single_mask else config
        everything = family_of(config).everything
        name = f"{STAND_IN_NAME}:{config.name}"
        return Checkpoint(model=stand_in_model(config), name=name, sha256=None, everything=everything)
    return _load_files(checkpoint_files(source), image_size, single_mask=single_mask)


def checkpoint_files(source: str | Path) -> list[Path]:
    """The files of a source: itself, or those that `+` joins."""
    whole = Path(source)
    if whole.exists() or JOINED_BY not in str(source):
        return [whole]
    return [Path(part) for part in str(source).split(JOINED_BY)]


def _load_files(paths: Sequence[Path], image_size: int | None, *, single_mask: bool) -> Checkpoint:
    shown = JOINED_BY.join(map(str, paths))
    state, metadata = _joined(paths)
    match = match_state(state, _stated_config(shown, metadata))
    if match.problems:
        raise CheckpointError(f"{shown}: {_misfit(match.config, match.problems)}")
    config = _sized(match.config, image_size)
    if config.image_size != match.config.image_size and kind_of(config.encoder).fixed_size:
        raise UsageError(
            f"{shown}: the weights of {config.name} hold for {match.config.image_size} pixels only; "
            "leave --image-size out"
        )
    model = TinySAM(config.with_single_mask() if single_mask else config)
    _check_kinds(shown, model, match.state)
    model.load_state_dict(dict(match.state))
    return Checkpoint(
        model=model.eval(),
        name=JOINED_BY.join(path.stem for path in paths),
        sha256=_sha256(paths),
        metadata=metadata,
        everything=_everything_of(shown, config, metadata),
    )


def _check_kinds(shown: str, model: TinySAM, state: Mapping[str, Tensor]) -> None:
    """Raise `CheckpointError` for whole numbers where weights belong, which would be taken for floats."""
    for key, own in model.state_dict().items():
        if own.is_floating_point() and not state[key].is_floating_point():
            name = str(state[key].dtype).removeprefix("torch.")
            raise CheckpointError(f"{shown}: {key} has the type {name}; save the float model's state dict")


def _joined(paths: Sequence[Path]) -> tuple[dict[str, Tensor], dict[str, str]]:
    """All weights, of which those of earlier files count, and the first file's metadata."""
    state: dict[str, Tensor] = {}
    metadata: dict[str, str] = {}
    for path in paths:
        weights = read_weights(path)
        state = {**weights.state, **state}
        metadata = metadata or dict(weights.metadata)
    return state, metadata


def _misfit(config: TinySAMConfig, problems: str) -> str:
    family = family_of(config)
    advice = ""
    if ENCODER_ONLY in problems and "unexpected" not in problems:
        advice = (
            "; it holds an image encoder only: join it with a file that has the decoder, FILE+mobile_sam.pt"
        )
    return f"fits no network; {config.name} ({family.title}) is nearest, with {problems}{advice}"


def _sized(config: TinySAMConfig, image_size: int | None) -> TinySAMConfig:
    return config if image_size is None else config.at_image_size(image_size)


def _sha256(paths: Sequence[Path]) -> str:
    digest = hashlib.sha256()
    for path in paths:
        with open_regular(path, error=CheckpointError) as file:
            while chunk := file.read(1 << 20):
                digest.update(chunk)
    return digest.hexdigest()


def _stated_config(shown: str, metadata: Mapping[str, str]) -> TinySAMConfig | None:
    """The configuration in a file's metadata, if there is one."""
    if CONFIG_KEY not in metadata:
        return None
    try:
        return config_from_dict(parse_json(metadata[CONFIG_KEY], CONFIG_KEY))
    except (InputError, UsageError) as error:
        raise CheckpointError(f"{shown}: its metadata holds no valid configuration ({error})") from error


def _everything_of(shown: str, config: TinySAMConfig, metadata: Mapping[str, str]) -> dict[str, Any]:
    try:
        stored = everything_settings(parse_json(metadata.get(EVERYTHING_KEY, "{}"), EVERYTHING_KEY))
    except InputError as error:
        raise CheckpointError(f"{shown}: its metadata hold no valid thresholds ({error})") from error
    return stored if EVERYTHING_KEY in metadata else family_of(config).everything
