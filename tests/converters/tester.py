"""One tester for every format: what is converted, the inputs, torch's answers, and how near a file must come.

It stands on torch and numpy, not on the package's own `parity`: what is judged is no judge of itself.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict, dataclass, replace
from functools import cached_property
from importlib import import_module
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from tinysam_mobile.artifacts.formats import FORMATS
from tinysam_mobile.contract.backend import Arrays, Session
from tinysam_mobile.contract.spec import Component, Contract, Label, Signature
from tinysam_mobile.converters import tflite
from tinysam_mobile.converters.base import ConversionRequest, ConvertedFile
from tinysam_mobile.modeling.config import CONFIGS, TINYSAM, TinySAMConfig
from tinysam_mobile.modeling.entry_points import EntryPoint, contract_of, entry_points
from tinysam_mobile.modeling.stand_in import stand_in_model
from tinysam_mobile.quant.recipe import RECIPES

SLOTS, BATCH = 6, 4
TINY = CONFIGS["tiny-test"]
HALF_DEPTH = replace(
    TINY, encoder=replace(TINY.encoder, depths=(1, 1, 1, 1)), decoder=replace(TINY.decoder, depth=1)
)
"""ExecuTorch's lowering takes time by the node, not by the element: half the blocks, half the minutes."""
CONFIG_OF = {"executorch": HALF_DEPTH}
"""Format → its small network, where that is not `TINY`."""
DEPLOYMENT_TARGETS = {"fp32": "iOS16", "fp16": "iOS18"}
"""The two together cover Core ML packages of one and of several functions."""
CONTRACT = {"licence": "Apache-2.0", "sizes": {"image_size": TINY.image_size}, "text": "Ü"}
THREADS = 2
"""Of every run here: another number sums in another order, and equal inputs then differ by rounding."""
SEED = 5
PROMPT_KINDS = (
    (Label.FOREGROUND, Label.PAD),
    (Label.BOX_TOP_LEFT, Label.BOX_BOTTOM_RIGHT),
    (Label.FOREGROUND, Label.BOX_TOP_LEFT, Label.BOX_BOTTOM_RIGHT),
    (Label.FOREGROUND, Label.BACKGROUND, Label.FOREGROUND, Label.PAD),
)
"""A point with its pad point, a box, a box with a point, and points of both kinds."""
FULL_PROMPT = (
    *(Label.BOX_TOP_LEFT, Label.BOX_BOTTOM_RIGHT, Label.FOREGROUND),
    *(Label.BACKGROUND, Label.FOREGROUND, Label.PAD),
)
"""Whose first 2 and first 3 are prompts too."""


@dataclass(frozen=True, kw_only=True)
class Bounds:
    """How near a file must come to torch.

    `iou_error`: the largest difference of a predicted IoU, where that is judged and not its ratio.
    """

    encoder_db: float
    decoder_db: float
    spare_slots_db: float
    iou_error: float | None = None

    def of(self, component: Component) -> float:
        """The least ratio of a component's outputs."""
        return self.encoder_db if component is Component.ENCODER else self.decoder_db


BOUNDS = {
    # Float32 costs about 120 dB by other summation orders; the project asks for 100 and 90.  Few numbers
    # around 0, as Core ML's predicted IoUs of one prompt, make no ratio: their error is judged as such.
    ("coreml", "fp32"): Bounds(encoder_db=90.0, decoder_db=90.0, spare_slots_db=100.0, iou_error=1e-5),
    ("tflite", "fp32"): Bounds(encoder_db=100.0, decoder_db=90.0, spare_slots_db=100.0),
    ("executorch", "fp32"): Bounds(encoder_db=100.0, decoder_db=90.0, spare_slots_db=100.0),
    # Each tensor rounded to float16 is noise of about 2^-12, -72 dB; some hundred in a row add up to 20 dB
    # more.  The small network averages over fewer channels than the official one.
    ("coreml", "fp16"): Bounds(encoder_db=50.0, decoder_db=50.0, spare_slots_db=50.0, iou_error=5e-3),
    # Only weights are rounded, to 11 bits: noise of 2^-12 / sqrt(3), 77 dB; some fifty layers add 17 dB.
    ("tflite", "fp16"): Bounds(encoder_db=50.0, decoder_db=50.0, spare_slots_db=50.0),
    # Arithmetic of 11 bits (66 dB); twenty layers of noise-like weights leave 42 to 49 dB.
    ("executorch", "fp16"): Bounds(encoder_db=35.0, decoder_db=35.0, spare_slots_db=35.0),
}
"""Format and recipe → bounds of the small network."""
OFFICIAL_BOUNDS = {
    ("coreml", "fp16"): Bounds(encoder_db=55.0, decoder_db=55.0, spare_slots_db=50.0, iou_error=5e-3),
    **{key: BOUNDS[key] for key in (("tflite", "fp32"), ("tflite", "fp16"), ("executorch", "fp32"))},
}
"""The same of the official configuration, which averages more rounding out."""


def sqnr_db(reference: NDArray[Any], other: NDArray[Any]) -> float:
    """Ratio of signal to error in float64; infinite if the two are equal, NaN if either holds one."""
    assert reference.shape == other.shape
    signal = np.square(reference, dtype=np.float64).sum()
    error = np.square(np.subtract(reference, other, dtype=np.float64)).sum()
    return float(10 * np.log10(signal / error)) if error else float("inf")


def run_torch(entry: EntryPoint, inputs: Arrays) -> Arrays:
    """Return torch's answer; inputs may have other shapes than the signature's, but its names."""
    with torch.inference_mode():
        out = entry.module(*(torch.from_numpy(inputs[spec.name]) for spec in entry.signature.inputs))
    outputs = out if isinstance(out, tuple) else (out,)
    return {spec.name: o.numpy() for spec, o in zip(entry.signature.outputs, outputs, strict=True)}


def photo(size: int) -> tuple[NDArray[np.uint8], NDArray[np.int32]]:
    """A smooth photo with some noise in a square (size, size, 3) of zeros, and its height and width."""
    height, width = size * 3 // 4, size * 7 // 8
    y, x = np.mgrid[:height, :width] / size
    waves = [np.sin(2 * np.pi * (a * x + b * y)) for a, b in ((3, 1), (-2, 5), (7, 4))]
    noise = np.random.default_rng(SEED).integers(0, 20, (height, width, 3))
    square = np.zeros((size, size, 3), np.uint8)
    square[:height, :width] = np.stack(waves, -1) * 100 + 108 + noise
    return square, np.array((height, width), np.int32)


def prompts(signature: Signature, size: int, kinds: list[tuple[int, ...]]) -> Arrays:
    """Prompts of those `kinds` that fit, again from the first when they run out; unused slots hold NaN."""
    count, slots = next(spec.shape for spec in signature.inputs if spec.name == "point_labels")
    kinds = [kind for kind in kinds if len(kind) <= slots]
    rng = np.random.default_rng(SEED)
    coords = np.full((count, slots, 2), np.nan, np.float32)
    labels = np.full((count, slots), Label.UNUSED, np.int32)
    for k in range(count):
        used = np.array(kinds[k % len(kinds)])
        labels[k, : len(used)] = used
        corners = np.sort(rng.uniform(0, size, (len(used), 2)), axis=0)
        coords[k, : len(used)] = np.where(used[:, None] == Label.PAD, 0, corners)
    return {"point_coords": coords, "point_labels": labels}


def inputs_of(
    signature: Signature,
    contract: Contract,
    encoded: Arrays,
    *,
    kinds: list[tuple[int, ...]] | None = None,
    has_mask: bool = True,
) -> Arrays:
    """Return inputs of any entry point by the contract's names; `encoded` is what `encode` returned."""
    square, valid_size = photo(contract.image_size)
    mask = np.random.default_rng(SEED).standard_normal((1, 1, contract.mask_size, contract.mask_size))
    values: Arrays = {
        "image": square.transpose(2, 0, 1)[None].astype(np.float32),
        "valid_size": valid_size,
        **encoded,
        "mask_input": (5 * mask).astype(np.float32),
        "has_mask_input": np.array([has_mask], np.float32),
    }
    if signature.component is Component.DECODER:
        values |= prompts(signature, contract.image_size, kinds or list(PROMPT_KINDS))
    return {spec.name: values[spec.name] for spec in signature.inputs}


@dataclass(frozen=True, kw_only=True)
class Converted:
    """A network, the files that a format made of it with a recipe, and the sessions that run them."""

    format_name: str
    recipe: str
    contract: Contract
    entries: Mapping[str, EntryPoint]
    files: tuple[ConvertedFile, ...]

    @property
    def bounds(self) -> Bounds:
        """Those of the small network."""
        return BOUNDS[self.format_name, self.recipe]

    @cached_property
    def sessions(self) -> dict[str, Session]:
        """The session of each entry point."""
        opened = [(file, open_file(self, file)) for file in self.files if file.entry_points]
        return {name: session for file, session in opened for name in file.entry_points}

    @cached_property
    def encoded(self) -> Arrays:
        """What torch's `encode` returns for the photo."""
        return run_torch(self.entries["encode"], self.inputs("encode"))

    def file(self, stem: str) -> ConvertedFile:
        """The file of this name."""
        (file,) = [file for file in self.files if file.path.stem == stem]
        return file

    def file_of(self, entry_point: str) -> ConvertedFile:
        """The file that holds an entry point."""
        (file,) = [file for file in self.files if entry_point in file.entry_points]
        return file

    def inputs(
        self, entry_point: str, *, kinds: list[tuple[int, ...]] | None = None, has_mask: bool = True
    ) -> Arrays:
        """See `inputs_of`; nothing that a test may not write into."""
        signature = self.entries[entry_point].signature
        encoded = {} if signature.component is Component.ENCODER else self.encoded
        made = inputs_of(signature, self.contract, encoded, kinds=kinds, has_mask=has_mask)
        return {name: value.copy() for name, value in made.items()}

    def run(self, entry_point: str, inputs: Arrays) -> Arrays:
        """Return the file's answer, which has the contract's names, shapes and dtypes, in C order."""
        answer = self.sessions[entry_point].run(entry_point, inputs)
        outputs = self.entries[entry_point].signature.outputs
        found = [(name, value.shape, value.dtype.name) for name, value in answer.items()]
        assert sorted(found) == sorted((spec.name, spec.shape, spec.dtype) for spec in outputs)
        assert all(value.flags.c_contiguous for value in answer.values())
        return answer

    def torch(self, entry_point: str, inputs: Arrays) -> Arrays:
        """Return torch's answer."""
        return run_torch(self.entries[entry_point], inputs)


def open_file(
    converted: Converted,
    file: ConvertedFile,
    *,
    signatures: Mapping[str, Signature] | None = None,
    num_threads: int | None = THREADS,
) -> Session:
    """Open `file` with its format's default runtime, for its own entry points or for other `signatures`."""
    fmt = FORMATS[converted.format_name]
    session: Session = import_module(fmt.runtimes[fmt.default_runtime].module).open_session(
        file.path,
        signatures=signatures or {name: converted.entries[name].signature for name in file.entry_points},
        entry_points=file.entry_points,
        num_threads=num_threads,
    )
    return session


def convert_small(
    format_name: str, recipe: str, folder: Path, *, slots: int = SLOTS, batch: int = BATCH
) -> Converted:
    """Convert the format's small stand-in into `folder`, which is made; see `_convert`."""
    return _convert(CONFIG_OF.get(format_name, TINY), format_name, recipe, folder, slots=slots, batch=batch)


def convert_official(format_name: str, recipe: str, folder: Path) -> Converted:
    """The same of the official configuration, with the default numbers of slots and prompts."""
    return _convert(TINYSAM, format_name, recipe, folder)


def _convert(config: TinySAMConfig, format_name: str, recipe: str, folder: Path, **sizes: int) -> Converted:
    """Convert, or read what an earlier call has converted into `folder`."""
    model = stand_in_model(config)
    contract = contract_of(model, **sizes)
    entries = entry_points(model, contract)
    record = folder.with_suffix(".json")
    if not record.exists():
        folder.mkdir()
        record.write_text(json.dumps([_to_json(file) for file in _run(format_name, recipe, entries, folder)]))
    files = tuple(_from_json(text) for text in json.loads(record.read_text()))
    return Converted(format_name=format_name, recipe=recipe, contract=contract, entries=entries, files=files)


def _run(format_name: str, recipe: str, entries: dict[str, EntryPoint], folder: Path) -> list[ConvertedFile]:
    files: list[ConvertedFile] = import_module(FORMATS[format_name].converter).convert(
        request_of(entries, folder, recipe)
    )
    assert sorted(folder.iterdir()) == sorted(file.path for file in files)
    return files


def request_of(entries: Mapping[str, EntryPoint], folder: Path, recipe: str = "fp32") -> ConversionRequest:
    """A request for `entries` with `CONTRACT` inside."""
    return ConversionRequest(
        entry_points=entries,
        recipe=RECIPES[recipe],
        contract=CONTRACT,
        folder=folder,
        deployment_target=DEPLOYMENT_TARGETS.get(recipe, "iOS18"),
    )


def _to_json(file: ConvertedFile) -> dict[str, Any]:
    return asdict(file) | {"path": str(file.path)}


def _from_json(record: dict[str, Any]) -> ConvertedFile:
    changed = {
        "path": Path(record["path"]),
        "component": Component(record["component"]),
        "notes": tuple(record["notes"]),
    }
    return ConvertedFile(**(record | changed))


@contextmanager
def lowered_once(folder: Path) -> Iterator[None]:
    """Keep what TFLite's SDK lowers in `folder`, for all recipes: tracing takes most of a conversion."""
    lower = tflite._lower
    folder.mkdir(exist_ok=True)

    def once(sdk: Any, parts: dict[str, EntryPoint]) -> bytes:
        key = repr([entry.signature for entry in parts.values()])
        path = folder / hashlib.sha256(key.encode()).hexdigest()
        if not path.exists():
            path.write_bytes(lower(sdk, parts))
        return path.read_bytes()

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(tflite, "_lower", once)
        yield


def check_nearness(
    expected: Arrays, actual: Arrays, minimum_db: float, *, iou_error: float | None = None
) -> None:
    """Each output comes within `minimum_db`; predicted IoUs within `iou_error` where that is given."""
    assert sorted(expected) == sorted(actual)
    found = {name: sqnr_db(value, actual[name]) for name, value in expected.items()}
    print({name: round(db, 1) for name, db in found.items()})
    if iou_error is not None and "iou_predictions" in found:
        del found["iou_predictions"]
        error = np.abs(expected["iou_predictions"] - actual["iou_predictions"]).max()
        assert error < iou_error
    assert all(db >= minimum_db for db in found.values()), found


def check_equals_torch(
    converted: Converted, bounds: Bounds, entry_point: str, *, first: int, has_mask: bool
) -> None:
    """The file's answer is torch's, for prompts that begin with kind number `first`."""
    inputs = converted.inputs(
        entry_point, kinds=[*PROMPT_KINDS[first:], *PROMPT_KINDS[:first]], has_mask=has_mask
    )
    minimum_db = bounds.of(converted.entries[entry_point].signature.component)
    check_nearness(
        converted.torch(entry_point, inputs),
        converted.run(entry_point, inputs),
        minimum_db,
        iou_error=bounds.iou_error,
    )


def check_spare_slots(
    converted: Converted, bounds: Bounds, entry_point: str, *, used: int, has_mask: bool
) -> None:
    """Torch runs without the spare slots, the file with them: what lies in them changes nothing."""
    inputs = converted.inputs(entry_point, kinds=[FULL_PROMPT[:used]], has_mask=has_mask)
    alone = {name: value[:, :used] if name.startswith("point") else value for name, value in inputs.items()}
    answer = converted.run(entry_point, inputs)
    check_nearness(converted.torch(entry_point, alone), answer, bounds.spare_slots_db)
    elsewhere = inputs | {"point_coords": np.nan_to_num(inputs["point_coords"], nan=7.0)}
    check_equal(answer, converted.run(entry_point, elsewhere))


def check_padding(converted: Converted) -> None:
    """What lies outside the photo is not read."""
    inputs = converted.inputs("encode")
    before = converted.run("encode", inputs)
    height, width = inputs["valid_size"]
    for pad in (1.0, 255.0, np.nan, np.inf):
        image = np.full_like(inputs["image"], pad)
        image[..., :height, :width] = inputs["image"][..., :height, :width]
        check_equal(before, converted.run("encode", inputs | {"image": image}))


def check_equal(expected: Arrays, actual: Arrays) -> None:
    """All values are the same."""
    assert sorted(expected) == sorted(actual)
    for name, value in expected.items():
        np.testing.assert_array_equal(actual[name], value)


def calls_of(contract: Contract) -> list[tuple[str, int, bool]]:
    """Entry point, kind of the first prompt, has a mask: every kind where one prompt is all that fits."""
    calls = []
    for name, signature in contract.signatures.items():
        shapes = {spec.name: spec.shape for spec in signature.inputs}
        first = range(len(PROMPT_KINDS) if shapes.get("point_labels", (0,))[0] == 1 else 1)
        masks = (False, True) if "has_mask_input" in shapes else (False,)
        calls += [(name, kind, has_mask) for kind in first for has_mask in masks]
    return calls
