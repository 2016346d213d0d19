"""From a checkpoint to a bundle: every requested format, from the same modules, with one manifest."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from importlib import import_module, metadata
from pathlib import Path
from time import perf_counter
from typing import Any

from tinysam_mobile.bundle import Bundle, hash_path, new_bundle, size_of, write_manifest
from tinysam_mobile.converters.base import ConversionRequest, Convert, ConvertedFile
from tinysam_mobile.errors import RuntimeUnavailableError, UnknownNameError, UsageError
from tinysam_mobile.exportable import EntryPoint, contract_of, entry_points
from tinysam_mobile.manifest import Artifact, Manifest, contract_data
from tinysam_mobile.modeling.checkpoint import Checkpoint
from tinysam_mobile.quant.calibration import MIN_PHOTOS, CalibrationSet
from tinysam_mobile.quant.capability import check_recipe
from tinysam_mobile.quant.plan import QuantPlan
from tinysam_mobile.quant.planning import DEFAULT_METHOD, RANGE_METHODS, make_plan, trace_all
from tinysam_mobile.quant.recipe import QuantRecipe, recipe_named
from tinysam_mobile.quant.sensitivity import auto_mixed
from tinysam_mobile.spec import Contract

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
    """What `convert` may be told; the fields are the options of the command line.

    `ranges` is how static recipes choose the ranges of activations, one of `planning.RANGE_METHODS`.
    `min_mask_iou` is `--auto-mixed`: static recipes keep their most costly layers in float until the mean IoU
    with the float model's masks reaches it on the calibration photos.
    """

    targets: Sequence[str] = tuple(CONVERTERS)
    recipes: Sequence[str] = ("fp32",)
    slots: int = 8
    batch: int = 16
    deployment_target: str = "iOS18"
    executorch_backend: str = "xnnpack"
    calibration: Path | None = None
    ranges: str = DEFAULT_METHOD
    min_mask_iou: float | None = None
    overwrite: bool = False

    def check(self) -> None:
        """Raise `UsageError` for an unknown name, `RuntimeUnavailableError` for an SDK that is missing and
        `ConversionError` for a recipe that a target cannot express."""
        for kind, names, known in (
            ("target", self.targets, CONVERTERS),
            ("deployment target", (self.deployment_target,), DEPLOYMENT_TARGETS),
            ("ExecuTorch backend", (self.executorch_backend,), EXECUTORCH_BACKENDS),
            ("way to choose ranges", (self.ranges,), RANGE_METHODS),
        ):
            for name in names:
                if name not in known:
                    raise UnknownNameError(kind, name, known)
        if not self.targets or not self.recipes:
            raise UsageError("name at least one --target and one --recipe")
        for target in self.targets:
            _require_sdk(target)
            for recipe in self.recipes:
                check_recipe(target, recipe_named(recipe).id, deployment_target=self.deployment_target)
        self._check_calibration()

    def _check_calibration(self) -> None:
        if self.min_mask_iou is not None and not 0 < self.min_mask_iou < 1:
            raise UsageError(f"--auto-mixed must be a mask IoU between 0 and 1, not {self.min_mask_iou}")
        needy = [recipe for recipe in self.recipes if recipe_named(recipe).needs_calibration]
        if needy and self.calibration is None:
            raise UsageError(
                f"recipe {needy[0]} needs photos to take ranges from: pass --calibration with a folder of at "
                f"least {MIN_PHOTOS}, or take dynamic_w8 or weight_only_w8"
            )


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
    plans = _plans(modules, recipes, contract, options, progress)
    if plans and options.calibration:
        data["calibration"] = CalibrationSet.from_folder(options.calibration).to_json()
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
                    plan=plans.get(recipe.id),
                    progress=lambda text, at=f"{target} {recipe.id}": progress(f"{at}: {text}"),  # type: ignore[misc]
                )
                start = perf_counter()
                files = convert(request)
                timing = {"conversion_seconds": round(perf_counter() - start, 1)}
                artifacts += [
                    _artifact(folder, target, recipe.id, file, timing, plans.get(recipe.id)) for file in files
                ]
        (folder / "contract.json").write_text(
            json.dumps(data, indent=2, ensure_ascii=False) + "\n", encoding="utf-8"
        )
        write_manifest(folder, Manifest(data=data, artifacts=tuple(artifacts)))
    return Bundle.open(out)


def _plans(
    modules: Mapping[str, EntryPoint],
    recipes: Sequence[QuantRecipe],
    contract: Contract,
    options: ConversionOptions,
    progress: Callable[[str], None],
) -> dict[str, QuantPlan]:
    """Calibrate once for each recipe that needs it; every target then gets the same grids."""
    needy = [recipe for recipe in recipes if recipe.needs_calibration]
    if not needy or options.calibration is None:
        return {}
    photos = CalibrationSet.from_folder(options.calibration)
    graphs = trace_all(modules)
    plans = {}
    for recipe in needy:
        plan = make_plan(recipe, graphs, photos, contract, method=options.ranges, progress=progress)
        if options.min_mask_iou is not None:
            floor = options.min_mask_iou
            plan = auto_mixed(graphs, plan, photos, contract, min_iou=floor, progress=progress)
        plans[recipe.id] = plan
    return plans


def _artifact(
    folder: Path,
    target: str,
    recipe: str,
    file: ConvertedFile,
    timing: Mapping[str, float],
    plan: QuantPlan | None,
) -> Artifact:
    return Artifact(
        runtime=target,
        recipe=recipe,
        component=file.component,
        path=file.path.relative_to(folder).as_posix(),
        entry_points=dict(file.entry_points),
        sha256=hash_path(file.path),
        size_bytes=size_of(file.path),
        details={**file.details, **timing, "notes": list(file.notes), **_plan_details(plan)},
    )


def _plan_details(plan: QuantPlan | None) -> dict[str, Any]:
    """Tell how the ranges were chosen and which layers mixed precision left in float."""
    return {"ranges": plan.method, "mixed_float_layers": list(plan.float_layers)} if plan else {}
