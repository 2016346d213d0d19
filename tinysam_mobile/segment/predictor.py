"""Prompt an image on any backend: the embedding is computed once, then each prompt is a quick decode.

predictor = Predictor(open_model(model, contract))     # or open_bundle(bundle, "tflite")
predictor.set_image(load_image("photo.jpg"))
prediction = predictor.predict(point_coords=[[320, 240]], point_labels=[1])
prediction.best_mask                                   # bool (H, W) in pixels of the photo
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from tinysam_mobile.contract.backend import Arrays, Backend
from tinysam_mobile.contract.rules import SAM_RULES, Rules
from tinysam_mobile.contract.spec import OBJECT_SCORES
from tinysam_mobile.errors import UsageError
from tinysam_mobile.imaging.images import RGBImage
from tinysam_mobile.imaging.masks import selection_scores
from tinysam_mobile.imaging.preprocess import Geometry, preprocess
from tinysam_mobile.imaging.upscale import upscale_masks
from tinysam_mobile.segment.prompts import Prompt, make_prompt, pack_prompts

__all__ = ["EncodedImage", "LowResolution", "Prediction", "Predictor"]


@dataclass(frozen=True, kw_only=True)
class EncodedImage:
    """An image as the decoder sees it: what `encode` returned, by name, and where the photo lies in it.

    Keep one to come back to an image without encoding it again: `Predictor.set_image` takes it.
    """

    features: Arrays
    geometry: Geometry


@dataclass(frozen=True, kw_only=True)
class LowResolution:
    """The decoder's answer to one prompt: `logits` f32 (M, S/4, S/4) over the S frame, `scores` f32 (M,).

    `object_score` is the probability that the prompt is on an object, where a family predicts it.
    """

    logits: NDArray[np.float32]
    scores: NDArray[np.float32]
    object_score: float | None = None


@dataclass(frozen=True, kw_only=True)
class Prediction:
    """The M masks of one prompt, 3 in most families.

    `masks` bool (M, H, W) in original-image pixels; `scores` f32 (M,), the IoU that the model predicts for
    each; `low_res_logits` f32 (M, S/4, S/4), of which one can go into `predict(mask_input=…)`; `rules` of
    the model say which one to show.  `object_score`, in some families, is the probability that the prompt is
    on an object at all.
    """

    masks: NDArray[np.bool_]
    scores: NDArray[np.float32]
    low_res_logits: NDArray[np.float32]
    rules: Rules = SAM_RULES
    object_score: float | None = None

    @property
    def best(self) -> int:
        """Index of the mask to show: in most families the one with the highest predicted IoU."""
        return int(np.argmax(selection_scores(self.low_res_logits, self.scores, self.rules)))

    @property
    def best_mask(self) -> NDArray[np.bool_]:
        """The mask to show, bool (H, W)."""
        mask: NDArray[np.bool_] = self.masks[self.best]
        return mask


class Predictor:
    """Masks for prompts on one image at a time; `backend` is any runtime behind the contract."""

    def __init__(self, backend: Backend) -> None:
        self._backend = backend
        self._image: EncodedImage | None = None

    @property
    def image(self) -> EncodedImage:
        """The image that prompts refer to; raises `UsageError` before `set_image`."""
        if self._image is None:
            raise UsageError("no image is set: call set_image before predict")
        return self._image

    @property
    def batch(self) -> int:
        """Prompts K that one `decode_batch` call takes."""
        return self._backend.contract.batch

    @property
    def num_masks(self) -> int:
        """Masks M that a prompt gets."""
        return self._backend.contract.rules.num_masks

    @property
    def score_batch(self) -> int:
        """Prompts that one `score_batch` call takes."""
        return self._backend.contract.score_batch

    def set_image(self, image: RGBImage | EncodedImage) -> EncodedImage:
        """Make `image` the one that prompts refer to, encoding it unless `encode` did before.

        `image` is uint8 RGB (H, W, 3) or grey (H, W), as `load_image` returns it.  Raises `ImageError` for
        another array, and `UsageError` for an image encoded by a model of other sizes.
        """
        encoded = image if isinstance(image, EncodedImage) else self.encode(image)
        contract = self._backend.contract
        expected = {spec.name: spec.shape for spec in contract.encoder_outputs}
        found = {name: array.shape for name, array in encoded.features.items()}
        if found != expected or encoded.geometry.image_size != contract.image_size:
            raise UsageError(f"the image was encoded by another model; this one takes {_shapes(expected)}")
        self._image = encoded
        return encoded

    def encode(self, image: RGBImage) -> EncodedImage:
        """Encode `image` without setting it; same image and errors as `set_image`."""
        contract = self._backend.contract
        ready = preprocess(image, contract.image_size, contract.rules)
        features = self._backend.run("encode", {"image": ready.image, "valid_size": ready.valid_size})
        return EncodedImage(features=features, geometry=ready.geometry)

    def predict(
        self,
        point_coords: ArrayLike | None = None,
        point_labels: ArrayLike | None = None,
        box: ArrayLike | None = None,
        mask_input: ArrayLike | None = None,
    ) -> Prediction:
        """Return the masks for one prompt on the image.

        `point_coords` (n, 2) x, y and `box` (4,) x0, y0, x1, y1 in original-image pixels; `point_labels` (n,)
        1 on the object, 0 off it; `mask_input` (1, S/4, S/4) or (S/4, S/4), low-resolution logits of an
        earlier prediction.  Any combination will do, but not none.  Raises `UsageError` for a prompt that is
        malformed, outside the image or too large for the model's slots, and before `set_image`.
        """
        prompt = make_prompt(point_coords, point_labels, box)
        low = self._decode(self.image, prompt, mask_input)
        return _full_size(low, self.image.geometry)

    def predict_batch(self, prompts: Sequence[Prompt]) -> Iterator[Prediction]:
        """Yield the masks of each prompt (`make_prompt`) in order; `decode_batch` runs once per K prompts.

        Full-size masks are made one prompt at a time, as the caller takes them.  Raises `UsageError` at the
        call, as `predict` does.
        """
        geometry = self.image.geometry
        return (_full_size(low, geometry) for low in self.decode_many(prompts))

    def decode_many(self, prompts: Sequence[Prompt]) -> Iterator[LowResolution]:
        """Yield the decoder's low-resolution answer to each prompt, in order; see `predict_batch`."""
        contract = self._backend.contract
        return (
            _low_resolution(answer, row)
            for count, inputs in self._batches(prompts, contract.slots, contract.batch)
            for answer in (self._backend.run("decode_batch", inputs),)
            for row in range(count)
        )

    def score_many(self, prompts: Sequence[Prompt]) -> NDArray[np.float32]:
        """Return the predicted IoU (n, 3) of each prompt's masks, which are not made.

        `score_batch` runs once per batch of prompts.  Raises `UsageError` as `predict` does, and for a prompt
        of more than one point or one box.
        """
        contract = self._backend.contract
        names = [spec.name for spec in contract.signatures["score_batch"].inputs]
        scores = np.zeros((len(prompts), contract.rules.num_masks), np.float32)
        done = 0
        for count, inputs in self._batches(prompts, contract.score_slots, contract.score_batch):
            answer = self._backend.run("score_batch", {name: inputs[name] for name in names})
            scores[done : done + count] = answer["iou_predictions"][:count]
            done += count
        return scores

    def _batches(self, prompts: Sequence[Prompt], slots: int, batch: int) -> list[tuple[int, Arrays]]:
        """Inputs of calls that take `batch` prompts, and how many of those are in use."""
        image = self.image
        if any(prompt.is_empty for prompt in prompts):
            raise UsageError("each prompt of a batch needs a point or a box")
        chunks = [prompts[i : i + batch] for i in range(0, len(prompts), batch)]
        batches: list[tuple[int, Arrays]] = []
        for chunk in chunks:
            packed = pack_prompts(chunk, image.geometry, slots=slots, batch=batch)
            points = {"point_coords": packed.point_coords, "point_labels": packed.point_labels}
            batches.append((len(chunk), {**image.features, **points}))
        return batches

    def _decode(self, image: EncodedImage, prompt: Prompt, mask_input: ArrayLike | None) -> LowResolution:
        if prompt.is_empty and mask_input is None:
            raise UsageError("nothing to predict: give a point, a box or a mask prompt")
        contract = self._backend.contract
        packed = pack_prompts([prompt], image.geometry, slots=contract.slots, batch=1)
        inputs: dict[str, NDArray[Any]] = {
            **image.features,
            "point_coords": packed.point_coords,
            "point_labels": packed.point_labels,
        }
        if contract.rules.mask_prompts:
            inputs["mask_input"] = _checked_mask(mask_input, contract.mask_size)
            inputs["has_mask_input"] = np.array([mask_input is not None], np.float32)
        elif mask_input is not None:
            raise UsageError("this model was never trained with mask prompts: give points or a box")
        return _low_resolution(self._backend.run("decode", inputs), 0)


def _shapes(shapes: Mapping[str, tuple[int, ...]]) -> str:
    return ", ".join(f"{name} {shape}" for name, shape in shapes.items())


def _checked_mask(mask_input: ArrayLike | None, size: int) -> NDArray[np.float32]:
    if mask_input is None:
        return np.zeros((1, 1, size, size), np.float32)
    mask = np.asarray(mask_input)
    if mask.shape not in ((size, size), (1, size, size)) or not np.issubdtype(mask.dtype, np.floating):
        raise UsageError(
            f"mask_input must be one float array of low-resolution logits (1, {size}, {size}), "
            f"not {mask.dtype} {mask.shape}"
        )
    if not (np.abs(mask) <= np.finfo(np.float32).max).all():
        raise UsageError("mask_input must be finite logits: it holds NaN, infinity or values beyond float32")
    return mask.reshape(1, 1, size, size).astype(np.float32)


def _low_resolution(answer: Arrays, row: int) -> LowResolution:
    found = answer.get(OBJECT_SCORES)
    return LowResolution(
        logits=answer["low_res_masks"][row],
        scores=answer["iou_predictions"][row],
        object_score=None if found is None else float(found[row, 0]),
    )


def _full_size(low: LowResolution, geometry: Geometry) -> Prediction:
    masks = upscale_masks(low.logits, geometry)
    return Prediction(
        masks=masks,
        scores=low.scores,
        low_res_logits=low.logits,
        rules=geometry.rules,
        object_score=low.object_score,
    )
