"""What `tinysam-mobile validate` was asked to judge: a bundle, or a model that was converted elsewhere."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tinysam_mobile.bundle.folder import Bundle
from tinysam_mobile.cli.float_model import checkpoint_of, load_float_model
from tinysam_mobile.contract.spec import Contract
from tinysam_mobile.errors import UsageError
from tinysam_mobile.parity.bounds import bounds_for
from tinysam_mobile.parity.hand_converted import open_hand_converted, read_mapping
from tinysam_mobile.parity.sides import SideResult
from tinysam_mobile.parity.validation import HostSide, bundle_sides

if TYPE_CHECKING:
    from tinysam_mobile.modeling.checkpoint import Checkpoint

__all__ = ["Subject", "open_converted", "open_mapping"]


@dataclass(frozen=True, kw_only=True)
class Subject:
    """What is compared with what; `everything` are the checkpoint's thresholds of everything mode."""

    checkpoint: Checkpoint
    contract: Contract
    sides: list[HostSide]
    everything: Mapping[str, Any]


def open_converted(
    folder: Path,
    checkpoint: str | None,
    runtimes: Sequence[str],
    recipes: Sequence[str],
    limits: Mapping[str, float],
    threads: int | None,
    isolate: bool,
) -> Subject:
    """Open a bundle and the float model that it was made from; raises `UsageError` for another one."""
    bundle = Bundle.open(folder)
    sides = bundle_sides(
        bundle, runtimes=runtimes, recipes=recipes, overrides=limits, num_threads=threads, isolate=isolate
    )
    return Subject(
        checkpoint=checkpoint_of(bundle, checkpoint),
        contract=bundle.manifest.contract,
        sides=sides,
        everything=_thresholds(bundle.manifest.everything),
    )


def open_mapping(
    path: Path,
    checkpoint: str | None,
    runtimes: Sequence[str],
    recipes: Sequence[str],
    limits: Mapping[str, float],
    threads: int | None,
    isolate: bool,  # noqa: ARG001 (files of the user's own; both ways to open have one form)
) -> Subject:
    """Read the mapping of a model converted elsewhere; it says runtime and recipe itself."""
    if runtimes or recipes:
        raise UsageError(f"{path}: says runtime and recipe itself: leave out --runtime and --recipe")
    mapping = read_mapping(path)
    loaded, contract = load_float_model(checkpoint, slots=mapping.slots)
    known = SideResult(
        name=f"{mapping.runtime} {mapping.recipe}, converted by hand",
        runtime=mapping.runtime,
        recipe=mapping.recipe,
        bounds=bounds_for(mapping.runtime, mapping.recipe, limits),
    )
    side = HostSide(known=known, open=lambda: open_hand_converted(mapping, contract, num_threads=threads))
    return Subject(
        checkpoint=loaded, contract=contract, sides=[side], everything=_thresholds(loaded.everything)
    )


def _thresholds(everything: Mapping[str, Any]) -> dict[str, Any]:
    """The grid is the command's own option."""
    return {name: value for name, value in everything.items() if name != "points_per_side"}
