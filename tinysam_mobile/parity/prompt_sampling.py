"""The prompts of a comparison: drawn with a seed, every kind in turn, and the user's own from a JSON file."""

from __future__ import annotations

import zlib
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any

import msgspec
import numpy as np
from numpy.typing import NDArray

from tinysam_mobile.contract.rules import PadPoint
from tinysam_mobile.contract.schema import Coordinate, read_document
from tinysam_mobile.contract.spec import Contract
from tinysam_mobile.errors import InputError, UsageError
from tinysam_mobile.files import read_json
from tinysam_mobile.imaging.images import RGBImage
from tinysam_mobile.imaging.preprocess import Geometry
from tinysam_mobile.parity.stages import ParityPrompt, PhotoCase
from tinysam_mobile.segment.prompts import Prompt, make_prompt

__all__ = ["SAMPLED_KINDS", "make_case", "read_own_prompts", "sample_prompts"]

SAMPLED_KINDS = (
    "point",
    "box",
    "mask_refinement",
    "negative_point",
    "box_and_point",
    "spare_slots",
    "points",
    "full_slots",
)
"""Kinds in the order in which they are drawn, the commonest first."""
SPARE_XY = -20000.0
"""Left in unused slots: far outside any photo, within float16."""
MASK_LOGIT = 10.0
"""Largest size of a drawn mask prompt's logits, about that of a trained model's answers."""
MAX_OWN_BYTES = 16 * 2**20
MAX_OWN_POINTS = 64
"""More than any model has slots."""


class OwnPrompt(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """One prompt of a user's file, in pixels of the upright photo."""

    points: Annotated[list[tuple[Coordinate, Coordinate]], msgspec.Meta(max_length=MAX_OWN_POINTS)] = []
    labels: list[int] | None = None
    box: tuple[Coordinate, Coordinate, Coordinate, Coordinate] | None = None


def make_case(
    name: str,
    pixels: RGBImage,
    contract: Contract,
    *,
    count: int,
    seed: int,
    own: Sequence[Prompt] = (),
) -> PhotoCase:
    """Return a photo with `count` drawn prompts and then the user's own.

    What is drawn depends on `seed`, the photo's name and its size only.
    """
    sampled = sample_prompts(name, pixels, contract, count=count, seed=seed)
    mine = [ParityPrompt(kind="own", prompt=prompt) for prompt in own]
    return PhotoCase(name=name, pixels=pixels, prompts=(*sampled, *mine))


def sample_prompts(
    name: str, pixels: RGBImage, contract: Contract, *, count: int, seed: int
) -> list[ParityPrompt]:
    """Draw `count` prompts, the `SAMPLED_KINDS` in turn."""
    rng = np.random.default_rng([seed, zlib.crc32(name.encode())])
    height, width = pixels.shape[:2]
    geometry = Geometry.of((height, width), contract.image_size, contract.rules)
    return [_draw(SAMPLED_KINDS[i % len(SAMPLED_KINDS)], rng, geometry, contract) for i in range(count)]


def _draw(kind: str, rng: np.random.Generator, geometry: Geometry, contract: Contract) -> ParityPrompt:
    height, width = geometry.original_size
    points = rng.uniform(0, (width, height), (contract.slots - 1, 2)).round(2)
    labels = np.array([1, *rng.integers(0, 2, len(points) - 1)])
    rules = contract.rules
    if not rules.negative_points:
        labels[:] = 1
    box = _box(rng, width, height) if "box" in kind else None
    # A box takes two slots, and a model may have no more.
    used = {"points": 2, "negative_point": 2, "full_slots": len(points), "box": 0}.get(kind, 1)
    used = min(used, (rules.fixed_points or contract.slots) - (2 if box is not None else 1))
    if rules.pad_point is PadPoint.ALWAYS and box is not None:
        used = min(used, contract.slots - 3)
    if kind == "negative_point" and used > 1 and rules.negative_points:
        labels[1] = 0
    with_mask = kind == "mask_refinement" and rules.mask_prompts
    return ParityPrompt(
        kind=kind,
        prompt=make_prompt(points[:used], labels[:used], box),
        mask_input=_disc(geometry.to_model(points[0]), contract) if with_mask else None,
        spare_xy=SPARE_XY if kind == "spare_slots" else 0.0,
    )


def _box(rng: np.random.Generator, width: int, height: int) -> NDArray[np.float64]:
    """Sides of 10 % to 60 % of the photo's."""
    sides = rng.uniform(0.1, 0.6, 2) * (width, height)
    corner = rng.uniform(0, 1, 2) * ((width, height) - sides)
    box: NDArray[np.float64] = np.concatenate([corner, corner + sides]).round(2)
    return np.minimum(box, [width, height, width, height])


def _disc(centre: NDArray[np.float64], contract: Contract) -> NDArray[np.float32]:
    """Logits f32 (S/4, S/4) of a disc of a quarter of the square around x, y in the frame."""
    size = contract.mask_size
    x, y = centre * size / contract.frame_size
    rows, columns = np.mgrid[:size, :size]
    outside = np.hypot(columns - x, rows - y) / (size / 8) - 1
    logits: NDArray[np.float32] = np.clip(-MASK_LOGIT * outside, -MASK_LOGIT, MASK_LOGIT).astype(np.float32)
    return logits


def read_own_prompts(path: Path) -> Mapping[str, list[Prompt]]:
    """Read `{"photo.jpg": [{"points": [[x, y]], "labels": [1], "box": [x0, y0, x1, y1]}, …], …}`.

    Coordinates are pixels of the upright photo; labels may be left out where all points are on the object.
    Raises `InputError` that names the photo and the prompt at fault.
    """
    data = read_json(path, limit=MAX_OWN_BYTES)
    if not isinstance(data, dict) or not all(isinstance(prompts, list) for prompts in data.values()):
        raise InputError(f"{path}: must hold one object, photo name → list of prompts")
    return {
        photo: [_own_prompt(item, f"{path}: {photo}: prompt {i}") for i, item in enumerate(prompts)]
        for photo, prompts in data.items()
    }


def _own_prompt(item: Any, where: str) -> Prompt:
    hint = "it must be an object with points, labels and box, or some of them"
    own = read_document(OwnPrompt, item, where, hint=hint)
    labels = [1] * len(own.points) if own.labels is None else own.labels
    try:
        prompt = make_prompt(own.points, labels, own.box)
    except UsageError as error:
        raise InputError(f"{where}: {error}") from error
    if prompt.is_empty:
        raise InputError(f"{where}: needs a point or a box")
    return prompt
