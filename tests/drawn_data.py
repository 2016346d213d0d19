"""A data set that is drawn, a model whose answers on it are known, and photos to calibrate with."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from tinysam_mobile.contract.spec import Contract, Label
from tinysam_mobile.quant.calibration import CalibrationSet

__all__ = ["SIDE", "BoxFiller", "draw", "smooth_photos"]

SIDE = 128


class BoxFiller:
    """A backend that fills the box it is asked for, and for points everything left of x = 64.

    Its contract has S = 128 with masks of 32, so a box on multiples of 4 is filled but for its edges.
    """

    contract = Contract(image_size=SIDE, grid_size=8, mask_size=32, channels=4, slots=10, batch=4)

    def __init__(self) -> None:
        self.images = 0

    def run(self, entry_point: str, inputs: Mapping[str, NDArray[Any]]) -> dict[str, NDArray[Any]]:
        if entry_point == "encode":
            self.images += 1
            return {"image_embeddings": np.zeros((1, 4, 8, 8), np.float32)}
        masks = np.full((4, 3, 32, 32), -20.0, np.float32)
        for row, labels in enumerate(inputs["point_labels"]):
            if labels[0] == Label.BOX_TOP_LEFT:
                (x0, y0), (x1, y1) = (inputs["point_coords"][row, :2] / 4).astype(int)
                masks[row, :, y0:y1, x0:x1] = 20
            elif labels[0] == Label.FOREGROUND:
                masks[row, :, :, :16] = 20
        return {"low_res_masks": masks, "iou_predictions": np.tile(np.float32([0.99, 0.5, 0.1]), (4, 1))}


def rectangle(x0: float, y0: float, x1: float, y1: float) -> list[list[float]]:
    return [[x0, y0, x1, y0, x1, y1, x0, y1]]


def draw(folder: Path, count: int = 4) -> Path:
    """`count` photos with two rectangles each, of two categories, and a detector's boxes."""
    (folder / "images").mkdir(parents=True)
    annotations, boxes = [], []
    for i in range(1, count + 1):
        pixels = np.full((SIDE, SIDE, 3), 40 * i, np.uint8)
        pixels[32:96, 16:64] = 200
        Image.fromarray(pixels).save(folder / "images" / f"{i}.png")
        for part, (x0, y0, x1, y1) in enumerate([(16, 32, 64, 96), (72, 8 * i, 120, 8 * i + 40)]):
            area = (x1 - x0) * (y1 - y0)
            entry = {"image_id": i, "category_id": part + 1, "area": area, "iscrowd": 0}
            segmentation = rectangle(x0, y0, x1, y1)
            annotations.append({**entry, "id": 10 * i + part, "segmentation": segmentation})
            box = [x0, y0, x1 - x0, y1 - y0]
            boxes.append({"image_id": i, "category_id": part + 1, "bbox": box, "score": 0.9 - 0.01 * i})
    images = [{"id": i, "file_name": f"{i}.png", "width": SIDE, "height": SIDE} for i in range(1, count + 1)]
    categories = [{"id": 1, "name": "left"}, {"id": 2, "name": "right"}]
    document = {"images": images, "annotations": annotations, "categories": categories}
    (folder / "instances.json").write_text(json.dumps(document))
    (folder / "boxes.json").write_text(json.dumps(boxes))
    return folder


def smooth_photos(folder: Path, count: int = 2) -> CalibrationSet:
    """Smooth photos to calibrate with, the same every time."""
    rng = np.random.default_rng(0)
    for index in range(count):
        coarse = rng.integers(0, 256, (6, 8, 3), np.uint8)
        Image.fromarray(coarse).resize((160, 120)).save(folder / f"{index}.png")
    return CalibrationSet.from_folder(folder)
