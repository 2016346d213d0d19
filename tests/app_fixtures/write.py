"""Write every topic into one folder."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from tinysam_mobile.bundle.manifest import RUNTIMES_KEY, Artifact, Manifest, contract_data
from tinysam_mobile.contract.spec import Component
from tinysam_mobile.modeling.checkpoint import load_checkpoint
from tinysam_mobile.modeling.entry_points import contract_of

from .boxes import from_boxes_cases
from .difference import difference_cases
from .everything import everything_cases
from .everything_crops import everything_crops_cases
from .everything_fast import everything_fast_cases, half_cases
from .hostile import hostile_cases
from .masks import (
    lattice_cases,
    nms_cases,
    postprocess_cases,
    rle_cases,
    small_region_cases,
    stability_cases,
)
from .photos import geometry_cases, orientation_cases, resize_cases
from .prompts import slot_cases
from .rules import rules_geometry_cases, rules_postprocess_cases, rules_resize_cases, rules_slot_cases
from .store import Store

FILES = {
    ("coreml", Component.ENCODER): "coreml/fp16/encoder.mlpackage",
    ("coreml", Component.DECODER): "coreml/fp16/decoder.mlpackage",
    ("tflite", Component.ENCODER): "tflite/fp32/encoder.tflite",
    ("tflite", Component.DECODER): "tflite/fp32/decoder.tflite",
    ("executorch", Component.ENCODER): "executorch/fp32/encoder.pte",
    ("executorch", Component.DECODER): "executorch/fp32/decoder.pte",
}


def write_fixtures(folder: Path) -> None:
    """Make all files anew; equal bytes each time."""
    store = Store(folder)
    manifest = small_manifest()
    text = json.dumps(manifest.to_json(), indent=1, ensure_ascii=False) + "\n"
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "manifest.json").write_text(text, encoding="utf-8")
    store.cases("hostile", hostile_cases(text))
    store.cases("geometry", geometry_cases())
    store.cases("resize", resize_cases(store))
    store.cases("orientation", orientation_cases(store))
    store.cases("slots", slot_cases())
    store.cases("postprocess", postprocess_cases(store))
    store.cases("rle", rle_cases(store))
    store.cases("stability", stability_cases(store))
    store.cases("small_regions", small_region_cases(store))
    store.cases("nms", nms_cases())
    store.cases("lattice", lattice_cases(store))
    store.cases("everything", everything_cases(store, manifest.contract))
    store.cases("rules_geometry", rules_geometry_cases())
    store.cases("rules_resize", rules_resize_cases(store))
    store.cases("rules_slots", rules_slot_cases())
    store.cases("rules_postprocess", rules_postprocess_cases(store))
    store.cases("half", half_cases())
    store.cases("everything_fast", everything_fast_cases(store, manifest.contract))
    store.cases("difference", difference_cases(store))
    store.cases("everything_crops", everything_crops_cases(store, manifest.contract))
    store.cases("from_boxes", from_boxes_cases(store, manifest.contract))


def small_manifest() -> Manifest:
    """A bundle's manifest of the `tiny-test` network, without what differs from machine to machine."""
    checkpoint = load_checkpoint("stand-in:tiny-test")
    data: dict[str, Any] = contract_data(checkpoint, contract_of(checkpoint.model))
    data["generator"] = {"name": "tinysam-mobile", "version": "fixtures", "tools": {}}
    data[RUNTIMES_KEY] = {"tflite": "2.3.0", "executorch": "1.5.1"}
    artifacts = tuple(
        Artifact(
            runtime=runtime,
            recipe=path.split("/")[1],
            component=component,
            path=path,
            entry_points={name: name for name in ENTRY_POINTS[component]},
            sha256=f"{number:064x}",
            size_bytes=number + 1,
        )
        for number, ((runtime, component), path) in enumerate(FILES.items())
    )
    return Manifest(data=data, artifacts=artifacts)


ENTRY_POINTS = {Component.ENCODER: ("encode",), Component.DECODER: ("decode", "decode_batch", "score_batch")}
