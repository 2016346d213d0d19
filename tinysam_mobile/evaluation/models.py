"""Models to measure, by what a user types: a checkpoint's name or path, or a bundle and its artifacts."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tinysam_mobile.bundle.folder import MANIFEST_NAME, Bundle
from tinysam_mobile.contract.backend import Backend
from tinysam_mobile.contract.spec import Contract
from tinysam_mobile.errors import UsageError
from tinysam_mobile.simulator.isolated import open_isolated
from tinysam_mobile.simulator.registry import RUNTIMES, open_bundle, open_model, runtime_named

if TYPE_CHECKING:
    from tinysam_mobile.modeling.checkpoint import Checkpoint

__all__ = ["ModelUnderTest", "bundle_models", "checkpoint_model", "is_bundle"]

FLOAT_BYTES = 4


@dataclass(frozen=True, kw_only=True)
class ModelUnderTest:
    """A model that is not opened yet; `open` gives its backend.

    `fingerprint` (JSON data) says which weights and settings they are; `size_bytes` is that of the files,
    `checkpoint` the torch model if there is one, `everything` the model's thresholds of everything mode.
    """

    name: str
    runtime: str
    recipe: str
    fingerprint: Mapping[str, Any]
    size_bytes: int
    everything: Mapping[str, Any]
    open: Callable[[], Backend]
    checkpoint: Checkpoint | None = None


def is_bundle(source: str) -> bool:
    """Whether `source` names a folder with a manifest."""
    return (Path(source) / MANIFEST_NAME).is_file()


def checkpoint_model(
    source: str | None,
    *,
    slots: int,
    batch: int | None = None,
    image_size: int | None = None,
    threads: int | None = None,
    single_mask: bool = False,
) -> ModelUnderTest:
    """Load a checkpoint (the shipped one if None) for torch, with `slots` N and `batch` K of its contract.

    `single_mask` is that of `load_checkpoint`.  Raises `CheckpointError`.
    """
    from tinysam_mobile.modeling.checkpoint import load_checkpoint, shipped_checkpoint
    from tinysam_mobile.modeling.entry_points import contract_of

    loaded = load_checkpoint(source, image_size=image_size, single_mask=single_mask)
    model = loaded.model
    contract = contract_of(model, slots=slots, batch=batch or Contract.batch)
    file = Path(source) if source else shipped_checkpoint()
    parameters = sum(p.numel() for p in model.parameters())
    return ModelUnderTest(
        name=loaded.name,
        runtime="torch",
        recipe="float",
        fingerprint={"checkpoint": loaded.sha256 or loaded.name, "image_size": model.config.image_size},
        size_bytes=file.stat().st_size if file and file.is_file() else parameters * FLOAT_BYTES,
        everything=loaded.everything,
        open=lambda: open_model(model, contract, num_threads=threads),
        checkpoint=loaded,
    )


def bundle_models(
    folder: Path,
    *,
    runtime: str | None = None,
    recipe: str | None = None,
    threads: int | None = None,
    isolate: bool = False,
) -> list[ModelUnderTest]:
    """Return the models of a bundle: of one runtime and recipe, or every one that it holds.

    Raises `BundleError`, and `UsageError` if it holds no such model.
    """
    bundle = Bundle.open(folder)
    if runtime is not None:
        found = bundle.artifacts(runtime_named(runtime).artifact_runtime, recipe)
        return [_bundle_model(bundle, runtime, found[0].recipe, threads, isolate)]
    variants = dict.fromkeys(
        (a.runtime, a.recipe) for a in bundle.manifest.artifacts if a.runtime in RUNTIMES
    )
    models = [_bundle_model(bundle, *v, threads, isolate) for v in variants if recipe in (None, v[1])]
    if not models:
        raise UsageError(
            f"{folder}: holds no artifact of recipe {recipe}" if recipe else f"{folder}: is empty"
        )
    return models


def _bundle_model(
    bundle: Bundle, runtime: str, recipe: str, threads: int | None, isolate: bool
) -> ModelUnderTest:
    open_it = open_isolated if isolate else open_bundle
    artifacts = bundle.artifacts(RUNTIMES[runtime].artifact_runtime, recipe)
    return ModelUnderTest(
        name=bundle.folder.resolve().name,
        runtime=runtime,
        recipe=recipe,
        fingerprint={"runtime": runtime, "artifacts": sorted(a.sha256 for a in artifacts)},
        size_bytes=sum(a.size_bytes for a in artifacts),
        everything=bundle.manifest.everything,
        open=lambda: open_it(bundle, runtime, recipe=recipe, num_threads=threads),
    )
