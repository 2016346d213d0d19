"""Open a Core ML model: a .mlpackage folder, a specification, or a coremltools MLModel."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tinysam_mobile.errors import MilError, RuntimeUnavailableError

__all__ = ["OpenedModel", "open_model"]


@dataclass(frozen=True, kw_only=True)
class OpenedModel:
    """A specification (proto Model), its weights folder and, for an MLModel, the function it names."""

    spec: Any
    weights_dir: Path | None
    function_name: str | None = None


def open_model(model: Any, weights_dir: Path | None = None) -> OpenedModel:
    """Open `model`: a path, a proto Model or an MLModel.

    weights_dir overrides where the weight files are.  Raises MilError when the file cannot be read
    or is not an ML Program, RuntimeUnavailableError without coremltools.
    """
    if isinstance(model, (str, Path)):
        opened = _open_path(Path(model))
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
    _require_ml_program(opened.spec)
    if weights_dir is None:
        return opened
    return OpenedModel(spec=opened.spec, weights_dir=Path(weights_dir), function_name=opened.function_name)


def _open_path(path: Path) -> OpenedModel:
    if not path.exists():
        raise MilError(f"no such model: {path}")
    if path.suffix == ".mlmodelc":
        raise MilError(f"{path} is a compiled model; give the .mlpackage that it was compiled from")
    specification = _specification_of(path) if path.is_dir() else path
    weights = specification.parent / "weights"
    return OpenedModel(spec=_parse(specification), weights_dir=weights if weights.is_dir() else None)


def _specification_of(package: Path) -> Path:
    manifest = package / "Manifest.json"
    try:
        content = json.loads(manifest.read_text(encoding="utf-8"))
        items = content["itemInfoEntries"]
        relative = items[content["rootModelIdentifier"]]["path"]
    except FileNotFoundError:
        raise MilError(f"{package} is not a Core ML package: it has no Manifest.json") from None
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise MilError(f"{manifest} cannot be read: {error!r}; save the model again") from error
    root = (package / "Data").resolve()
    path: Path = (root / relative).resolve()
    if not path.is_relative_to(root) or not path.is_file():
        raise MilError(f"{package} has no specification at Data/{relative}; save the model again")
    return path


def _parse(path: Path) -> Any:
    try:
        from coremltools.proto import Model_pb2
    except ImportError as error:
        raise RuntimeUnavailableError(
            "reading a Core ML model needs coremltools: pip install 'tinysam-mobile[coreml]'"
        ) from error
    from google.protobuf.message import DecodeError  # type: ignore[import-untyped]

    spec = Model_pb2.Model()
    try:
        spec.ParseFromString(path.read_bytes())
    except (DecodeError, OSError) as error:
        raise MilError(f"{path} is not a Core ML specification: {error}") from error
    return spec


def _require_ml_program(spec: Any) -> None:
    kind = spec.WhichOneof("Type")
    if kind != "mlProgram":
        found = f"is a {kind}" if kind else "has no model in it"
        raise MilError(
            f"the interpreter runs ML Programs only, but this model {found}; "
            'convert it with convert_to="mlprogram"'
        )
