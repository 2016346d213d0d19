"""What `validate` was asked to judge: a bundle, or a model that was converted elsewhere."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from tinysam_mobile.bundle.folder import Bundle
from tinysam_mobile.contract.spec import Contract
from tinysam_mobile.errors import UsageError
from tinysam_mobile.modeling.checkpoint import Checkpoint
from tinysam_mobile.parity.bounds import bounds_for
from tinysam_mobile.parity.float_model import checkpoint_of, load_float_model
from tinysam_mobile.parity.hand_converted import open_hand_converted, read_mapping
from tinysam_mobile.parity.sides import SideResult
from tinysam_mobile.parity.validation import HostSide, bundle_sides

__all__ = ["Asked", "Subject", "open_subject"]


@dataclass(frozen=True, kw_only=True)
class Asked:
    """Which sides are judged, against which float model, by which bounds, and how they are run.

    Empty `runtimes` and `recipes` stand for all in the bundle; no `checkpoint` for the one it was made from.
    """

    checkpoint: str | None = None
    runtimes: Sequence[str] = ()
    recipes: Sequence[str] = ()
    bounds: Mapping[str, float] = field(default_factory=dict)
    threads: int | None = None
    isolate: bool = True


@dataclass(frozen=True, kw_only=True)
class Subject:
    """What is compared with what; `everything` are the checkpoint's thresholds of everything mode."""

    checkpoint: Checkpoint
    contract: Contract
    sides: list[HostSide]
    everything: Mapping[str, Any]


def open_subject(path: Path, asked: Asked) -> Subject:
    """Open a bundle's folder, or the mapping of a model converted elsewhere, and its float model.

    Raises `UsageError` for what does not go together, and as `Bundle.open` and `load_checkpoint` do.
    """
    return _mapping(path, asked) if path.is_file() else _converted(path, asked)


def _converted(folder: Path, asked: Asked) -> Subject:
    bundle = Bundle.open(folder)
    sides = bundle_sides(
        bundle,
        runtimes=asked.runtimes,
        recipes=asked.recipes,
        overrides=asked.bounds,
        num_threads=asked.threads,
        isolate=asked.isolate,
    )
    return Subject(
        checkpoint=checkpoint_of(bundle, asked.checkpoint),
        contract=bundle.manifest.contract,
        sides=sides,
        everything=_thresholds(bundle.manifest.everything),
    )


def _mapping(path: Path, asked: Asked) -> Subject:
    if asked.runtimes or asked.recipes:
        raise UsageError(f"{path}: says runtime and recipe itself: leave out --runtime and --recipe")
    mapping = read_mapping(path)
    loaded, contract = load_float_model(asked.checkpoint, slots=mapping.slots)
    known = SideResult(
        name=f"{mapping.runtime} {mapping.recipe}, converted by hand",
        runtime=mapping.runtime,
        recipe=mapping.recipe,
        bounds=bounds_for(mapping.runtime, mapping.recipe, asked.bounds),
    )
    side = HostSide(
        known=known,
        open=lambda: open_hand_converted(mapping, contract, num_threads=asked.threads, isolate=asked.isolate),
    )
    return Subject(
        checkpoint=loaded, contract=contract, sides=[side], everything=_thresholds(loaded.everything)
    )


def _thresholds(everything: Mapping[str, Any]) -> dict[str, Any]:
    """The grid is the command's own option."""
    return {name: value for name, value in everything.items() if name != "points_per_side"}
