"""Entry points of a backend against the torch model: one figure per entry point.

Each stage gets the reference's input, so that an encoder's error does not count against the decoder.
The inputs are synthetic and seeded: they need no photo and exercise every label and a mask prompt.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from tinysam_mobile.contract.backend import Arrays, Backend
from tinysam_mobile.contract.rules import PadPoint
from tinysam_mobile.contract.spec import Contract, Label, Signature
from tinysam_mobile.parity.bounds import bounds_for
from tinysam_mobile.parity.metrics import sqnr_db
from tinysam_mobile.quant.recipe import QuantRecipe
from tinysam_mobile.segment.prompts import FILLING_XY

__all__ = ["EntryPointParity", "compare_backends", "probe_inputs"]


@dataclass(frozen=True, kw_only=True)
class EntryPointParity:
    """SQNR of one entry point's outputs (the worst output counts) against its bound, both in dB."""

    entry_point: str
    sqnr_db: float
    min_sqnr_db: float

    @property
    def passed(self) -> bool:
        """False also where the figure is NaN."""
        return self.sqnr_db >= self.min_sqnr_db


def blob_image(size: int, rng: np.random.Generator) -> NDArray[np.float32]:
    """A smooth random colour image f32 (1, 3, size, size) in 0–255, with some pixel noise."""
    coarse = rng.uniform(0, 255, (3, size // 32, size // 32)).astype(np.float32)
    image = np.repeat(np.repeat(coarse, 32, axis=1), 32, axis=2) + rng.normal(0, 8, (3, size, size)).astype(
        np.float32
    )
    return np.clip(image, 0, 255)[None]


def _prompts(signature: Signature, contract: Contract, rng: np.random.Generator) -> Arrays:
    coords = next(s for s in signature.inputs if s.name == "point_coords")
    prompts, slots, _ = coords.shape
    xy = rng.uniform(0, contract.image_size, coords.shape).astype(np.float32)
    kinds = np.full((prompts, slots), Label.UNUSED, np.int32)
    kinds[:, 0] = Label.FOREGROUND
    # Pad points and slots that the model always takes are as `pack_prompts` has them: integers know no other.
    rules = contract.rules
    if rules.pad_point is not PadPoint.NEVER:
        kinds[:, 1] = Label.PAD
    if rules.pad_point is PadPoint.ALWAYS:
        kinds[1::2, 2:3] = Label.PAD
    for row, taken in ((0, 1), (1, 2)):
        xy[row::2, taken : rules.fixed_points] = FILLING_XY
        kinds[row::2, taken : rules.fixed_points] = Label.PAD
    kinds[1::2, :2] = (Label.BOX_TOP_LEFT, Label.BOX_BOTTOM_RIGHT)
    return {"point_coords": xy, "point_labels": kinds}


def probe_inputs(
    contract: Contract, features: Mapping[str, NDArray[np.float32]] | None, *, seed: int = 0
) -> dict[str, Arrays]:
    """Return seeded inputs for each entry point; the decoders get `features`, the answer of `encode`."""
    rng = np.random.default_rng(seed)
    size = contract.image_size
    signatures = contract.signatures
    inputs: dict[str, Arrays] = {
        "encode": {"image": blob_image(size, rng), "valid_size": np.array([size - size // 4, size], np.int32)}
    }
    if features is not None:
        size = contract.mask_size
        mask = rng.normal(0, 4, (1, 1, size, size)).astype(np.float32)
        for name in ("decode", "decode_batch", "score_batch"):
            taken = {spec.name for spec in signatures[name].inputs}
            own = {key: value for key, value in features.items() if key in taken}
            inputs[name] = {**own, **_prompts(signatures[name], contract, rng)}
        if contract.rules.mask_prompts:
            inputs["decode"] |= {"mask_input": mask, "has_mask_input": np.ones(1, np.float32)}
    return inputs


def compare_backends(
    reference: Backend, other: Backend, *, runtime: str, recipe: QuantRecipe, seed: int = 0
) -> list[EntryPointParity]:
    """Run every entry point of both on the same seeded inputs; `runtime` and `recipe` choose the bounds."""
    bounds = bounds_for(runtime, recipe.id)
    first = probe_inputs(reference.contract, None, seed=seed)["encode"]
    features = reference.run("encode", first)
    inputs = probe_inputs(reference.contract, features, seed=seed)
    results = []
    for name, arrays in inputs.items():
        expected, actual = reference.run(name, arrays), other.run(name, arrays)
        figures = [sqnr_db(expected[key], actual[key]) for key in expected]
        limit = bounds.min_embedding_sqnr_db if name == "encode" else bounds.min_logits_sqnr_db
        worst = min(figures) if not np.isnan(figures).any() else float("nan")
        results.append(EntryPointParity(entry_point=name, sqnr_db=worst, min_sqnr_db=limit.value))
    return results
