"""The official TinySAM code's own answers, against ours, through `Predictor` on the official configuration.

`coffee` and `astronaut` ship with scikit-image, and the published network answered for them
(tests/golden/make_answers.py), so they stand alone.  The answers for `dogs` and `groceries` come from the
official code itself; those photos are not in this repository: TINYSAM_GOLDEN_PHOTOS names their folder.

Although they use the 1024 configuration these tests are not marked slow: they take 20 CPU seconds, and
everything else is measured against what they pin down.
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from tinysam_mobile.imaging.images import load_image
from tinysam_mobile.modeling.config import TINYSAM
from tinysam_mobile.modeling.entry_points import contract_of
from tinysam_mobile.modeling.sam import TinySAM
from tinysam_mobile.modeling.stand_in import stand_in_model
from tinysam_mobile.parity.metrics import sqnr_db
from tinysam_mobile.segment.predictor import Prediction, Predictor
from tinysam_mobile.segment.prompts import make_prompt
from tinysam_mobile.simulator.torch import TorchSession, open_session

GOLDEN = Path(__file__).parent / "golden"
PHOTOS_VARIABLE = "TINYSAM_GOLDEN_PHOTOS"
Answered = tuple[dict[str, Any], Predictor]
"""A golden file, and our predictor with its photo set."""
CASES = ("point", "points", "box", "box_point", "point_mask")

# The bounds of the project's definition of done.
EMBEDDING_SQNR_DB = 90.0
LOGITS_SQNR_DB = 80.0
SCORE_ERROR = 1e-3
AREA_ERROR = 1e-3
# Masks are compared on every second pixel; a pixel may flip only where its logit is at rounding level.
FLIPPED_PIXELS = 1e-4


def photo(name: str) -> NDArray[np.uint8]:
    """Return the photo of a golden file, or skip with the way to have it."""
    if name in ("coffee", "astronaut"):
        import skimage

        return load_image(Path(skimage.__file__).parent / "data" / f"{name}.png")
    folder = os.environ.get(PHOTOS_VARIABLE)
    if not folder:
        pytest.skip(f"{name}.jpg is not in this repository: set {PHOTOS_VARIABLE} to its folder")
    return load_image(Path(folder) / f"{name}.jpg")


@pytest.fixture(scope="module")
def model() -> TinySAM:
    return stand_in_model(TINYSAM)


@pytest.fixture(scope="module")
def backend(model: TinySAM) -> TorchSession:
    return open_session(model, contract_of(model, batch=4))


@pytest.fixture(scope="module", params=["coffee", "astronaut", "dogs", "groceries"])
def answered(request: pytest.FixtureRequest, backend: TorchSession) -> Iterator[Answered]:
    predictor = Predictor(backend)
    predictor.set_image(photo(request.param))
    with np.load(GOLDEN / f"{request.param}.npz") as data:
        yield dict(data), predictor


def prompt_of(golden: dict[str, Any], case: str) -> dict[str, Any]:
    names = ("point_coords", "point_labels", "box")
    return {name: golden[f"{case}/{name}"] for name in names if f"{case}/{name}" in golden}


def predict_case(golden: dict[str, Any], predictor: Predictor, case: str) -> Prediction:
    if case != "point_mask":
        return predictor.predict(**prompt_of(golden, case))
    # The point again, with the first low-resolution mask of its first answer.
    prompt = prompt_of(golden, "point")
    return predictor.predict(**prompt, mask_input=predictor.predict(**prompt).low_res_logits[:1])


def test_state_dict_has_the_keys_and_shapes_of_the_published_files() -> None:
    published = json.loads((GOLDEN / "state_dict.json").read_text())
    ours = {key: list(value.shape) for key, value in TinySAM(TINYSAM).state_dict().items()}
    assert ours == published


def test_embedding(answered: Answered) -> None:
    golden, predictor = answered
    embedding = predictor.image.features["image_embeddings"]
    assert sqnr_db(golden["embedding_sub"], embedding[:, ::8, ::4, ::4]) >= EMBEDDING_SQNR_DB
    assert embedding.mean() == pytest.approx(float(golden["embedding_mean"]), abs=1e-4)
    assert embedding.std() == pytest.approx(float(golden["embedding_std"]), rel=1e-4)


@pytest.mark.parametrize("case", CASES)
def test_case(answered: Answered, case: str) -> None:
    golden, predictor = answered
    ours = predict_case(golden, predictor, case)
    assert sqnr_db(golden[f"{case}/logits_sub"], ours.low_res_logits[:, ::4, ::4]) >= LOGITS_SQNR_DB
    np.testing.assert_allclose(ours.scores, golden[f"{case}/scores"], rtol=0, atol=SCORE_ERROR)
    np.testing.assert_allclose(ours.masks.sum((1, 2)), golden[f"{case}/areas"], rtol=AREA_ERROR)
    if f"{case}/masks_packed" not in golden:
        return  # the official files leave the pixels of `point_mask` out
    sampled = ours.masks[:, ::2, ::2]
    official = np.unpackbits(golden[f"{case}/masks_packed"], count=sampled.size).reshape(sampled.shape)
    assert (sampled != official).mean() <= FLIPPED_PIXELS


@pytest.mark.slow
def test_batch_gives_the_official_answers_too(answered: Answered) -> None:
    golden, predictor = answered
    cases = [case for case in CASES if case != "point_mask"]
    answers = predictor.predict_batch([make_prompt(**prompt_of(golden, case)) for case in cases])
    for case, ours in zip(cases, answers, strict=True):
        assert sqnr_db(golden[f"{case}/logits_sub"], ours.low_res_logits[:, ::4, ::4]) >= LOGITS_SQNR_DB
        np.testing.assert_allclose(ours.scores, golden[f"{case}/scores"], rtol=0, atol=SCORE_ERROR)
