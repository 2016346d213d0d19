"""`tinysam-mobile inspect`: what a checkpoint, an artifact or a bundle is."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import click

from tinysam_mobile.bundle.folder import MANIFEST_NAME, Bundle, hash_path, size_of
from tinysam_mobile.cli.output import command_errors, print_json, print_table
from tinysam_mobile.errors import InputError, UsageError

__all__ = ["command"]

JOINED_BY = "+"
"""Between the files of a model that is published in parts."""


def describe_checkpoint(path: Path) -> dict[str, Any]:
    """Family, licence, published figures, configuration, parameters per part, hash."""
    from tinysam_mobile.modeling.checkpoint import load_checkpoint

    checkpoint = load_checkpoint(path)
    model, family, published = checkpoint.model, checkpoint.family, checkpoint.published
    parts = {name: sum(p.numel() for p in part.parameters()) for name, part in model.named_children()}
    return {
        "kind": "checkpoint",
        "family": family.title,
        "licence": checkpoint.licence,
        "restriction": family.restriction or "none that we know",
        "published_file": published.description if published else "no public file that we know the hash of",
        "published_figures": family.figures.get(model.config.name, "none"),
        "source": family.source,
        "configuration": model.config.to_dict(),
        "parameters": {**parts, "total": sum(parts.values())},
        "sha256": checkpoint.sha256,
        "metadata": {key: value for key, value in checkpoint.metadata.items() if key != "config"},
    }


def describe_tflite(path: Path) -> dict[str, Any]:
    """Signatures, operators and tensor facts read from the flatbuffer."""
    from tinysam_mobile.artifacts.tflite_graph import describe

    return {"kind": "tflite", **describe(path)}


def describe_executorch(path: Path) -> dict[str, Any]:
    """Methods, delegates and nodes outside them."""
    from tinysam_mobile.artifacts.executorch_graph import describe

    return {"kind": "executorch", **describe(path)}


def describe_coreml(path: Path) -> dict[str, Any]:
    """Functions, inputs, outputs, operators and metadata of an ML Program."""
    from tinysam_mobile.simulator.coreml import describe

    return {"kind": "coreml", **describe(path)}


def describe_bundle(path: Path) -> dict[str, Any]:
    """Contract and artifacts of a verified bundle."""
    manifest = Bundle.open(path).manifest
    return {"kind": "bundle", **manifest.to_json()}


BY_SUFFIX: dict[str, Callable[[Path], dict[str, Any]]] = {
    ".pth": describe_checkpoint,
    ".pt": describe_checkpoint,
    ".safetensors": describe_checkpoint,
    ".onnx": describe_checkpoint,
    ".tflite": describe_tflite,
    ".pte": describe_executorch,
    ".mlpackage": describe_coreml,
}


def describe(path: Path) -> dict[str, Any]:
    """Describe a file or folder by its suffix; raises `InputError` if it is none of what we know."""
    if not path.exists() and JOINED_BY in str(path):
        return describe_checkpoint(path)
    if not path.exists():
        raise InputError(f"{path}: does not exist")
    if (path / MANIFEST_NAME).is_file():
        return describe_bundle(path)
    if path.suffix not in BY_SUFFIX:
        known = ", ".join(BY_SUFFIX)
        raise UsageError(f"{path}: neither a bundle (no {MANIFEST_NAME}) nor one of {known}")
    details = BY_SUFFIX[path.suffix](path)
    return {**details, "size_bytes": size_of(path), "sha256": details.get("sha256") or hash_path(path)}


@click.command()
@click.argument("path", type=click.Path(path_type=Path))
@click.option("--json", "as_json", is_flag=True, help="Print everything as JSON.")
@command_errors
def command(path: Path, as_json: bool) -> None:
    """Describe PATH: a checkpoint, a .tflite, .pte or .mlpackage artifact, or a bundle (which is verified).

    \b
    Examples:
      tinysam-mobile inspect tinysam_42.3.pth
      tinysam-mobile inspect resnet18_image_encoder.onnx+mobile_sam.pt
      tinysam-mobile inspect bundle
      tinysam-mobile inspect bundle/tflite/fp32/encoder.tflite --json
    """
    details = describe(path)
    if as_json:
        print_json(details)
        return
    if details["kind"] == "bundle":
        _print_bundle(details)
        return
    rows = [[key, _short(value)] for key, value in details.items()]
    print_table(["what", "value"], rows)


def _print_bundle(details: dict[str, Any]) -> None:
    sizes = details["sizes"]
    click.echo(f"bundle of {details['checkpoint']['name']}, verified: schema, paths and SHA-256")
    click.echo(", ".join(f"{key} {value}" for key, value in sizes.items()))
    rows = [
        [a["path"], f"{a['size_bytes'] / 1e6:.2f}", ", ".join(a["entry_points"]), a["sha256"][:12]]
        for a in details["artifacts"]
    ]
    print_table(["artifact", "MB", "entry points", "SHA-256"], rows, right=("MB",))


def _short(value: Any) -> str:
    if isinstance(value, dict):
        return "\n".join(f"{key}: {_inline(item)}" for key, item in value.items())
    return _inline(value)


def _inline(value: Any) -> str:
    if isinstance(value, dict):
        return ", ".join(f"{key} {_inline(item)}" for key, item in value.items())
    if isinstance(value, list | tuple):
        return ", ".join(_inline(item) for item in value)
    return str(value)
