"""Files in float16 made with 2 and with 8 prompt slots: the six spare ones change nothing (DESIGN.md)."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from tinysam_mobile.artifacts.formats import FORMATS
from tinysam_mobile.contract.backend import Arrays, Backend
from tinysam_mobile.contract.spec import Label
from tinysam_mobile.converters.options import ConversionOptions
from tinysam_mobile.converters.pipeline import convert_checkpoint
from tinysam_mobile.modeling.checkpoint import load_checkpoint
from tinysam_mobile.parity.metrics import sqnr_db
from tinysam_mobile.simulator.registry import open_bundle

MIN_SPARE_DB = 50.0
"""DESIGN.md, for fp16."""
BATCH = 4


def backend(runtime: str, slots: int, folder: Path) -> Backend:
    options = ConversionOptions(targets=(runtime,), recipes=("fp16",), slots=slots, batch=BATCH)
    bundle = convert_checkpoint(load_checkpoint("stand-in:tiny-test"), folder / str(slots), options)
    return open_bundle(bundle, runtime, num_threads=1)


def prompts(slots: int, count: int) -> Arrays:
    """Points and boxes in the first two slots; NaN and the label of an unused slot in all others."""
    rng = np.random.default_rng(3)
    coords = np.full((count, slots, 2), np.nan, np.float32)
    labels = np.full((count, slots), Label.UNUSED, np.int32)
    coords[:, :2] = np.sort(rng.uniform(0, 128, (count, 2, 2)), axis=1)
    labels[:, :2] = (Label.FOREGROUND, Label.PAD)
    labels[1::2, :2] = (Label.BOX_TOP_LEFT, Label.BOX_BOTTOM_RIGHT)
    return {"point_coords": coords, "point_labels": labels}


@pytest.mark.slow
@pytest.mark.parametrize("runtime", sorted(FORMATS))
def test_spare_slots_of_a_float16_file_change_nothing(runtime: str, tmp_path: Path) -> None:
    few, many = (backend(runtime, slots, tmp_path) for slots in (2, 8))
    rng = np.random.default_rng(4)
    size = few.contract.image_size
    photo = {
        "image": rng.uniform(0, 255, (1, 3, size, size)).astype(np.float32),
        "valid_size": np.array([size, size - 24], np.int32),
    }
    embeddings = few.run("encode", photo)
    side = few.contract.mask_size
    mask = rng.normal(0, 4, (1, 1, side, side)).astype(np.float32)
    with_mask, without = (
        {"mask_input": mask, "has_mask_input": np.full(1, flag, np.float32)} for flag in (1, 0)
    )
    for name, count, extra in (("decode", 1, with_mask), ("decode", 1, without), ("decode_batch", BATCH, {})):
        expected, actual = (
            tested.run(name, embeddings | prompts(slots, count) | extra)
            for tested, slots in ((few, 2), (many, 8))
        )
        for output in expected:
            assert sqnr_db(expected[output], actual[output]) >= MIN_SPARE_DB, (name, output)
