"""Core ML: entry points to .mlpackage files (ML Programs), on any machine.

From iOS 18 a package holds several functions that share their weights: encoder.mlpackage has `encode` and
`encode_image` (the same with a Core ML image as input), decoder.mlpackage `decode`, `decode_batch` and
`score_batch`.
Before that a package is one function, `main`, so each entry point is a package of its own.
Sources: coremltools' guide, "Unified Conversion API", "Typed Execution" and "Multifunction Models".
"""

from __future__ import annotations

import gc
from collections.abc import Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch

from tinysam_mobile.artifacts.coreml_sdk import import_coremltools, quiet
from tinysam_mobile.artifacts.formats import DEPLOYMENT_TARGETS
from tinysam_mobile.contract.spec import Component, TensorSpec
from tinysam_mobile.converters.base import ConversionRequest, ConvertedFile, sdk_errors, write_components
from tinysam_mobile.converters.coreml_metadata import describe, take_image
from tinysam_mobile.converters.coreml_quantize import compress_weights, quantized_module
from tinysam_mobile.errors import UnknownNameError
from tinysam_mobile.modeling.entry_points import EntryPoint, example_inputs
from tinysam_mobile.quant.capability import check_recipe

__all__ = ["convert"]

MULTIFUNCTION_TARGETS = ("iOS18",)
PHASE_OPS = ("sin", "cos")
SUM_OPS = ("add", "clip", "maximum", "mul")
PIXEL_OPS = ("sub", "mul", "real_div", "select")
MIN_FP16 = 2.0**-24
"""Half precision takes anything below half of it for 0."""
TINY_SUM_STEPS = 3
"""From the first of the products to the sum: product, slice, sum."""


@dataclass(frozen=True, kw_only=True)
class Function:
    """One function: `name` in a multi-function package, `stem` of its file where it has its own."""

    name: str
    stem: str
    entry_point: str
    image_input: bool = False

    @property
    def component(self) -> Component:
        return Component(self.stem.split("_")[0])


FUNCTIONS = (
    Function(name="encode", stem="encoder", entry_point="encode"),
    Function(name="encode_image", stem="encoder_image", entry_point="encode", image_input=True),
    Function(name="decode", stem="decoder", entry_point="decode"),
    Function(name="decode_batch", stem="decoder_batch", entry_point="decode_batch"),
    Function(name="score_batch", stem="decoder_scores", entry_point="score_batch"),
)


def convert(request: ConversionRequest) -> list[ConvertedFile]:
    """Write the request's entry points as .mlpackage folders into `request.folder` and say what they hold.

    Packages appear complete or not at all.  Raises `UnknownNameError` for a deployment target,
    `RuntimeUnavailableError` without coremltools, `ConversionError` for a recipe that Core ML does not have,
    if an entry point cannot be expressed or a package of that name exists.
    """
    if request.deployment_target not in DEPLOYMENT_TARGETS:
        raise UnknownNameError("deployment target", request.deployment_target, DEPLOYMENT_TARGETS)
    check_recipe("coreml", request.recipe.id, deployment_target=request.deployment_target)
    import_coremltools()
    return write_components(request, _write_component, suffix=".mlpackage")


def _write_component(request: ConversionRequest, component: Component, staging: Path) -> list[ConvertedFile]:
    functions = [f for f in FUNCTIONS if f.entry_point in request.entry_points_of(component)]
    packages = _convert_functions(request, functions, staging)
    if request.deployment_target in MULTIFUNCTION_TARGETS:
        return [_merged(request, functions, staging, packages)]
    return [_single(request, function, packages[function.name]) for function in functions]


def _convert_functions(
    request: ConversionRequest, functions: Sequence[Function], staging: Path
) -> dict[str, Path]:
    """Make each function a package of its own: name → path."""
    packages: dict[str, Path] = {}
    for function in functions:
        path = staging / f"{function.stem}.mlpackage"
        with _reported(request, function.name):
            if function.image_input:
                take_image(packages[function.entry_point], path)
            else:
                _convert_function(request, function, path)
        packages[function.name] = path
    return packages


EXACTLY = {torch.ops.aten.reciprocal.default: lambda x: torch.pow(x, -1)}
"""coremltools makes MIL's `inverse` of a reciprocal, with that op's default epsilon: 1 / (x + 0.0001)."""


def _convert_function(request: ConversionRequest, function: Function, path: Path) -> None:
    entry = request.entry_points[function.entry_point]
    request.progress(f"exporting {function.name}")
    with quiet():
        module = quantized_module(entry, request.recipe, request.plan)
        program = torch.export.export(module, example_inputs(entry.signature))
        program = program.run_decompositions(EXACTLY)
    request.progress(f"converting {function.name}")
    model = compress_weights(_convert_program(program, entry, request), request.recipe)
    with quiet():
        model.save(str(path))
        # The model owns a temporary folder of its weights, and reference cycles keep both alive.
        del model, program
        gc.collect()


def _reported(request: ConversionRequest, what: str) -> AbstractContextManager[None]:
    return sdk_errors(
        "Core ML",
        f"{what} ({request.deployment_target}, {request.recipe.id})",
        extra="coreml",
        advice="try another --deployment-target, and compare the versions that `tinysam-mobile doctor` "
        "prints with those that it wants",
    )


def _convert_program(
    program: torch.export.ExportedProgram, entry: EntryPoint, request: ConversionRequest
) -> Any:
    ct = import_coremltools()
    signature = entry.signature
    inputs = [ct.TensorType(name=t.name, shape=t.shape, dtype=_numpy_type(t)) for t in signature.inputs]
    outputs = [ct.TensorType(name=t.name, dtype=_numpy_type(t)) for t in signature.outputs]
    with quiet():
        return ct.convert(
            program,
            inputs=inputs,
            outputs=outputs,
            minimum_deployment_target=getattr(ct.target, request.deployment_target),
            compute_precision=_compute_precision(request.recipe.id, signature.component),
            pass_pipeline=_pass_pipeline(),
            skip_model_load=True,
        )


def _pass_pipeline() -> Any:
    """coremltools' default passes without the one that stores a constant in two layouts to save a transpose.

    It finds one transpose in the decoder, and for it a second copy of the positional encoding: 2 MB.
    """
    pipeline = import_coremltools().PassPipeline.DEFAULT
    pipeline.remove_passes({"common::reduce_transposes"})
    return pipeline


def _numpy_type(tensor: TensorSpec) -> type[np.generic]:
    return {"float32": np.float32, "int32": np.int32}[tensor.dtype]


def _compute_precision(recipe: str, component: Component) -> Any:
    ct = import_coremltools()
    if recipe == "fp32":
        return ct.precision.FLOAT32
    return ct.transform.FP16ComputePrecision(op_selector=lambda op: not needs_fp32(op, component))


def needs_fp32(op: Any, component: Component) -> bool:
    """Whether a MIL op stays float32 in the fp16 recipe: few or small ones, where fp16 costs most.

    - Point coordinates up to the sine and cosine: in a 1024-pixel frame a coordinate takes 10 of fp16's 11
      bits before its fraction begins, and a phase of tens of radians is 0.01 off.
    - Normalisation of the pixels: mean and deviation are up to 0.03 off, the same way all over the photo.
    - The decoder's residual stream, that is layer norms and the sums before them: it is post-norm, so that
      their rounding is in everything that follows, and fp16 has no normal number as small as epsilon.
    - Sums that are kept from 0 by less than fp16's smallest number (linear attention), what they divide, and
      the products that they come from: in fp16 a position without weights would be 0/0.
    - The decoder's heads: 3 x 32 numbers per prompt, whose error is that of whole masks.
    - Sums of squares under an inverse square root, of `score_batch` and EfficientSAM's upscaling: one number
      for each prompt and position, or for each prompt.
    """
    if component is Component.DECODER and (_is_residual(op) or _is_head(op) or _is_variance(op)):
        return True
    return _leads_to(op, PHASE_OPS) or _normalises_pixels(op) or _guards_division(op)


def _guards_division(op: Any) -> bool:
    """Whether `op` is a sum with a tiny constant, divides by one, or is one of the products before it."""
    if op.op_type == "real_div":
        return op.y.op is not None and _adds_tiny(op.y.op)
    if op.op_type in ("matmul", "slice_by_index", "add"):
        near = _downstream(op, TINY_SUM_STEPS)
        return any(_adds_tiny(other) for other in near)
    return False


def _adds_tiny(op: Any) -> bool:
    if op.op_type != "add":
        return False
    constants = [side.val for side in (op.x, op.y) if side.val is not None]
    return any(np.size(value) == 1 and 0 < float(np.ravel(value)[0]) < MIN_FP16 for value in constants)


def _downstream(op: Any, steps: int) -> set[Any]:
    """`op` and what depends on it within a few steps of products and slices."""
    found, edge = {op}, {op}
    for _ in range(steps):
        edge = {child for current in edge for output in current.outputs for child in output.child_ops}
        edge = {child for child in edge if child.op_type in ("matmul", "slice_by_index", "add")}
        found |= edge
    return found


def _is_residual(op: Any) -> bool:
    children = {child.op_type for output in op.outputs for child in output.child_ops}
    return op.op_type == "layer_norm" or (op.op_type == "add" and "layer_norm" in children)


def _is_variance(op: Any) -> bool:
    """Whether `op` makes the sum of squares under an inverse square root, or is one of those."""
    if op.op_type == "rsqrt":
        return True
    narrow = op.op_type in ("reduce_sum", "reduce_mean") or (
        op.op_type in SUM_OPS and 1 in op.outputs[0].shape[1:]
    )
    return narrow and any(_is_variance(child) for child in op.outputs[0].child_ops)


def _is_head(op: Any) -> bool:
    """Whether `op` is a layer of the MLPs at the end, after the last attention: one token of each prompt."""
    is_layer = op.op_type in ("linear", "relu", "gelu") and len(op.outputs[0].shape) == 2
    return is_layer and not _leads_to(op, ("layer_norm", "softmax"))


def _leads_to(op: Any, op_types: tuple[str, ...]) -> bool:
    """Whether `op` or one that depends on it is of these types."""
    pending, seen = [op], {op}
    while pending:
        current = pending.pop()
        if current.op_type in op_types:
            return True
        fresh = {child for output in current.outputs for child in output.child_ops} - seen
        seen |= fresh
        pending += fresh
    return False


def _normalises_pixels(op: Any) -> bool:
    """Whether `op` is one of the elementwise ops between the input `image` and the first convolution."""
    while op is not None and op.op_type in PIXEL_OPS:
        pixels = op.b if op.op_type == "select" else op.x
        if pixels.op is None:
            return bool(pixels.name == "image")
        op = pixels.op
    return False


def _merged(
    request: ConversionRequest, functions: Sequence[Function], staging: Path, packages: Mapping[str, Path]
) -> ConvertedFile:
    """Merge a component's functions into one package, in which equal weights are stored once."""
    ct = import_coremltools()
    component = functions[0].component
    path = staging / "merged" / f"{component.value}.mlpackage"
    path.parent.mkdir(exist_ok=True)
    request.progress(f"merging {' and '.join(function.name for function in functions)}")
    with _reported(request, path.name), quiet():
        merge = ct.utils.MultiFunctionDescriptor()
        for function in functions:
            merge.add_function(str(packages[function.name]), "main", function.name)
        merge.default_function_name = functions[0].name
        ct.utils.save_multifunction(merge, str(path))
        gc.collect()
    describe(path, request=request, component=component)
    parts = sum(_weight_bytes(packages[function.name]) for function in functions)
    return ConvertedFile(
        path=path,
        component=component,
        entry_points={f.entry_point: f.name for f in functions if not f.image_input},
        details=_details(request, functions) | {"shared_bytes": parts - _weight_bytes(path)},
    )


def _single(request: ConversionRequest, function: Function, path: Path) -> ConvertedFile:
    """Describe a package of one function, `main`."""
    describe(path, request=request, component=function.component)
    note = f"{path.name} holds its own copy of the weights; functions share them from iOS 18 on"
    is_first = function.stem == function.component.value
    return ConvertedFile(
        path=path,
        component=function.component,
        entry_points={} if function.image_input else {function.entry_point: "main"},
        notes=() if is_first else (note,),
        details=_details(request, [function]),
    )


def _details(request: ConversionRequest, functions: Sequence[Function]) -> dict[str, Any]:
    single = request.deployment_target not in MULTIFUNCTION_TARGETS
    images = {
        function.entry_point: {"function": "main" if single else function.name, "input": "image"}
        for function in functions
        if function.image_input
    }
    return {"deployment_target": request.deployment_target} | ({"image_functions": images} if images else {})


def _weight_bytes(package: Path) -> int:
    return sum(file.stat().st_size for file in package.rglob("weight.bin"))
