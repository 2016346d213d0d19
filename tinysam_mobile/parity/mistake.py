"""What a classic mistake of putting SAM on a phone is, and the situation in which one is tried.

A mistake is applied to the float model, from the side's own inputs of that stage; `parity/diagnose.py` then
looks which one gives what the side gave.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tinysam_mobile.contract.backend import Backend
from tinysam_mobile.contract.features import join_features
from tinysam_mobile.contract.spec import MASK_THRESHOLD
from tinysam_mobile.imaging.preprocess import Geometry
from tinysam_mobile.imaging.upscale import upscale_logits
from tinysam_mobile.parity.record import Floats, decode_prompts
from tinysam_mobile.parity.stages import PhotoCase, Recording, Stage

__all__ = ["Mistake", "Situation", "mistake"]


@dataclass(frozen=True, kw_only=True)
class Situation:
    """One photo on one side: `own` is what the side computed, the float model's where it recorded nothing,
    and `ideal` what the float model makes of the side's own inputs (`judge.ideal_recording`)."""

    reference: Backend
    case: PhotoCase
    geometry: Geometry
    own: Recording
    ideal: Recording

    def encode(self, image: NDArray[Any], valid_size: Sequence[int] | None = None) -> list[Floats]:
        """The float model's joined embedding of an image f32 (3, S, S), zeroed off `valid_size` (H, W)."""
        valid = np.array(valid_size or self.geometry.valid_size, np.int32)
        inputs = {"image": image[None].astype(np.float32), "valid_size": valid}
        return [join_features(self.reference.run("encode", inputs), self.reference.contract)]

    def logits(self, slots: Sequence[Floats]) -> list[Floats]:
        """The float model's logits of the side's own embedding for slots f32 (N, 3) of each prompt."""
        masks = [prompt.mask_input for prompt in self.case.prompts]
        answers = decode_prompts(self.reference, self.own.photo[Stage.EMBEDDING], slots, masks)
        return [logits for logits, _ in answers]

    def own_arrays(self, stage: Stage) -> list[NDArray[Any]]:
        """What the side has at a prompt's stage, per prompt."""
        return [prompt[stage] for prompt in self.own.prompts]

    def shown_logits(self) -> list[Floats]:
        """The side's own low-resolution logits f32 (S/4, S/4) of the mask that it shows, per prompt."""
        return [
            prompt[Stage.LOW_RES_LOGITS][int(prompt[Stage.CHOSEN_MASK][0])] for prompt in self.own.prompts
        ]

    def upscaled(self, low: Sequence[Floats], threshold: float = MASK_THRESHOLD) -> list[NDArray[Any]]:
        """Masks bool (H, W) of low-resolution logits f32 (S/4, S/4), made the right way."""
        return [upscale_logits(one[None], self.geometry)[0] > threshold for one in low]


Make = Callable[[Situation], Sequence[NDArray[Any]]]


@dataclass(frozen=True, kw_only=True)
class Mistake:
    """`cause` is what to tell the user, `how` this variant of it, `advice` what mends it.

    `make` returns what the mistake makes of `stage`: one array for a photo's stage, one per prompt else.
    """

    cause: str
    how: str
    advice: str
    stage: Stage
    make: Make


ADVICE = {
    "x/y swapped": "points are x, y (column, row), arrays are rows first: give x before y",
    "BGR": "convert to RGB before the model (OpenCV and many camera buffers are BGR)",
    "missing mean/std": "values must be (pixel - mean) / std with the manifest's mean and std, once",
    "mean/std applied twice": "the graph normalises: give it the pixels 0 to 255 as they are",
    "0-1 against 0-255": "pixels are 0 to 255 here: do not divide by 255",
    "no padding": "scale the long side to S, keep the photo at the top left, give its size as valid_size, "
    "and cut the padding off the mask before the last resize",
    "stretched resize": "keep the aspect ratio: scale the long side to S and pad the other",
    "points not scaled": "points are in pixels of the resized photo: x times resized width / photo width",
    "sigmoid twice": "the model gives logits: compare with 0 and apply no sigmoid",
    "threshold before upsampling": "resize the logits to the photo first, then compare with 0",
    "probability threshold on logits": "logits are compared with 0; 0.5 is for probabilities",
}
"""What mends each cause."""


def mistake(cause: str, how: str, stage: Stage, make: Make) -> Mistake:
    """Return one variant of a cause in `ADVICE`."""
    return Mistake(cause=cause, how=how, advice=ADVICE[cause], stage=stage, make=make)
