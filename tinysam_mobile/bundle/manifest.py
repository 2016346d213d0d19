"""`manifest.json` and `contract.json`: everything that an app needs, so that no app retypes it.

`contract_data` is what goes inside each artifact; the manifest is the same plus the list of artifacts
with their hashes.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import TYPE_CHECKING, Any

from tinysam_mobile.artifacts.formats import runtime_versions, tool_versions
from tinysam_mobile.bundle.rules_text import (
    filter_text,
    frame_text,
    packing_text,
    selection_text,
    size_text,
    upscale_text,
)
from tinysam_mobile.contract import spec
from tinysam_mobile.contract.everything_settings import (
    BOX_MARGIN,
    COARSE_FACTOR,
    CROP_EDGE_PIXELS,
    CROP_NMS_THRESH,
    CROP_OVERLAP_RATIO,
    DUPLICATE_IOUS,
    EVERYTHING_KEY,
    MAX_WAITING_BYTES,
    NEAR_IOU_SLACK,
    SCORE_SLACK,
    SECOND_ROUND_OFFSETS,
    STABILITY_MARGIN_CELLS,
    WINDOW_MARGIN_CELLS,
    everything_settings,
)
from tinysam_mobile.contract.foreign_text import one_line
from tinysam_mobile.contract.rules import Rules
from tinysam_mobile.contract.schema import Count, Name, RelativePath, Sha256, read_document
from tinysam_mobile.contract.spec import SIZE_NAMES, Component, Contract, TensorSpec
from tinysam_mobile.errors import BundleError, InputError, UsageError
from tinysam_mobile.version import __version__

if TYPE_CHECKING:
    from tinysam_mobile.modeling.checkpoint import Checkpoint

__all__ = ["RUNTIMES_KEY", "SCHEMA_VERSION", "Artifact", "Manifest", "contract_data"]

SCHEMA_VERSION = 1
"""Of `manifest.json`; another one is refused."""
MAX_VERSION = 40
"""Characters of a version that are shown."""
RUNTIMES_KEY = "runtimes"
"""Of a manifest: the runtime's name in `artifacts` → the release that judges its files on the host, which the
apps should run too.  Core ML's is that of the phone's iOS."""


@dataclass(frozen=True, kw_only=True)
class Artifact:
    """One converted file; `path` is relative to the bundle, with forward slashes.

    `entry_points` maps the contract's names to those inside the file.  `sha256` of an .mlpackage folder is
    the hash of its files' relative paths and contents in sorted order.
    """

    runtime: Name
    recipe: Name
    component: Component
    path: RelativePath
    entry_points: Mapping[Name, Name]
    sha256: Sha256
    size_bytes: Count
    details: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, kw_only=True)
class Manifest:
    """A bundle's description; `data` is `contract_data` as read or written."""

    data: Mapping[str, Any]
    artifacts: tuple[Artifact, ...]

    @property
    def contract(self) -> Contract:
        """The sizes and rules from which all else follows."""
        rules = Rules.from_json(self.data["rules"])
        return Contract(
            **self.data["sizes"],
            skips=_skips(self.data),
            object_score=_has_object_score(self.data),
            rules=rules,
        )

    @property
    def checkpoint_sha256(self) -> str | None:
        """SHA-256 of the checkpoint file, or None for stand-in weights."""
        value: str | None = self.data["checkpoint"]["sha256"]
        return value

    @property
    def everything(self) -> dict[str, Any]:
        """The checkpoint's thresholds of everything mode, for `EverythingConfig(**manifest.everything)`."""
        return everything_settings(self.data[EVERYTHING_KEY])

    def to_json(self) -> dict[str, Any]:
        """Return plain JSON data, the inverse of `from_json`."""
        return {**self.data, "artifacts": [asdict(artifact) for artifact in self.artifacts]}

    @classmethod
    def from_json(cls, data: Any) -> Manifest:
        """Check JSON data from an unknown source; raises `BundleError` that names the field at fault."""
        if not isinstance(data, dict):
            raise BundleError("manifest.json must hold one object")
        _check_version(data)
        body = {key: value for key, value in data.items() if key != "artifacts"}
        artifacts = data.get("artifacts")
        try:
            if not isinstance(artifacts, list):
                raise BundleError("manifest.json: 'artifacts' must be a list")
            _check_body(body)
            return cls(data=body, artifacts=tuple(_artifact(i, item) for i, item in enumerate(artifacts)))
        except BundleError as error:
            # What this version asks for and another one did not write is mended by the same step as damage.
            raise BundleError(f"{error}; {_written_by(data)}, convert again with this one") from error


def _check_version(data: Mapping[str, Any]) -> None:
    version = data.get("schema_version")
    if type(version) is not int:
        raise BundleError(
            "manifest.json has no schema version, so it is not one of a bundle; name the folder that "
            "'tinysam-mobile convert' wrote"
        )
    if version > SCHEMA_VERSION:
        raise BundleError(
            f"manifest.json has schema version {version} and this version reads {SCHEMA_VERSION}: "
            f"{_written_by(data)}; update tinysam-mobile, or convert again with this version"
        )
    if version < SCHEMA_VERSION:
        raise BundleError(
            f"manifest.json has schema version {version} and this version reads {SCHEMA_VERSION}: "
            f"{_written_by(data)}; convert again with this version"
        )


def _written_by(data: Mapping[str, Any]) -> str:
    """Which version wrote a manifest, and which one reads it."""
    generator = data.get("generator")
    version = generator.get("version") if isinstance(generator, dict) else None
    known = one_line(version)[:MAX_VERSION] if isinstance(version, str) else "an unknown version"
    return f"the bundle was written by tinysam-mobile {known} and this is {__version__}"


def _older(sizes: Any) -> str:
    """What helps if an earlier version of this package wrote `sizes`, which then lack one of today's."""
    missing = set(SIZE_NAMES) - set(sizes) if isinstance(sizes, dict) else set()
    if not missing or not set(sizes) < set(SIZE_NAMES):
        return ""
    names = ", ".join(sorted(missing))
    return (
        f"; without {names} it was written by an earlier version: convert the checkpoint again with this one"
    )


def _check_body(body: Mapping[str, Any]) -> None:
    sizes = body.get("sizes")
    names = set(SIZE_NAMES)
    if (
        not isinstance(sizes, dict)
        or set(sizes) != names
        or not all(type(v) is int and 0 < v < 2**16 for v in sizes.values())
    ):
        raise BundleError(
            f"manifest.json: 'sizes' must hold the positive integers {', '.join(sorted(names))}"
            f"{_older(sizes)}"
        )
    _skips(body)
    _has_object_score(body)
    try:
        Rules.from_json(body.get("rules"))
    except InputError as error:
        raise BundleError(f"manifest.json: 'rules': {error}") from error
    checkpoint = body.get("checkpoint")
    if (
        not isinstance(checkpoint, dict)
        or not isinstance(checkpoint.get("sha256"), str | None)
        or not isinstance(checkpoint.get("name"), str)
    ):
        raise BundleError("manifest.json: 'checkpoint' must hold a name and a sha256")
    try:
        everything_settings(body.get(EVERYTHING_KEY))
        Contract(**sizes)
    except (InputError, UsageError) as error:
        raise BundleError(f"manifest.json: '{EVERYTHING_KEY}' or 'sizes': {error}") from error


def _skips(body: Mapping[str, Any]) -> tuple[TensorSpec, ...]:
    """What `encode` returns after the embedding; the sizes tell all else of the entry points."""
    try:
        outputs = body["entry_points"]["encode"]["outputs"][1:]
        specs = tuple(TensorSpec(name=o["name"], shape=tuple(o["shape"]), dtype=o["dtype"]) for o in outputs)
    except (KeyError, TypeError) as error:
        raise BundleError(
            "manifest.json: 'entry_points' must list the outputs of 'encode' with name, shape and dtype"
        ) from error
    for output in specs:
        sides_fit = all(type(side) is int and 0 < side < 2**16 for side in output.shape)
        if type(output.name) is not str or output.dtype != "float32" or not sides_fit:
            raise BundleError(
                f"manifest.json: output {output.name!r} of 'encode' must be float32 of a fixed shape"
            )
    return specs


def _has_object_score(body: Mapping[str, Any]) -> bool:
    try:
        return any(
            output["name"] == spec.OBJECT_SCORES for output in body["entry_points"]["decode"]["outputs"]
        )
    except (KeyError, TypeError) as error:
        raise BundleError("manifest.json: 'entry_points' must list the outputs of 'decode'") from error


def _artifact(index: int, item: Any) -> Artifact:
    return read_document(Artifact, item, f"manifest.json: artifact {index}", error=BundleError)


def contract_data(checkpoint: Checkpoint, contract: Contract) -> dict[str, Any]:
    """Return what an app must know about a converted checkpoint, as JSON data."""
    return {
        "schema_version": SCHEMA_VERSION,
        "generator": {"name": "tinysam-mobile", "version": __version__, "tools": tool_versions()},
        RUNTIMES_KEY: runtime_versions(),
        "family": checkpoint.family.name,
        "licence": checkpoint.licence,
        "restriction": checkpoint.family.restriction,
        "model": checkpoint.model.config.to_dict(),
        "checkpoint": {
            "name": checkpoint.name,
            "sha256": checkpoint.sha256,
            "stand_in": checkpoint.is_stand_in,
        },
        "sizes": contract.sizes,
        "rules": contract.rules.to_json(),
        "entry_points": {name: _signature_data(signature) for name, signature in contract.signatures.items()},
        "preprocess": _preprocess_data(contract),
        "prompts": _prompt_data(contract),
        "postprocess": _postprocess_data(contract),
        EVERYTHING_KEY: dict(checkpoint.everything),
        "everything_search": _search_data(),
        "calibration": None,
    }


def _signature_data(signature: spec.Signature) -> dict[str, Any]:
    return {
        "component": signature.component.value,
        "inputs": [asdict(tensor) for tensor in signature.inputs],
        "outputs": [asdict(tensor) for tensor in signature.outputs],
    }


def _preprocess_data(contract: Contract) -> dict[str, Any]:
    return {
        "colour": "RGB",
        "value_range": [0, 255],
        "resize": {
            "long_side": contract.image_size,
            "filter": filter_text(contract.rules),
            "size_rule": size_text(contract.rules),
        },
        "pad": {"where": "right and bottom", "value": 0, "read_by_graph": False},
        "valid_size": "height, width of the resized photo inside the square; the graph ignores the rest",
        "normalised_by": "graph",
        "mean": list(spec.PIXEL_MEAN),
        "std": list(spec.PIXEL_STD),
    }


def _prompt_data(contract: Contract) -> dict[str, Any]:
    return {
        "frame": frame_text(contract.rules),
        "point_shift": spec.POINT_SHIFT,
        "point_shift_applied_by": "graph",
        "slots": contract.slots,
        "label_codes": dict(spec.LABEL_CODES),
        "labels": {str(value): meaning for value, meaning in spec.LABEL_MEANINGS.items()},
        "packing": packing_text(contract.rules),
    }


def _postprocess_data(contract: Contract) -> dict[str, Any]:
    return {
        "low_res_size": contract.mask_size,
        "masks_per_prompt": contract.rules.num_masks,
        "steps": upscale_text(contract.rules),
        "mask_threshold": spec.MASK_THRESHOLD,
        "selection": selection_text(contract.rules),
    }


def _search_data() -> dict[str, Any]:
    """What everything mode does the same for every checkpoint, so that the apps need not know it."""
    return {
        "coarse_factor": COARSE_FACTOR,
        "offsets": [list(offset) for offset in SECOND_ROUND_OFFSETS],
        "offset_unit": "x: width // points_per_side, y: height // points_per_side, pixels of the photo",
        "crop_nms_thresh": CROP_NMS_THRESH,
        "crop_overlap_ratio": CROP_OVERLAP_RATIO,
        "crop_edge_pixels": CROP_EDGE_PIXELS,
        "fast": {
            "near_iou_slack": NEAR_IOU_SLACK,
            "score_slack": SCORE_SLACK,
            "window_margin_cells": WINDOW_MARGIN_CELLS,
            "max_waiting_bytes": MAX_WAITING_BYTES,
            "duplicate_ious": list(DUPLICATE_IOUS),
            "box_margin": BOX_MARGIN,
            "stability_margin_cells": STABILITY_MARGIN_CELLS,
        },
    }
