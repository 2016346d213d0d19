"""What a box prompt gives without any model: the box filled, and GrabCut started from it."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import numpy as np
from numpy.typing import NDArray

from tinysam_mobile.errors import RuntimeUnavailableError
from tinysam_mobile.evaluation.coco import CocoDataset
from tinysam_mobile.evaluation.ideal_prompts import tight_box
from tinysam_mobile.evaluation.miou import Measurement, mask_iou, size_of, targets_of
from tinysam_mobile.imaging.images import RGBImage, load_image

__all__ = ["BASELINES", "filled_box", "grab_cut", "measure_baseline"]

Box = tuple[int, int, int, int]
BoolMask = NDArray[np.bool_]
GRAB_CUT_ROUNDS = 5


def filled_box(image: RGBImage, box: Box) -> BoolMask:
    """Return every pixel of `box` x0, y0, x1, y1."""
    mask = np.zeros(image.shape[:2], np.bool_)
    mask[box[1] : box[3], box[0] : box[2]] = True
    return mask


def grab_cut(image: RGBImage, box: Box) -> BoolMask:
    """OpenCV's GrabCut (Rother et al., SIGGRAPH 2004), outside the box fixed as background.

    Raises `RuntimeUnavailableError` without OpenCV.
    """
    try:
        import cv2
    except ImportError as error:
        raise RuntimeUnavailableError("GrabCut needs OpenCV: pip install opencv-python-headless") from error
    state = np.full(image.shape[:2], cv2.GC_BGD, np.uint8)
    state[box[1] : box[3], box[0] : box[2]] = cv2.GC_PR_FGD
    if not (state == cv2.GC_BGD).any():
        return filled_box(image, box)
    cv2.setRNGSeed(0)
    bgr = np.ascontiguousarray(image[..., ::-1])
    models = np.zeros((1, 65)), np.zeros((1, 65))
    cv2.grabCut(bgr, state, None, *models, GRAB_CUT_ROUNDS, cv2.GC_INIT_WITH_MASK)
    return np.asarray((state == cv2.GC_FGD) | (state == cv2.GC_PR_FGD))


BASELINES: dict[str, Callable[[RGBImage, Box], BoolMask]] = {"filled_box": filled_box, "grab_cut": grab_cut}


def measure_baseline(name: str, dataset: CocoDataset) -> Iterator[Measurement]:
    """Yield a measurement with one mask for every instance that counts."""
    for image in dataset.images:
        targets = targets_of(image)
        photo = load_image(image.path) if targets else None
        for target in targets:
            assert photo is not None
            mask = BASELINES[name](photo, tight_box(target.mask))
            yield Measurement(
                instance_id=target.instance.id,
                size=size_of(target.instance),
                prompt="box",
                ious=(mask_iou(mask, target.mask),),
                predicted=(1.0,),
            )
