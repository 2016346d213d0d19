"""Fixtures for the device loop: photos and prompts that an app replays, and what the float model answers.

The folder appears complete or not at all.  `docs/device_loop.md` describes it.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tinysam_mobile.bundle.manifest import Manifest
from tinysam_mobile.contract.rules import Rules
from tinysam_mobile.contract.spec import SIZE_NAMES, Contract, TensorSpec
from tinysam_mobile.device.layout import (
    FIXTURES_INDEX,
    LAYOUT_VERSION,
    MASK_INPUT,
    MAX_INDEX_BYTES,
    PIXELS,
    Fields,
    decode_tensor,
    encode_tensor,
    input_specs,
    output_specs,
    parse_index,
    recording_of,
    size_bytes,
    tensors_of,
)
from tinysam_mobile.errors import DumpError, InputError, UsageError
from tinysam_mobile.files import new_folder, read_bytes
from tinysam_mobile.parity.stages import PROMPT_KINDS, ParityPrompt, PhotoCase, Recording
from tinysam_mobile.segment.prompts import Prompt, make_prompt

__all__ = ["FixtureSet", "read_fixtures", "write_fixtures"]

MAX_CASES = 1000
MAX_ENCODER_OUTPUTS, MAX_RANK = 8, 4
MAX_PROMPTS = 1000
MAX_SIDE = 2**16


@dataclass(frozen=True, kw_only=True)
class FixtureSet:
    """An opened fixtures folder.  `id` is the SHA-256 of all that is in it; a dump repeats it."""

    folder: Path
    id: str
    contract: Contract
    checkpoint_sha256: str | None
    cases: tuple[PhotoCase, ...]

    def expected(self, index: int) -> Recording:
        """Read what the float model answered for one photo; raises `DumpError` for a damaged file."""
        case = self.cases[index]
        specs = output_specs(index, case, self.contract)
        arrays = {name: _read_tensor(self.folder, spec) for name, spec in specs.items()}
        return recording_of(index, case, arrays)


def write_fixtures(
    folder: Path,
    manifest: Manifest,
    answered: Iterable[tuple[PhotoCase, Recording]],
    *,
    overwrite: bool = False,
) -> str:
    """Write `folder` and return its id; `answered` pairs each photo with the float model's recording.

    Raises `UsageError` if `folder` exists and is not to be overwritten, or holds something else.
    """
    with new_folder(folder, FIXTURES_INDEX, overwrite=overwrite) as building:
        return _fill(building, manifest, answered)


def _fill(folder: Path, manifest: Manifest, answered: Iterable[tuple[PhotoCase, Recording]]) -> str:
    contract = manifest.contract
    digest = hashlib.sha256()
    cases, tensors = [], []
    for index, (case, recording) in enumerate(answered):
        arrays = {**_inputs_of(index, case), **tensors_of(index, recording)}
        for role, specs in (
            ("input", input_specs(index, case, contract)),
            ("expected", output_specs(index, case, contract)),
        ):
            for name, spec in specs.items():
                data = encode_tensor(arrays[name], spec)
                digest.update(name.encode() + b"\0" + data)
                path = folder / f"{name}.bin"
                path.parent.mkdir(parents=True, exist_ok=True)
                path.write_bytes(data)
                tensors.append({**asdict(spec), "role": role, "size_bytes": len(data)})
        cases.append(_case_data(index, case))
    body = {
        "layout_version": LAYOUT_VERSION,
        "checkpoint_sha256": manifest.checkpoint_sha256,
        "sizes": contract.sizes,
        "encoder_outputs": [asdict(spec) for spec in contract.encoder_outputs],
        "rules": contract.rules.to_json(),
        "photos": cases,
        "tensors": tensors,
    }
    digest.update(json.dumps(body, sort_keys=True).encode())
    index_text = json.dumps({"id": digest.hexdigest(), **body}, indent=1, allow_nan=False)
    (folder / FIXTURES_INDEX).write_text(index_text + "\n", encoding="utf-8")
    return digest.hexdigest()


def _inputs_of(index: int, case: PhotoCase) -> dict[str, NDArray[Any]]:
    arrays: dict[str, NDArray[Any]] = {f"photo_{index}/{PIXELS}": case.pixels}
    for i, prompt in enumerate(case.prompts):
        if prompt.mask_input is not None:
            arrays[f"photo_{index}/prompt_{i}/{MASK_INPUT}"] = prompt.mask_input
    return arrays


def _case_data(index: int, case: PhotoCase) -> dict[str, Any]:
    height, width = case.pixels.shape[:2]
    prompts = [_prompt_data(prompt) for prompt in case.prompts]
    return {
        "name": f"photo_{index}",
        "title": case.name,
        "height": height,
        "width": width,
        "prompts": prompts,
    }


def _prompt_data(item: ParityPrompt) -> dict[str, Any]:
    prompt = item.prompt
    return {
        "kind": item.kind,
        "points": prompt.points.ravel().tolist(),
        "labels": prompt.labels.tolist(),
        "box": None if prompt.box is None else prompt.box.tolist(),
        "has_mask_input": item.mask_input is not None,
        "spare_xy": item.spare_xy,
    }


def read_fixtures(folder: Path) -> FixtureSet:
    """Open a fixtures folder; pixels and mask prompts are read at once, expected outputs on demand.

    Raises `DumpError` for a missing or damaged index or tensor.
    """
    path = folder / FIXTURES_INDEX
    mend = "write it with 'tinysam-mobile fixtures BUNDLE'"
    data = read_bytes(path, limit=MAX_INDEX_BYTES, error=DumpError, mend=mend)
    index = parse_index(data, str(path))
    contract = _contract(index)
    photos = index.objects("photos", longest=MAX_CASES)
    return FixtureSet(
        folder=folder,
        id=index.text("id"),
        contract=contract,
        checkpoint_sha256=index.text("checkpoint_sha256") if index.has("checkpoint_sha256") else None,
        cases=tuple(_read_case(folder, i, photo, contract) for i, photo in enumerate(photos)),
    )


def _contract(index: Fields) -> Contract:
    sizes = index.fields("sizes")
    numbers = {name: sizes.integer(name, lowest=1, highest=MAX_SIDE) for name in SIZE_NAMES}
    skips = index.objects("encoder_outputs", longest=MAX_ENCODER_OUTPUTS)[1:]
    try:
        rules = Rules.from_json(index.fields("rules").plain())
        # Scores of objects are no stage that fixtures hold.
        features = tuple(map(_feature, skips))
        return Contract(**numbers, skips=features, object_score=False, rules=rules)
    except (UsageError, InputError) as error:
        raise DumpError(f"{FIXTURES_INDEX}: {error}") from error


def _feature(fields: Fields) -> TensorSpec:
    shape = fields.numbers("shape", longest=MAX_RANK)
    if not all(side == int(side) and 1 <= side <= MAX_SIDE for side in shape):
        raise DumpError(
            f"{FIXTURES_INDEX}: 'encoder_outputs': {fields.text('name')} has a shape that no tensor has"
        )
    return TensorSpec(name=fields.text("name"), shape=tuple(map(int, shape)), dtype=fields.text("dtype"))


def _read_case(folder: Path, index: int, photo: Fields, contract: Contract) -> PhotoCase:
    height, width = (photo.integer(key, lowest=1, highest=MAX_SIDE) for key in ("height", "width"))
    pixels = _read_tensor(
        folder, TensorSpec(name=f"photo_{index}/{PIXELS}", shape=(height, width, 3), dtype="uint8")
    )
    prompts = photo.objects("prompts", longest=MAX_PROMPTS)
    return PhotoCase(
        name=photo.text("title"),
        pixels=pixels,
        prompts=tuple(
            _read_prompt(folder, f"photo_{index}/prompt_{i}/{MASK_INPUT}", prompt, contract)
            for i, prompt in enumerate(prompts)
        ),
    )


def _read_prompt(folder: Path, mask_name: str, fields: Fields, contract: Contract) -> ParityPrompt:
    kind = fields.text("kind")
    if kind not in PROMPT_KINDS:
        raise DumpError(
            f"{FIXTURES_INDEX}: unknown kind of prompt {kind!r}; known: {', '.join(PROMPT_KINDS)}"
        )
    points = fields.numbers("points", longest=2 * contract.slots)
    labels = fields.numbers("labels", longest=contract.slots)
    box = fields.numbers("box", longest=4) if fields.has("box") else None
    mask = None
    if fields.flag("has_mask_input"):
        mask = _read_tensor(
            folder, TensorSpec(name=mask_name, shape=(contract.mask_size, contract.mask_size))
        )
    return ParityPrompt(
        kind=kind, prompt=_prompt(points, labels, box), mask_input=mask, spare_xy=fields.number("spare_xy")
    )


def _prompt(points: list[float], labels: list[float], box: list[float] | None) -> Prompt:
    if len(points) % 2:
        raise DumpError(f"{FIXTURES_INDEX}: 'points' must hold x, y pairs")
    try:
        return make_prompt(np.reshape(points, (-1, 2)), labels, box)
    except UsageError as error:
        raise DumpError(f"{FIXTURES_INDEX}: {error}") from error


def _read_tensor(folder: Path, spec: TensorSpec) -> NDArray[Any]:
    path = folder / f"{spec.name}.bin"
    data = read_bytes(path, limit=size_bytes(spec), error=DumpError, mend="write the fixtures again")
    try:
        return decode_tensor(data, spec)
    except DumpError as error:
        raise DumpError(f"{folder}: {error}") from error
