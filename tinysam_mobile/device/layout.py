"""The layout that fixtures and device dumps share: an index in JSON and one raw file per tensor.

`docs/device_loop.md` describes it for Swift and Kotlin.  The tensor `photo_0/prompt_1/low_res_logits` lies in
`photo_0/prompt_1/low_res_logits.bin`: its values in C order, little-endian, nothing before or after them.
Shapes follow from the contract and the photo's size, so a file's length is known before it is opened.
Everything here may come from a stranger's device: it is checked field by field, and an error is one
`DumpError`.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from math import inf, isfinite, prod
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tinysam_mobile.contract.spec import Contract, TensorSpec
from tinysam_mobile.errors import DumpError
from tinysam_mobile.parity.stages import PHOTO_STAGES, PROMPT_STAGES, PhotoCase, Recording, stage_arrays

__all__ = [
    "DUMP_INDEX",
    "FIXTURES_INDEX",
    "LAYOUT_VERSION",
    "MASK_INPUT",
    "MAX_INDEX_BYTES",
    "PIXELS",
    "Fields",
    "decode_tensor",
    "encode_tensor",
    "input_specs",
    "output_specs",
    "parse_index",
    "recording_of",
    "size_bytes",
    "tensors_of",
]

LAYOUT_VERSION = 1
FIXTURES_INDEX = "fixtures.json"
DUMP_INDEX = "dump.json"
MAX_INDEX_BYTES = 8 * 2**20
MAX_TEXT = 200
"""Characters of a name from outside: longer ones are not shown, nor kept."""
PIXELS, MASK_INPUT = "pixels", "mask_input"


def input_specs(index: int, case: PhotoCase, contract: Contract) -> dict[str, TensorSpec]:
    """Return what the device is given for the photo number `index`: pixels, and mask prompts where used."""
    height, width = case.pixels.shape[:2]
    size = contract.mask_size
    specs = [TensorSpec(name=f"photo_{index}/{PIXELS}", shape=(height, width, 3), dtype="uint8")]
    specs += [
        TensorSpec(name=f"photo_{index}/prompt_{i}/{MASK_INPUT}", shape=(size, size))
        for i, prompt in enumerate(case.prompts)
        if prompt.mask_input is not None
    ]
    return {spec.name: spec for spec in specs}


def output_specs(index: int, case: PhotoCase, contract: Contract) -> dict[str, TensorSpec]:
    """Return what the device records for the photo number `index`, in the order of the stages."""
    arrays = stage_arrays(contract, (case.pixels.shape[0], case.pixels.shape[1]))
    names = [(stage, f"photo_{index}/{stage}") for stage in PHOTO_STAGES] + [
        (stage, f"photo_{index}/prompt_{i}/{stage}")
        for i in range(len(case.prompts))
        for stage in PROMPT_STAGES
    ]
    return {name: TensorSpec(name=name, shape=arrays[s][0], dtype=arrays[s][1]) for s, name in names}


def tensors_of(index: int, recording: Recording) -> dict[str, NDArray[Any]]:
    """Return a recording's arrays by the names of `output_specs`, which a host may record more than."""
    arrays = {f"photo_{index}/{stage}": array for stage, array in recording.photo.items()}
    for i, prompt in enumerate(recording.prompts):
        recorded = {stage: prompt[stage] for stage in PROMPT_STAGES if stage in prompt}
        arrays |= {f"photo_{index}/prompt_{i}/{stage}": array for stage, array in recorded.items()}
    return arrays


def recording_of(index: int, case: PhotoCase, arrays: Mapping[str, NDArray[Any]]) -> Recording:
    """The inverse of `tensors_of`."""
    return Recording(
        photo={stage: arrays[f"photo_{index}/{stage}"] for stage in PHOTO_STAGES},
        prompts=tuple(
            {stage: arrays[f"photo_{index}/prompt_{i}/{stage}"] for stage in PROMPT_STAGES}
            for i in range(len(case.prompts))
        ),
    )


def size_bytes(spec: TensorSpec) -> int:
    """Length of a tensor's file."""
    return prod(spec.shape) * np.dtype(spec.dtype).itemsize


def encode_tensor(array: NDArray[Any], spec: TensorSpec) -> bytes:
    """Return the file of `array`, which has the shape and dtype of `spec`."""
    assert (array.shape, array.dtype) == (spec.shape, np.dtype(spec.dtype)), spec.name
    return array.astype(np.dtype(spec.dtype).newbyteorder("<")).tobytes()


def decode_tensor(data: bytes, spec: TensorSpec) -> NDArray[Any]:
    """Return the array in a file; raises `DumpError` if it is not exactly as long as `spec` says."""
    if len(data) != size_bytes(spec):
        raise DumpError(
            f"{spec.name}.bin has {len(data)} bytes, but {spec.dtype} {list(spec.shape)} takes "
            f"{size_bytes(spec)}: write the whole tensor without a header"
        )
    little = np.dtype(spec.dtype).newbyteorder("<")
    return np.frombuffer(data, little).astype(spec.dtype).reshape(spec.shape)


def parse_index(data: bytes, name: str) -> Fields:
    """Read an index of this layout; raises `DumpError` for anything but one object of `LAYOUT_VERSION`."""
    if len(data) > MAX_INDEX_BYTES:
        raise DumpError(f"{name} is larger than {MAX_INDEX_BYTES} bytes; not read")
    try:
        value = json.loads(data, object_pairs_hook=_unique, parse_constant=_refuse_constant)
    except (ValueError, RecursionError) as error:
        raise DumpError(f"{name} is not valid JSON ({str(error)[:MAX_TEXT]})") from error
    if not isinstance(value, dict):
        raise DumpError(f"{name} must hold one object")
    fields = Fields(value, name)
    version = fields.integer("layout_version", highest=2**31)
    if version != LAYOUT_VERSION:
        raise DumpError(f"{name} has layout version {version}, this package reads {LAYOUT_VERSION}")
    return fields


def _unique(pairs: Sequence[tuple[str, Any]]) -> dict[str, Any]:
    keys = [key for key, _ in pairs]
    if len(set(keys)) != len(keys):
        raise ValueError(f"the key {max(keys, key=keys.count)!r} occurs twice in one object")
    return dict(pairs)


def _refuse_constant(text: str) -> None:
    raise ValueError(f"{text} is no JSON number")


class Fields:
    """An object read from JSON, whose fields are taken by type; each error names the field."""

    def __init__(self, data: Mapping[str, Any], where: str) -> None:
        self._data = data
        self._where = where

    @property
    def keys(self) -> list[str]:
        """Names of the fields."""
        return list(self._data)

    def plain(self) -> dict[str, Any]:
        """Return the fields as they were read."""
        return dict(self._data)

    def text(self, key: str) -> str:
        """Return a string of at most `MAX_TEXT` printable characters."""
        value = self._take(key)
        if not isinstance(value, str) or len(value) > MAX_TEXT or not value.isprintable():
            raise self._wrong(key, f"text of at most {MAX_TEXT} printable characters")
        return value

    def integer(self, key: str, *, lowest: int = 0, highest: int) -> int:
        """Return an integer in a range."""
        value = self._take(key)
        if type(value) is not int or not lowest <= value <= highest:
            raise self._wrong(key, f"an integer from {lowest} to {highest}")
        return value

    def number(self, key: str, *, lowest: float = -inf) -> float:
        """Return a finite number of at least `lowest`."""
        value = self._take(key)
        if not _is_number(value) or value < lowest:
            raise self._wrong(key, "a finite number" + (f" of at least {lowest:g}" if lowest > -inf else ""))
        return float(value)

    def flag(self, key: str) -> bool:
        """Return true or false."""
        value = self._take(key)
        if not isinstance(value, bool):
            raise self._wrong(key, "true or false")
        return value

    def numbers(self, key: str, *, longest: int) -> list[float]:
        """Return a list of finite numbers."""
        value = self._take(key)
        if not isinstance(value, list) or len(value) > longest or not all(_is_number(v) for v in value):
            raise self._wrong(key, f"a list of at most {longest} finite numbers")
        return [float(v) for v in value]

    def fields(self, key: str) -> Fields:
        """Return an object."""
        value = self._take(key)
        if not isinstance(value, dict):
            raise self._wrong(key, "an object")
        return Fields(value, f"{self._where}: {key!r}")

    def objects(self, key: str, *, longest: int) -> list[Fields]:
        """Return a list of objects."""
        value = self._take(key)
        if not isinstance(value, list) or len(value) > longest or not all(isinstance(v, dict) for v in value):
            raise self._wrong(key, f"a list of at most {longest} objects")
        return [Fields(item, f"{self._where}: {key}[{i}]") for i, item in enumerate(value)]

    def has(self, key: str) -> bool:
        """Whether the field is there and not null."""
        return self._data.get(key) is not None

    def _take(self, key: str) -> Any:
        if key not in self._data:
            raise DumpError(f"{self._where} lacks {key!r}")
        return self._data[key]

    def _wrong(self, key: str, expected: str) -> DumpError:
        value = self._data[key]
        found = repr(value)[:40] if isinstance(value, str | int | float) else type(value).__name__
        return DumpError(f"{self._where}: {key!r} must be {expected}, not {found}")


def _is_number(value: Any) -> bool:
    if isinstance(value, bool) or not isinstance(value, int | float):
        return False
    try:
        return isfinite(value)
    except OverflowError:
        return False
