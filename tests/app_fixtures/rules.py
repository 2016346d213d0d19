"""Rules of other families than SAM's: where a photo lies, its pixels, slots and masks."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from tinysam_mobile.contract.rules import SAM_RULES, Filter, Rules
from tinysam_mobile.contract.spec import MASK_THRESHOLD
from tinysam_mobile.errors import UsageError
from tinysam_mobile.imaging.images import as_rgb
from tinysam_mobile.imaging.masks import selection_scores
from tinysam_mobile.imaging.preprocess import Geometry, preprocess
from tinysam_mobile.imaging.resampling import TAPS
from tinysam_mobile.imaging.upscale import low_res_valid, upscale_masks
from tinysam_mobile.modeling.config import CONFIGS
from tinysam_mobile.segment.prompts import make_prompt, pack_prompts

from .masks import TIE, blobs, exact_logits, tie_bound
from .photos import photo
from .prompts import PACKED, SIZES, prompt
from .store import Array, Case, Store, flat

RULES: dict[str, Rules] = {
    "edgesam": CONFIGS["edgesam"].rules,
    "efficientvit_sam_l": CONFIGS["efficientvit-sam-l0"].rules,
    "nanosam": CONFIGS["nanosam"].rules,
    "efficientsam": CONFIGS["efficientsam-ti"].rules,
    "sam2": CONFIGS["sam2-hiera-tiny"].rules,
}
"""Rules that differ from SAM's, called after the first family that has them; a case's name begins so."""
SHAPES = {"landscape": (29, 43), "portrait": (43, 29), "small": (7, 5), "square": (24, 24)}
IMAGE_SIZE = 24


def rules_geometry_cases() -> Iterator[Case]:
    for name, rules in RULES.items():
        for shape, (height, width) in {**SHAPES, "photo": (534, 800)}.items():
            side = 512 if shape == "photo" else IMAGE_SIZE
            geometry = Geometry.of((height, width), side, rules)
            points = np.array([[0, 0], [width, height], [width / 3, height / 7]], np.float64)
            yield {
                **_common(f"{name}_{shape}", rules, (height, width), side),
                "valid_height": geometry.valid_size[0],
                "valid_width": geometry.valid_size[1],
                "points": flat(points),
                "model_points": flat(geometry.to_model(points)),
            }


def rules_resize_cases(store: Store) -> Iterator[Case]:
    for name in ("nanosam", "efficientsam", "sam2"):
        rules = RULES[name]
        for seed, (shape, size) in enumerate(SHAPES.items()):
            pixels = photo((*size, 3), seed)
            ready = preprocess(as_rgb(pixels), IMAGE_SIZE, rules)
            height, width = ready.geometry.valid_size
            planes = ready.image[0, :, :height, :width].transpose(1, 2, 0)
            resized = planes.astype(np.uint8) if rules.whole_values else planes
            yield {
                **_common(f"{name}_{shape}", rules, size, IMAGE_SIZE),
                "pixels": store.tensor(f"rules_resize/{shape}_pixels", pixels),
                "resized": store.tensor(f"rules_resize/{name}_{shape}", np.ascontiguousarray(resized)),
            }


def rules_slot_cases() -> Iterator[Case]:
    packed = {
        key: PACKED[key]
        for key in ("one_point", "two_points_both_labels", "box", "box_and_points", "full_batch")
    }
    packed |= {"seven_points": ("landscape", 8, 1, [prompt([5.0, 6.0] * 7, [1] * 7)])}
    for name, rules in RULES.items():
        for key, (size, slots, batch, prompts) in packed.items():
            slots = max(slots, rules.fixed_points)
            made = [make_prompt(np.reshape(p["points"], (-1, 2)), p["labels"], p["box"]) for p in prompts]
            case: Case = {
                **_common(f"{name}_{key}", rules, SIZES[size], 128),
                **{"slots": slots, "batch": batch, "prompts": prompts},
            }
            try:
                answer = pack_prompts(made, Geometry.of(SIZES[size], 128, rules), slots=slots, batch=batch)
            except UsageError as error:
                yield {**case, "error": _kind_of(error)}
                continue
            yield {
                **case,
                "point_coords": flat(answer.point_coords),
                "point_labels": flat(answer.point_labels),
            }


def _kind_of(error: UsageError) -> str:
    return "negative_point" if "label 0" in str(error) else "too_many_slots"


def rules_postprocess_cases(store: Store) -> Iterator[Case]:
    for name, rules in RULES.items():
        for seed, (shape, size) in enumerate(SHAPES.items()):
            geometry = Geometry.of(size, IMAGE_SIZE, rules)
            low_res = blobs(8, seed)
            low_res = np.concatenate([low_res, -low_res])[: rules.num_masks]
            scores = np.random.default_rng(seed).uniform(0, 1, rules.num_masks).astype(np.float32)
            masks = upscale_masks(low_res, geometry).astype(np.uint8)
            bound = 2 * tie_bound(low_res)
            masks[np.abs(exact(low_res, geometry) - MASK_THRESHOLD) <= bound] = TIE
            yield {
                **_common(f"{name}_{shape}", rules, size, IMAGE_SIZE),
                "low_res": store.tensor(f"rules_postprocess/{name}_{shape}_low_res", low_res),
                "scores": flat(scores),
                "best": int(np.argmax(selection_scores(low_res, scores, rules))),
                "tie_bound": bound,
                "masks": store.tensor(f"rules_postprocess/{name}_{shape}_masks", masks),
            }


def exact(low_res: Array, geometry: Geometry) -> Array:
    """Full-size logits by the rules in float64."""
    if geometry.rules.upscale is SAM_RULES.upscale:
        frame = Geometry(
            original_size=geometry.original_size,
            valid_size=geometry.frame_valid_size,
            image_size=geometry.frame_size,
        )
        return exact_logits(low_res, frame)
    rows, columns = low_res_valid(geometry, low_res.shape[-1])
    taps = TAPS[Filter(geometry.rules.upscale_filter)]
    height, width = geometry.original_size
    part = low_res[:, :rows, :columns].astype(np.float64)
    wide = _weighted(part, taps(columns, width), axis=2)
    return _weighted(wide, taps(rows, height), axis=1)


def _weighted(values: Array, taps: tuple[Array, Array], *, axis: int) -> Array:
    source, weight = taps
    shape = [1, 1, 1]
    shape[axis] = len(weight)
    parts = [
        np.take(values, source[:, t], axis) * weight[:, t].reshape(shape) for t in range(weight.shape[1])
    ]
    total: Array = np.sum(parts, axis=0)
    return total


def _common(name: str, rules: Rules, size: tuple[int, int], image_size: int) -> Case:
    height, width = size
    return {
        "name": name,
        "rules": rules.to_json(),
        "image_size": image_size,
        "height": height,
        "width": width,
    }
