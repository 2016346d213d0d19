"""What a model is, read from its specification without running it."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from typing import Any

from tinysam_mobile.mil import ops  # noqa: F401 (fills the registry)
from tinysam_mobile.mil.datatypes import DTYPES
from tinysam_mobile.mil.features import read_features
from tinysam_mobile.mil.package import PIPELINES, OpenedModel
from tinysam_mobile.mil.program import CONTROL_FLOW, opset_of
from tinysam_mobile.mil.registry import find_op
from tinysam_mobile.mil.values import static_shape

__all__ = ["summarize"]

_FP32 = 11
_TENSOR_RANK_LIMIT = 5
_CPU_OPS = {
    "cond", "while_loop", "make_list", "list_write", "list_read", "list_gather", "list_scatter",
    "list_length", "non_zero", "non_maximum_suppression", "gather_nd", "scatter_nd", "lstm", "gru", "rnn",
    "range_1d", "random_normal", "random_uniform", "random_bernoulli", "random_categorical",
}  # fmt: skip


def summarize(opened: OpenedModel) -> dict[str, Any]:
    """Inputs, outputs, ops by opset, what the interpreter lacks, sizes and hints, as JSON data.

    Raises MilError for a description or a program that cannot be read.
    """
    spec = opened.spec
    kind = spec.WhichOneof("Type")
    if kind in PIPELINES:
        pipeline = spec.pipeline if kind == "pipeline" else getattr(spec, kind).pipeline
        parts = [
            summarize(OpenedModel(spec=part, weights_dir=opened.weights_dir))
            for part in pipeline.models
            if part.WhichOneof("Type") == "mlProgram"
        ]
        return {"kind": kind, "models": parts, **_described(spec.description)}
    described = {f.name: f for f in spec.description.functions} or {"main": spec.description}
    functions = {
        name: {**_described(described.get(name, spec.description)), **_summary(function)}
        for name, function in spec.mlProgram.functions.items()
    }
    metadata = spec.description.metadata
    return {
        "kind": "mlProgram",
        "specification_version": spec.specificationVersion,
        "default_function": spec.description.defaultFunctionName or "main",
        "functions": functions,
        "short_description": metadata.shortDescription,
        "author": metadata.author,
        "license": metadata.license,
        "user_defined": dict(metadata.userDefined),
    }


def _described(description: Any) -> dict[str, Any]:
    return {
        title: {name: feature.describe() for name, feature in read_features(features).items()}
        for title, features in (
            ("inputs", description.input), ("outputs", description.output), ("states", description.state),
        )
    }  # fmt: skip


def _summary(function: Any) -> dict[str, Any]:
    opset = opset_of(function)
    block = function.block_specializations[function.opset]
    counts = Counter(operation.type for operation in _operations(block))
    versions = {name: find_op(name, opset) for name in counts}
    missing = [n for n, v in versions.items() if v is None and n not in CONTROL_FLOW and n != "const"]
    del counts["const"]
    by_opset: Counter[str] = Counter()
    for name, version in versions.items():
        if version is not None:
            by_opset[version.since] += counts[name]
    return {
        "opset": opset,
        "operations": dict(counts.most_common()),
        "operations_by_opset": dict(sorted(by_opset.items())),
        "unsupported": sorted(missing),
        "constant_bytes": _constant_bytes(block),
        "hints": list(_hints(block, counts)),
    }


def _operations(block: Any) -> Iterator[Any]:
    for operation in block.operations:
        yield operation
        for inner in operation.blocks:
            yield from _operations(inner)


def _constant_bytes(block: Any) -> dict[str, int]:
    """Bytes of the constants by element type, as they are stored."""
    sizes: Counter[str] = Counter()
    for operation in _operations(block):
        for value in operation.attributes.values():
            tensor = value.type.tensorType
            element = DTYPES.get(tensor.dataType)
            if element is None:
                continue
            count = 1
            for size in static_shape(tensor):
                count *= size or 0
            sizes[element.name] += (count * element.bits + 7) // 8
    return dict(sizes.most_common())


def _hints(block: Any, counts: Counter[str]) -> Iterator[str]:
    """Why parts may not run on the Neural Engine, from facts of the program only."""
    fp32, dynamic, deep = 0, 0, 0
    for operation in _operations(block):
        if operation.type == "const":
            continue
        for named in operation.outputs:
            tensor = named.type.tensorType
            fp32 += tensor.dataType == _FP32
            dynamic += None in static_shape(tensor)
            deep += len(tensor.dimensions) > _TENSOR_RANK_LIMIT
    if fp32:
        yield f"{fp32} results are float32: the Neural Engine computes in float16, so those run elsewhere"
    if dynamic:
        yield f"{dynamic} results have a shape that is known at run time only: those run on the CPU or GPU"
    if deep:
        yield f"{deep} results have more than {_TENSOR_RANK_LIMIT} axes, which Core ML does not take"
    found = sorted(name for name in counts if name in _CPU_OPS)
    if found:
        yield f"usually left to the CPU: {', '.join(f'{name} ({counts[name]})' for name in found)}"
