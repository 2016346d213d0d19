"""The artifact formats, one record each: who writes, reads and runs them, and which packages that takes.

Modules are named, not imported: a format costs nothing until one of its files is touched.  A further
format is a record here and files of its own.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path
from typing import Any

from tinysam_mobile.artifacts.graph import ArtifactFacts, Graph
from tinysam_mobile.errors import BundleError, UnknownNameError
from tinysam_mobile.files import open_regular
from tinysam_mobile.version import package_version

__all__ = [
    "DEPLOYMENT_TARGETS",
    "FORMATS",
    "Accelerator",
    "ArtifactFormat",
    "Capability",
    "FormatRuntime",
    "format_named",
    "format_of",
    "runtime_versions",
    "tool_versions",
]


DEPLOYMENT_TARGETS = ("iOS16", "iOS17", "iOS18")
"""Lowest systems that a Core ML package may be made for, from the oldest."""


@dataclass(frozen=True, kw_only=True)
class FormatRuntime:
    """Something that runs a format: `module` has `open_session`.

    `distribution` is the PyPI package that it needs, `libraries` what it imports on first use, which takes
    seconds and is no part of loading a model.  `is_native` says that native code reads the file, which a
    damaged one may end: files of others are handed to it in a process of its own.
    """

    module: str
    description: str
    distribution: str
    libraries: tuple[str, ...] = ()
    is_native: bool = False


@dataclass(frozen=True, kw_only=True)
class Accelerator:
    """A phone's accelerator; `refusals` is "module:function" that tells what it leaves to the CPU."""

    name: str
    refusals: str

    def refused(self, graph: Graph) -> dict[str, str]:
        """Return operation → why the accelerator does not take it."""
        module, function = self.refusals.split(":")
        found: Callable[[Graph], dict[str, str]] = getattr(import_module(module), function)
        return found(graph)


@dataclass(frozen=True, kw_only=True)
class Capability:
    """How a format expresses a recipe; or, with `nearest`, why it does not and the recipe to take instead.

    `min_ios` is the lowest Core ML deployment target that has it.
    """

    how: str
    nearest: str | None = None
    min_ios: str = "iOS16"


def _has(how: str, *, min_ios: str = "iOS16") -> Capability:
    return Capability(how=how, min_ios=min_ios)


def _lacks(reason: str, nearest: str) -> Capability:
    return Capability(how=reason, nearest=nearest)


_NO_PALETTE = _lacks("it has no table of weights", "weight_only_w8")
_SIMULATED = _lacks("it has no 6-bit arithmetic; simulated in PyTorch only", "static_w8a8")


@dataclass(frozen=True, kw_only=True)
class ArtifactFormat:
    """One format.

    `converter` is the module whose `convert` writes it, `reader` the module whose `read_facts` and `describe`
    read it, `runtimes` what runs it, by the name that `--runtime` takes; the first is the default and runs on
    every machine.  `distributions` are the PyPI packages behind it, the converter's first; `extra` installs
    them.  `only_function` is what the SDK calls the function of a file that has one, `recipes`
    what the format makes of each recipe.  `accelerator` is None
    where the file is compiled for its backend ahead of time.  `app_distribution` is the PyPI package whose
    release an app should ship, None where the phone's system has the runtime.
    """

    name: str
    suffix: str
    converter: str
    reader: str
    runtimes: Mapping[str, FormatRuntime]
    distributions: tuple[str, ...]
    extra: str
    only_function: str
    recipes: Mapping[str, Capability]
    accelerator: Accelerator | None = None
    identifier: bytes | None = None
    app_distribution: str | None = None

    @property
    def default_runtime(self) -> str:
        """The runtime that works on every machine."""
        return next(iter(self.runtimes))

    def read_facts(self, path: Path) -> ArtifactFacts:
        """Read an artifact without running it; raises what the reader raises for a damaged one."""
        facts: ArtifactFacts = import_module(self.reader).read_facts(path)
        return facts

    def describe(self, path: Path) -> dict[str, Any]:
        """Return what `inspect` prints of an artifact."""
        details: dict[str, Any] = import_module(self.reader).describe(path)
        return details


IDENTIFIER_AT = slice(4, 8)
"""Where a flatbuffer tells what it is."""

FORMATS: dict[str, ArtifactFormat] = {
    "coreml": ArtifactFormat(
        name="coreml",
        suffix=".mlpackage",
        converter="tinysam_mobile.converters.coreml",
        reader="tinysam_mobile.artifacts.coreml_facts",
        runtimes={
            "coreml": FormatRuntime(
                module="tinysam_mobile.simulator.coreml",
                description=".mlpackage through our MIL interpreter, on any machine",
                distribution="coremltools",
                libraries=("coremltools",),
            ),
            "coreml-native": FormatRuntime(
                module="tinysam_mobile.simulator.coreml_native",
                is_native=True,
                description=".mlpackage through Apple's own predictor, on macOS only",
                distribution="coremltools",
                libraries=("coremltools",),
            ),
        },
        distributions=("coremltools",),
        extra="coreml",
        only_function="main",
        recipes={
            "fp32": _has("float32"),
            "fp16": _has("float16; the decoder's residual stream, norms and heads float32"),
            "weight_only_w8": _has("`constexpr` int8 weights, float16 arithmetic"),
            "weight_only_w4_block32": _has(
                "`constexpr_blockwise_shift_scale`; arithmetic as fp16", min_ios="iOS18"
            ),
            "palettized_w8": _has("`constexpr_lut_to_dense`, one table per tensor; arithmetic as fp16"),
            "palettized_w6": _has("as `palettized_w8`, 64 values"),
            "palettized_w4": _has("as `palettized_w8`, 16 values"),
            "dynamic_w8": _lacks("it measures no ranges while it runs", "static_w8a8"),
            "static_w8a8": _has(
                "`quantize`/`dequantize` around conv and linear with our ranges, int8 weights; "
                "products float16",
                min_ios="iOS17",
            ),
            "static_w8a8_attn16": _has(
                "as `static_w8a8`, attention in float16 with int8 weights", min_ios="iOS17"
            ),
            "static_w6a6": _SIMULATED,
        },
        accelerator=Accelerator(
            name="the Neural Engine", refusals="tinysam_mobile.artifacts.accelerators:neural_engine_refusals"
        ),
    ),
    "tflite": ArtifactFormat(
        name="tflite",
        suffix=".tflite",
        identifier=b"TFL3",
        converter="tinysam_mobile.converters.tflite",
        reader="tinysam_mobile.artifacts.tflite_facts",
        runtimes={
            "tflite": FormatRuntime(
                module="tinysam_mobile.simulator.tflite",
                is_native=True,
                description=".tflite through LiteRT with XNNPACK",
                distribution="ai-edge-litert",
                libraries=("ai_edge_litert.interpreter", "ai_edge_litert.schema_py_generated"),
            )
        },
        distributions=("litert-torch", "ai-edge-litert", "ai-edge-quantizer"),
        extra="tflite",
        app_distribution="ai-edge-litert",
        only_function="serving_default",
        recipes={
            "fp32": _has("float32"),
            "fp16": _has("float16 constants, widened by DEQUANTIZE"),
            "weight_only_w8": _has("int8 constants per channel, widened by DEQUANTIZE"),
            "weight_only_w4_block32": _lacks(
                "has no blocks that XNNPACK unpacks for float", "weight_only_w8"
            ),
            "palettized_w8": _NO_PALETTE,
            "palettized_w6": _NO_PALETTE,
            "palettized_w4": _NO_PALETTE,
            "dynamic_w8": _has(
                "hybrid CONV_2D and FULLY_CONNECTED; depthwise convolutions as `weight_only_w8`"
            ),
            "static_w8a8": _has(
                "int8 CONV_2D, DEPTHWISE_CONV_2D, FULLY_CONNECTED and, in the encoder, BATCH_MATMUL between "
                "QUANTIZE and DEQUANTIZE"
            ),
            "static_w8a8_attn16": _has("as `static_w8a8`; attention's linear layers and products in int16"),
            "static_w6a6": _SIMULATED,
        },
        accelerator=Accelerator(
            name="TFLite's GPU delegate",
            refusals="tinysam_mobile.artifacts.accelerators:gpu_delegate_refusals",
        ),
    ),
    "executorch": ArtifactFormat(
        name="executorch",
        suffix=".pte",
        identifier=b"ET12",
        converter="tinysam_mobile.converters.executorch",
        reader="tinysam_mobile.artifacts.executorch_facts",
        runtimes={
            "executorch": FormatRuntime(
                module="tinysam_mobile.simulator.executorch",
                is_native=True,
                description=".pte through ExecuTorch with XNNPACK",
                distribution="executorch",
            )
        },
        distributions=("executorch",),
        extra="executorch",
        app_distribution="executorch",
        only_function="forward",
        recipes={
            "fp32": _has("float32"),
            "fp16": _has("float16 on XNNPACK"),
            "weight_only_w8": _lacks("XNNPACK has no int8 weights for float arithmetic", "dynamic_w8"),
            "weight_only_w4_block32": _lacks(
                "XNNPACK has no int4 weights for float arithmetic", "dynamic_w8"
            ),
            "palettized_w8": _lacks("it has no table of weights", "dynamic_w8"),
            "palettized_w6": _lacks("it has no table of weights", "dynamic_w8"),
            "palettized_w4": _lacks("it has no table of weights", "dynamic_w8"),
            "dynamic_w8": _has("XNNPACK's dynamic linear; convolutions float32"),
            "static_w8a8": _has("XNNPACK's int8 conv, linear and, in the encoder, products of attention"),
            "static_w8a8_attn16": _lacks("XNNPACK has no 16-bit integers", "static_w8a8"),
            "static_w6a6": _SIMULATED,
        },
    ),
}
"""Name of a format, as `--target` takes it and a manifest writes it → its record."""


def format_named(name: str) -> ArtifactFormat:
    """Return the format called `name`, or raise `UnknownNameError` with those that exist."""
    if name not in FORMATS:
        raise UnknownNameError("format", name, FORMATS)
    return FORMATS[name]


def format_of(path: Path) -> ArtifactFormat | None:
    """Return the format of a file by its first bytes, else by its suffix in any case; else None."""
    head = b""
    if path.is_file():
        with open_regular(path, error=BundleError) as file:
            head = file.read(IDENTIFIER_AT.stop)
    for fmt in FORMATS.values():
        if fmt.identifier is not None and fmt.identifier == head[IDENTIFIER_AT]:
            return fmt
    return next((fmt for fmt in FORMATS.values() if path.suffix.lower() == fmt.suffix), None)


def runtime_versions() -> dict[str, str]:
    """Return format → the release that runs it here, of the formats whose runtime an app ships itself."""
    shipped = {fmt.name: fmt.app_distribution for fmt in FORMATS.values() if fmt.app_distribution}
    return {name: version for name, d in shipped.items() if (version := package_version(d)) is not None}


def tool_versions() -> dict[str, str]:
    """Return package → version of everything that converts or runs, for manifests and reports."""
    names = ("torch", "numpy", *(name for fmt in FORMATS.values() for name in fmt.distributions))
    return {name: version for name in names if (version := package_version(name)) is not None}
