"""Everything mode in fast mode: on the recordings of the exact mode, and where its own rules decide."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import ExitStack
from dataclasses import dataclass, replace
from typing import Any
from unittest.mock import patch

import numpy as np

from tinysam_mobile.contract.spec import Contract
from tinysam_mobile.imaging.preprocess import Geometry
from tinysam_mobile.imaging.upscale import upscale_masks
from tinysam_mobile.segment import candidates, everything
from tinysam_mobile.segment.everything import EverythingConfig, EverythingGenerator, EverythingResult
from tinysam_mobile.segment.predictor import Predictor

from .everything import (
    HIERARCHICAL,
    SCALE,
    SCENES,
    Recording,
    ReplayEngine,
    Scene,
    case_of,
    discs,
    only_asked,
    pictures_of,
    record,
)
from .masks import exact_logits, tie_bound
from .store import Array, Case, Store, flat


@dataclass(frozen=True, kw_only=True)
class FastRules:
    """What a manifest holds as `everything_search.fast`."""

    near_iou_slack: float = 0.05
    score_slack: float = 0.02
    window_margin_cells: int = 3
    max_waiting_bytes: int = 256 * 2**20
    duplicate_ious: tuple[float, ...] = (0.97, 0.9, 0.8)
    box_margin: float = 0.2
    stability_margin_cells: float = 1.0

    def data(self) -> dict[str, Any]:
        return {**self.__dict__, "duplicate_ious": list(self.duplicate_ious)}


@dataclass(frozen=True, kw_only=True)
class FastScene:
    """A scene with rules of its own, a scale of its logits and an error of the scores that come first.

    Its discs are nudged until the rules `unlike` give other objects, and until float32 logits would give
    other masks than float16 if `halves_decide`: a case that no mistake changes tells nothing.
    """

    scene: Scene
    rules: FastRules = FastRules()
    scale: float = SCALE
    score_error: float = 0.0
    unlike: FastRules | None = None
    halves_decide: bool = False


SHIFTED = tuple(
    (0.2 + 0.6 * (i % 2) + 0.012 * i, 0.2 + 0.3 * (i // 2) + 0.02 * (i % 3), 0.1 + 0.012 * i)
    for i in range(6)
)
CLOSE = (*((0.25 + 0.03 * i, 0.3 + 0.04 * (i % 2), 0.2 - 0.01 * i) for i in range(5)), (0.7, 0.7, 0.2))
LOOSE = HIERARCHICAL | {"pred_iou_thresh": 0.87, "stability_score_thresh": 0.7, "high_score_thresh": 30.0}
FEW_PASS = HIERARCHICAL | {"pred_iou_thresh": 0.975}
OWN_SCENES = {
    "overlaps_that_rough_boxes_cannot_judge": FastScene(
        scene=Scene(size=(61, 83), discs=CLOSE, settings=LOOSE),
        unlike=FastRules(box_margin=0.0),
    ),
    "rough_stability_measured_again": FastScene(
        scene=Scene(steepness=150.0, settings=HIERARCHICAL | {"stability_score_thresh": 0.8}),
        unlike=FastRules(stability_margin_cells=0.0),
    ),
    "logits_that_halves_round": FastScene(
        scene=Scene(size=(271, 333), discs=SHIFTED[:3], steepness=300.0, settings=LOOSE),
        scale=0.7071,
        halves_decide=True,
    ),
    "little_memory": FastScene(
        scene=Scene(discs=CLOSE, settings=LOOSE),
        rules=FastRules(max_waiting_bytes=1500, duplicate_ious=(0.97, 0.5)),
        unlike=FastRules(),
    ),
    "no_slack": FastScene(scene=Scene(settings=HIERARCHICAL), rules=FastRules(near_iou_slack=0.0)),
    "all_slack": FastScene(scene=Scene(settings=HIERARCHICAL), rules=FastRules(near_iou_slack=9.0)),
    "rough_boxes_never_trusted": FastScene(
        scene=Scene(discs=CLOSE, settings=LOOSE), rules=FastRules(box_margin=0.9)
    ),
    # Every open point is asked for, so that nothing but the slack decides what is decoded.
    "scores_a_little_low": FastScene(
        scene=Scene(settings=FEW_PASS),
        score_error=-0.015,
        rules=FastRules(near_iou_slack=9.0),
        unlike=FastRules(near_iou_slack=9.0, score_slack=0.0),
    ),
    "scores_a_little_high": FastScene(
        scene=Scene(settings=FEW_PASS), score_error=0.015, rules=FastRules(near_iou_slack=9.0)
    ),
    "every_point_decoded": FastScene(
        scene=Scene(settings=FEW_PASS), rules=FastRules(near_iou_slack=9.0, score_slack=9.0)
    ),
    "flat_overlaps": FastScene(
        scene=Scene(discs=CLOSE, settings=LOOSE | {"hierarchical": False, "points_per_side": 9})
    ),
    "large_photo": FastScene(scene=Scene(size=(271, 333), discs=SHIFTED, settings=LOOSE)),
}


def everything_fast_cases(store: Store, contract: Contract) -> Iterator[Case]:
    """Every scene of the exact mode with the same pictures, then those of this mode."""
    pictures = pictures_of(SCENES, contract)
    for name, scene in SCENES.items():
        picture, logits = pictures[(scene.discs, scene.steepness)]
        yield _case(store, name, f"everything/{picture}", logits, FastScene(scene=scene), contract)
    made: dict[bytes, str] = {}
    for name, fast in OWN_SCENES.items():
        logits = _without_ties(fast, contract)
        # Scenes that differ in their rules only share their logits.
        picture = made.setdefault(logits.tobytes(), f"everything_fast/{name}_logits")
        yield _case(store, name, picture, logits, fast, contract)


def _case(store: Store, name: str, picture: str, logits: Array, fast: FastScene, contract: Contract) -> Case:
    recording = replace(record(fast.scene, logits, contract), scale=fast.scale, score_error=fast.score_error)
    result, engine = replay_fast(recording, fast.scene.size, fast.scene.settings, fast.rules, contract)
    asked = only_asked(recording, sorted(set(engine.asked)))
    case = case_of(store, f"everything_fast/{name}", picture, fast.scene, asked, result)
    return {
        **case,
        "score_error": fast.score_error,
        "score_calls": engine.calls["score_batch"],
        "decoder_calls_without_scores": calls_without_scores(recording, fast, contract, result),
        "name": name,
        "rules": fast.rules.data(),
    }


def calls_without_scores(
    recording: Recording, fast: FastScene, contract: Contract, expected: EverythingResult
) -> int | None:
    """Calls that make masks where an artifact has no `score_batch`, so that every point is decoded.

    None if the answer is another then, as with a budget of calls or with scores that are off.
    """
    every_point = replace(fast.rules, score_slack=9.0)
    exact = replace(recording, score_error=0.0)
    result, _ = replay_fast(exact, fast.scene.size, fast.scene.settings, every_point, contract)
    same = result.objects == expected.objects and np.array_equal(result.points, expected.points)
    return result.decoder_calls if same else None


def replay_fast(
    recording: Recording,
    size: tuple[int, int],
    settings: Mapping[str, Any],
    rules: FastRules,
    contract: Contract,
) -> tuple[EverythingResult, ReplayEngine]:
    """Run the fast mode on a recording, with `rules` in the place of the manifest's."""
    engine = ReplayEngine(contract, recording)
    config = EverythingConfig(mode="fast", near_iou_slack=rules.near_iou_slack, **settings)
    names = ("window_margin_cells", "max_waiting_bytes", "duplicate_ious", "box_margin")
    with ExitStack() as stack:
        for name in (*names, "stability_margin_cells"):
            stack.enter_context(patch.object(candidates, name.upper(), getattr(rules, name)))
        stack.enter_context(patch.object(everything, "SCORE_SLACK", rules.score_slack))
        result = EverythingGenerator(Predictor(engine), config).generate(np.zeros((*size, 3), np.uint8))
    return result, engine


def _without_ties(fast: FastScene, contract: Contract) -> Array:
    """Logits of which no rounding decides over a pixel, neither in float32 nor rounded to float16."""
    for nudge in range(300):
        logits = discs(contract.mask_size, list(fast.scene.discs), fast.scene.steepness, nudge)
        values = logits.astype(np.float32) * np.float32(fast.scale)
        halves = values.astype(np.float16).astype(np.float32)
        if any(_has_ties(low, fast.scene, contract) for low in (*values, *halves)):
            continue
        if _tells(fast, logits, contract):
            return logits
    raise AssertionError(f"every nudge of {fast.scene.discs} has a tie")


def _tells(fast: FastScene, logits: Array, contract: Contract) -> bool:
    geometry = Geometry.of(fast.scene.size, contract.image_size)
    if fast.halves_decide:
        values = logits.astype(np.float32) * np.float32(fast.scale)
        halves = values.astype(np.float16).astype(np.float32)
        pairs = zip(values, halves, strict=True)
        if not any((upscale_masks(a, geometry) != upscale_masks(b, geometry)).any() for a, b in pairs):
            return False
    if fast.unlike is None:
        return True
    recording = replace(record(fast.scene, logits, contract), scale=fast.scale, score_error=fast.score_error)
    scene = fast.scene
    first, other = (
        replay_fast(recording, scene.size, scene.settings, rules, contract)[0]
        for rules in (fast.rules, fast.unlike)
    )
    return first.objects != other.objects


def _has_ties(low_res: Array, scene: Scene, contract: Contract) -> bool:
    config = EverythingConfig(mode="fast", **scene.settings)
    offset = config.stability_score_offset
    full = exact_logits(low_res, Geometry.of(scene.size, contract.image_size))
    cuts = (0.0, offset, -offset, config.high_score_thresh)
    return any(np.abs(full - cut).min() <= tie_bound(low_res) for cut in cuts)


def half_cases() -> Iterator[Case]:
    """float32 → the bits of the nearest float16, even ones in ties, as masks wait for their full size."""
    telling = [0.0, -0.0, 1.0, -1.0, 65504.0, 65519.0, 65520.0, -1e30, 2.0**-24, 2.0**-25, 1.5 * 2.0**-25]
    telling += [1 + 2.0**-11, 1 + 3 * 2.0**-11, 2.0**-14, 2.0**-14 - 2.0**-25, 3 * 2.0**-25, -8.123, 1e-10]
    random = np.random.default_rng(3)
    drawn = random.normal(0, 10, 200) * 10.0 ** random.integers(-8, 4, 200)
    for name, numbers in (("telling", np.array(telling)), ("drawn", drawn)):
        values = numbers.astype(np.float32)
        with np.errstate(over="ignore"):
            halves = values.astype(np.float16)
        yield {"name": name, "values": flat(values), "halves": flat(halves.view(np.uint16))}
