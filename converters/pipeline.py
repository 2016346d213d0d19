"""From a checkpoint to a bundle: every requested format, from the same modules, with one manifest."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from importlib import import_module, metadata
from pathlib import Path
from time import perf_counter

from tinysam_mobile.bundle import Bundle, hash_path, new_bundle, size_of, write_manifest
from tinysam_mobile.converters.base import ConversionRequest, Convert, ConvertedFile
from tinysam_mobile.errors import RuntimeUnavailableError, UnknownNameError, UsageError
from tinysam_mobile.exportable import contract_of, entry_points
from tinysam_mobile.manifest import Artifact, Manifest, contract_data
from tinysam_mobile.modeling.checkpoint import Checkpoint
from tinysam_mobile.quant.recipe import recipe_named

__all__ = ["CONVERTERS", "ConversionOptions", "convert_checkpoint"]

CONVERTERS = {
    "coreml": ("tinysam_mobile.converters.coreml", "coremltools"),
    "tflite": ("tinysam_mobile.converters.tflite", "litert-torch"),
    "executorch": ("tinysam_mobile.converters.executorch", "executorch"),
}
"""Target → the module whose `convert` makes it, and the PyPI package that the module needs."""

DEPLOYMENT_TARGETS = ("iOS16", "iOS17", "iOS18")
EXECUTORCH_BACKENDS = ("xnnpack", "coreml", "vulkan")


@dataclass(frozen=True, kw_only=True)
class ConversionOptions:
    """What `convert` may be told; the fields are the options of the command line."""

    targets: Sequence[str] = tuple(CONVERTERS)
    recipes: Sequence[str] = ("fp32",)
    slots: int = 8
    batch: int = 16
    deployment_target: str = "iOS18"
    executorch_backend: str = "xnnpack"
    overwrite: bool = False

    def check(self) -> None:
        """Raise `UsageError` for an unknown name, `RuntimeUnavailableError` for an SDK that is missing."""
        for kind, names, known in (
            ("target", self.targets, CONVERTERS),
            ("deployment target", (self.deployment_target,), DEPLOYMENT_TARGETS),
            ("ExecuTorch backend", (self.executorch_backend,), EXECUTORCH_BACKENDS),
        ):
            for name in names:
                if name not in known:
                    raise UnknownNameError(kind, name, known)
        if not self.targets or not self.recipes:
            raise UsageError("name at least one --target and one --recipe")
        for target in self.targets:
            _require_sdk(target)


def _require_sdk(target: str) -> None:
    distribution = CONVERTERS[target][1]
    try:
        metadata.version(distribution)
    except metadata.PackageNotFoundError as error:
        raise RuntimeUnavailableError(
            f"target {target} needs {distribution}; run: pip install 'tinysam-mobile[{target}]'"
        ) from error


def convert_checkpoint(
    checkpoint: Checkpoint,
    out: Path,
    options: ConversionOptions,
    *,
    progress: Callable[[str], None] = lambda _: None,
) -> Bundle:
    """Convert `checkpoint` into the bundle `out`, which appears complete or not at all.

    Raises `UsageError` (also for an existing `out`), `RuntimeUnavailableError` or `ConversionError`.
    """
    options.check()
    recipes = [recipe_named(name) for name in dict.fromkeys(options.recipes)]
    contract = contract_of(checkpoint.model, slots=options.slots, batch=options.batch)
    data = contract_data(checkpoint, contract)
    modules = entry_points(checkpoint.model, contract)
    artifacts: list[Artifact] = []
    with new_bundle(out, overwrite=options.overwrite) as folder:
        for target in dict.fromkeys(options.targets):
            convert: Convert = import_module(CONVERTERS[target][0]).convert
            for recipe in recipes:
                place = folder / target / recipe.id
                place.mkdir(parents=True)
                request = ConversionRequest(
                    entry_points=modules,
                    recipe=recipe,
                    contract={**data, "recipe": recipe.id},
                    folder=place,
                    deployment_target=options.deployment_target,
                    executorch_backend=options.executorch_backend,
                    progress=lambda text, at=f"{target} {recipe.id}": progress(f"{at}: {text}"),  # type: ignore[misc]
                )
                start = perf_counter()
                files = convert(request)
                timing = {"conversion_seconds": round(perf_counter() - start, 1)}
                artifacts += [_artifact(folder, target, recipe.id, file, timing) for file in files]
        (folder / "contract.json").write_text(
            json.dumps(data, indent=2, ensure_ascii=False) + "\n", encoding="utf-8"
        )
        write_manifest(folder, Manifest(data=data, artifacts=tuple(artifacts)))
    return Bundle.open(out)


def _artifact(
    folder: Path, target: str, recipe: str, file: ConvertedFile, timing: Mapping[str, float]
) -> Artifact:
    return Artifact(
        runtime=target,
        recipe=recipe,
        component=file.component,
        path=file.path.relative_to(folder).as_posix(),
        entry_points=dict(file.entry_points),
        sha256=hash_path(file.path),
        size_bytes=size_of(file.path),
        details={**file.details, **timing, "notes": list(file.notes)},
    )
