"""The tensor contract: entry points, their inputs and outputs in order, and the constants of the method.

The same names and order hold in PyTorch, Core ML, TFLite, ExecuTorch, the manifest and the apps.  Every
number that an app needs is written into `manifest.json` from here; nothing retypes it.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

from tinysam_mobile.contract.rules import SAM_RULES, Rules
from tinysam_mobile.errors import UsageError

__all__ = [
    "EMBEDDED_LABELS",
    "LABEL_CODES",
    "LABEL_MEANINGS",
    "OBJECT_SCORES",
    "PIXEL_MEAN",
    "PIXEL_STD",
    "SIZE_NAMES",
    "Component",
    "Contract",
    "Label",
    "Signature",
    "TensorSpec",
]

PIXEL_MEAN = (123.675, 116.28, 103.53)
"""Mean of R, G, B in 0–255 (ImageNet, as SAM uses it)."""
PIXEL_STD = (58.395, 57.12, 57.375)
"""Standard deviation of R, G, B in 0–255."""
POINT_SHIFT = 0.5
"""Added to point coordinates in the S frame before they are normalised: the centre of the pixel."""
MASK_THRESHOLD = 0.0
"""A pixel belongs to the mask where its full-size logit is above this."""
SCORE_SLOTS = 2
"""Prompt slots of `score_batch`: a point with its pad point, or a box.  What a prompt costs there grows with
the square of its tokens, so unused slots would cost more than the masks that scoring saves."""
OBJECT_SCORES = "object_scores"
"""Output of the decoders of some families: the probability that a prompt is on an object at all."""
SIZE_NAMES = ("image_size", "grid_size", "mask_size", "channels", "slots", "batch", "score_batch")
"""The sizes of a contract, as a manifest names them."""


class Label:
    """Values of a prompt slot's label; SAM's, and −2 for a slot that is not used."""

    UNUSED = -2
    PAD = -1
    BACKGROUND = 0
    FOREGROUND = 1
    BOX_TOP_LEFT = 2
    BOX_BOTTOM_RIGHT = 3


LABEL_CODES = {
    "unused": Label.UNUSED,
    "pad": Label.PAD,
    "background": Label.BACKGROUND,
    "foreground": Label.FOREGROUND,
    "box_top_left": Label.BOX_TOP_LEFT,
    "box_bottom_right": Label.BOX_BOTTOM_RIGHT,
}
"""The names by which the apps look up the values in the manifest."""
LABEL_MEANINGS = {
    Label.UNUSED: "unused slot: changes nothing, its coordinates are not read",
    Label.PAD: "pad point: a call without a box gets exactly one, at (0, 0)",
    Label.BACKGROUND: "point outside the object",
    Label.FOREGROUND: "point on the object",
    Label.BOX_TOP_LEFT: "top-left corner of the box",
    Label.BOX_BOTTOM_RIGHT: "bottom-right corner of the box",
}
"""Value of a label → what it says, for the manifest."""
EMBEDDED_LABELS = (Label.PAD, Label.BACKGROUND, Label.FOREGROUND, Label.BOX_TOP_LEFT, Label.BOX_BOTTOM_RIGHT)
"""Labels that have a learned embedding."""


class Component(StrEnum):
    """A part of the model that becomes one artifact."""

    ENCODER = "encoder"
    DECODER = "decoder"


@dataclass(frozen=True, kw_only=True)
class TensorSpec:
    """One input or output; `dtype` is a numpy name (float32 or int32)."""

    name: str
    shape: tuple[int, ...]
    dtype: str = "float32"


@dataclass(frozen=True, kw_only=True)
class Signature:
    """An entry point: its inputs and outputs in the order in which a .pte takes and returns them."""

    name: str
    component: Component
    inputs: tuple[TensorSpec, ...]
    outputs: tuple[TensorSpec, ...]


@dataclass(frozen=True, kw_only=True)
class Contract:
    """The sizes and rules of one converted model; its entry points follow from them.

    `image_size` S and `mask_size` in pixels, `grid_size` in embedding cells, `channels` C of the embedding,
    `slots` N prompt slots, `batch` K prompts of one `decode_batch` call, `score_batch` those of one
    `score_batch` call.  `skips` are feature maps that `encode` of some families returns after the embedding,
    and the decoders take after it.  With `object_score` the decoders also say if a prompt is on an object.
    """

    image_size: int
    grid_size: int
    mask_size: int
    channels: int
    slots: int = 8
    batch: int = 16
    score_batch: int = 64
    skips: tuple[TensorSpec, ...] = ()
    object_score: bool = False
    rules: Rules = SAM_RULES

    def __post_init__(self) -> None:
        if self.slots < 2:
            raise UsageError(
                f"--slots must be at least 2 (a box, or a point and its pad point), not {self.slots}"
            )
        if self.slots < self.rules.fixed_points:
            raise UsageError(
                f"--slots must be at least {self.rules.fixed_points} for this model, not {self.slots}"
            )
        if self.batch < 1:
            raise UsageError(f"--batch must be at least 1, not {self.batch}")
        if self.score_batch < 1:
            raise UsageError(f"--score-batch must be at least 1, not {self.score_batch}")

    @property
    def frame_size(self) -> int:
        """Side F of the frame of prompts and full masks in pixels."""
        return self.image_size * self.rules.frame_scale

    @property
    def sizes(self) -> dict[str, int]:
        """The numbers, under `SIZE_NAMES`, as the manifest writes them."""
        return {name: getattr(self, name) for name in SIZE_NAMES}

    @property
    def signatures(self) -> dict[str, Signature]:
        """`encode`, `decode`, `decode_batch` and `score_batch`."""
        entries = (self._encode(), self._decode(), self._decode_batch(), self._score_batch())
        return {s.name: s for s in entries}

    @property
    def encoder_outputs(self) -> tuple[TensorSpec, ...]:
        """What `encode` returns, in order: all that decoding needs of the image."""
        grid = self.grid_size
        embeddings = TensorSpec(name="image_embeddings", shape=(1, self.channels, grid, grid))
        return (embeddings, *self.skips)

    @property
    def score_slots(self) -> int:
        """Prompt slots of `score_batch`: `SCORE_SLOTS`, or what the model always takes."""
        return max(SCORE_SLOTS, self.rules.fixed_points)

    def _prompts(self, prompts: int, slots: int) -> tuple[TensorSpec, TensorSpec]:
        return (
            TensorSpec(name="point_coords", shape=(prompts, slots, 2)),
            TensorSpec(name="point_labels", shape=(prompts, slots), dtype="int32"),
        )

    def _scores(self, prompts: int) -> TensorSpec:
        return TensorSpec(name="iou_predictions", shape=(prompts, self.rules.num_masks))

    def _answers(self, prompts: int) -> tuple[TensorSpec, ...]:
        shape = (prompts, self.rules.num_masks, self.mask_size, self.mask_size)
        masks = TensorSpec(name="low_res_masks", shape=shape)
        on_object = TensorSpec(name=OBJECT_SCORES, shape=(prompts, 1))
        return (masks, self._scores(prompts), *[on_object] * self.object_score)

    def _encode(self) -> Signature:
        image = TensorSpec(name="image", shape=(1, 3, self.image_size, self.image_size))
        valid = TensorSpec(name="valid_size", shape=(2,), dtype="int32")
        return Signature(
            name="encode", component=Component.ENCODER, inputs=(image, valid), outputs=self.encoder_outputs
        )

    def _decode(self) -> Signature:
        mask = TensorSpec(name="mask_input", shape=(1, 1, self.mask_size, self.mask_size))
        flag = TensorSpec(name="has_mask_input", shape=(1,))
        masks = (mask, flag) if self.rules.mask_prompts else ()
        inputs = (*self.encoder_outputs, *self._prompts(1, self.slots), *masks)
        return Signature(name="decode", component=Component.DECODER, inputs=inputs, outputs=self._answers(1))

    def _decode_batch(self) -> Signature:
        inputs = (*self.encoder_outputs, *self._prompts(self.batch, self.slots))
        return Signature(
            name="decode_batch", component=Component.DECODER, inputs=inputs, outputs=self._answers(self.batch)
        )

    def _score_batch(self) -> Signature:
        # Feature maps beside the embedding are for masks alone.
        inputs = (self.encoder_outputs[0], *self._prompts(self.score_batch, self.score_slots))
        scores = (self._scores(self.score_batch),)
        return Signature(name="score_batch", component=Component.DECODER, inputs=inputs, outputs=scores)
