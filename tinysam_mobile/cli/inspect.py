"""`tinysam-mobile inspect`: what a checkpoint, an artifact or a bundle is."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import click

from tinysam_mobile.artifacts.formats import FORMATS, format_of
from tinysam_mobile.bundle.folder import MANIFEST_NAME, Bundle, hash_path, size_of
from tinysam_mobile.cli.options import as_json_option
from tinysam_mobile.cli.output import command_errors, print_json, print_table
from tinysam_mobile.cli.parameter_types import InputPath
from tinysam_mobile.errors import InputError, UsageError
from tinysam_mobile.modeling.weights_kind import kind_of_file

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


def describe_artifact(path: Path) -> dict[str, Any]:
    """What the reader of its format tells of an artifact; raises `UsageError` for what is none."""
    from tinysam_mobile.simulator.isolated import describe_isolated

    fmt = format_of(path)
    if fmt is None:
        known = ", ".join((*CHECKPOINT_SUFFIXES, *(f.suffix for f in FORMATS.values())))
        raise UsageError(f"{path}: neither a bundle (no {MANIFEST_NAME}) nor one of {known}")
    return {"kind": fmt.name, **describe_isolated(path)}


def describe_bundle(path: Path) -> dict[str, Any]:
    """Contract and artifacts of a verified bundle."""
    manifest = Bundle.open(path).verify().manifest
    return {"kind": "bundle", **manifest.to_json()}


CHECKPOINT_SUFFIXES = (".pth", ".pt", ".safetensors", ".onnx")


def describe(path: Path) -> dict[str, Any]:
    """Describe a file or folder by what is in it; raises `UsageError` if it is none of what we know."""
    if not path.exists() and JOINED_BY in str(path):
        return describe_checkpoint(path)
    if not path.exists():
        raise InputError(f"{path}: does not exist; check the name")
    if (path / MANIFEST_NAME).is_file():
        return describe_bundle(path)
    details = describe_checkpoint(path) if _is_checkpoint(path) else describe_artifact(path)
    return {**details, "size_bytes": size_of(path), "sha256": details.get("sha256") or hash_path(path)}


def _is_checkpoint(path: Path) -> bool:
    return path.is_file() and format_of(path) is None and kind_of_file(path) is not None


@click.command()
@click.argument("path", type=InputPath(joined=True))
@as_json_option
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
    if details["kind"] in FORMATS:
        click.echo("to see its graph, open the file in Netron (https://netron.app)")


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
    """One line for each entry of a table inside, however deep, under its dotted name."""
    if isinstance(value, dict):
        return "\n".join(f"{name}: {text}" if name else text for name, text in _entries("", value))
    return _inline(value)


def _entries(prefix: str, value: Any) -> Iterator[tuple[str, str]]:
    if isinstance(value, dict) and value:
        for key, item in value.items():
            yield from _entries(f"{prefix}.{key}" if prefix else str(key), item)
    else:
        yield prefix, _inline(value)


def _inline(value: Any) -> str:
    if isinstance(value, dict):
        return ", ".join(f"{key} {_inline(item)}" for key, item in value.items())
    if isinstance(value, list | tuple):
        return ", ".join(_inline(item) for item in value)
    return str(value)
