"""The names of Segment Anything's own Python package, so that code written for it runs here.

    from tinysam_mobile import SamPredictor, sam_model_registry     # was: from segment_anything import …

    sam = sam_model_registry["vit_t"](checkpoint="mobile_sam.pt")
    predictor = SamPredictor(sam)
    predictor.set_image(image)
    masks, scores, logits = predictor.predict(point_coords=points, point_labels=labels)

Signatures and shapes are those of github.com/facebookresearch/segment-anything (`predictor.py`,
`automatic_mask_generator.py`, `build_sam.py`).
"""

from __future__ import annotations

import warnings
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Self

import numpy as np
from numpy.typing import ArrayLike, NDArray

from tinysam_mobile.errors import UsageError
from tinysam_mobile.imaging.images import RGBImage
from tinysam_mobile.imaging.upscale import upscale_logits
from tinysam_mobile.segment import model as front_door
from tinysam_mobile.segment.everything import EverythingConfig, EverythingGenerator, SegmentedObject
from tinysam_mobile.segment.model import Model

__all__ = ["Sam", "SamAutomaticMaskGenerator", "SamPredictor", "sam_model_registry"]

IMAGE_FORMATS = ("RGB", "BGR")


class Sam:
    """A model as `sam_model_registry` returns it; `model` is this package's own."""

    def __init__(self, model: Model) -> None:
        self.model = model

    def to(self, device: Any = "cpu") -> Self:
        """Stay on the CPU: this package runs what a phone will run.  Another device is a warning."""
        if str(device) != "cpu":
            warnings.warn(f"tinysam-mobile runs on the CPU, not on {device}", stacklevel=2)
        return self

    def eval(self) -> Self:
        """Models are always in evaluation mode."""
        return self


class _Build:
    """Opens a checkpoint of any family; its kind is read from the file, so all names open all files."""

    def __call__(self, checkpoint: str | Path | None = None) -> Sam:
        return Sam(front_door.open(checkpoint))


sam_model_registry: Mapping[str, _Build] = dict.fromkeys(
    ("default", "vit_h", "vit_l", "vit_b", "vit_t"), _Build()
)
"""The names of `segment_anything` and MobileSAM → what opens a checkpoint file."""


class SamPredictor:
    """`segment_anything.SamPredictor` on any model of this package (`Sam`, `Model`)."""

    def __init__(self, sam_model: Sam | Model) -> None:
        self.model = sam_model.model if isinstance(sam_model, Sam) else sam_model
        self._predictor = self.model.predictor

    def set_image(self, image: RGBImage, image_format: str = "RGB") -> None:
        """Encode `image` uint8 (H, W, 3); `image_format` "BGR" is OpenCV's order."""
        if image_format not in IMAGE_FORMATS:
            raise UsageError(f"image_format must be one of {', '.join(IMAGE_FORMATS)}, not {image_format!r}")
        pixels = image if image_format == "RGB" else np.ascontiguousarray(image[..., ::-1])
        self._predictor.set_image(pixels)

    def predict(
        self,
        point_coords: ArrayLike | None = None,
        point_labels: ArrayLike | None = None,
        box: ArrayLike | None = None,
        mask_input: ArrayLike | None = None,
        multimask_output: bool = True,
        return_logits: bool = False,
    ) -> tuple[NDArray[Any], NDArray[np.float32], NDArray[np.float32]]:
        """Return masks (C, H, W), scores f32 (C,) and low-resolution logits f32 (C, S/4, S/4).

        Masks are bool, or f32 logits with `return_logits`.  C is the model's number of masks, or 1, the one
        to show, without `multimask_output`: TinySAM's decoder has no other single mask.
        """
        found = self._predictor.predict(point_coords, point_labels, box, mask_input)
        chosen = slice(None) if multimask_output else slice(found.best, found.best + 1)
        low = found.low_res_logits[chosen]
        masks: NDArray[Any] = found.masks[chosen]
        if return_logits:
            masks = upscale_logits(low, self._predictor.image.geometry)
        return masks, found.scores[chosen], low

    def get_image_embedding(self) -> NDArray[np.float32]:
        """The embedding f32 (1, C, S/16, S/16) of the image that is set; an array, where SAM has a tensor."""
        embedding: NDArray[np.float32] = self._predictor.image.features["image_embeddings"]
        return embedding


class SamAutomaticMaskGenerator:
    """`segment_anything.SamAutomaticMaskGenerator`: SAM's flat grid with its thresholds, unless named."""

    def __init__(
        self,
        model: Sam | Model,
        points_per_side: int = 32,
        pred_iou_thresh: float = 0.88,
        stability_score_thresh: float = 0.95,
        stability_score_offset: float = 1.0,
        box_nms_thresh: float = 0.7,
        crop_n_layers: int = 0,
        min_mask_region_area: int = 0,
    ) -> None:
        opened = model.model if isinstance(model, Sam) else model
        config = EverythingConfig(
            hierarchical=False,
            mode="exact",
            points_per_side=points_per_side,
            pred_iou_thresh=pred_iou_thresh,
            stability_score_thresh=stability_score_thresh,
            stability_score_offset=stability_score_offset,
            box_nms_thresh=box_nms_thresh,
            crop_layers=crop_n_layers,
            min_region_area=min_mask_region_area,
        )
        self._generator = EverythingGenerator(opened.predictor, config)

    def generate(self, image: RGBImage) -> list[dict[str, Any]]:
        """Return a record per mask of `image` uint8 (H, W, 3), with the keys of `segment_anything`."""
        return [_record(found) for found in self._generator.generate(image).objects]


def _record(found: SegmentedObject) -> dict[str, Any]:
    return {
        "segmentation": found.runs.decode(),
        "area": found.runs.area,
        "bbox": _xywh(found.box),
        "predicted_iou": found.score,
        "point_coords": [list(found.point)],
        "stability_score": found.stability,
        "crop_box": _xywh(found.crop_box),
    }


def _xywh(box: tuple[int, int, int, int]) -> list[int]:
    x0, y0, x1, y1 = box
    return [x0, y0, x1 - x0, y1 - y0]
