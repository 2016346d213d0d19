"""Everything from boxes: one object for each box of a detector, on a recording of the decoder."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from tinysam_mobile.contract.rules import SAM_RULES
from tinysam_mobile.contract.spec import Contract
from tinysam_mobile.imaging.preprocess import Geometry
from tinysam_mobile.segment.from_boxes import objects_from_boxes
from tinysam_mobile.segment.predictor import Predictor

from .everything import BUSY, SCALE, SCENES, Recording, ReplayEngine, objects_data, pictures_of
from .store import Array, Case, Store, flat

SIZE = (97, 131)
BOXES = {
    "a_box_for_each_disc": [(0.25, 0.2, 0.15), (0.7, 0.25, 0.2), (0.3, 0.6, 0.12), (0.62, 0.62, 0.09)],
    "over_the_border": [(0.7, 0.25, 0.31), (0.1, 0.45, 0.2)],
    "nothing_in_it": [(0.9, 0.68, 0.03), (0.3, 0.6, 0.12)],
    "more_than_a_call_takes": [
        (0.25 + 0.001 * i, 0.2, 0.15) if i % 3 else (0.62, 0.62, 0.09 + 0.001 * i) for i in range(18)
    ],
    "no_boxes": [],
}
"""Case → boxes as centre x, y and half a side, in parts of the square, as the discs of `everything`."""


def from_boxes_cases(store: Store, contract: Contract) -> Iterator[Case]:
    """Boxes around the discs of `everything`'s first picture, and around nothing."""
    scene = next(iter(SCENES.values()))
    picture, logits = pictures_of(SCENES, contract)[scene.discs, scene.steepness]
    for seed, (name, squares) in enumerate(BOXES.items()):
        boxes = _boxes(squares, contract)
        recording, corners = _record(boxes, squares, logits, contract, seed)
        engine = ReplayEngine(contract, recording)
        objects = objects_from_boxes(Predictor(engine), np.zeros((*SIZE, 3), np.uint8), boxes)
        yield {
            "name": name,
            "height": SIZE[0],
            "width": SIZE[1],
            "boxes": flat(boxes),
            "logits": store.tensor(f"everything/{picture}", logits),
            "scale": SCALE,
            "recorded_boxes": flat(corners),
            "answers": flat(recording.answers),
            "recorded_scores": flat(recording.scores),
            "decoder_calls": engine.calls["decode_batch"],
            "objects": objects_data(objects),
        }


def _boxes(squares: list[tuple[float, float, float]], contract: Contract) -> Array:
    """x0, y0, x1, y1 (n, 4) in pixels of the photo."""
    geometry = Geometry.of(SIZE, contract.image_size)
    corners = [(x - side, y - side, x + side, y + side) for x, y, side in squares]
    places = np.array(corners, np.float64).reshape(-1, 2, 2) * contract.image_size
    return np.round(geometry.to_original(places), 3).reshape(-1, 4)


def _record(
    boxes: Array, squares: list[tuple[float, float, float]], logits: Array, contract: Contract, seed: int
) -> tuple[Recording, Array]:
    """The recording, and the boxes f32 (n, 4) as the decoder gets them."""
    height, width = SIZE
    inside = np.clip(boxes.reshape(-1, 2, 2), 0, (width, height))
    corners = Geometry.of(SIZE, contract.image_size).to_model(inside).astype(np.float32).reshape(-1, 4)
    centres = np.array(squares, np.float64).reshape(-1, 3)[:, None, :2]
    distances = np.hypot(*np.moveaxis(centres - np.array(BUSY)[None, :, :2], -1, 0))
    near = distances.min(axis=1, initial=1) < 0.05
    nearest = distances.argmin(axis=1) + 1 if len(boxes) else np.zeros(0, np.int64)
    random = np.random.default_rng(seed)
    scores = random.uniform(0.3, 0.99, (len(boxes), SAM_RULES.num_masks)).astype(np.float32)
    recording = Recording(
        points=corners[:, :2],
        answers=np.where(near, nearest, 0),
        logits=logits,
        scores=scores,
        scale=SCALE,
    )
    return recording, corners
