"""Validate a model that was converted outside this package: a JSON file says which tensor is which.

    {"runtime": "tflite", "recipe": "fp32", "slots": 8,
     "encode": {"file": "encoder.tflite", "function": "serving_default", "image_values": "0-255",
                "inputs": {"image": "args_0", "valid_size": "args_1"},
                "outputs": {"image_embeddings": "output_0"}},
     "decode": {"file": "decoder.tflite", "inputs": {"image_embeddings": "args_0", …}, "outputs": {…}}}

Names on the left are the contract's (`spec.py`), on the right the file's.  A .pte has no names: give its
inputs and outputs in their order, with any names.  `valid_size` may be missing; `image_values` "normalised"
says that the graph takes (pixel - mean) / std with zeros outside the photo.  Without `decode_batch` or
`score_batch` each prompt goes through `decode`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Annotated, Any, Literal

import msgspec
import numpy as np
from numpy.typing import NDArray

from tinysam_mobile.artifacts.formats import FORMATS
from tinysam_mobile.contract.backend import Arrays, Backend, Session, check_inputs
from tinysam_mobile.contract.schema import Name, RelativePath, read_document
from tinysam_mobile.contract.spec import PIXEL_MEAN, PIXEL_STD, Contract, Label, Signature, TensorSpec
from tinysam_mobile.errors import InputError
from tinysam_mobile.files import read_json
from tinysam_mobile.simulator.isolated import open_isolated_file
from tinysam_mobile.simulator.registry import import_runtime, runtime_named

__all__ = ["HandConverted", "open_hand_converted", "read_mapping"]

OPTIONAL_INPUTS = {"valid_size"}
MAX_MAPPING_BYTES = 2**20
MAX_SLOTS = 64


class EntryDocument(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """One entry point as it is written in a mapping."""

    file: RelativePath
    inputs: dict[Name, Name]
    outputs: dict[Name, Name]
    function: Name | None = None
    image_values: Literal["0-255", "normalised"] = "0-255"


class MappingDocument(msgspec.Struct, frozen=True, kw_only=True):
    """A mapping as it is written."""

    runtime: Name
    encode: EntryDocument
    decode: EntryDocument
    decode_batch: EntryDocument | None = None
    score_batch: EntryDocument | None = None
    recipe: Name = "fp32"
    slots: Annotated[int, msgspec.Meta(ge=2, le=MAX_SLOTS)] = 8


@dataclass(frozen=True, kw_only=True)
class EntryMapping:
    """One entry point: the file, the function in it, and contract name → the file's name, in order."""

    file: Path
    function: str
    inputs: Mapping[str, str]
    outputs: Mapping[str, str]
    image_values: str


@dataclass(frozen=True, kw_only=True)
class HandConverted:
    """A mapping as read; `recipe` chooses the bounds, `slots` is the N of the files."""

    runtime: str
    recipe: str
    slots: int
    entry_points: Mapping[str, EntryMapping]


def read_mapping(path: Path) -> HandConverted:
    """Read the mapping at `path`; files in it are relative to its folder.

    Raises `InputError` that names the field at fault, `UnknownNameError` for an unknown runtime.
    """
    data = read_json(path, limit=MAX_MAPPING_BYTES)
    hint = "a mapping is an object with runtime, encode and decode; see docs/validate.md"
    document = read_document(MappingDocument, data, str(path), hint=hint)
    runtime_named(document.runtime)
    names = ("encode", "decode", "decode_batch", "score_batch")
    entries = {name: getattr(document, name) for name in names}
    return HandConverted(
        runtime=document.runtime,
        recipe=document.recipe,
        slots=document.slots,
        entry_points={
            name: EntryMapping(
                file=path.parent / entry.file,
                function=entry.function or _only_function(document.runtime),
                inputs=entry.inputs,
                outputs=entry.outputs,
                image_values=entry.image_values,
            )
            for name, entry in entries.items()
            if entry is not None
        },
    )


def _only_function(runtime: str) -> str:
    """What the SDK calls the function of a file that has one."""
    name = runtime_named(runtime).artifact_runtime
    return FORMATS[name].only_function if name in FORMATS else "main"


def open_hand_converted(
    mapping: HandConverted, contract: Contract, *, num_threads: int | None = None, isolate: bool = False
) -> Backend:
    """Open the files of `mapping`; `contract` has the sizes of the checkpoint and the mapping's slots.

    With `isolate` a native runtime runs in processes of its own, so that a damaged file ends no other.
    Raises `InputError` for names that are not those of the contract, and what the runtime raises.
    """
    entries = mapping.entry_points
    signatures = {name: _renamed(contract.signatures[name], entry) for name, entry in entries.items()}
    open_it = _opener(mapping.runtime, isolate=isolate)
    sessions = {
        name: open_it(
            entry.file,
            signatures={name: signatures[name]},
            entry_points={name: entry.function},
            num_threads=num_threads,
        )
        for name, entry in entries.items()
    }
    return _HandBackend(contract, entries, sessions)


def _opener(runtime: str, *, isolate: bool) -> Callable[..., Session]:
    if isolate:
        return partial(open_isolated_file, runtime=runtime)
    open_session: Callable[..., Session] = import_runtime(runtime).open_session
    return open_session


def _renamed(signature: Signature, entry: EntryMapping) -> Signature:
    """The signature with the file's names, in the order of the mapping."""
    sides = {}
    for kind, specs, names in (
        ("inputs", signature.inputs, entry.inputs),
        ("outputs", signature.outputs, entry.outputs),
    ):
        known = {spec.name: spec for spec in specs}
        missing = set(known) - set(names) - OPTIONAL_INPUTS
        if missing or set(names) - set(known):
            raise InputError(f"{signature.name}: {kind} must name {', '.join(known)}, not {', '.join(names)}")
        sides[kind] = tuple(
            TensorSpec(name=theirs, shape=known[ours].shape, dtype=known[ours].dtype)
            for ours, theirs in names.items()
        )
    return Signature(
        name=signature.name,
        component=signature.component,
        inputs=sides["inputs"],
        outputs=sides["outputs"],
    )


class _HandBackend:
    """A backend under the contract's names; what the files lack is done here."""

    def __init__(
        self, contract: Contract, entries: Mapping[str, EntryMapping], sessions: Mapping[str, Session]
    ) -> None:
        self.contract = contract
        self._entries = entries
        self._sessions = sessions

    def run(self, entry_point: str, inputs: Mapping[str, NDArray[Any]]) -> Arrays:
        """See `Backend.run`."""
        arrays = check_inputs(self.contract.signatures[entry_point], inputs)
        if entry_point not in self._sessions:
            answers = self._decode_one_by_one(arrays)
            return {spec.name: answers[spec.name] for spec in self.contract.signatures[entry_point].outputs}
        entry = self._entries[entry_point]
        if entry.image_values == "normalised":
            arrays["image"] = _normalised(arrays["image"], arrays["valid_size"])
        answer = self._sessions[entry_point].run(
            entry_point, {theirs: arrays[ours] for ours, theirs in entry.inputs.items()}
        )
        return {ours: answer[theirs] for ours, theirs in entry.outputs.items()}

    def _decode_one_by_one(self, arrays: Arrays) -> Arrays:
        size = self.contract.mask_size
        no_mask = {
            "mask_input": np.zeros((1, 1, size, size), np.float32),
            "has_mask_input": np.zeros(1, np.float32),
        }
        answers = [
            self.run(
                "decode",
                {
                    # `score_batch` gets the embedding alone; no score depends on what is left out.
                    **{
                        spec.name: arrays.get(spec.name, np.zeros(spec.shape, np.float32))
                        for spec in self.contract.encoder_outputs
                    },
                    "point_coords": coords[None],
                    "point_labels": labels[None],
                    **no_mask,
                },
            )
            for coords, labels in zip(*self._all_slots(arrays), strict=True)
        ]
        return {name: np.concatenate([answer[name] for answer in answers]) for name in answers[0]}

    def _all_slots(self, arrays: Arrays) -> tuple[NDArray[np.float32], NDArray[np.int32]]:
        """Prompts with the slots of `decode`, which `score_batch` has fewer of."""
        spare = self.contract.slots - arrays["point_labels"].shape[1]
        coords = np.pad(arrays["point_coords"], ((0, 0), (0, spare), (0, 0)))
        return coords, np.pad(arrays["point_labels"], ((0, 0), (0, spare)), constant_values=Label.UNUSED)


def _normalised(image: NDArray[np.float32], valid_size: NDArray[np.int32]) -> NDArray[np.float32]:
    mean, std = (np.array(values, np.float32)[None, :, None, None] for values in (PIXEL_MEAN, PIXEL_STD))
    height, width = valid_size
    result = np.zeros_like(image)
    result[..., :height, :width] = ((image - mean) / std)[..., :height, :width]
    return result
