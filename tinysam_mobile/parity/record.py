"""Run a photo and its prompts through a backend, keeping what every stage gave."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tinysam_mobile.contract.backend import Arrays, Backend
from tinysam_mobile.contract.features import join_features, split_features
from tinysam_mobile.contract.spec import Contract, Label
from tinysam_mobile.imaging.masks import selection_scores
from tinysam_mobile.imaging.preprocess import Geometry, preprocess
from tinysam_mobile.imaging.upscale import upscale_masks
from tinysam_mobile.parity.stages import ParityPrompt, PhotoCase, Recording, Stage
from tinysam_mobile.segment.prompts import pack_prompts

__all__ = ["Floats", "decode_prompts", "encode_photo", "pack_prompt", "record_photo", "score_prompts"]

Floats = NDArray[np.float32]


def record_photo(backend: Backend, case: PhotoCase) -> Recording:
    """Return every stage of `case` on `backend`, each from the one before."""
    contract = backend.contract
    ready = preprocess(case.pixels, contract.image_size, contract.rules)
    embedding = encode_photo(backend, ready.image[0], ready.geometry)
    packed = [pack_prompt(prompt, ready.geometry, contract) for prompt in case.prompts]
    answers = decode_prompts(backend, embedding, packed, [p.mask_input for p in case.prompts])
    batch_scores = score_prompts(backend, embedding, packed, [p.mask_input for p in case.prompts])
    prompts = []
    for i, (slots, (logits, scores)) in enumerate(zip(packed, answers, strict=True)):
        best = int(np.argmax(selection_scores(logits, scores, contract.rules)))
        mask = upscale_masks(logits[best : best + 1], ready.geometry)[0]
        prompts.append(
            {
                Stage.PACKED_PROMPT: slots,
                Stage.LOW_RES_LOGITS: logits,
                Stage.PREDICTED_IOU: scores,
                **({Stage.BATCH_SCORES: batch_scores[i]} if i in batch_scores else {}),
                Stage.CHOSEN_MASK: np.array([best], np.int32),
                Stage.FULL_SIZE_MASK: mask.astype(np.uint8),
            }
        )
    photo = {Stage.PREPROCESSED_IMAGE: ready.image[0], Stage.EMBEDDING: embedding}
    return Recording(photo=photo, prompts=tuple(prompts))


def pack_prompt(prompt: ParityPrompt, geometry: Geometry, contract: Contract) -> Floats:
    """Return the slots of a prompt, f32 (N, 3): x, y in the S frame and label."""
    packed = pack_prompts([prompt.prompt], geometry, slots=contract.slots, batch=1)
    labels = packed.point_labels[0]
    coords = packed.point_coords[0]
    coords[labels == Label.UNUSED] = prompt.spare_xy
    return np.concatenate([coords, labels[:, None].astype(np.float32)], axis=1)


def encode_photo(backend: Backend, image: Floats, geometry: Geometry) -> Floats:
    """Return what `encode` makes of a preprocessed image f32 (3, S, S), joined (`contract.features`)."""
    inputs = {"image": image[None], "valid_size": np.array(geometry.valid_size, np.int32)}
    return join_features(backend.run("encode", inputs), backend.contract)


def decode_prompts(
    backend: Backend, embedding: Floats, packed: Sequence[Floats], masks: Sequence[Floats | None]
) -> list[tuple[Floats, Floats]]:
    """Return logits f32 (3, S/4, S/4) and scores f32 (3,) of each prompt f32 (N, 3), in order.

    `embedding` is joined, as `encode_photo` returns it.

    Prompts with a mask f32 (S/4, S/4), and the first one without, go through `decode`, the others through
    `decode_batch`, so that both entry points are run.
    """
    features = split_features(embedding, backend.contract)
    plain = [i for i, mask in enumerate(masks) if mask is None]
    answers: dict[int, tuple[Floats, Floats]] = {}
    for i in sorted(set(range(len(packed))) - set(plain[1:])):
        answers[i] = _decode_one(backend, features, packed[i], masks[i])
    batch = backend.contract.batch
    for start in range(1, len(plain), batch):
        chosen = plain[start : start + batch]
        answer = _decode_batch(backend, features, [packed[i] for i in chosen])
        for row, i in enumerate(chosen):
            answers[i] = (answer["low_res_masks"][row], answer["iou_predictions"][row])
    return [answers[i] for i in range(len(packed))]


def score_prompts(
    backend: Backend, embedding: Floats, packed: Sequence[Floats], masks: Sequence[Floats | None]
) -> dict[int, Floats]:
    """Return the scores f32 (3,) of `score_batch`, by index, of the prompts that it takes.

    Those are prompts f32 (N, 3) without a mask that use no more than its slots.
    """
    contract = backend.contract
    spare = [(slots[contract.score_slots :, 2] == Label.UNUSED).all() for slots in packed]
    fitting = [i for i, mask in enumerate(masks) if mask is None and spare[i]]
    first, size = contract.encoder_outputs[0].name, contract.score_batch
    features = {first: split_features(embedding, contract)[first]}
    found: dict[int, Floats] = {}
    for start in range(0, len(fitting), size):
        chosen = fitting[start : start + size]
        prompts = _rows([packed[i][: contract.score_slots] for i in chosen], size)
        answer = backend.run("score_batch", {**features, **prompts})["iou_predictions"]
        found |= dict(zip(chosen, answer, strict=False))
    return found


def _decode_one(
    backend: Backend, features: Arrays, slots: Floats, mask: Floats | None
) -> tuple[Floats, Floats]:
    size = backend.contract.mask_size
    inputs: dict[str, NDArray[Any]] = {
        **features,
        "point_coords": slots[None, :, :2],
        "point_labels": slots[None, :, 2].astype(np.int32),
    }
    if backend.contract.rules.mask_prompts:
        inputs["mask_input"] = (np.zeros((size, size), np.float32) if mask is None else mask)[None, None]
        inputs["has_mask_input"] = np.array([mask is not None], np.float32)
    answer = backend.run("decode", inputs)
    return answer["low_res_masks"][0], answer["iou_predictions"][0]


def _decode_batch(backend: Backend, features: Arrays, packed: Sequence[Floats]) -> Arrays:
    return backend.run("decode_batch", {**features, **_rows(packed, backend.contract.batch)})


def _rows(packed: Sequence[Floats], count: int) -> Arrays:
    """Inputs of a call that takes `count` prompts, of which `packed` f32 (N, 3) are the first."""
    rows = np.zeros((count, len(packed[0]), 3), np.float32)
    rows[:, :, 2] = Label.UNUSED
    rows[: len(packed)] = packed
    return {"point_coords": rows[:, :, :2], "point_labels": rows[:, :, 2].astype(np.int32)}
