"""Official answers of the other families, on stand-in weights, through `Predictor`.

The answers were made with each family's own code (EdgeSAM b53372c, RepViT 298f420, nanosam 6536336,
efficientvit de7d773, SlimSAM b612c1b).  tests/golden/families keeps a part of them for one photo per network;
TINYSAM_GOLDEN names the folder with all of them, and TINYSAM_GOLDEN_PHOTOS that of the photos, which are not
in this repository.
"""

from __future__ import annotations

import hashlib
import json
import os
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from tests.test_golden import photo
from tinysam_mobile.contract.rules import PadPoint
from tinysam_mobile.imaging.masks import stability_scores
from tinysam_mobile.imaging.preprocess import preprocess
from tinysam_mobile.modeling.config import TINYSAM, TinySAMConfig, config_named
from tinysam_mobile.modeling.encoders.repvit import RepViTConfig
from tinysam_mobile.modeling.entry_points import contract_of
from tinysam_mobile.modeling.families import match_state
from tinysam_mobile.modeling.sam import TinySAM
from tinysam_mobile.modeling.stand_in import stand_in_model, stand_in_tensor
from tinysam_mobile.parity.metrics import sqnr_db
from tinysam_mobile.segment.from_boxes import objects_from_boxes
from tinysam_mobile.segment.predictor import Prediction, Predictor
from tinysam_mobile.segment.prompts import make_prompt
from tinysam_mobile.simulator.torch import open_session

SMALL = Path(__file__).parent / "golden" / "families"
WHOLE_VARIABLE = "TINYSAM_GOLDEN"
FOLDERS = {
    "edgesam": "convolutional/edgesam",
    "repvit-sam": "convolutional/repvit_sam",
    "nanosam": "convolutional/nanosam",
    "efficientsam-ti": "vit_and_linear_attention/efficientsam_ti",
    "sam2-hiera-tiny": "sam2/sam2.1_hiera_tiny",
    "sam2-hiera-small": "sam2/sam2.1_hiera_small",
    "edgetam": "sam2/edgetam",
    "slimsam-77": "vit_and_linear_attention/slimsam_77_uniform",
    **{
        f"efficientvit-sam-{size}": f"vit_and_linear_attention/efficientvit_sam_{size}"
        for size in ("l0", "l1", "xl0")
    },
}
OURS = [name for name in FOLDERS if not (SMALL / f"{name}.json").is_file()]
"""Networks whose published keys are ours."""
QUICK = ("edgesam", "efficientvit-sam-l0", "nanosam", "slimsam-77")
CASES = ("point", "points", "box", "box_point", "point_mask")

# The bars of the project's definition of done; an independent second writing met them with 5 dB to spare.
EMBEDDING_SQNR_DB = 110.0
EMBEDDING_FLOOR_DB = {"repvit-sam": 103.0}
"""The official RepViT-SAM in float64 is 103.9 dB from its own answer in float32: 54 blocks without a norm."""
FUSED_SQNR_DB = 100.0
"""Of the form that is exported, with batch norms and branches folded: the official code's own folded
RepViT-SAM is 105 dB from its unfolded one, and that is 104 dB from itself in float64."""
LOGITS_SQNR_DB = 90.0
SCORE_ERROR = 1e-4
AREA_ERROR = 1e-3
FLIPPED_PIXELS = 1e-4
INPUT_SQNR_DB = 120.0
"""Normalisation in another order of operations costs a rounding of float32, 2⁻²⁴."""

Golden = dict[str, NDArray[Any]]


def golden_of(name: str, photo_name: str) -> Golden:
    """The whole answer of the official code if it is there, else what the repository keeps of it."""
    folder = os.environ.get(WHOLE_VARIABLE)
    path = Path(folder) / "family" / FOLDERS[name] / f"{photo_name}.npz" if folder else SMALL / f"{name}.npz"
    if not path.is_file():
        pytest.skip(f"{path} is not here: set {WHOLE_VARIABLE} to the folder of all golden answers")
    with np.load(path) as data:
        return dict(data)


def model_of(config: TinySAMConfig) -> TinySAM:
    """Stand-in weights under the published keys, which some families have of their own."""
    layout = SMALL / f"{config.name}.json"
    if not layout.is_file():
        return stand_in_model(config)
    shapes = json.loads(layout.read_text())
    published = {key: torch.from_numpy(stand_in_tensor(key, tuple(shape))) for key, shape in shapes.items()}
    match = match_state(published)
    assert (match.config.name, match.problems) == (config.name, "")
    model = TinySAM(config)
    model.load_state_dict(dict(match.state))
    return model.eval()


def predictor_of(config: TinySAMConfig) -> Predictor:
    # The official code answers points off the object, with which EfficientSAM was not trained.
    answering = replace(config, rules=replace(config.rules, negative_points=True))
    model = model_of(config)
    model.config = answering
    return Predictor(open_session(model, contract_of(model, batch=4)))


def prompt_of(golden: Golden, case: str) -> dict[str, Any]:
    names = ("point_coords", "point_labels", "box")
    prompt = {name: golden[f"{case}/{name}"] for name in names if f"{case}/{name}" in golden}
    labels = prompt.get("point_labels", np.zeros(0))
    if (labels > 1).any():
        # NanoSAM's predictor takes the corners of a box among the points.
        corners = labels > 1
        prompt["box"] = prompt["point_coords"][corners].reshape(4)
        prompt |= {"point_coords": prompt["point_coords"][~corners], "point_labels": labels[~corners]}
    return prompt


@pytest.fixture(
    scope="module",
    params=[
        pytest.param((name, where), marks=() if name in QUICK and where == "groceries" else pytest.mark.slow)
        for name in FOLDERS
        for where in ("groceries", "dogs")
    ],
    ids="-".join,
)
def answered(request: pytest.FixtureRequest) -> tuple[Golden, Predictor, TinySAMConfig]:
    name, where = request.param
    golden, pixels = golden_of(name, where), photo(where)
    config = config_named(name)
    predictor = predictor_of(config)
    predictor.set_image(pixels)
    golden["photo"] = pixels
    return golden, predictor, config


def test_embedding(answered: tuple[Golden, Predictor, TinySAMConfig]) -> None:
    """The network as it is trained, and as it is exported."""
    golden, predictor, config = answered
    ready = preprocess(golden["photo"], config.image_size, config.rules)
    with torch.inference_mode():
        image = torch.from_numpy(normalise(ready.image, ready.geometry.valid_size))
        trained = model_of(config).encode(image).numpy()
    third = 8 if config.decoder.skips else 16
    strides = {"embedding_sub": (8, 4), "embedding_sub3": (third, 3), "embedding_sub5": (8, 5)}
    assert strides.keys() & golden.keys()
    for key in strides.keys() & golden.keys():
        c, step = strides[key]
        floor = EMBEDDING_FLOOR_DB.get(config.name, EMBEDDING_SQNR_DB)
        assert sqnr_db(golden[key], trained[:, ::c, ::step, ::step]) >= floor
        exported = predictor.image.features["image_embeddings"][:, ::c, ::step, ::step]
        assert sqnr_db(golden[key], exported) >= FUSED_SQNR_DB


def test_preprocessing(answered: tuple[Golden, Predictor, TinySAMConfig]) -> None:
    """The encoder's input at every 32nd pixel; `big_input_sub` is of the photo doubled, so it shrinks."""
    golden, _, config = answered
    pixels = golden["photo"]
    doubled = pixels.repeat(2, axis=0).repeat(2, axis=1)
    for key, image, step in (
        ("input_sub", pixels, 32),
        ("input_sub15", pixels, 15),
        ("big_input_sub", doubled, 32),
    ):
        if key not in golden:
            continue
        ready = preprocess(image, config.image_size, config.rules)
        normalised = normalise(ready.image, ready.geometry.valid_size)[:, :, ::step, ::step]
        assert sqnr_db(golden[key].reshape(normalised.shape), normalised) >= INPUT_SQNR_DB


def normalise(image: NDArray[np.float32], valid: tuple[int, int]) -> NDArray[np.float32]:
    """What the graph does to the pixels before the encoder."""
    mean = np.float32([123.675, 116.28, 103.53]).reshape(1, 3, 1, 1)
    std = np.float32([58.395, 57.12, 57.375]).reshape(1, 3, 1, 1)
    inside = np.zeros((1, 1, *image.shape[2:]), np.float32)
    inside[..., : valid[0], : valid[1]] = 1
    result: NDArray[np.float32] = (image - mean) / std * inside
    return result


def skip_unanswered(golden: Golden, key: str) -> None:
    """Some networks were asked fewer questions than others."""
    if key not in golden:
        pytest.skip(f"no official answer for {key}")


def predicted(golden: Golden, predictor: Predictor, case: str) -> Prediction:
    if case != "point_mask":
        return predictor.predict(**prompt_of(golden, case))
    prompt = prompt_of(golden, "point")
    return predictor.predict(**prompt, mask_input=predictor.predict(**prompt).low_res_logits[:1])


@pytest.mark.parametrize("case", CASES)
def test_case(answered: tuple[Golden, Predictor, TinySAMConfig], case: str) -> None:
    golden, predictor, _ = answered
    skip_unanswered(golden, f"{case}/scores")
    ours = predicted(golden, predictor, case)
    step = 7 if f"{case}/logits_sub7" in golden else 5
    sampled_logits = ours.low_res_logits[:, ::step, ::step]
    assert sqnr_db(golden[f"{case}/logits_sub{step}"], sampled_logits) >= LOGITS_SQNR_DB
    np.testing.assert_allclose(ours.scores, golden[f"{case}/scores"], rtol=0, atol=SCORE_ERROR)
    np.testing.assert_allclose(ours.masks.sum((1, 2)), golden[f"{case}/areas"], rtol=AREA_ERROR, atol=1)
    if f"{case}/masks_packed" in golden:
        # Every second pixel, or every fourth.
        size = golden[f"{case}/masks_packed"].size
        step = next(s for s in (2, 4) if -(-ours.masks[:, ::s, ::s].size // 8) == size)
        sampled = ours.masks[:, ::step, ::step]
        official = np.unpackbits(golden[f"{case}/masks_packed"], count=sampled.size).reshape(sampled.shape)
        assert (sampled != official).mean() <= FLIPPED_PIXELS


@pytest.mark.parametrize("case", CASES)
def test_object_score(answered: tuple[Golden, Predictor, TinySAMConfig], case: str) -> None:
    golden, predictor, config = answered
    skip_unanswered(golden, f"{case}/scores")
    assert (f"{case}/object_score_logit" in golden) == config.decoder.object_token
    found = predicted(golden, predictor, case).object_score
    if not config.decoder.object_token:
        assert found is None
        return
    official = 1 / (1 + np.exp(-np.float64(golden[f"{case}/object_score_logit"])))
    np.testing.assert_allclose(found, official, rtol=0, atol=SCORE_ERROR)


@pytest.fixture(scope="module")
def single(answered: tuple[Golden, Predictor, TinySAMConfig]) -> tuple[Golden, Predictor, Predictor]:
    """Beside the predictor of several masks one of a single mask, on the same encoded photo."""
    golden, predictor, config = answered
    if not config.decoder.stable_single_mask:
        pytest.skip("the token for single masks needs no answer of its own")
    one = predictor_of(config.with_single_mask())
    one.set_image(predictor.image)
    return golden, predictor, one


@pytest.mark.parametrize("case", CASES)
def test_single_mask_falls_back_as_officially(single: tuple[Golden, Predictor, Predictor], case: str) -> None:
    golden, several, one = single
    skip_unanswered(golden, f"{case}/single_score")
    if case == "point_mask":
        mask = several.predict(**prompt_of(golden, "point")).low_res_logits[:1]
        ours = one.predict(**prompt_of(golden, "point"), mask_input=mask)
    else:
        ours = one.predict(**prompt_of(golden, case))
    np.testing.assert_allclose(ours.scores, golden[f"{case}/single_score"], rtol=0, atol=SCORE_ERROR)
    areas = ours.masks.sum((1, 2))
    np.testing.assert_allclose(areas, golden[f"{case}/single_area"], rtol=AREA_ERROR, atol=1)
    token = int(golden[f"{case}/single_token"])
    key, row = (f"{case}/logits_sub5", token - 1) if token else (f"{case}/token0_logits_sub5", 0)
    if key in golden:
        assert sqnr_db(golden[key][row], ours.low_res_logits[0, ::5, ::5]) >= LOGITS_SQNR_DB


def test_single_masks_of_a_batch_of_boxes(single: tuple[Golden, Predictor, Predictor]) -> None:
    golden, _, one = single
    skip_unanswered(golden, "boxes/scores")
    prompts = [make_prompt(box=box) for box in golden["boxes/box"]]
    for i, low in enumerate(one.decode_many(prompts)):
        np.testing.assert_allclose(low.scores, golden["boxes/scores"][i], rtol=0, atol=SCORE_ERROR)
        if "boxes/logits_sub5" in golden:
            official = golden["boxes/logits_sub5"][i]
            assert sqnr_db(official, low.logits[:, ::5, ::5]) >= LOGITS_SQNR_DB


@pytest.mark.parametrize("name", [*OURS, "slimsam-50", "efficientvit-sam-l2", "efficientvit-sam-xl1"])
def test_keys_and_shapes_are_those_of_the_published_files(name: str) -> None:
    published = json.loads((SMALL / "layouts.json").read_text())[name]
    with torch.device("meta"):
        state = TinySAM(config_named(name)).state_dict()
    shapes = {key: list(value.shape) for key, value in sorted(state.items())}
    assert hashlib.sha256(json.dumps(shapes).encode()).hexdigest() == published


EDGESAM_FOUR = replace(
    config_named("edgesam"),
    decoder=replace(config_named("edgesam").decoder, first_mask=0),
    rules=replace(config_named("edgesam").rules, num_masks=4),
)


@pytest.mark.slow
def test_edgesam_stability_of_all_four_masks() -> None:
    golden, predictor = golden_of("edgesam", "dogs"), predictor_of(EDGESAM_FOUR)
    predictor.set_image(photo("dogs"))
    for case in ("point", "box"):
        ours = predictor.predict(**prompt_of(golden, case))
        np.testing.assert_allclose(ours.scores, golden[f"{case}_n4/scores"], rtol=0, atol=SCORE_ERROR)
        stability = stability_scores(ours.low_res_logits)
        np.testing.assert_allclose(stability, golden[f"{case}_n4/stability"], rtol=0, atol=SCORE_ERROR)
        assert ours.best == int(np.argmax(golden[f"{case}_n4/stability"]))


@pytest.mark.slow
def test_edgesam_as_its_own_exports_have_it() -> None:
    """Bilinear in place of bicubic upsampling, and no pad point."""
    assert isinstance(EDGESAM_FOUR.encoder, RepViTConfig)
    exported = replace(
        EDGESAM_FOUR,
        encoder=replace(EDGESAM_FOUR.encoder, upsampling="bilinear"),
        rules=replace(EDGESAM_FOUR.rules, pad_point=PadPoint.NEVER),
    )
    golden, predictor = golden_of("edgesam", "dogs"), predictor_of(exported)
    image = predictor.set_image(photo("dogs"))
    assert (
        sqnr_db(golden["bilinear/embedding_sub3"], image.features["image_embeddings"][:, ::16, ::3, ::3])
        >= FUSED_SQNR_DB
    )
    points = image.geometry.to_original(golden["export_points/point_coords_1024"])
    ours = predictor.predict(point_coords=points, point_labels=golden["export_points/point_labels"])
    assert sqnr_db(golden["export_points/logits_sub7"], ours.low_res_logits[:, ::7, ::7]) >= LOGITS_SQNR_DB
    np.testing.assert_allclose(ours.scores, golden["export_points/scores"], rtol=0, atol=SCORE_ERROR)


@pytest.mark.slow
def test_mobilesamv2_makes_one_mask_a_box() -> None:
    """With TinyViT; its decoder is SAM's, asked for the token of single masks."""
    folder = os.environ.get(WHOLE_VARIABLE)
    if not folder:
        pytest.skip(f"set {WHOLE_VARIABLE} to the folder of all golden answers")
    with np.load(Path(folder) / "family" / "sam2" / "mobilesamv2_tiny_vit" / "groceries.npz") as data:
        golden = dict(data)
    predictor = predictor_of(TINYSAM.with_single_mask())
    pixels = photo("groceries")
    found = objects_from_boxes(predictor, pixels, golden["boxes/box"])
    prompts = [make_prompt(box=box) for box in golden["boxes/box"]]
    for i, low in enumerate(predictor.decode_many(prompts)):
        assert sqnr_db(golden["boxes/logits_sub5"][i], low.logits[:, ::5, ::5]) >= LOGITS_SQNR_DB
    areas = [item.runs.area for item in found]
    np.testing.assert_allclose(areas, golden["boxes/areas"], rtol=AREA_ERROR, atol=1)
    scores = [item.score for item in found]
    np.testing.assert_allclose(scores, golden["boxes/token0_score"][:, 0], rtol=0, atol=SCORE_ERROR)
