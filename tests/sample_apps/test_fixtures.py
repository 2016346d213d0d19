"""The fixtures that Python, Swift and Kotlin share: made again, read from their files, judged by others."""

from __future__ import annotations

import json
import struct
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image, ImageOps
from pycocotools import mask as coco

from tests.app_fixtures.everything import Recording, ReplayEngine, objects_data, replay
from tests.app_fixtures.everything_fast import FastRules, replay_fast
from tests.app_fixtures.masks import TIE, exact_logits, tie_bound
from tests.app_fixtures.store import GOLDEN, Array, Case, flat, read_cases, read_tensor
from tests.app_fixtures.write import write_fixtures
from tinysam_mobile.bundle.manifest import Manifest
from tinysam_mobile.contract.rules import Rules
from tinysam_mobile.contract.spec import MASK_THRESHOLD
from tinysam_mobile.errors import InputError, UsageError
from tinysam_mobile.imaging.images import as_rgb
from tinysam_mobile.imaging.masks import (
    RunLengths,
    mask_boxes,
    non_maximum_suppression,
    remove_small_regions,
    selection_scores,
    stability_scores,
)
from tinysam_mobile.imaging.preprocess import Geometry, preprocess
from tinysam_mobile.imaging.upscale import upscale_masks
from tinysam_mobile.segment.everything import EverythingResult
from tinysam_mobile.segment.from_boxes import objects_from_boxes
from tinysam_mobile.segment.point_lattice import coarse_lattice, grid_points, second_round
from tinysam_mobile.segment.predictor import Predictor
from tinysam_mobile.segment.prompts import make_prompt, pack_prompts

MAX_TOTAL_BYTES = 2_400_000
EXIF_ORIENTATION = 0x0112


def cases(topic: str) -> pytest.MarkDecorator:
    """One test per case of TOPIC.json."""
    return pytest.mark.parametrize("case", read_cases(topic), ids=lambda case: case["name"])


def geometry_of(case: Case) -> Geometry:
    return Geometry.of((case["height"], case["width"]), case["image_size"])


def pairs(values: list[float]) -> Array:
    return np.array(values, np.float64).reshape(-1, 2)


def test_the_committed_files_are_what_the_command_writes(tmp_path: Path) -> None:
    write_fixtures(tmp_path)
    made, committed = files(tmp_path), files(GOLDEN)
    different = [name for name in {*made, *committed} if made.get(name) != committed.get(name)]
    assert not different, "run python -m tests.app_fixtures and look at what changed"
    assert sum(map(len, committed.values())) <= MAX_TOTAL_BYTES


def files(folder: Path) -> dict[str, bytes]:
    found = (path for path in folder.rglob("*") if path.is_file())
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in found}


@cases("geometry")
def test_geometry(case: Case) -> None:
    geometry = geometry_of(case)
    assert geometry.valid_size == (case["valid_height"], case["valid_width"])
    model = geometry.to_model(pairs(case["points"]))
    assert flat(model) == case["model_points"]
    assert flat(geometry.to_original(model)) == case["round_trip"]
    np.testing.assert_allclose(case["round_trip"], case["points"], rtol=1e-15)


@cases("resize")
def test_resize(case: Case) -> None:
    pixels, resized = read_tensor(case["pixels"]), read_tensor(case["resized"])
    ready = preprocess(as_rgb(pixels), case["image_size"])
    height, width = resized.shape[:2]
    np.testing.assert_array_equal(ready.image[0, :, :height, :width], resized.transpose(2, 0, 1))
    assert ready.image.sum(dtype=np.int64) == resized.sum(dtype=np.int64)
    if "square" in case:
        np.testing.assert_array_equal(ready.image[0], read_tensor(case["square"]))
    pillow = Image.fromarray(pixels).resize((width, height), Image.Resampling.BILINEAR)
    np.testing.assert_array_equal(resized, np.asarray(pillow.convert("RGB")))


@cases("orientation")
def test_orientation(case: Case) -> None:
    image = Image.fromarray(read_tensor(case["pixels"]))
    image.getexif()[EXIF_ORIENTATION] = case["orientation"]
    np.testing.assert_array_equal(ImageOps.exif_transpose(image), read_tensor(case["upright"]))


@cases("slots")
def test_slots(case: Case) -> None:
    def pack() -> tuple[list[Any], list[Any]]:
        if any(not p["points"] and p["box"] is None and not p["has_mask_input"] for p in case["prompts"]):
            make_prompt([], case["prompts"][0]["labels"])
            raise UsageError("empty")
        prompts = [make_prompt(pairs(p["points"]), p["labels"], p["box"]) for p in case["prompts"]]
        packed = pack_prompts(prompts, geometry_of(case), slots=case["slots"], batch=case["batch"])
        return flat(packed.point_coords), flat(packed.point_labels)

    if "error" in case:
        with pytest.raises(UsageError, match=REFUSALS[case["error"]]):
            pack()
    else:
        assert pack() == (case["point_coords"], case["point_labels"])


REFUSALS = {
    "too_many_slots": "slots",
    "point_outside": "^point .* outside",
    "box_outside": "^box .* outside",
    "box_order": "x0 <= x1",
    "bad_label": "must be 1",
    "label_count": "one per point",
    "empty": "empty",
}


@cases("postprocess")
def test_postprocess(case: Case) -> None:
    low_res, masks, geometry = read_tensor(case["low_res"]), read_tensor(case["masks"]), geometry_of(case)
    certain = masks != TIE
    np.testing.assert_array_equal(upscale_masks(low_res, geometry)[certain], masks[certain] == 1)
    exact = exact_logits(low_res, geometry)
    np.testing.assert_array_equal((exact > MASK_THRESHOLD)[certain], masks[certain] == 1)
    np.testing.assert_array_equal(np.abs(exact - MASK_THRESHOLD) <= tie_bound(low_res), ~certain)
    assert case["tie_bound"] == tie_bound(low_res)
    assert case["best"] == int(np.argmax(case["scores"]))


def rules_geometry_of(case: Case) -> Geometry:
    size, rules = (case["height"], case["width"]), Rules.from_json(case["rules"])
    return Geometry.of(size, case["image_size"], rules)


@cases("rules_geometry")
def test_rules_geometry(case: Case) -> None:
    geometry = rules_geometry_of(case)
    assert geometry.valid_size == (case["valid_height"], case["valid_width"])
    assert flat(geometry.to_model(pairs(case["points"]))) == case["model_points"]


@cases("rules_resize")
def test_rules_resize(case: Case) -> None:
    """Against torch where values are not rounded, and against Pillow where they are."""
    pixels, resized, rules = read_tensor(case["pixels"]), read_tensor(case["resized"]), case["rules"]
    height, width = resized.shape[:2]
    if rules["whole_values"]:
        kernel = getattr(Image.Resampling, rules["filter"].upper())
        np.testing.assert_array_equal(
            resized, np.asarray(Image.fromarray(pixels).resize((width, height), kernel))
        )
        return
    planes = torch.from_numpy(pixels.transpose(2, 0, 1).astype(np.float32))[None]
    expected = torch.nn.functional.interpolate(
        planes, (height, width), mode=rules["filter"], antialias=rules["antialias"]
    )
    np.testing.assert_allclose(resized, expected[0].numpy().transpose(1, 2, 0), atol=1e-3)


@cases("rules_slots")
def test_rules_slots(case: Case) -> None:
    prompts = [make_prompt(pairs(p["points"]), p["labels"], p["box"]) for p in case["prompts"]]
    sizes = {"slots": case["slots"], "batch": case["batch"]}
    if "error" in case:
        refused = {"negative_point": "label 0", "too_many_slots": "slots|takes 6 points"}[case["error"]]
        with pytest.raises(UsageError, match=refused):
            pack_prompts(prompts, rules_geometry_of(case), **sizes)
        return
    packed = pack_prompts(prompts, rules_geometry_of(case), **sizes)
    assert (flat(packed.point_coords), flat(packed.point_labels)) == (
        case["point_coords"],
        case["point_labels"],
    )


@cases("rules_postprocess")
def test_rules_postprocess(case: Case) -> None:
    low_res, masks, geometry = (
        read_tensor(case["low_res"]),
        read_tensor(case["masks"]),
        rules_geometry_of(case),
    )
    certain = masks != TIE
    np.testing.assert_array_equal(upscale_masks(low_res, geometry)[certain], masks[certain] == 1)
    assert certain.mean() > 0.99
    scores = np.float32(case["scores"])
    assert case["best"] == int(np.argmax(selection_scores(low_res, scores, geometry.rules)))


def test_few_pixels_are_ties() -> None:
    """Where the logits are not made to be ties, a pixel in ten thousand may be one."""
    for case in read_cases("postprocess"):
        if case["name"] != "exactly_zero_is_a_tie":
            assert (read_tensor(case["masks"]) == TIE).mean() < 1e-4, case["name"]


@cases("rle")
def test_run_lengths(case: Case) -> None:
    size = [case["height"], case["width"]]
    if "error" in case:
        with pytest.raises(InputError):
            RunLengths.from_coco({"size": size, "counts": case["compressed"]})
        return
    runs = RunLengths(size=(case["height"], case["width"]), counts=tuple(case["counts"]))
    assert runs.to_coco() == {"size": size, "counts": case["compressed"]}
    assert RunLengths.from_coco(runs.to_coco()) == runs
    assert runs.area == case["area"] == coco.area(runs.to_coco())
    if "mask" in case:
        mask = read_tensor(case["mask"])
        assert RunLengths.encode(mask == 1) == runs
        np.testing.assert_array_equal(runs.decode(), mask == 1)
        assert coco.encode(np.asfortranarray(mask))["counts"].decode() == case["compressed"]
        assert mask_boxes(mask[None] == 1)[0].tolist() == case["box"]


@cases("stability")
def test_stability(case: Case) -> None:
    logits = read_tensor(case["logits"])
    value = stability_scores(logits[None], threshold=case["threshold"], offset=case["offset"])
    assert float(value[0]) == case["stability"]


@cases("small_regions")
def test_small_regions(case: Case) -> None:
    mask = read_tensor(case["mask"]) == 1
    cleaned, changed = remove_small_regions(mask, area=case["area"], mode=case["mode"])
    np.testing.assert_array_equal(cleaned, read_tensor(case["cleaned"]) == 1)
    assert changed == case["changed"]


@cases("nms")
def test_non_maximum_suppression(case: Case) -> None:
    boxes = np.array(case["boxes"], np.float32).reshape(-1, 4)
    scores = np.array(case["scores"], np.float32)
    kept = non_maximum_suppression(boxes, scores, iou_threshold=case["iou_threshold"])
    assert kept.tolist() == case["kept"]
    assert plain_suppression(boxes, scores, np.float32(case["iou_threshold"])) == case["kept"]


def plain_suppression(boxes: Array, scores: Array, threshold: np.float32) -> list[int]:
    """The definition, box by box (torchvision's `nms`, which this environment cannot have)."""
    kept: list[int] = []
    for i in sorted(range(len(scores)), key=lambda i: (-scores[i], i)):
        if all(box_iou(boxes[i], boxes[j]) <= threshold for j in kept):
            kept.append(i)
    return kept


def box_iou(a: Array, b: Array) -> np.float32:
    shared = np.prod(np.maximum(np.minimum(a[2:], b[2:]) - np.maximum(a[:2], b[:2]), np.float32(0)))
    union = np.prod(a[2:] - a[:2]) + np.prod(b[2:] - b[:2]) - shared
    return np.float32(shared / union) if union > 0 else np.float32(0)


@cases("lattice")
def test_lattice(case: Case) -> None:
    side, size = case["points_per_side"], (case["height"], case["width"])
    makers = {
        "flat": lambda: grid_points(side, size),
        "coarse": lambda: coarse_lattice(side, size).points,
        "second_round": lambda: second_round(side, size).points,
    }
    points = makers[case["kind"]]()
    assert flat(points) == case["points"]
    if "done" in case:
        done = read_tensor(case["done"])
        left = [(x, y) for x, y in points.tolist() if not done[int(y), int(x)]]
        assert [value for point in left for value in point] == case["left"]


def recording_of(case: Case) -> Recording:
    return Recording(
        points=read_tensor(case["recorded_points"]),
        answers=np.array(case["answers"], np.int64),
        logits=read_tensor(case["logits"]),
        scores=read_tensor(case["recorded_scores"]),
        scale=case["scale"],
        score_error=case.get("score_error", 0.0),
    )


@cases("everything")
def test_everything(case: Case) -> None:
    contract = Manifest.from_json(json.loads((GOLDEN / "manifest.json").read_text("utf-8"))).contract
    size = (case["height"], case["width"])
    result, engine = replay(recording_of(case), size, case["settings"], contract)
    assert flat(result.points) == case["visited"]
    assert (result.decoder_calls, result.stopped_early) == (case["decoder_calls"], case["stopped_early"])
    # Nothing is recorded that the host does not ask for, so an app that asks for more meets an error.
    assert sorted(set(engine.asked)) == list(range(len(case["answers"])))
    assert objects_of(result) == case["objects"]


def objects_of(result: EverythingResult) -> list[dict[str, Any]]:
    return objects_data(result.objects)


@cases("from_boxes")
def test_from_boxes(case: Case) -> None:
    contract = Manifest.from_json(json.loads((GOLDEN / "manifest.json").read_text("utf-8"))).contract
    recording = Recording(
        points=np.array(case["recorded_boxes"], np.float32).reshape(-1, 4)[:, :2],
        answers=np.array(case["answers"], np.int64),
        logits=read_tensor(case["logits"]),
        scores=np.array(case["recorded_scores"], np.float32).reshape(-1, 3),
        scale=case["scale"],
    )
    engine = ReplayEngine(contract, recording)
    photo = np.zeros((case["height"], case["width"], 3), np.uint8)
    found = objects_from_boxes(Predictor(engine), photo, np.reshape(case["boxes"], (-1, 4)))
    assert objects_data(found) == case["objects"]
    assert engine.calls["decode_batch"] == case["decoder_calls"]


def replayed_fast(case: Case, **rules: Any) -> tuple[EverythingResult, ReplayEngine]:
    contract = Manifest.from_json(json.loads((GOLDEN / "manifest.json").read_text("utf-8"))).contract
    given = {**case["rules"], "duplicate_ious": tuple(case["rules"]["duplicate_ious"]), **rules}
    size = (case["height"], case["width"])
    return replay_fast(recording_of(case), size, case["settings"], FastRules(**given), contract)


@cases("everything_fast")
def test_everything_fast(case: Case) -> None:
    result, engine = replayed_fast(case)
    assert flat(result.points) == case["visited"]
    assert (result.decoder_calls, result.stopped_early) == (case["decoder_calls"], case["stopped_early"])
    assert engine.calls["score_batch"] == case["score_calls"]
    assert engine.calls["decode_batch"] == case["decoder_calls"]
    assert sorted(set(engine.asked)) == list(range(len(case["answers"])))
    assert objects_of(result) == case["objects"]


def test_the_fast_cases_tell_mistakes_apart() -> None:
    """Each rule of the fast mode decides in some case: another value gives another answer."""
    answers = {case["name"]: case for case in read_cases("everything_fast")}
    assert len(answers) >= 20
    exact = {case["name"]: case for case in read_cases("everything")}
    shared = exact.keys() & answers.keys()
    assert any(len(answers[name]["visited"]) < len(exact[name]["visited"]) for name in shared)
    assert answers["no_slack"]["visited"] != answers["hierarchical_landscape"]["visited"]
    assert answers["all_slack"]["visited"] != answers["hierarchical_landscape"]["visited"]
    # Scores that are a little off change nothing: the slack is there for them.
    off = [answers[f"scores_a_little_{way}"] for way in ("low", "high")]
    assert all(case["objects"] == answers["every_point_decoded"]["objects"] for case in off)
    assert all(case["decoder_calls"] < answers["every_point_decoded"]["decoder_calls"] for case in off)
    # Without it masks are missed and less is covered: points are asked for that no one recorded.
    with pytest.raises(KeyError):
        replayed_fast(answers["scores_a_little_low"], score_slack=0.0)
    # Fewer full decodes, which is what scores are asked for first.
    pairs = [(c["decoder_calls"], c["decoder_calls_without_scores"]) for c in answers.values()]
    with_scores, without = (sum(calls) for calls in zip(*(p for p in pairs if p[1] is not None), strict=True))
    assert with_scores < without
    for name, other in (
        ("overlaps_that_rough_boxes_cannot_judge", {"box_margin": 0.0}),
        ("rough_stability_measured_again", {"stability_margin_cells": 0.0}),
        ("logits_that_halves_round", {"window_margin_cells": 0}),
        ("little_memory", {"max_waiting_bytes": 2**20}),
    ):
        assert objects_of(replayed_fast(answers[name], **other)[0]) != answers[name]["objects"], name


def test_halves_decide_over_pixels() -> None:
    """In the case of that name float32 logits give other masks, so halves must be rounded as numpy does."""
    (case,) = (c for c in read_cases("everything_fast") if c["name"] == "logits_that_halves_round")
    logits = read_tensor(case["logits"]).astype(np.float32) * np.float32(case["scale"])
    geometry = Geometry.of((case["height"], case["width"]), 128)
    halves = logits.astype(np.float16).astype(np.float32)
    flips = [
        (upscale_masks(given, geometry) != upscale_masks(kept, geometry)).sum()
        for given, kept in zip(logits, halves, strict=True)
    ]
    assert sum(flips) > 0


@cases("half")
def test_halves(case: Case) -> None:
    """struct's half is an implementation of its own; it raises where the nearest half is infinite."""
    for value, bits in zip(case["values"], case["halves"], strict=True):
        try:
            packed = struct.unpack("<H", struct.pack("<e", value))[0]
        except OverflowError:
            packed = 0xFC00 if value < 0 else 0x7C00
        assert packed == bits
