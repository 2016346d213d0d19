"""One call to open a checkpoint or a bundle, one more to segment a photo with it.

import tinysam_mobile as tsm

model = tsm.open("bundle", runtime="coreml")
model.segment("photo.jpg", point=(320, 240)).save("mask.png")
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from tinysam_mobile.artifacts.formats import format_named
from tinysam_mobile.bundle.folder import MANIFEST_NAME, Bundle
from tinysam_mobile.errors import UsageError
from tinysam_mobile.imaging.images import RGBImage, as_rgb, load_image
from tinysam_mobile.modeling.checkpoint import load_checkpoint
from tinysam_mobile.modeling.entry_points import contract_of
from tinysam_mobile.segment.everything import POINTS_PER_BATCH, EverythingConfig, EverythingGenerator
from tinysam_mobile.segment.found import FoundMask, FoundObjects
from tinysam_mobile.segment.predictor import Predictor
from tinysam_mobile.simulator.registry import open_bundle, open_model

__all__ = ["Model", "open", "segment", "segment_everything"]

Photo = str | Path | RGBImage
Point = tuple[float, float]
Box = tuple[float, float, float, float]
TORCH = "torch"


class Model:
    """A model on a runtime; `predictor` is what it stands on, `everything` its own thresholds."""

    def __init__(self, predictor: Predictor, everything: Mapping[str, Any]) -> None:
        self.predictor = predictor
        self.everything = dict(everything)
        self._photo: RGBImage | None = None

    def segment(
        self,
        photo: Photo | None = None,
        *,
        point: Point | None = None,
        points: Sequence[Point] = (),
        labels: Sequence[int] = (),
        box: Box | None = None,
    ) -> FoundMask:
        """Return the mask of the object that the prompt names.

        `photo` is a path, or uint8 RGB (H, W, 3); left out, it is the one of the call before, which is not
        encoded again.  `point` or `points` are x, y and `box` x0, y0, x1, y1, in
        pixels of the photo; `labels` say of each of `points` whether it lies on the object (1, all by
        default) or off it (0).  Raises `ImageError`, and `UsageError` for a prompt that is malformed.
        """
        if point is not None and (points or labels):
            raise UsageError("give one point, or points with labels, not both")
        asked = [*points] if point is None else [point]
        marks = [*labels] or [1] * len(asked)
        pixels = self._set(photo)
        found = self.predictor.predict(point_coords=asked or None, point_labels=marks or None, box=box)
        drawn = tuple((float(x), float(y), int(mark)) for (x, y), mark in zip(asked, marks, strict=True))
        score = float(found.scores[found.best])
        return FoundMask(mask=found.best_mask, score=score, photo=pixels, points=drawn, box=box)

    def segment_everything(self, photo: Photo, config: EverythingConfig | None = None) -> FoundObjects:
        """Return every object of a photo; `config` replaces the thresholds that came with the model."""
        chosen = config or EverythingConfig(**self.everything)
        pixels = self._pixels(photo)
        return FoundObjects(photo=pixels, result=EverythingGenerator(self.predictor, chosen).generate(pixels))

    def _set(self, photo: Photo | None) -> RGBImage:
        if photo is not None:
            self._photo = self._pixels(photo)
            self.predictor.set_image(self._photo)
        if self._photo is None:
            raise UsageError("no photo yet: give a path or an array in the first call")
        return self._photo

    @staticmethod
    def _pixels(photo: Photo) -> RGBImage:
        return load_image(Path(photo)) if isinstance(photo, str | Path) else as_rgb(photo)


def open(
    source: str | Path | None = None,
    *,
    runtime: str | None = None,
    recipe: str | None = None,
    threads: int | None = None,
) -> Model:
    """Open a checkpoint (the shipped one if None) in PyTorch, or a bundle on one of its runtimes.

    `runtime` is `tflite`, `executorch`, `coreml` or `coreml-native`, by default the one that runs the
    bundle's first artifact everywhere; `recipe` is the first in the bundle by default.  Raises
    `CheckpointError`, `BundleError`, `RuntimeUnavailableError`, and `UsageError` for options that do not go
    with `source`.
    """
    if source is not None and (Path(source) / MANIFEST_NAME).is_file():
        return _open_bundle(Bundle.open(Path(source)), runtime, recipe, threads)
    if runtime not in (None, TORCH) or recipe is not None:
        raise UsageError(
            f"{source or 'the shipped checkpoint'}: a checkpoint runs in PyTorch only; for another "
            "runtime or a recipe convert it first (tinysam-mobile convert, tsm.convert) and open the bundle"
        )
    loaded = load_checkpoint(source)
    contract = contract_of(loaded.model, batch=POINTS_PER_BATCH)
    backend = open_model(loaded.model, contract, num_threads=threads)
    return Model(Predictor(backend), loaded.everything)


def _open_bundle(bundle: Bundle, runtime: str | None, recipe: str | None, threads: int | None) -> Model:
    if runtime == TORCH:
        raise UsageError(f"{bundle.folder}: a bundle holds no PyTorch model; open its checkpoint for that")
    artifacts = bundle.manifest.artifacts
    if not artifacts:
        raise UsageError(f"{bundle.folder}: holds no artifact; convert again")
    name = runtime or format_named(artifacts[0].runtime).default_runtime
    backend = open_bundle(bundle, name, recipe=recipe, num_threads=threads)
    return Model(Predictor(backend), bundle.manifest.everything)


def segment(
    photo: Photo,
    *,
    point: Point | None = None,
    points: Sequence[Point] = (),
    labels: Sequence[int] = (),
    box: Box | None = None,
) -> FoundMask:
    """Segment one object with the shipped checkpoint; the prompt is that of `Model.segment`."""
    return open().segment(photo, point=point, points=points, labels=labels, box=box)


def segment_everything(photo: Photo, config: EverythingConfig | None = None) -> FoundObjects:
    """Find every object of a photo with the shipped checkpoint."""
    return open().segment_everything(photo, config)
