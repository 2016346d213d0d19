"""What an app records, made by hand with torch and OpenCV: its mistake is named with stage and cause."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import cv2
import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from torch import nn

from tests.small_model import cases, contract, reference
from tinysam_mobile.contract.spec import Label
from tinysam_mobile.parity.bounds import bounds_for
from tinysam_mobile.parity.record import record_photo
from tinysam_mobile.parity.sides import SideJudge, SideResult
from tinysam_mobile.parity.stages import ParityPrompt, PhotoCase, Recording, Stage

Array = NDArray[Any]


@dataclass(frozen=True)
class App:
    """An app written with torch and OpenCV; `mistake` is what its author got wrong."""

    mistake: str = ""

    def record(self, case: PhotoCase) -> Recording:
        backend, sizes = reference(), contract()
        image, valid = self.preprocess(case.pixels)
        embedding = backend.run("encode", {"image": image[None], "valid_size": np.array(valid, np.int32)})[
            "image_embeddings"
        ]
        prompts = []
        for item in case.prompts:
            slots = self.pack(item, case.pixels.shape, valid)
            mask = item.mask_input
            size = sizes.mask_size
            answer = backend.run(
                "decode",
                {
                    "image_embeddings": embedding,
                    "point_coords": slots[None, :, :2],
                    "point_labels": slots[None, :, 2].astype(np.int32),
                    "mask_input": (np.zeros((size, size), np.float32) if mask is None else mask)[None, None],
                    "has_mask_input": np.array([mask is not None], np.float32),
                },
            )
            logits, scores = answer["low_res_masks"][0], answer["iou_predictions"][0]
            chosen = int(scores.argmax())
            if self.mistake == "next mask":
                chosen = (chosen + 1) % 3
            prompts.append(
                {
                    Stage.PACKED_PROMPT: slots,
                    Stage.LOW_RES_LOGITS: logits,
                    Stage.PREDICTED_IOU: scores,
                    Stage.CHOSEN_MASK: np.array([chosen], np.int32),
                    Stage.FULL_SIZE_MASK: self.scale_up(logits[chosen], case.pixels.shape, valid),
                }
            )
        return Recording(
            photo={Stage.PREPROCESSED_IMAGE: image, Stage.EMBEDDING: embedding[0]}, prompts=tuple(prompts)
        )

    def preprocess(self, pixels: NDArray[np.uint8]) -> tuple[NDArray[np.float32], tuple[int, int]]:
        if self.mistake == "BGR":
            pixels = cv2.cvtColor(pixels, cv2.COLOR_RGB2BGR)
        if self.mistake == "x/y swapped image":
            pixels = cv2.transpose(pixels)
        size, (height, width) = contract().image_size, pixels.shape[:2]
        scale = size / (min if self.mistake == "no padding" else max)(height, width)
        valid = (int(height * scale + 0.5), int(width * scale + 0.5))
        if self.mistake == "stretched resize":
            valid = (size, size)
        tensor = torch.from_numpy(pixels.copy()).permute(2, 0, 1)[None].float()
        resized = nn.functional.interpolate(tensor, valid, mode="bilinear", antialias=True)[0].numpy()
        if self.mistake == "0-1 against 0-255":
            resized = resized / 255
        if self.mistake == "noise":
            resized = resized + np.random.default_rng(0).normal(0, 20, resized.shape).astype(np.float32)
        image = np.zeros((3, size, size), np.float32)
        top, left = (max(0, (side - size) // 2) for side in valid)
        content = resized[:, top : top + size, left : left + size]
        image[:, : content.shape[1], : content.shape[2]] = content
        return image, (min(valid[0], size), min(valid[1], size))

    def pack(self, item: ParityPrompt, shape: tuple[int, ...], valid: tuple[int, int]) -> NDArray[np.float32]:
        slots = np.full((contract().slots, 3), float(Label.UNUSED), np.float32)
        rows = [(x, y, label) for (x, y), label in zip(item.prompt.points, item.prompt.labels, strict=True)]
        if item.prompt.box is None:
            rows.append((0.0, 0.0, -1))
        else:
            x0, y0, x1, y1 = item.prompt.box
            rows += [(x0, y0, 2), (x1, y1, 3)]
        for i, (x, y, label) in enumerate(rows):
            x, y = x * valid[1] / shape[1], y * valid[0] / shape[0]
            if self.mistake == "x/y swapped":
                x, y = y, x
            slots[i] = x, y, label + (self.mistake == "labels off by one")
        return slots

    def scale_up(
        self, low: NDArray[np.float32], shape: tuple[int, ...], valid: tuple[int, int]
    ) -> NDArray[np.uint8]:
        size, (height, width) = contract().image_size, shape[:2]
        logits = torch.from_numpy(low)[None, None]
        if self.mistake == "threshold before upsampling":
            logits = (logits > 0).float() - 0.5
        full = nn.functional.interpolate(logits, (size, size), mode="bilinear", align_corners=False)
        full = full[..., : valid[0], : valid[1]]
        if self.mistake == "mask not cropped":
            full = logits
        full = nn.functional.interpolate(full, (height, width), mode="bilinear", align_corners=False)
        if self.mistake == "sigmoid twice":
            full = torch.sigmoid(torch.sigmoid(full)) - 0.5
        mask = (full[0, 0] > 0).numpy().astype(np.uint8)
        return np.roll(mask, 3, axis=1) if self.mistake == "mask shifted" else mask


def judged_app(mistake: str, *leave_out: Stage) -> SideResult:
    known = SideResult(name="app", runtime="coreml", recipe="fp32", bounds=bounds_for("coreml", "fp32"))
    judge = SideJudge(reference(), known)
    for case in cases():
        recording = App(mistake).record(case)
        photo = {stage: array for stage, array in recording.photo.items() if stage not in leave_out}
        judge.add(case, record_photo(reference(), case), Recording(photo=photo, prompts=recording.prompts))
    return judge.result()


def test_an_app_without_a_mistake_passes() -> None:
    assert judged_app("").answer == "PASSED"


@pytest.mark.parametrize(
    ("mistake", "stage", "cause"),
    [
        ("BGR", Stage.PREPROCESSED_IMAGE, "BGR"),
        ("0-1 against 0-255", Stage.PREPROCESSED_IMAGE, "0-1 against 0-255"),
        ("stretched resize", Stage.PREPROCESSED_IMAGE, "stretched resize"),
        ("no padding", Stage.PREPROCESSED_IMAGE, "no padding"),
        ("x/y swapped image", Stage.PREPROCESSED_IMAGE, "x/y swapped"),
        ("noise", Stage.PREPROCESSED_IMAGE, None),
        ("x/y swapped", Stage.PACKED_PROMPT, "x/y swapped"),
        ("labels off by one", Stage.PACKED_PROMPT, None),
        ("next mask", Stage.CHOSEN_MASK, None),
        ("threshold before upsampling", Stage.FULL_SIZE_MASK, "threshold before upsampling"),
        ("sigmoid twice", Stage.FULL_SIZE_MASK, "sigmoid twice"),
        ("mask not cropped", Stage.FULL_SIZE_MASK, "no padding"),
        ("mask shifted", Stage.FULL_SIZE_MASK, None),
    ],
)
def test_an_app_with_a_mistake(mistake: str, stage: Stage, cause: str | None) -> None:
    side = judged_app(mistake)
    assert side.verdict == "FAILED"
    assert side.first_fault is stage
    assert (side.explanation.cause if side.explanation else None) == cause


@pytest.mark.parametrize("mistake", ["BGR", "stretched resize", "no padding"])
def test_a_mistake_before_what_was_recorded_is_found_too(mistake: str) -> None:
    side = judged_app(mistake, Stage.PREPROCESSED_IMAGE)
    assert side.first_fault is Stage.EMBEDDING
    assert side.explanation is not None
    assert side.explanation.cause == mistake
