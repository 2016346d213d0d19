"""Postprocessing of logits, and masks as data: run lengths, stability, small regions, NMS, lattices."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import product
from typing import Any

import numpy as np
import torch
from torch.nn.functional import interpolate

from tinysam_mobile.contract.spec import MASK_THRESHOLD
from tinysam_mobile.imaging.masks import (
    RunLengths,
    mask_boxes,
    non_maximum_suppression,
    remove_small_regions,
    stability_scores,
)
from tinysam_mobile.imaging.preprocess import Geometry
from tinysam_mobile.imaging.upscale import upscale_masks
from tinysam_mobile.segment.point_lattice import coarse_lattice, grid_points, second_round

from .store import Array, Case, Store, flat

ROUNDING_STEPS = 32
"""Float32 roundings that a pixel can collect: two resizes of two axes, each two weights, two products and a
sum (5 each), doubled for an interpolation that is written as a + (b − a)·t."""
TIE = 2


def tie_bound(low_res: Array) -> float:
    """How far a full-size logit in float32 can be from the exact one."""
    return float(ROUNDING_STEPS * 2.0**-24 * np.abs(low_res).max())


def exact_logits(low_res: Array, geometry: Geometry) -> Array:
    """Full-size logits (M, H, W) by torch's interpolate in double precision."""
    size = (geometry.image_size, geometry.image_size)
    square = interpolate(torch.from_numpy(low_res.astype(np.float64))[None], size, mode="bilinear")
    valid = square[:, :, : geometry.valid_size[0], : geometry.valid_size[1]]
    logits: Array = interpolate(valid, geometry.original_size, mode="bilinear")[0].numpy()
    return logits


def blobs(side: int, seed: int, count: int = 3) -> Array:
    """Smooth logits f32 (count, side, side) with outlines all over the square."""
    random = np.random.default_rng(seed)
    y, x = (np.mgrid[:side, :side] + 0.5) / side
    fields = []
    for _ in range(count):
        waves = random.uniform(2, 6, (4, 2)) * random.choice([-1, 1], (4, 2))
        field = sum(
            np.sin(a * 3 * x + b * 3 * y + p)
            for (a, b), p in zip(waves, random.uniform(0, 6, 4), strict=True)
        )
        fields.append(field * 4 + random.normal(0, 0.5, x.shape))
    return np.array(fields, np.float32)


POSTPROCESSED = {
    "landscape": (128, 32, (97, 131)),
    "portrait": (128, 32, (131, 97)),
    "square_same_size": (128, 32, (128, 128)),
    "smaller_photo": (128, 32, (19, 27)),
    "larger_photo": (64, 16, (150, 203)),
    "one_pixel": (128, 32, (1, 1)),
    "one_row": (128, 32, (1, 77)),
    "one_column": (128, 32, (77, 1)),
    "strip": (128, 32, (2, 300)),
    "odd_square_size": (60, 15, (41, 59)),
    "mask_as_large_as_the_square": (32, 32, (21, 43)),
}


def postprocess_cases(store: Store) -> Iterator[Case]:
    for seed, (name, (image_size, side, size)) in enumerate(POSTPROCESSED.items()):
        random = np.random.default_rng(seed)
        scores = random.uniform(0, 1, 3).astype(np.float32)
        yield _postprocessed(store, name, blobs(side, seed), scores, Geometry.of(size, image_size))
    for name, level in (("all_above", 3.0), ("all_below", -3.0)):
        level_logits = np.full((3, 8, 8), level, np.float32)
        yield _postprocessed(store, name, level_logits, np.float32([0, 1, 0]), Geometry.of((9, 7), 32))
    zero = np.zeros((3, 8, 8), np.float32)
    yield _postprocessed(
        store, "exactly_zero_is_a_tie", zero, np.float32([0.5, 0.5, 0.5]), Geometry.of((9, 7), 32)
    )
    edges = np.where(blobs(32, 77) > 0, 30000, -21234).astype(np.float32)
    yield _postprocessed(
        store, "float16_extremes", edges, np.float32([0.25, 0.75, 0.75]), Geometry.of((50, 70), 128)
    )
    last = np.float32([-0.5, -0.25, -0.125])
    yield _postprocessed(store, "negative_scores", blobs(32, 78), last, Geometry.of((33, 22), 128))


def _postprocessed(store: Store, name: str, low_res: Array, scores: Array, geometry: Geometry) -> Case:
    masks = upscale_masks(low_res, geometry).astype(np.uint8)
    bound = tie_bound(low_res)
    masks[np.abs(exact_logits(low_res, geometry) - MASK_THRESHOLD) <= bound] = TIE
    return {
        "name": name,
        "image_size": geometry.image_size,
        "height": geometry.original_size[0],
        "width": geometry.original_size[1],
        "low_res": store.tensor(f"postprocess/{name}_low_res", low_res),
        "scores": flat(scores),
        "best": int(np.argmax(scores)),
        "tie_bound": bound,
        "masks": store.tensor(f"postprocess/{name}_masks", masks),
    }


def drawn_masks() -> dict[str, Array]:
    random = np.random.default_rng(5)
    ring = np.zeros((9, 11), np.bool_)
    ring[1:8, 2:9] = True
    ring[3:5, 4:6] = False
    corners = np.zeros((6, 5), np.bool_)
    corners[[0, 0, -1, -1], [0, -1, 0, -1]] = True
    return {
        "empty": np.zeros((5, 7), np.bool_),
        "full": np.ones((5, 7), np.bool_),
        "one_pixel_set": np.ones((1, 1), np.bool_),
        "one_pixel_unset": np.zeros((1, 1), np.bool_),
        "first_pixel": np.eye(4, dtype=np.bool_) & (np.arange(4) == 0),
        "last_pixel": np.eye(4, dtype=np.bool_) & (np.arange(4) == 3),
        "diagonal": np.eye(9, dtype=np.bool_),
        "checkerboard": np.indices((6, 7)).sum(axis=0) % 2 == 1,
        "checkerboard_beginning_set": np.indices((7, 6)).sum(axis=0) % 2 == 0,
        "ring": ring,
        "corners": corners,
        "one_row": np.array([[True, True, False, True, False, False, True]]),
        "one_column": np.array([[False], [True], [True], [False], [True]]),
        "whole_columns_touch": np.repeat(np.array([[False, True, True, False]]), 5, axis=0),
        "noise_sparse": random.random((40, 33)) < 0.1,
        "noise_dense": random.random((33, 40)) < 0.9,
        "noise_half": random.random((21, 22)) < 0.5,
        "blob": blobs(64, 3)[0] > 0,
    }


COUNTS = {
    "large_photo_one_run": (3024, 4032, [5_000_000, 1_000_000, 6_192_768]),
    "counts_fall_and_rise": (1000, 1000, [1, 400_000, 3, 2, 500_000, 99_994]),
    "differences_at_chunk_borders": (4, 64, [15, 16, 31, 32, 47, 1, 63, 51]),
    "twelve_megapixels_set": (3024, 4032, [0, 12_192_768]),
}
CUT = {
    "cut": {"ends_in_a_number": "P", "only_continued": "oo"},
    "alphabet": {"space": "1 2", "letter_beyond": "z3"},
    "too_long": {"eight_chunks": "oooooooo0"},
    "sum": {"too_few_pixels": "1", "too_many_pixels": "o0"},
}


def rle_cases(store: Store) -> Iterator[Case]:
    for name, mask in drawn_masks().items():
        runs = RunLengths.encode(mask)
        yield {
            **_runs(name, runs),
            "box": mask_boxes(mask[None])[0].tolist(),
            "mask": store.tensor(f"masks/{name}", mask.astype(np.uint8)),
        }
    for name, (height, width, counts) in COUNTS.items():
        yield _runs(name, RunLengths(size=(height, width), counts=tuple(counts)))
    for error, texts in CUT.items():
        for name, text in texts.items():
            yield {"name": name, "height": 2, "width": 3, "compressed": text, "error": error}


def _runs(name: str, runs: RunLengths) -> Case:
    height, width = runs.size
    assert sum(runs.counts) == height * width, name
    text = runs.to_coco()["counts"]
    case = {"name": name, "height": height, "width": width, "counts": list(runs.counts)}
    return {**case, "compressed": text, "area": runs.area}


def stability_cases(store: Store) -> Iterator[Case]:
    fields = {"blob": blobs(32, 11)[0], "steep": blobs(32, 12)[0] * 50, "flat": blobs(32, 13)[0] / 10}
    fields |= {"all_above": np.full((3, 5), 9, np.float32), "all_below": np.full((3, 5), -9, np.float32)}
    # A logit on the cut does not count: the comparison is strict.
    fields["on_the_cut"] = np.float32([[1.0, -1.0, 1.5, 0.0], [-1.0, 1.0, 2.0, -0.5]])
    for (name, logits), offset in product(fields.items(), (1.0, 0.5)):
        value = stability_scores(logits[None], offset=offset)
        yield {
            "name": f"{name}_{str(offset).replace('.', '_')}",
            "logits": store.tensor(f"stability/{name}", logits),
            "threshold": MASK_THRESHOLD,
            "offset": offset,
            "stability": float(value[0]),
        }


def small_region_cases(store: Store) -> Iterator[Case]:
    masks = drawn_masks()
    equal_islands = np.zeros((3, 7), np.bool_)
    equal_islands[1, [1, 3, 5]] = True
    masks["equal_islands"] = equal_islands
    chosen = (
        "empty",
        "full",
        "diagonal",
        "checkerboard",
        "ring",
        "corners",
        "noise_sparse",
        "noise_dense",
        "noise_half",
        "equal_islands",
    )
    for name, mode, area in product(chosen, ("holes", "islands"), (1, 5, 1000)):
        cleaned, changed = remove_small_regions(masks[name], area=area, mode=mode)
        case = f"{name}_{mode}_{area}"
        yield {
            "name": case,
            "mask": store.tensor(f"small_regions/{name}", masks[name].astype(np.uint8)),
            "area": area,
            "mode": mode,
            "changed": changed,
            "cleaned": store.tensor(f"small_regions/{case}", cleaned.astype(np.uint8)),
        }


def nms_cases() -> Iterator[Case]:
    random = np.random.default_rng(9)
    corner = random.integers(0, 60, (40, 2))
    crowd = np.concatenate([corner, corner + random.integers(5, 50, (40, 2))], axis=1)
    scores = random.uniform(0, 1, 40)
    one = [0, 0, 10, 10]
    sets: dict[str, tuple[Any, Any]] = {
        "none": (np.zeros((0, 4)), []),
        "single": ([one], [0.5]),
        "same_box_same_score": ([one, one, one], [0.5, 0.5, 0.5]),
        "same_box_rising_scores": ([one, one, one], [0.1, 0.2, 0.3]),
        "chain": ([[0, 0, 10, 10], [4, 0, 14, 10], [8, 0, 18, 10]], [0.9, 0.8, 0.7]),
        "chain_middle_first": ([[0, 0, 10, 10], [2, 0, 12, 10], [4, 0, 14, 10]], [0.8, 0.9, 0.8]),
        # 7 shared of 10: exactly the threshold of 0.7 as float32 rounds both.
        "on_the_threshold": ([[0, 0, 10, 1], [0, 0, 7, 1]], [0.9, 0.8]),
        "boxes_without_area": ([[3, 3, 3, 3], [3, 3, 3, 3], [0, 0, 9, 9]], [0.9, 0.8, 0.7]),
        "touching": ([[0, 0, 5, 5], [5, 0, 10, 5]], [0.9, 0.8]),
        "inside_each_other": ([[0, 0, 100, 100], [1, 1, 99, 99], [20, 20, 40, 40]], [0.5, 0.6, 0.7]),
        "negative_scores": ([one, one, [50, 50, 60, 60]], [-0.5, -0.25, -1.0]),
        "crowd": (crowd, scores),
        "crowd_of_equal_scores": (crowd, np.full(40, 0.75)),
        "crowd_of_four_scores": (crowd, np.round(scores * 3) / 4),
        "photo_of_12_megapixels": (crowd * 64, scores),
    }
    for (name, (boxes, values)), threshold in product(sets.items(), (0.7, 0.3)):
        box_array, score_array = np.array(boxes, np.float32).reshape(-1, 4), np.array(values, np.float32)
        kept = non_maximum_suppression(box_array, score_array, iou_threshold=threshold)
        yield {
            "name": f"{name}_{str(threshold).replace('.', '_')}",
            "boxes": flat(box_array),
            "scores": flat(score_array),
            "iou_threshold": threshold,
            "kept": flat(kept),
        }


LATTICE_SIZES = {
    "divisible": (96, 128),
    "remainder": (107, 131),
    "portrait": (131, 77),
    "smaller_than_the_grid": (5, 7),
    "one_pixel": (1, 1),
    "one_row": (1, 300),
}


def lattice_cases(store: Store) -> Iterator[Case]:
    for (name, (height, width)), side in product(LATTICE_SIZES.items(), (16, 10)):
        size = (height, width)
        common = {"points_per_side": side, "height": height, "width": width}
        at = f"{name}_{side}"
        yield {"name": f"flat_{at}", "kind": "flat", **common, "points": flat(grid_points(side, size))}
        coarse, fine = coarse_lattice(side, size).points, second_round(side, size).points
        yield {"name": f"coarse_{at}", "kind": "coarse", **common, "points": flat(coarse)}
        random = np.random.default_rng(height)
        centre = (np.indices(size).transpose(1, 2, 0) - np.array(size) / 2) / np.array(size)
        done = (np.hypot(*centre.transpose(2, 0, 1)) < 0.35) | (random.random(size) < 0.05)
        x, y = fine.astype(np.int64).T
        yield {
            "name": f"second_round_{at}",
            "kind": "second_round",
            **common,
            "points": flat(fine),
            "done": store.tensor(f"lattice/{name}_done", done.astype(np.uint8)),
            "left": flat(fine[~done[y, x]]),
        }
