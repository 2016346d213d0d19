"""ExecuTorch: encoder.pte with the method `encode`, decoder.pte with `decode`, `decode_batch`, `score_batch`.

PyTorch → torch.export → `quant.insertion` for integer recipes → `executorch_rewrite` → torch.export →
XNNPACK delegates.  Constants are stored by the hash of their bytes, so the decoders share their weights.
Inputs and outputs are float32 (labels and sizes int32) whatever the recipe; fp16 computes the image encoder
and the mask decoder in float16, and normalisation, point coordinates and positional encodings, whose values
float16 cannot hold, in float32.
A constant method, `contract_json`, returns contract.json.

For the backends coreml and vulkan the exported graph is handed over as it is: their partitioners know
layer norm, and nothing here can run the result.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from time import perf_counter
from typing import Any

import torch
from torch import nn
from torch.export import ExportedProgram

from tinysam_mobile.artifacts.coreml_sdk import import_coremltools
from tinysam_mobile.artifacts.executorch_graph import CONTRACT_METHOD, read_graphs
from tinysam_mobile.artifacts.executorch_sdk import quiet
from tinysam_mobile.contract.spec import Component
from tinysam_mobile.converters.base import ConversionRequest, ConvertedFile, sdk_errors, write_components
from tinysam_mobile.converters.executorch_rewrite import GraphRewriter
from tinysam_mobile.converters.executorch_rules import XNNPACK_RULES
from tinysam_mobile.errors import ConversionError, UnknownNameError
from tinysam_mobile.modeling.entry_points import EntryPoint, example_inputs
from tinysam_mobile.quant.capability import check_recipe
from tinysam_mobile.quant.graph import trace_layers
from tinysam_mobile.quant.insertion import insert_dynamic, insert_static
from tinysam_mobile.quant.recipe import Scheme

__all__ = ["BACKENDS", "HALF_SCOPES", "convert"]

HALF_SCOPES = ("image_encoder", "model.mask_decoder")
"""Modules of the entry points that compute in float16 under the recipe fp16."""
SHARED_WEIGHTS_SLACK = 1.75
"""A file that exceeds this multiple of the weights, by more than a graph needs, stores them twice."""
MAX_GRAPH_BYTES = 2**19


def convert(request: ConversionRequest) -> list[ConvertedFile]:
    """Write encoder.pte and decoder.pte into `request.folder`, both or neither.

    Raises `ConversionError` for a recipe that ExecuTorch does not have here, or if the SDK cannot express
    the model; `UnknownNameError` for a backend; `RuntimeUnavailableError` if executorch is not installed.
    """
    check_recipe("executorch", request.recipe.id)
    if request.executorch_backend not in BACKENDS:
        raise UnknownNameError("ExecuTorch backend", request.executorch_backend, BACKENDS)
    if request.recipe.scheme is not Scheme.FLOAT and request.executorch_backend != "xnnpack":
        raise ConversionError(
            f"recipe {request.recipe.id} is for --executorch-backend xnnpack; for "
            f"{request.executorch_backend} take fp16"
        )
    with quiet():
        return write_components(request, _write_component, suffix=".pte")


def _write_component(request: ConversionRequest, component: Component, staging: Path) -> list[ConvertedFile]:
    path = staging / f"{component.value}.pte"
    entries = request.entry_points_of(component)
    with sdk_errors(
        f"ExecuTorch ({request.executorch_backend})",
        path.name,
        extra="all",
        advice="try another --executorch-backend or recipe",
    ):
        programs = {name: _program(request, entry) for name, entry in entries.items()}
        request.progress(f"lowering {path.name} to {request.executorch_backend}")
        start = perf_counter()
        _lower(request, programs, path)
        lowering_seconds = round(perf_counter() - start, 1)
    file = ConvertedFile(
        path=path,
        component=component,
        entry_points={name: name for name in entries},
        notes=_notes(request, path, entries),
        details={**_details(request, path), "lowering_seconds": lowering_seconds},
    )
    return [file]


def _program(request: ConversionRequest, entry: EntryPoint) -> ExportedProgram:
    request.progress(f"exporting {entry.signature.name}")
    inputs = example_inputs(entry.signature)
    program = torch.export.export(_quantized(request, entry), inputs)
    if request.executorch_backend != "xnnpack":
        return program
    half_scopes = HALF_SCOPES if request.recipe.id == "fp16" else ()
    rewriter = GraphRewriter(
        program, XNNPACK_RULES, half_scopes=half_scopes, float_scopes=float32_scopes(entry.module)
    )
    rewritten = rewriter.rewrite()
    return torch.export.export(rewritten, inputs)


def float32_scopes(module: nn.Module) -> list[str]:
    """Names of the parts that say that half precision cannot hold what they compute."""
    return [name for name, part in module.named_modules() if getattr(part, "computes_in_float32", False)]


def _quantized(request: ConversionRequest, entry: EntryPoint) -> nn.Module:
    """Return the entry point's module, with integers inside if the recipe has them."""
    if request.recipe.scheme is Scheme.DYNAMIC:
        return insert_dynamic(trace_layers(entry))
    if request.recipe.scheme is Scheme.STATIC:
        assert request.plan is not None, "the pipeline makes a plan for every static recipe"
        return insert_static(trace_layers(entry), request.plan, quantize_outputs=True)
    return entry.module


def _lower(request: ConversionRequest, programs: Mapping[str, ExportedProgram], path: Path) -> None:
    # Here and in the partitioners, not at the top: `--help` and an error above must not wait for the SDK.
    from executorch.exir import EdgeCompileConfig, ExecutorchBackendConfig, to_edge_transform_and_lower

    contract = json.dumps(request.contract, sort_keys=True, ensure_ascii=False)
    manager = to_edge_transform_and_lower(
        dict(programs),
        partitioner=BACKENDS[request.executorch_backend](request),
        constant_methods={CONTRACT_METHOD: contract},
        # The verifier refuses `linear`, which XNNPACK's partitioner asks to keep whole.
        compile_config=EdgeCompileConfig(_check_ir_validity=False),
    )
    with path.open("wb") as file:
        manager.to_executorch(ExecutorchBackendConfig()).write_to_file(file)


def _xnnpack(_: ConversionRequest) -> Sequence[Any]:
    from tinysam_mobile.converters.executorch_partitioner import xnnpack_partitioner

    return [xnnpack_partitioner()]


def _coreml(request: ConversionRequest) -> Sequence[Any]:
    coremltools = import_coremltools()
    from executorch.backends.apple.coreml.compiler import CoreMLBackend
    from executorch.backends.apple.coreml.partition import CoreMLPartitioner

    precision = {"fp16": coremltools.precision.FLOAT16, "fp32": coremltools.precision.FLOAT32}
    specs = CoreMLBackend.generate_compile_specs(
        compute_precision=precision[request.recipe.id],
        minimum_deployment_target=getattr(coremltools.target, request.deployment_target),
    )
    return [CoreMLPartitioner(compile_specs=specs)]


def _vulkan(request: ConversionRequest) -> Sequence[Any]:
    from executorch.backends.vulkan.partitioner.vulkan_partitioner import VulkanPartitioner

    return [VulkanPartitioner({"force_fp16": True} if request.recipe.id == "fp16" else {})]


BACKENDS: Mapping[str, Callable[[ConversionRequest], Sequence[Any]]] = {
    "xnnpack": _xnnpack,
    "coreml": _coreml,
    "vulkan": _vulkan,
}
"""What makes the partitioners of each `--executorch-backend`."""


def _notes(request: ConversionRequest, path: Path, entries: Mapping[str, EntryPoint]) -> tuple[str, ...]:
    notes = []
    if request.executorch_backend != "xnnpack":
        notes.append(f"{path.name} is for {request.executorch_backend}, which cannot run on this machine")
    weights = {id(p): p.numel() for entry in entries.values() for p in entry.module.parameters()}
    weight_bytes = sum(weights.values()) * request.recipe.weight_bits // 8
    if len(entries) > 1 and path.stat().st_size > SHARED_WEIGHTS_SLACK * weight_bytes + MAX_GRAPH_BYTES:
        notes.append(f"{path.name}: {', '.join(entries)} do not share all weights with this backend")
    return tuple(notes)


def _details(request: ConversionRequest, path: Path) -> dict[str, Any]:
    methods = {name: graph.to_dict() for name, graph in read_graphs(path).items()}
    return {"backend": request.executorch_backend, "methods": methods}
