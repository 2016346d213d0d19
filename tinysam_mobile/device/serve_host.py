"""The host answers the same click: photos come in as pixels, masks go back as run lengths."""

from __future__ import annotations

import asyncio
import json
from collections import OrderedDict
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from time import perf_counter
from typing import Any

import numpy as np

from tinysam_mobile.contract.backend import Backend
from tinysam_mobile.device.serve_server import Call, Reply
from tinysam_mobile.errors import TinySAMError, UsageError
from tinysam_mobile.imaging.images import RGBImage
from tinysam_mobile.imaging.masks import RunLengths
from tinysam_mobile.segment.predictor import EncodedImage, Prediction, Predictor

__all__ = ["HostMasks"]

MAX_PHOTO_PIXELS = 24_000_000
MAX_PROMPT_BYTES = 64 * 1024
KEPT_PHOTOS = 4
"""Encoded photos per runtime; the oldest is forgotten."""
NUMBER_KEYS = ("points", "labels")


class HostMasks:
    """Answers prompts on runtimes of this machine, in `worker`, a pool of one thread.

    `openers` maps a runtime's name to what opens it, which is done when the first photo comes.
    """

    def __init__(self, openers: Mapping[str, Callable[[], Backend]], *, worker: ThreadPoolExecutor) -> None:
        self._openers = openers
        self._predictors: dict[str, Predictor] = {}
        self._photos: OrderedDict[tuple[str, int], EncodedImage] = OrderedDict()
        self._number = 0
        self._worker = worker

    @property
    def calls(self) -> list[Call]:
        """`POST host/RUNTIME/photos?height=H&width=W` takes uint8 RGB; `POST host/RUNTIME/masks` a prompt."""
        known = "|".join(self._openers)
        return [
            Call(
                pattern=f"host/({known})/photos", answer=self._photo, max_bytes=lambda: 3 * MAX_PHOTO_PIXELS
            ),
            Call(pattern=f"host/({known})/masks", answer=self._mask, max_bytes=lambda: MAX_PROMPT_BYTES),
        ]

    async def _photo(self, rest: tuple[str, ...], query: Mapping[str, str], body: bytes) -> Reply:
        try:
            photo = _pixels(query, body)
        except UsageError as error:
            return Reply(status=400, data={"error": str(error)})
        return await self._in_worker(lambda: self._encode(rest[0], photo))

    async def _mask(self, rest: tuple[str, ...], _: Mapping[str, str], body: bytes) -> Reply:
        try:
            prompt = _prompt(body)
        except UsageError as error:
            return Reply(status=400, data={"error": str(error)})
        return await self._in_worker(lambda: self._predict(rest[0], prompt))

    async def _in_worker(self, work: Callable[[], Reply]) -> Reply:
        try:
            return await asyncio.get_running_loop().run_in_executor(self._worker, work)
        except TinySAMError as error:
            return Reply(status=422, data={"error": str(error)})

    def _encode(self, runtime: str, photo: RGBImage) -> Reply:
        if runtime not in self._predictors:
            self._predictors[runtime] = Predictor(self._openers[runtime]())
        start = perf_counter()
        encoded = self._predictors[runtime].encode(photo)
        self._number += 1
        self._photos[runtime, self._number] = encoded
        while len(self._photos) > KEPT_PHOTOS * len(self._openers):
            self._photos.popitem(last=False)
        return Reply(data={"photo": self._number, "ms": (perf_counter() - start) * 1e3})

    def _predict(self, runtime: str, prompt: dict[str, Any]) -> Reply:
        encoded = self._photos.get((runtime, prompt["photo"]))
        if encoded is None:
            return Reply(status=404, data={"error": "This photo is not known any more: open it again"})
        predictor = self._predictors[runtime]
        predictor.set_image(encoded)
        start = perf_counter()
        points = np.reshape(prompt["points"], (-1, 2)) if prompt["points"] else None
        labels = prompt["labels"] if prompt["points"] else None
        prediction = predictor.predict(points, labels, prompt["box"])
        return Reply(data=_answer(prediction, (perf_counter() - start) * 1e3))


def _answer(prediction: Prediction, ms: float) -> dict[str, Any]:
    score = float(prediction.scores[prediction.best])
    return {
        **RunLengths.encode(prediction.best_mask).to_coco(),
        "best": prediction.best,
        "score": score if np.isfinite(score) else None,
        "ms": ms,
    }


def _pixels(query: Mapping[str, str], body: bytes) -> RGBImage:
    sides = [query.get(name, "") for name in ("height", "width")]
    if not all(side.isascii() and side.isdecimal() and len(side) < 6 for side in sides):
        raise UsageError("height and width of the photo are missing or are no numbers")
    height, width = map(int, sides)
    if not 0 < height * width <= MAX_PHOTO_PIXELS or len(body) != height * width * 3:
        raise UsageError(f"a photo of {height} x {width} takes {height * width * 3} bytes, not {len(body)}")
    return np.frombuffer(body, np.uint8).reshape(height, width, 3)


def _prompt(body: bytes) -> dict[str, Any]:
    """Return `photo`, `points`, `labels` and `box` of the JSON; their meaning is the predictor's to check."""
    try:
        data = json.loads(body)
    except (ValueError, RecursionError) as error:
        raise UsageError(f"the prompt is no JSON ({error})") from error
    if not isinstance(data, dict) or type(data.get("photo")) is not int:
        raise UsageError("the prompt must be an object with the photo's number")
    prompt = {"photo": data["photo"], "points": data.get("points"), "labels": data.get("labels")}
    box = data.get("box")
    if not all(_are_numbers(prompt[key]) for key in NUMBER_KEYS) or len(prompt["points"]) % 2:
        raise UsageError("points and labels must be flat lists of numbers, x and y of each point")
    if box is not None and not _are_numbers(box):
        raise UsageError("box must be null or a list of numbers")
    return {**prompt, "box": box}


def _are_numbers(values: object) -> bool:
    return isinstance(values, list) and all(type(value) in (int, float) for value in values)
