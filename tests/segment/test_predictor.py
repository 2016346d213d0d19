"""Packing, caching and errors of `Predictor` on a recording backend; the numbers on the small torch model.

The official answers are in test_golden.py.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import cache
from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from tinysam_mobile.contract.backend import Arrays
from tinysam_mobile.contract.spec import Contract
from tinysam_mobile.errors import ImageError, UnknownNameError, UsageError
from tinysam_mobile.imaging.upscale import upscale_masks
from tinysam_mobile.modeling.config import config_named
from tinysam_mobile.modeling.entry_points import contract_of
from tinysam_mobile.modeling.sam import TinySAM
from tinysam_mobile.modeling.stand_in import stand_in_model
from tinysam_mobile.parity.metrics import sqnr_db
from tinysam_mobile.segment.predictor import EncodedImage, Prediction, Predictor
from tinysam_mobile.segment.prompts import Prompt, make_prompt
from tinysam_mobile.simulator.torch import TorchSession, open_session

# DESIGN.md: spare prompt slots and pad bytes change nothing beyond this, in fp32.
SAME_ANSWER_DB = 100.0

CONTRACT = Contract(image_size=128, grid_size=8, mask_size=32, channels=4, slots=4, batch=3)
PHOTO = np.random.default_rng(0).integers(0, 256, (60, 90, 3), np.uint8)
# 90 x 60 fills 128 x 85 of the S frame.
SCALE = np.array([128 / 90, 85 / 60])
POINT = {"point_coords": [[45, 30]], "point_labels": [1]}


class RecordingBackend:
    """A backend that notes its calls; the scores and logits it returns count upwards."""

    contract = CONTRACT

    def __init__(self) -> None:
        self.calls: list[tuple[str, Mapping[str, NDArray[Any]]]] = []

    def run(self, entry_point: str, inputs: Mapping[str, NDArray[Any]]) -> Arrays:
        self.calls.append((entry_point, inputs))
        outputs = {}
        for spec in self.contract.signatures[entry_point].outputs:
            outputs[spec.name] = np.arange(np.prod(spec.shape), dtype=np.float32).reshape(spec.shape)
        return outputs

    def names(self) -> list[str]:
        return [name for name, _ in self.calls]


@pytest.fixture
def backend() -> RecordingBackend:
    return RecordingBackend()


@pytest.fixture
def predictor(backend: RecordingBackend) -> Predictor:
    predictor = Predictor(backend)
    predictor.set_image(PHOTO)
    return predictor


@pytest.fixture(scope="module")
def model() -> TinySAM:
    return stand_in_model(config_named("tiny-test"))


@cache
def torch_predictor(model: TinySAM, *, slots: int = 8, batch: int = 3) -> Predictor:
    predictor = Predictor(open_session(model, contract_of(model, slots=slots, batch=batch), num_threads=1))
    predictor.set_image(PHOTO)
    return predictor


def packed(backend: RecordingBackend) -> tuple[list[Any], list[Any]]:
    """Coordinates in original pixels, and labels, of the last call."""
    inputs = backend.calls[-1][1]
    coords = inputs["point_coords"].astype(np.float64) / SCALE
    return coords.round(3).tolist(), inputs["point_labels"].tolist()


def test_points_get_one_pad_point(predictor: Predictor, backend: RecordingBackend) -> None:
    predictor.predict(point_coords=[[45, 30], [3, 4]], point_labels=[1, 0])
    assert packed(backend) == ([[[45, 30], [3, 4], [0, 0], [0, 0]]], [[1, 0, -1, -2]])


def test_a_box_is_two_slots_and_has_no_pad_point(predictor: Predictor, backend: RecordingBackend) -> None:
    predictor.predict(box=[10, 20, 30, 40])
    assert packed(backend) == ([[[10, 20], [30, 40], [0, 0], [0, 0]]], [[2, 3, -2, -2]])


def test_points_come_before_the_box(predictor: Predictor, backend: RecordingBackend) -> None:
    predictor.predict(point_coords=np.array([[45, 30]]), point_labels=np.array([0]), box=(10, 20, 30, 40))
    assert packed(backend) == ([[[45, 30], [10, 20], [30, 40], [0, 0]]], [[0, 2, 3, -2]])


def test_without_a_mask_prompt_the_flag_is_off(predictor: Predictor, backend: RecordingBackend) -> None:
    predictor.predict(**POINT)
    inputs = backend.calls[-1][1]
    assert inputs["has_mask_input"].tolist() == [0]
    assert not inputs["mask_input"].any()


@pytest.mark.parametrize("shape", [(32, 32), (1, 32, 32)])
def test_mask_prompt(predictor: Predictor, backend: RecordingBackend, shape: tuple[int, ...]) -> None:
    mask = np.random.default_rng(1).standard_normal(shape)
    predictor.predict(**POINT, mask_input=mask)
    inputs = backend.calls[-1][1]
    assert inputs["has_mask_input"].tolist() == [1]
    np.testing.assert_array_equal(inputs["mask_input"], mask.reshape(1, 1, 32, 32).astype(np.float32))


def test_a_mask_alone_has_no_tokens(predictor: Predictor, backend: RecordingBackend) -> None:
    predictor.predict(mask_input=np.zeros((1, 32, 32), np.float32))
    assert backend.calls[-1][1]["point_labels"].tolist() == [[-2] * 4]


def test_inputs_fit_the_signatures(predictor: Predictor, backend: RecordingBackend) -> None:
    predictor.predict(**POINT)
    list(predictor.predict_batch([make_prompt(**POINT)]))
    assert backend.names() == ["encode", "decode", "decode_batch"]
    for name, inputs in backend.calls:
        for spec in CONTRACT.signatures[name].inputs:
            assert (inputs[spec.name].shape, inputs[spec.name].dtype) == (spec.shape, spec.dtype)


def test_prediction(predictor: Predictor) -> None:
    prediction = predictor.predict(**POINT)
    assert prediction.masks.shape == (3, 60, 90)
    assert prediction.masks.dtype == np.bool_
    assert prediction.scores.tolist() == [0, 1, 2]
    assert prediction.low_res_logits.shape == (3, 32, 32)
    assert prediction.best == 2
    assert prediction.best_mask is not prediction.masks[0]
    np.testing.assert_array_equal(prediction.best_mask, prediction.masks[2])
    np.testing.assert_array_equal(
        prediction.masks, upscale_masks(prediction.low_res_logits, predictor.image.geometry)
    )


def test_an_image_is_encoded_once(predictor: Predictor, backend: RecordingBackend) -> None:
    first = predictor.image
    predictor.predict(**POINT)
    predictor.predict(box=[1, 2, 3, 4])
    second = predictor.set_image(PHOTO[:, :40])
    predictor.predict(**POINT | {"point_coords": [[39, 30]]})
    assert predictor.set_image(first) is first
    predictor.predict(**POINT)
    assert backend.names() == ["encode", "decode", "decode", "encode", "decode", "decode"]
    assert backend.calls[-1][1]["image_embeddings"] is first.features["image_embeddings"]
    assert second.geometry.original_size == (60, 40)


def test_an_embedding_of_another_model_is_refused(predictor: Predictor) -> None:
    image = predictor.image
    other = EncodedImage(
        features={"image_embeddings": np.zeros((1, 4, 16, 16), np.float32)}, geometry=image.geometry
    )
    with pytest.raises(UsageError, match="another model"):
        predictor.set_image(other)
    assert predictor.image is image


@pytest.mark.parametrize("count", [1, 3, 4, 7])
def test_batches_of_k_prompts(predictor: Predictor, backend: RecordingBackend, count: int) -> None:
    prompts = [make_prompt([[i, 2 * i]], [1]) for i in range(count)]
    predictions = list(predictor.predict_batch(prompts))
    assert len(predictions) == count
    calls = [inputs for name, inputs in backend.calls if name == "decode_batch"]
    assert len(calls) == -(-count // 3)
    labels = np.concatenate([call["point_labels"] for call in calls])
    assert labels[:count].tolist() == [[1, -1, -2, -2]] * count
    # The last call is filled up with prompts of unused slots only.
    assert (labels[count:] == -2).all()
    coords = np.concatenate([call["point_coords"] for call in calls])[:count, 0] / SCALE
    np.testing.assert_allclose(coords, [[i, 2 * i] for i in range(count)], rtol=1e-6)
    # The recording backend counts scores upwards through each call.
    expected = [[9 * 0 + 3 * (i % 3) + j for j in range(3)] for i in range(count)]
    assert [prediction.scores.tolist() for prediction in predictions] == expected


def test_a_batch_is_decoded_as_it_is_taken(predictor: Predictor, backend: RecordingBackend) -> None:
    predictions = predictor.predict_batch([make_prompt(**POINT)] * 7)
    assert backend.names() == ["encode"]
    next(predictions)
    assert backend.names() == ["encode", "decode_batch"]


def test_no_prompts_no_predictions(predictor: Predictor) -> None:
    assert list(predictor.predict_batch([])) == []


BAD_PROMPTS = [
    ({}, "nothing to predict"),
    ({"point_coords": [], "point_labels": []}, "nothing to predict"),
    ({"point_coords": [[1, 2]]}, "one per point"),
    ({"point_coords": [[1, 2]], "point_labels": [1, 1]}, "one per point"),
    ({"point_labels": [1]}, "one per point"),
    ({"point_coords": [1, 2], "point_labels": [1]}, r"shape \(n, 2\)"),
    ({"point_coords": [[1, 2, 3]], "point_labels": [1]}, r"shape \(n, 2\)"),
    ({"point_coords": [[1, 2], [3]], "point_labels": [1, 1]}, "must be numbers"),
    ({"point_coords": [["a", "b"]], "point_labels": [1]}, "must be numbers"),
    ({"point_coords": [[1, np.nan]], "point_labels": [1]}, "finite"),
    ({"point_coords": [[1, np.inf]], "point_labels": [1]}, "finite"),
    ({"point_coords": [[1, 2]], "point_labels": [2]}, "1 .on the object. or 0"),
    ({"point_coords": [[1, 2]], "point_labels": [-1]}, "1 .on the object. or 0"),
    ({"point_coords": [[1, 2]], "point_labels": [0.5]}, "1 .on the object. or 0"),
    ({"point_coords": [[30, 61]], "point_labels": [1]}, "30,61 .x,y. is outside the image of width 90"),
    ({"point_coords": [[91, 30]], "point_labels": [1]}, "outside the image"),
    ({"point_coords": [[-1, 30]], "point_labels": [1]}, "outside the image"),
    ({"point_coords": [[1, 2]] * 4, "point_labels": [1] * 4}, "--slots 5"),
    ({"point_coords": [[1, 2]] * 3, "point_labels": [1] * 3, "box": [1, 2, 3, 4]}, "--slots 5"),
    ({"box": [1, 2, 3]}, "four numbers"),
    ({"box": [[1, 2, 3, 4]]}, "four numbers"),
    ({"box": [30, 2, 3, 40]}, "x0 <= x1"),
    ({"box": [3, 40, 30, 2]}, "y0 <= y1"),
    ({"box": [1, 2, np.nan, 4]}, "finite"),
    ({"box": [100, 2, 120, 40]}, "outside the image"),
    ({"box": [10, -20, 20, -4]}, "outside the image"),
    ({"mask_input": np.zeros((1, 16, 16), np.float32)}, "mask_input must be one float array"),
    ({"mask_input": np.zeros((3, 32, 32), np.float32)}, "mask_input must be one float array"),
    ({"mask_input": np.zeros((1, 32, 32), np.bool_)}, "mask_input must be one float array"),
    ({"mask_input": np.full((1, 32, 32), np.nan)}, "finite"),
    ({"mask_input": np.full((1, 32, 32), 1e300)}, "finite"),
]


@pytest.mark.parametrize(("prompt", "message"), BAD_PROMPTS)
def test_bad_prompts(
    predictor: Predictor, backend: RecordingBackend, prompt: dict[str, Any], message: str
) -> None:
    with pytest.raises(UsageError, match=message):
        predictor.predict(**prompt)
    assert backend.names() == ["encode"]


@pytest.mark.parametrize(
    "prompt",
    [
        {"point_coords": [[0, 0], [90, 60]], "point_labels": [1, 1]},
        {"box": [-5, -5, 200, 200]},
        {"box": [10, 10, 10, 10]},
        {"box": [10, 10, 20, 20], "point_coords": [], "point_labels": []},
    ],
)
def test_prompts_at_the_border_are_fine(predictor: Predictor, prompt: dict[str, Any]) -> None:
    predictor.predict(**prompt)


@pytest.mark.parametrize(
    "prompt", [make_prompt(), make_prompt([[1, 2]] * 4, [1] * 4), make_prompt([[99, 2]], [1])]
)
def test_a_bad_prompt_stops_a_batch_at_the_call(predictor: Predictor, prompt: Prompt) -> None:
    with pytest.raises(UsageError):
        predictor.predict_batch([make_prompt(**POINT)] * 5 + [prompt])


def test_prompts_before_an_image(backend: RecordingBackend) -> None:
    predictor = Predictor(backend)
    with pytest.raises(UsageError, match="set_image"):
        predictor.predict(**POINT)
    with pytest.raises(UsageError, match="set_image"):
        predictor.predict_batch([make_prompt(**POINT)])


def test_an_array_that_is_no_image(predictor: Predictor) -> None:
    with pytest.raises(ImageError, match="uint8"):
        predictor.set_image(PHOTO.astype(np.float32))  # type: ignore[arg-type]


def assert_same(a: Prediction, b: Prediction) -> None:
    assert sqnr_db(a.low_res_logits, b.low_res_logits) >= SAME_ANSWER_DB
    assert sqnr_db(a.scores, b.scores) >= SAME_ANSWER_DB


PROMPTS = [POINT, {"box": [10, 10, 70, 50]}, {**POINT, "box": [10, 10, 70, 50]}]


@pytest.mark.parametrize("prompt", PROMPTS)
@pytest.mark.parametrize("with_mask", [False, True])
def test_spare_slots_change_nothing(model: TinySAM, prompt: dict[str, Any], with_mask: bool) -> None:
    mask = np.random.default_rng(2).standard_normal((1, 32, 32)).astype(np.float32) if with_mask else None
    tight = torch_predictor(model, slots=make_prompt(**prompt).slots(CONTRACT.rules))
    reference = tight.predict(**prompt, mask_input=mask)
    for slots in (4, 8, 13):
        assert_same(reference, torch_predictor(model, slots=slots).predict(**prompt, mask_input=mask))


def test_a_mask_alone_does_not_depend_on_the_slots(model: TinySAM) -> None:
    mask = np.random.default_rng(3).standard_normal((1, 32, 32)).astype(np.float32)
    reference = torch_predictor(model, slots=2).predict(mask_input=mask)
    assert np.isfinite(reference.low_res_logits).all()
    assert_same(reference, torch_predictor(model, slots=8).predict(mask_input=mask))


def test_prompts_give_different_answers(model: TinySAM) -> None:
    predictor = torch_predictor(model)
    answers = [predictor.predict(**prompt).low_res_logits for prompt in PROMPTS]
    answers.append(predictor.predict(**POINT, mask_input=answers[0][:1]).low_res_logits)
    for i, a in enumerate(answers):
        assert all(sqnr_db(a, b) < SAME_ANSWER_DB / 2 for b in answers[:i])


def test_a_batch_answers_as_single_prompts_do(model: TinySAM) -> None:
    predictor = torch_predictor(model, batch=2)
    batch = predictor.predict_batch([make_prompt(**prompt) for prompt in PROMPTS])
    for prompt, answer in zip(PROMPTS, batch, strict=True):
        assert_same(predictor.predict(**prompt), answer)


@pytest.mark.parametrize("fill", [255.0, -1e4, np.nan, np.inf])
def test_bytes_in_the_padding_change_nothing(model: TinySAM, fill: float) -> None:
    session = open_session(model, contract_of(model))
    image = np.full((1, 3, 128, 128), fill, np.float32)
    image[:, :, :85] = 0
    clean = np.zeros_like(image)
    image[:, :, :85] = clean[:, :, :85] = PHOTO.mean()
    valid = np.array([85, 128], np.int32)
    expected = session.run("encode", {"image": clean, "valid_size": valid})
    ours = session.run("encode", {"image": image, "valid_size": valid})
    np.testing.assert_array_equal(ours["image_embeddings"], expected["image_embeddings"])


def test_the_same_weights_at_another_image_size(model: TinySAM) -> None:
    small = TinySAM(model.config.at_image_size(64))
    small.load_state_dict(model.state_dict())
    prediction = torch_predictor(small).predict(**POINT)
    assert prediction.masks.shape == (3, 60, 90)
    assert prediction.low_res_logits.shape == (3, 16, 16)


def batch_inputs(session: TorchSession) -> Arrays:
    rng = np.random.default_rng(4)
    inputs: Arrays = {}
    for spec in session.contract.signatures["decode_batch"].inputs:
        inputs[spec.name] = rng.uniform(0, 1, spec.shape).round().astype(spec.dtype)
    return inputs


def test_torch_prompts_per_call_change_nothing(model: TinySAM) -> None:
    contract = contract_of(model, batch=5)
    whole = open_session(model, contract, prompts_per_call=5)
    inputs = batch_inputs(whole)
    expected = whole.run("decode_batch", inputs)
    for prompts in (1, 2, 64):
        ours = open_session(model, contract, prompts_per_call=prompts).run("decode_batch", inputs)
        assert sqnr_db(expected["low_res_masks"], ours["low_res_masks"]) >= SAME_ANSWER_DB
        assert sqnr_db(expected["iou_predictions"], ours["iou_predictions"]) >= SAME_ANSWER_DB


def test_torch_leaves_inputs_and_earlier_outputs_alone(model: TinySAM) -> None:
    session = open_session(model, contract_of(model, batch=2))
    inputs = batch_inputs(session)
    for array in inputs.values():
        array.flags.writeable = False
    first = session.run("decode_batch", inputs)
    copy = first["low_res_masks"].copy()
    session.run("decode_batch", {**inputs, "point_coords": inputs["point_coords"] + 9})
    np.testing.assert_array_equal(first["low_res_masks"], copy)
    assert first["low_res_masks"].flags.c_contiguous


def test_torch_threads_are_put_back(model: TinySAM) -> None:
    before = torch.get_num_threads()
    session = open_session(model, contract_of(model, batch=2), num_threads=before + 1)
    session.run("decode_batch", batch_inputs(session))
    assert torch.get_num_threads() == before


def test_torch_names_what_is_wrong(model: TinySAM) -> None:
    session = open_session(model, contract_of(model))
    with pytest.raises(UnknownNameError, match="decode_batch"):
        session.run("decod", {})
    with pytest.raises(UsageError, match="valid_size"):
        session.run("encode", {"image": np.zeros((1, 3, 128, 128), np.float32)})
    with pytest.raises(UsageError, match="shape"):
        session.run("encode", {"image": np.zeros((3, 128, 128)), "valid_size": np.zeros(2, np.int32)})
