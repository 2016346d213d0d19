"""A photo with the shipped checkpoint's recorded answers, for the apps' `overlay` tools to draw.

python -m tests.app_fixtures.overlay FOLDER [PHOTO]       of scikit-image: astronaut, coffee, chelsea …

FOLDER gets `manifest.json`, `everything.json` with one case, and its tensors; or `from_boxes.json` for a
photo that has `BOXES` here.  It is too large to commit; the pictures of the READMEs are made from it.
"""

from __future__ import annotations

import json
from argparse import ArgumentParser
from collections.abc import Mapping
from pathlib import Path

import numpy as np
import skimage.data

from tinysam_mobile.bundle.manifest import Manifest, contract_data
from tinysam_mobile.contract.backend import Arrays, Backend
from tinysam_mobile.contract.spec import Contract, Label
from tinysam_mobile.modeling.checkpoint import load_checkpoint
from tinysam_mobile.modeling.entry_points import contract_of
from tinysam_mobile.segment.everything import EverythingConfig, EverythingGenerator
from tinysam_mobile.segment.from_boxes import objects_from_boxes
from tinysam_mobile.segment.predictor import Predictor
from tinysam_mobile.simulator.registry import open_model

from .everything import SCALE, Recording, Scene, case_of, objects_data
from .store import Array, Case, Store, flat

POINTS_PER_SIDE = 32
BOXES = {
    "astronaut": [(20, 5, 370, 512), (370, 0, 455, 285), (278, 345, 500, 512)],
    "coffee": [(60, 15, 490, 390)],
}
"""Photo → boxes x0, y0, x1, y1 around its objects."""


class Recorder:
    """A backend that notes each answer of `decode_batch`, rounded to the int8 in which it is stored."""

    def __init__(self, backend: Backend) -> None:
        self.contract: Contract = backend.contract
        self._backend = backend
        self._points: list[Array] = []
        self._logits: list[Array] = []
        self._scores: list[Array] = []

    def run(self, entry_point: str, inputs: Mapping[str, Array]) -> Arrays:
        answer = self._backend.run(entry_point, inputs)
        if entry_point != "decode_batch":
            return answer
        logits = np.clip(np.round(answer["low_res_masks"] / SCALE), -127, 127).astype(np.int8)
        for row in np.flatnonzero(inputs["point_labels"][:, 0] != Label.UNUSED):
            self._points.append(inputs["point_coords"][row, :2].ravel())
            self._logits.append(logits[row])
            self._scores.append(answer["iou_predictions"][row])
        return {**answer, "low_res_masks": logits.astype(np.float32) * np.float32(SCALE)}

    def corners(self) -> Array:
        """Slots 0 and 1 of each prompt (n, 4): both corners of a box."""
        return np.array(self._points, np.float32).reshape(-1, 4)

    def recording(self) -> Recording:
        return Recording(
            points=self.corners()[:, :2],
            answers=np.arange(len(self._points)),
            logits=np.array(self._logits),
            scores=np.array(self._scores),
            scale=SCALE,
        )


def write_overlay_inputs(folder: Path, name: str) -> None:
    """Segment everything in a photo with the shipped checkpoint, and write the recording and the answer."""
    checkpoint = load_checkpoint()
    contract = contract_of(checkpoint.model)
    photo = np.ascontiguousarray(getattr(skimage.data, name)()[:, :, :3])
    recorder = Recorder(open_model(checkpoint.model, contract))
    store = Store(folder)
    manifest = Manifest(data=contract_data(checkpoint, contract), artifacts=())
    text = json.dumps(manifest.to_json(), indent=1, ensure_ascii=False)
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "manifest.json").write_text(text, encoding="utf-8")
    if name in BOXES:
        objects = objects_from_boxes(Predictor(recorder), photo, BOXES[name])
        case = boxes_case(store, name, f"{name}_logits", photo.shape[:2], np.array(BOXES[name]), recorder)
        pixels = store.tensor(f"{name}_pixels", photo)
        store.cases("from_boxes", [{**case, "objects": objects_data(objects), "pixels": pixels}])
        print(f"{folder}: {len(objects)} boxes of {name}")
        return
    settings = {**checkpoint.everything, "points_per_side": POINTS_PER_SIDE}
    config = EverythingConfig(mode="exact", **settings)
    result = EverythingGenerator(Predictor(recorder), config).generate(photo)
    scene = Scene(size=photo.shape[:2], settings=settings)
    case = case_of(store, name, name, scene, recorder.recording(), result)
    store.cases("everything", [{**case, "pixels": store.tensor(f"everything/{name}_pixels", photo)}])
    print(f"{folder}: {len(result.objects)} objects of {name}, {result.decoder_calls} decoder calls")


def boxes_case(
    store: Store, name: str, logits: str, size: tuple[int, ...], boxes: Array, recorder: Recorder
) -> Case:
    """The inputs of a case of `from_boxes.json`."""
    recording = recorder.recording()
    return {
        "name": name,
        "height": size[0],
        "width": size[1],
        "boxes": flat(boxes.astype(np.float64)),
        "logits": store.tensor(logits, recording.logits),
        "scale": recording.scale,
        "recorded_boxes": flat(recorder.corners()),
        "answers": flat(recording.answers),
        "recorded_scores": flat(recording.scores),
    }


if __name__ == "__main__":
    parser = ArgumentParser(prog="python -m tests.app_fixtures.overlay", description=__doc__)
    parser.add_argument("folder", type=Path)
    parser.add_argument("photo", nargs="?", default="coffee")
    arguments = parser.parse_args()
    write_overlay_inputs(arguments.folder, arguments.photo)
