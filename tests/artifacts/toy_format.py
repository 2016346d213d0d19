"""A format of this test's own, in one file: a folder of exported programs, run by torch.

Run as a script it adds its record and hands the rest of the command line to tinysam-mobile.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from tinysam_mobile.artifacts.formats import FORMATS, ArtifactFormat, Capability, FormatRuntime
from tinysam_mobile.artifacts.graph import ArtifactFacts, Graph
from tinysam_mobile.contract.backend import Arrays
from tinysam_mobile.contract.spec import Component, Signature
from tinysam_mobile.converters.base import ConversionRequest, ConvertedFile, write_components
from tinysam_mobile.modeling.entry_points import example_inputs

CONTRACT = "contract.json"


def convert(request: ConversionRequest) -> list[ConvertedFile]:
    """The converter."""
    return write_components(request, _write, suffix=".toy")


def _write(request: ConversionRequest, component: Component, staging: Path) -> list[ConvertedFile]:
    folder = staging / f"{component}.toy"
    folder.mkdir()
    entries = request.entry_points_of(component)
    for name, entry in entries.items():
        program = torch.export.export(entry.module, example_inputs(entry.signature))
        torch.export.save(program, folder / f"{name}.pt2")
    (folder / CONTRACT).write_text(json.dumps(request.contract), encoding="utf-8")
    return [ConvertedFile(path=folder, component=component, entry_points={name: name for name in entries})]


class ToySession:
    """The runtime."""

    def __init__(self, path: Path, signatures: Mapping[str, Signature]) -> None:
        self._signatures = signatures
        self._modules = {name: torch.export.load(path / f"{name}.pt2").module() for name in signatures}

    def run(self, entry_point: str, inputs: Mapping[str, NDArray[Any]]) -> Arrays:
        """See `Session.run`."""
        tensors = [torch.from_numpy(np.array(array)) for array in inputs.values()]
        with torch.no_grad():
            out = self._modules[entry_point](*tensors)
        out = out if isinstance(out, tuple) else (out,)
        names = [spec.name for spec in self._signatures[entry_point].outputs]
        return {name: tensor.numpy() for name, tensor in zip(names, out, strict=True)}


def open_session(path: Path, *, signatures: Mapping[str, Signature], **_: Any) -> ToySession:
    """Open one artifact."""
    return ToySession(path, signatures)


def read_facts(path: Path) -> ArtifactFacts:
    """The reader."""
    graphs = {
        name: Graph(name=name, tensors=(), ops=(), inputs=(), outputs=())
        for name in describe(path)["programs"]
    }
    contract = (path / CONTRACT).read_text(encoding="utf-8")
    return ArtifactFacts(graphs=graphs, constant_bytes={}, contract_json=contract)


def describe(path: Path) -> dict[str, Any]:
    """What `inspect` prints."""
    return {"programs": sorted(file.stem for file in path.glob("*.pt2"))}


RECORD = ArtifactFormat(
    name="toy",
    suffix=".toy",
    converter=__name__,
    reader=__name__,
    runtimes={"toy": FormatRuntime(module=__name__, description="exported programs", distribution="torch")},
    distributions=("torch",),
    extra="toy",
    only_function="forward",
    recipes={"fp32": Capability(how="float32"), "fp16": Capability(how="has none", nearest="fp32")},
)

if __name__ == "__main__":
    from tests.artifacts import toy_format  # under the name that the record gives

    FORMATS["toy"] = toy_format.RECORD
    from tinysam_mobile.cli import main

    main(sys.argv[1:])
