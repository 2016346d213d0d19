"""The artifact formats, one record each: who writes, reads and runs them, and which packages that takes.

Modules are named, not imported: a format costs nothing until one of its files is touched.  A further
format is a record here, its row in `quant.capability` and files of its own.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path
from typing import Any

from tinysam_mobile.artifacts.graph import ArtifactFacts, Graph
from tinysam_mobile.errors import UnknownNameError
from tinysam_mobile.version import package_version

__all__ = [
    "FORMATS",
    "Accelerator",
    "ArtifactFormat",
    "FormatRuntime",
    "format_named",
    "format_of",
    "tool_versions",
]


@dataclass(frozen=True, kw_only=True)
class FormatRuntime:
    """Something that runs a format: `module` has `open_session`.

    `distribution` is the PyPI package that it needs, `libraries` what it imports on first use, which takes
    seconds and is no part of loading a model.
    """

    module: str
    description: str
    distribution: str
    libraries: tuple[str, ...] = ()


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
class ArtifactFormat:
    """One format.

    `converter` is the module whose `convert` writes it, `reader` the module whose `read_facts` and `describe`
    read it, `runtimes` what runs it, by the name that `--runtime` takes; the first is the default and runs on
    every machine.  `distributions` are the PyPI packages behind it, the converter's first; `extra` installs
    them.  `only_function` is what the SDK calls the function of a file that has one.  `accelerator` is None
    where the file is compiled for its backend ahead of time.
    """

    name: str
    suffix: str
    converter: str
    reader: str
    runtimes: Mapping[str, FormatRuntime]
    distributions: tuple[str, ...]
    extra: str
    only_function: str
    accelerator: Accelerator | None = None

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
                description=".mlpackage through Apple's own predictor, on macOS only",
                distribution="coremltools",
                libraries=("coremltools",),
            ),
        },
        distributions=("coremltools",),
        extra="coreml",
        only_function="main",
        accelerator=Accelerator(
            name="the Neural Engine", refusals="tinysam_mobile.artifacts.accelerators:neural_engine_refusals"
        ),
    ),
    "tflite": ArtifactFormat(
        name="tflite",
        suffix=".tflite",
        converter="tinysam_mobile.converters.tflite",
        reader="tinysam_mobile.artifacts.tflite_facts",
        runtimes={
            "tflite": FormatRuntime(
                module="tinysam_mobile.simulator.tflite",
                description=".tflite through LiteRT with XNNPACK",
                distribution="ai-edge-litert",
                libraries=("ai_edge_litert.interpreter", "ai_edge_litert.schema_py_generated"),
            )
        },
        distributions=("litert-torch", "ai-edge-litert", "ai-edge-quantizer"),
        extra="tflite",
        only_function="serving_default",
        accelerator=Accelerator(
            name="TFLite's GPU delegate",
            refusals="tinysam_mobile.artifacts.accelerators:gpu_delegate_refusals",
        ),
    ),
    "executorch": ArtifactFormat(
        name="executorch",
        suffix=".pte",
        converter="tinysam_mobile.converters.executorch",
        reader="tinysam_mobile.artifacts.executorch_facts",
        runtimes={
            "executorch": FormatRuntime(
                module="tinysam_mobile.simulator.executorch",
                description=".pte through ExecuTorch with XNNPACK",
                distribution="executorch",
            )
        },
        distributions=("executorch",),
        extra="executorch",
        only_function="forward",
    ),
}
"""Name of a format, as `--target` takes it and a manifest writes it → its record."""


def format_named(name: str) -> ArtifactFormat:
    """Return the format called `name`, or raise `UnknownNameError` with those that exist."""
    if name not in FORMATS:
        raise UnknownNameError("format", name, FORMATS)
    return FORMATS[name]


def format_of(path: Path) -> ArtifactFormat | None:
    """Return the format whose suffix `path` has, in any case; None if it has none of them."""
    return next((fmt for fmt in FORMATS.values() if path.suffix.lower() == fmt.suffix), None)


def tool_versions() -> dict[str, str]:
    """Return package → version of everything that converts or runs, for manifests and reports."""
    names = ("torch", "numpy", *(name for fmt in FORMATS.values() for name in fmt.distributions))
    return {name: version for name in names if (version := package_version(name)) is not None}
