"""From a checkpoint to a bundle: every requested format, from the same modules, with one manifest."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from tinysam_mobile.bundle.folder import Bundle, hash_path, new_bundle, size_of, write_manifest
from tinysam_mobile.bundle.manifest import Artifact, Manifest, contract_data
from tinysam_mobile.contract.spec import Contract
from tinysam_mobile.converters.base import ConversionRequest, ConvertedFile
from tinysam_mobile.converters.jobs import Finished, default_processes, jobs_of, run_jobs
from tinysam_mobile.converters.options import ConversionOptions
from tinysam_mobile.modeling.checkpoint import Checkpoint, load_checkpoint
from tinysam_mobile.modeling.entry_points import EntryPoint, contract_of, entry_points
from tinysam_mobile.quant.plan import QuantPlan
from tinysam_mobile.quant.planning import keep_in_float, make_plan, trace_all
from tinysam_mobile.quant.recipe import QuantRecipe, recipe_named
from tinysam_mobile.quant.sensitivity import auto_mixed

__all__ = ["convert", "convert_checkpoint"]


def convert(
    source: str | Path | None = None,
    out: str | Path = "bundle",
    options: ConversionOptions | None = None,
    *,
    image_size: int | None = None,
) -> Bundle:
    """Convert the checkpoint `source` (the shipped one if None) into the bundle `out`; see `load_checkpoint`.

    `options` are all formats in float32 by default.  Raises as `load_checkpoint` and `convert_checkpoint`.
    """
    loaded = load_checkpoint(source, image_size=image_size)
    return convert_checkpoint(loaded, Path(out), options or ConversionOptions())


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
    contract = contract_of(
        checkpoint.model, slots=options.slots, batch=options.batch, score_batch=options.score_batch
    )
    data = contract_data(checkpoint, contract)
    modules = entry_points(checkpoint.model, contract)
    plans = _plans(modules, recipes, contract, options, checkpoint.family.float_layers, progress)
    if plans and options.calibration:
        data["calibration"] = options.calibration.to_json()
    with new_bundle(out, overwrite=options.overwrite) as folder:
        jobs = [
            job
            for target in dict.fromkeys(options.targets)
            for recipe in recipes
            for job in jobs_of(target, _request(folder / target, modules, recipe, data, options, plans))
        ]
        processes = options.jobs or default_processes(len(jobs))
        finished = run_jobs(jobs, processes=processes, progress=progress)
        artifacts = [_artifact(folder, done, file) for done in finished for file in done.files]
        (folder / "contract.json").write_text(
            json.dumps(data, indent=2, ensure_ascii=False) + "\n", encoding="utf-8"
        )
        write_manifest(folder, Manifest(data=data, artifacts=tuple(artifacts)))
    return Bundle.open(out)


def _request(
    folder: Path,
    modules: Mapping[str, EntryPoint],
    recipe: QuantRecipe,
    data: Mapping[str, Any],
    options: ConversionOptions,
    plans: Mapping[str, QuantPlan],
) -> ConversionRequest:
    """Ask for all entry points of one format and recipe, in a new folder inside `folder`."""
    place = folder / recipe.id
    place.mkdir(parents=True)
    return ConversionRequest(
        entry_points=modules,
        recipe=recipe,
        contract={**data, "recipe": recipe.id},
        folder=place,
        deployment_target=options.deployment_target,
        executorch_backend=options.executorch_backend,
        plan=plans.get(recipe.id),
    )


def _plans(
    modules: Mapping[str, EntryPoint],
    recipes: Sequence[QuantRecipe],
    contract: Contract,
    options: ConversionOptions,
    float_layers: Sequence[str],
    progress: Callable[[str], None],
) -> dict[str, QuantPlan]:
    """Calibrate once for each recipe that needs it; every target then gets the same grids.

    Layers that `float_layers` names stay float.
    """
    needy = [recipe for recipe in recipes if recipe.needs_calibration]
    if not needy or options.calibration is None:
        return {}
    photos = options.calibration
    graphs = trace_all(modules)
    plans = {}
    for recipe in needy:
        plan = make_plan(recipe, graphs, photos, contract, method=options.ranges, progress=progress)
        plan = keep_in_float(plan, float_layers)
        if options.min_mask_iou is not None:
            floor = options.min_mask_iou
            plan = auto_mixed(graphs, plan, photos, contract, min_iou=floor, progress=progress)
        plans[recipe.id] = plan
    return plans


def _artifact(folder: Path, done: Finished, file: ConvertedFile) -> Artifact:
    request = done.job.request
    timing = {"conversion_seconds": round(done.seconds, 1)}
    return Artifact(
        runtime=done.job.target,
        recipe=request.recipe.id,
        component=file.component,
        path=file.path.relative_to(folder).as_posix(),
        entry_points=dict(file.entry_points),
        sha256=hash_path(file.path),
        size_bytes=size_of(file.path),
        details={**file.details, **timing, "notes": list(file.notes), **_plan_details(request.plan)},
    )


def _plan_details(plan: QuantPlan | None) -> dict[str, Any]:
    """Tell how the ranges were chosen and which layers mixed precision left in float."""
    return {"ranges": plan.method, "mixed_float_layers": list(plan.float_layers)} if plan else {}
