"""TFLite: encoder.tflite with the signature `encode`, decoder.tflite with `decode`, `decode_batch` and
`score_batch`.

PyTorch → torch.export → StableHLO → TFLite through litert-torch, then the rewrites of `tflite_passes` and
the metadata of `tflite_metadata`.  The decoders are converted together: their constants are merged by
content, so that the file holds one set of weights.  Inputs and outputs are float32 (labels and sizes int32)
whatever the recipe.
"""

from __future__ import annotations

import json
import logging
import os
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict
from functools import partial
from pathlib import Path
from typing import Any

from torch import Tensor, nn

from tinysam_mobile.artifacts.integer_macs import count_integer_macs
from tinysam_mobile.artifacts.native_stderr import without_known_lines
from tinysam_mobile.artifacts.tflite_graph import TfliteGraph, read_graph
from tinysam_mobile.contract.spec import Component
from tinysam_mobile.converters.base import ConversionRequest, ConvertedFile, sdk_errors, write_components
from tinysam_mobile.converters.descriptions import AUTHOR, COMPONENTS
from tinysam_mobile.errors import ConversionError, RuntimeUnavailableError
from tinysam_mobile.modeling.entry_points import EntryPoint, example_inputs
from tinysam_mobile.quant.capability import check_recipe
from tinysam_mobile.quant.recipe import Scheme
from tinysam_mobile.version import __version__, install_command

__all__ = ["convert"]

MAX_RANK = 4
"""GPU delegates take no tensor with more axes."""
PROGRESS_VARIABLE = "LITERT_TORCH_SHOW_PROGRESS"
LOG_LEVEL_VARIABLE = "TF_CPP_MIN_LOG_LEVEL"
NOISY_LOGGERS = ("torchao", "torch.utils._pytree")
"""They warn, at import, of GPU libraries that are not there and of torch's own deprecations."""


class _Named(nn.Module):
    """An entry point by keyword; litert-torch names the tensors after keyword arguments and output keys."""

    def __init__(self, entry_point: EntryPoint) -> None:
        super().__init__()
        self.entry_point = entry_point.module
        self.inputs = [spec.name for spec in entry_point.signature.inputs]
        self.outputs = [spec.name for spec in entry_point.signature.outputs]

    def forward(self, **tensors: Tensor) -> dict[str, Tensor]:
        """Inputs and outputs of the contract by name."""
        out = self.entry_point(*(tensors[name] for name in self.inputs))
        return dict(zip(self.outputs, out if isinstance(out, tuple) else (out,), strict=True))


def convert(request: ConversionRequest) -> list[ConvertedFile]:
    """Write encoder.tflite and decoder.tflite into `request.folder`, both or neither.

    Raises `ConversionError` for a recipe that TFLite does not have here, or if the SDK cannot express the
    model; `RuntimeUnavailableError` if litert-torch is not installed.
    """
    check_recipe("tflite", request.recipe.id)
    sdk = _import_sdk()
    return write_components(request, partial(_write_component, sdk), suffix=".tflite")


def _write_component(
    sdk: Any, request: ConversionRequest, component: Component, staging: Path
) -> list[ConvertedFile]:
    path = staging / f"{component.value}.tflite"
    entries = request.entry_points_of(component)
    request.progress(f"converting the {component.value} ({', '.join(entries)})")
    advice = "check the versions with `tinysam-mobile doctor`"
    with sdk_errors("TFLite", path.name, extra="tflite", advice=advice):
        model = _lower(sdk, entries)
    data, float_layers = _finish(model, component, entries, request)
    path.write_bytes(data)
    return [_checked(path, component, entries, float_layers)]


def _import_sdk() -> Any:
    # Read by the SDK's C++ part when it is loaded: nothing below WARNING.
    os.environ.setdefault(LOG_LEVEL_VARIABLE, "1")
    with _quiet(), without_known_lines():
        try:
            import litert_torch
        except ImportError as error:
            raise RuntimeUnavailableError(
                f"converting to TFLite needs litert-torch ({error}); {install_command('tflite')}"
            ) from error
    return litert_torch


@contextmanager
def _quiet() -> Iterator[None]:
    """Keep litert-torch's progress off stdout, which is for results, and hide its known warnings."""
    before = os.environ.get(PROGRESS_VARIABLE)
    levels = {name: logging.getLogger(name).level for name in NOISY_LOGGERS}
    os.environ[PROGRESS_VARIABLE] = "n"
    for name in NOISY_LOGGERS:
        logging.getLogger(name).setLevel(logging.ERROR)
    try:
        with warnings.catch_warnings():
            # torch.export copies tree specifications through a check that torch itself has deprecated.
            warnings.filterwarnings(
                "ignore", message=r"`isinstance\(treespec, LeafSpec\)`", category=FutureWarning
            )
            yield
    finally:
        for name, level in levels.items():
            logging.getLogger(name).setLevel(level)
        if before is None:
            del os.environ[PROGRESS_VARIABLE]
        else:
            os.environ[PROGRESS_VARIABLE] = before


def _lower(sdk: Any, entries: dict[str, EntryPoint]) -> bytes:
    """Return the flatbuffer with one signature per entry point, in their order."""
    converter: Any = sdk
    with _quiet():
        for name, entry in entries.items():
            names = [spec.name for spec in entry.signature.inputs]
            example = dict(zip(names, example_inputs(entry.signature), strict=True))
            converter = converter.signature(name, _Named(entry).eval(), sample_kwargs=example)
        return bytes(converter.convert().model_content())


def _finish(
    flatbuffer: bytes, component: Component, entries: dict[str, EntryPoint], request: ConversionRequest
) -> tuple[bytes, dict[str, list[str]]]:
    """Return the file's bytes (rewritten graph, metadata, contract.json) and the layers that stay float."""
    from tinysam_mobile.converters import tflite_metadata, tflite_passes, tflite_quantize

    model = tflite_passes.load_model(flatbuffer)
    tflite_passes.use_batch_matmul(model)
    tflite_passes.fold_transposes(model)
    float_layers: dict[str, list[str]] = {}
    if request.recipe.id == "fp16":
        tflite_passes.store_constants_as_float16(model)
    elif request.recipe.scheme is not Scheme.FLOAT:
        float_layers = tflite_quantize.quantize_model(model, request.recipe, request.plan)
    description = tflite_metadata.ModelDescription(
        name=f"TinySAM {component.value}",
        description=f"{COMPONENTS[component]} Recipe {request.recipe.id}: {request.recipe.description}.",
        version=__version__,
        author=AUTHOR,
        license=str(request.contract.get("licence", "Apache-2.0")),
    )
    signatures = [entry.signature for entry in entries.values()]
    tflite_passes.add_metadata(
        model, tflite_metadata.METADATA_NAME, tflite_metadata.build_metadata(description, signatures)
    )
    contract = json.dumps(request.contract, indent=2, ensure_ascii=False).encode()
    data = tflite_metadata.append_files(
        tflite_passes.save_model(model), {tflite_metadata.CONTRACT_FILE: contract}
    )
    return data, float_layers


def _checked(
    path: Path, component: Component, entries: dict[str, EntryPoint], float_layers: dict[str, list[str]]
) -> ConvertedFile:
    """Read the finished file back and return its record; raises `ConversionError` if it breaks a promise."""
    graph = read_graph(path)
    for what, names in (
        ("operations that no phone has", graph.custom_ops),
        ("tensors without a fixed shape", graph.dynamic_tensors),
    ):
        if names:
            raise ConversionError(
                f"the converted {component.value} has {what}: {', '.join(names[:5])}; report a bug"
            )
    if graph.max_rank > MAX_RANK:
        raise ConversionError(
            f"the converted {component.value} has a tensor of rank {graph.max_rank}; report a bug"
        )
    for entry in entries.values():
        graph.check_signature(entry.signature.name, entry.signature)
    return ConvertedFile(
        path=path,
        component=component,
        entry_points={name: name for name in entries},
        details=_details(graph) | ({"float_layers": float_layers} if float_layers else {}),
    )


def _details(graph: TfliteGraph) -> dict[str, Any]:
    return {
        "operators": {
            name: dict(graph.subgraph_of(name).histogram.most_common()) for name in graph.signatures
        },
        "constant_bytes": graph.constant_bytes,
        "max_rank": graph.max_rank,
        "macs": {name: asdict(count_integer_macs(graph.subgraph_of(name))) for name in graph.signatures},
    }
