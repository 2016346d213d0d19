"""Open a Core ML model: a .mlpackage or .mlmodelc folder, a .mlmodel file, a specification, an MLModel."""

from __future__ import annotations

import json
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from tinysam_mobile.errors import MilError
from tinysam_mobile.mil.compiled import read_compiled
from tinysam_mobile.mil.files import read_bytes
from tinysam_mobile.mil.proto import parse_model

__all__ = ["PIPELINES", "OpenedModel", "open_any", "open_model"]

PIPELINES = {"pipeline", "pipelineClassifier", "pipelineRegressor"}
_NEURAL_NETWORKS = {"neuralNetwork", "neuralNetworkClassifier", "neuralNetworkRegressor"}
_MANIFEST_BYTES = 16 << 20


@dataclass(frozen=True, kw_only=True)
class OpenedModel:
    """A specification (proto Model), its weights folder and, for an MLModel, the function it names."""

    spec: Any
    weights_dir: Path | None
    function_name: str | None = None


def open_model(model: Any, weights_dir: Path | None = None) -> OpenedModel:
    """Open an ML Program: a path, a proto Model or an MLModel.

    weights_dir overrides where the weight files are.  Raises MilError when the file cannot be read
    or is not an ML Program, RuntimeUnavailableError without coremltools.
    """
    opened = open_any(model, weights_dir)
    if opened.spec.WhichOneof("Type") in PIPELINES:
        raise MilError("this model is a pipeline: load it with tinysam_mobile.mil.load")
    return opened


def open_any(model: Any, weights_dir: Path | None = None) -> OpenedModel:
    """As `open_model`, a pipeline too."""
    if isinstance(model, (str, Path)):
        opened = _open_path(_expanded(Path(model)))
    elif hasattr(model, "get_spec"):
        folder = getattr(model, "weights_dir", None)
        opened = OpenedModel(
            spec=model.get_spec(), weights_dir=Path(folder) if folder else None,
            function_name=getattr(model, "function_name", None),
        )  # fmt: skip
    elif hasattr(model, "WhichOneof"):
        opened = OpenedModel(spec=model, weights_dir=None)
    else:
        raise MilError(f"cannot load a {type(model).__name__}; give a .mlpackage path, a spec or an MLModel")
    _require_runnable(opened.spec)
    return opened if weights_dir is None else replace(opened, weights_dir=weights_dir)


def _expanded(path: Path) -> Path:
    try:
        return path.expanduser()
    except RuntimeError as error:
        raise MilError(f"{path}: {error}") from error


def _open_path(path: Path) -> OpenedModel:
    try:
        exists, is_folder = path.exists(), path.is_dir()
    except (OSError, ValueError) as error:
        raise MilError(f"{path!s} cannot be read: {error}") from error
    if not exists:
        raise MilError(f"no such model: {path}")
    if is_folder and (path.suffix == ".mlmodelc" or (path / "model.mil").exists()):
        return OpenedModel(spec=read_compiled(path), weights_dir=path / "weights")
    specification = _specification_of(path) if is_folder else path
    spec = parse_model(read_bytes(specification, "the specification"), specification)
    weights = specification.parent / "weights"
    return OpenedModel(spec=spec, weights_dir=weights if weights.is_dir() else None)


def _specification_of(package: Path) -> Path:
    manifest = package / "Manifest.json"
    if not manifest.exists():
        raise MilError(f"{package} is not a Core ML package: it has no Manifest.json")
    try:
        content = json.loads(read_bytes(manifest, "the manifest", _MANIFEST_BYTES))
        items = content["itemInfoEntries"]
        relative = items[content["rootModelIdentifier"]]["path"]
        root = (package / "Data").resolve()
        path: Path = (root / relative).resolve()
        inside = path.is_relative_to(root) and path.is_file()
    except (OSError, ValueError, KeyError, TypeError, RecursionError) as error:
        raise MilError(f"{manifest} cannot be read: {error!r}; save the model again") from error
    if not inside:
        raise MilError(f"{package} has no specification at Data/{relative}; save the model again")
    return path


def _require_runnable(spec: Any) -> None:
    kind = spec.WhichOneof("Type")
    if kind == "mlProgram" or kind in PIPELINES:
        return
    if kind in _NEURAL_NETWORKS:
        raise MilError(
            f"the interpreter runs ML Programs only, but this model is a {kind}, the form that coremltools "
            "wrote before version 4.1 and for iOS 14 and earlier; convert its source again: "
            'coremltools.convert(source, convert_to="mlprogram", minimum_deployment_target=ct.target.iOS15)'
        )
    found = f"is a {kind}" if kind else "has no model in it"
    raise MilError(f"the interpreter runs ML Programs only, but this model {found}")
