"""Judge what a side computed against the float model: every stage, every prompt, the first stage at fault.

Host artifacts and device dumps are judged here alike.  A stage is compared with what the float model makes of
the side's own input of that stage, so an error shows where it is made and nowhere else.  Masks are also
compared end to end, since that is what a user sees.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tinysam_mobile.contract.backend import Backend
from tinysam_mobile.contract.features import feature_parts
from tinysam_mobile.contract.rules import Rules
from tinysam_mobile.contract.spec import MASK_THRESHOLD, Contract, Label
from tinysam_mobile.errors import InputError
from tinysam_mobile.imaging.masks import selection_scores
from tinysam_mobile.imaging.preprocess import Geometry
from tinysam_mobile.imaging.upscale import upscale_logits
from tinysam_mobile.parity.bounds import Bounds
from tinysam_mobile.parity.metrics import boundary_iou, cosine, mask_iou, max_abs_difference, sqnr_db
from tinysam_mobile.parity.record import decode_prompts, encode_photo
from tinysam_mobile.parity.stages import (
    PHOTO_STAGES,
    PROMPT_STAGES,
    PhotoCase,
    Recording,
    Stage,
    stage_arrays,
)

__all__ = [
    "PhotoJudgement",
    "PromptJudgement",
    "StageJudgement",
    "check_recording",
    "comparable",
    "completed",
    "ideal_recording",
    "judge_photo",
    "margin",
]

NOISE_SPREAD = 1.5
"""A pixel is uncertain if its logit is within this many standard deviations of the noise that is allowed."""


@dataclass(frozen=True, kw_only=True)
class StageJudgement:
    """Distance of one stage from the float model; of a prompt's stages, the worst prompt's.

    `figure` names what is judged (`sqnr_db`, `max_abs_difference` or `wrong_logit`), `value` and `limit` are
    in its unit.  `prompt` is the index of the prompt, None for a photo's stage.
    """

    stage: Stage
    max_abs_difference: float
    sqnr_db: float
    cosine: float
    figure: str
    value: float
    limit: float
    passed: bool
    reason: str
    prompt: int | None = None


@dataclass(frozen=True, kw_only=True)
class PromptJudgement:
    """One prompt end to end: the mask that the side shows against the float model's same mask.

    `chosen` and `expected` are indices of the shown masks; where they differ, `mask_iou` and `boundary_iou`
    are those of the side's choice.  `score_difference` is the largest of the three.  `required_iou` is the
    limit of `mask_iou`, less than the bound where the float model's own outline is uncertain: `certain_iou`
    is the IoU of its certain pixels with its possible ones.  `fault` is the first stage, of the photo or of
    this prompt, that leaves its bound.
    """

    index: int
    kind: str
    mask_iou: float
    boundary_iou: float
    required_iou: float
    required_boundary_iou: float
    certain_iou: float
    chosen: int
    expected: int
    score: float
    expected_score: float
    score_difference: float
    fault: Stage | None = None

    @property
    def argmax_agrees(self) -> bool:
        """Whether the side shows the mask that the float model shows."""
        return self.chosen == self.expected

    @property
    def passed(self) -> bool:
        """False also where a figure is NaN."""
        return self.mask_iou >= self.required_iou and self.boundary_iou >= self.required_boundary_iou


@dataclass(frozen=True, kw_only=True)
class PhotoJudgement:
    """All stages that were recorded, in order, and all prompts."""

    name: str
    stages: Mapping[Stage, StageJudgement]
    prompts: tuple[PromptJudgement, ...]

    @property
    def first_fault(self) -> Stage | None:
        """The first stage that leaves its bound; masks that differ end to end count as the last one."""
        if (stage := _first_fault(tuple(self.stages.values()))) is not None:
            return stage
        return None if all(prompt.passed for prompt in self.prompts) else Stage.FULL_SIZE_MASK

    @property
    def passed(self) -> bool:
        return self.first_fault is None


def judge_photo(
    reference: Backend, case: PhotoCase, expected: Recording, side: Recording, bounds: Bounds
) -> PhotoJudgement:
    """Judge `side` on `case`; `expected` is `record_photo(reference, case)`, computed once for all sides.

    Raises `InputError` for arrays of other shapes or dtypes, and where the full-size masks are missing.
    """
    check_recording(side, case, reference.contract)
    geometry = Geometry.of(
        (case.pixels.shape[0], case.pixels.shape[1]), reference.contract.image_size, reference.contract.rules
    )
    own = completed(side, expected)
    ideal = ideal_recording(reference, case, expected, own, geometry)
    stages = {
        stage: _judge_photo_stage(stage, ideal, side, reference.contract, geometry, bounds)
        for stage in PHOTO_STAGES
        if stage in side.photo
    }
    judged = [
        _judge_prompt_stages(index, ideal.prompts[index], own.prompts[index], recorded, geometry, bounds)
        for index, recorded in enumerate(side.prompts)
    ]
    for stage in (*PROMPT_STAGES, Stage.BATCH_SCORES):
        found = [stages_of_prompt[stage] for stages_of_prompt in judged if stage in stages_of_prompt]
        if found:
            stages[stage] = min(found, key=margin)
    of_photo = [stages[stage] for stage in PHOTO_STAGES if stage in stages]
    prompts = tuple(
        replace(
            _judge_prompt(index, case, expected, own, geometry, bounds),
            fault=_first_fault([*of_photo, *judged[index].values()]),
        )
        for index in range(len(case.prompts))
    )
    return PhotoJudgement(name=case.name, stages=stages, prompts=prompts)


def _first_fault(stages: Sequence[StageJudgement]) -> Stage | None:
    return next((judged.stage for judged in stages if not judged.passed), None)


def check_recording(side: Recording, case: PhotoCase, contract: Contract) -> None:
    """Raise `InputError` that names the array of `side` whose shape or dtype is not that of the case."""
    masks = contract.rules.num_masks
    expected = stage_arrays(contract, (case.pixels.shape[0], case.pixels.shape[1]))
    if len(side.prompts) != len(case.prompts):
        raise InputError(f"{case.name}: {len(side.prompts)} prompts recorded, {len(case.prompts)} asked")
    for where, arrays in [("", side.photo), *((f" of prompt {i}", a) for i, a in enumerate(side.prompts))]:
        for stage, array in arrays.items():
            shape, dtype = expected[stage]
            if array.shape != shape or array.dtype != dtype:
                raise InputError(
                    f"{case.name}: {stage}{where} is {array.dtype} {array.shape}, "
                    f"must be {np.dtype(dtype)} {shape}"
                )
        if Stage.CHOSEN_MASK in arrays and not 0 <= int(arrays[Stage.CHOSEN_MASK][0]) < masks:
            raise InputError(f"{case.name}: {Stage.CHOSEN_MASK}{where} must be 0 to {masks - 1}")


def completed(side: Recording, expected: Recording) -> Recording:
    """Return `side` with what it did not record filled in from the float model's `expected`."""
    pairs = zip(side.prompts, expected.prompts, strict=True)
    return Recording(
        photo={**expected.photo, **side.photo},
        prompts=tuple({**theirs, **ours} for ours, theirs in pairs),
    )


def ideal_recording(
    reference: Backend, case: PhotoCase, expected: Recording, own: Recording, geometry: Geometry
) -> Recording:
    """Return what the float model makes of the side's own inputs `own`, up to the predicted IoU."""
    own_image, embedding = own.photo[Stage.PREPROCESSED_IMAGE], expected.photo[Stage.EMBEDDING]
    if not np.array_equal(own_image, expected.photo[Stage.PREPROCESSED_IMAGE]):
        embedding = encode_photo(reference, own_image, geometry)
    answers = decode_prompts(
        reference,
        own.photo[Stage.EMBEDDING],
        [prompt[Stage.PACKED_PROMPT] for prompt in own.prompts],
        [prompt.mask_input for prompt in case.prompts],
    )
    prompts = tuple(
        {
            Stage.PACKED_PROMPT: theirs[Stage.PACKED_PROMPT],
            Stage.LOW_RES_LOGITS: logits,
            Stage.PREDICTED_IOU: scores,
        }
        for theirs, (logits, scores) in zip(expected.prompts, answers, strict=True)
    )
    image = expected.photo[Stage.PREPROCESSED_IMAGE]
    return Recording(photo={Stage.PREPROCESSED_IMAGE: image, Stage.EMBEDDING: embedding}, prompts=prompts)


def comparable(stage: Stage, array: NDArray[Any], geometry: Geometry) -> NDArray[Any]:
    """Return what counts of a stage's array: of the image only the photo, of unused slots only the label."""
    if stage is Stage.PREPROCESSED_IMAGE:
        height, width = geometry.valid_size
        return array[:, :height, :width]
    if stage is Stage.PACKED_PROMPT:
        return np.where(array[:, 2:] == Label.UNUSED, np.float32(Label.UNUSED), array)
    return array


def _judge_arrays(
    stage: Stage,
    prompt: int | None,
    ideal: NDArray[Any],
    actual: NDArray[Any],
    geometry: Geometry,
    bounds: Bounds,
) -> StageJudgement:
    ideal, actual = comparable(stage, ideal, geometry), comparable(stage, actual, geometry)
    largest, ratio_db = max_abs_difference(ideal, actual), sqnr_db(ideal, actual)
    figure, limit = {
        Stage.PREPROCESSED_IMAGE: ("sqnr_db", bounds.min_image_sqnr_db),
        Stage.EMBEDDING: ("sqnr_db", bounds.min_embedding_sqnr_db),
        Stage.PACKED_PROMPT: ("max_abs_difference", bounds.max_slot_px),
        Stage.LOW_RES_LOGITS: ("sqnr_db", bounds.min_logits_sqnr_db),
        Stage.PREDICTED_IOU: ("max_abs_difference", bounds.max_score_difference),
        Stage.BATCH_SCORES: ("max_abs_difference", bounds.max_score_difference),
    }[stage]
    value = ratio_db if figure == "sqnr_db" else largest
    return StageJudgement(
        stage=stage,
        max_abs_difference=largest,
        sqnr_db=ratio_db,
        cosine=cosine(ideal, actual),
        figure=figure,
        value=value,
        limit=limit.value,
        passed=value >= limit.value if figure == "sqnr_db" else value <= limit.value,
        reason=limit.reason,
        prompt=prompt,
    )


def _judge_photo_stage(
    stage: Stage,
    ideal: Recording,
    side: Recording,
    contract: Contract,
    geometry: Geometry,
    bounds: Bounds,
) -> StageJudgement:
    """Of several tensors the worst counts: a large one must not hide a small one."""
    pair = ideal.photo[stage], side.photo[stage]
    parts = (
        zip(*(feature_parts(a, contract) for a in pair), strict=True) if stage is Stage.EMBEDDING else [pair]
    )
    judged = [_judge_arrays(stage, None, theirs, ours, geometry, bounds) for theirs, ours in parts]
    return min(judged, key=margin)


def margin(judgement: StageJudgement) -> float:
    """Return how far inside its limit a figure is; NaN counts as farthest outside."""
    if np.isnan(judgement.value):
        return -np.inf
    above = judgement.value - judgement.limit
    return above if judgement.figure == "sqnr_db" else -above


def _judge_prompt_stages(
    index: int,
    ideal: Mapping[Stage, NDArray[Any]],
    own: Mapping[Stage, NDArray[Any]],
    recorded: Mapping[Stage, NDArray[Any]],
    geometry: Geometry,
    bounds: Bounds,
) -> dict[Stage, StageJudgement]:
    judged = {}
    for stage in (Stage.PACKED_PROMPT, Stage.LOW_RES_LOGITS, Stage.PREDICTED_IOU):
        if stage in recorded:
            judged[stage] = _judge_arrays(stage, index, ideal[stage], recorded[stage], geometry, bounds)
    if Stage.BATCH_SCORES in recorded:
        # Against the side's own decoder: the search asks the one which prompts to give to the other.
        pair = own[Stage.PREDICTED_IOU], recorded[Stage.BATCH_SCORES]
        judged[Stage.BATCH_SCORES] = _judge_arrays(Stage.BATCH_SCORES, index, *pair, geometry, bounds)
    if Stage.CHOSEN_MASK in recorded:
        judged[Stage.CHOSEN_MASK] = _judge_choice(index, own, geometry.rules)
    if Stage.FULL_SIZE_MASK in recorded:
        judged[Stage.FULL_SIZE_MASK] = _judge_mask(index, own, geometry, bounds)
    return judged


def _judge_choice(index: int, own: Mapping[Stage, NDArray[Any]], rules: Rules) -> StageJudgement:
    """The shown mask must be the one that the side itself scores highest."""
    chosen = int(own[Stage.CHOSEN_MASK][0])
    scores = selection_scores(own[Stage.LOW_RES_LOGITS], own[Stage.PREDICTED_IOU], rules)
    shortfall = float(np.max(scores) - scores[chosen])
    return StageJudgement(
        stage=Stage.CHOSEN_MASK,
        max_abs_difference=shortfall,
        sqnr_db=np.nan,
        cosine=np.nan,
        figure="max_abs_difference",
        value=shortfall,
        limit=0.0,
        passed=shortfall <= 0,
        reason="the mask with the highest predicted IoU is the one to show; no arithmetic is involved",
        prompt=index,
    )


def _judge_mask(
    index: int, own: Mapping[Stage, NDArray[Any]], geometry: Geometry, bounds: Bounds
) -> StageJudgement:
    """The full-size mask must be the side's own logits, resized, then cut at the threshold."""
    low = own[Stage.LOW_RES_LOGITS][int(own[Stage.CHOSEN_MASK][0])]
    logits = upscale_logits(low[None], geometry)[0]
    ideal, actual = logits > MASK_THRESHOLD, own[Stage.FULL_SIZE_MASK] != 0
    rms = float(np.sqrt(np.mean(np.square(low, dtype=np.float64))))
    wrong = float(np.abs(logits[ideal != actual]).max(initial=0.0)) / rms if rms else np.nan
    limit = bounds.max_wrong_logit
    return StageJudgement(
        stage=Stage.FULL_SIZE_MASK,
        max_abs_difference=float((ideal != actual).any()),
        sqnr_db=sqnr_db(ideal.astype(np.float32), actual.astype(np.float32)),
        cosine=cosine(ideal, actual),
        figure="wrong_logit",
        value=wrong,
        limit=limit.value,
        passed=wrong <= limit.value,
        reason=limit.reason,
        prompt=index,
    )


def _judge_prompt(
    index: int, case: PhotoCase, expected: Recording, own: Recording, geometry: Geometry, bounds: Bounds
) -> PromptJudgement:
    ours, theirs = own.prompts[index], expected.prompts[index]
    chosen, best = int(ours[Stage.CHOSEN_MASK][0]), int(theirs[Stage.CHOSEN_MASK][0])
    low = theirs[Stage.LOW_RES_LOGITS][chosen]
    logits = upscale_logits(low[None], geometry)[0]
    mask, shown = logits > MASK_THRESHOLD, ours[Stage.FULL_SIZE_MASK] != 0
    noise = NOISE_SPREAD * _allowed_noise(bounds) * float(np.sqrt(np.mean(np.square(low, dtype=np.float64))))
    surely, possibly = logits > MASK_THRESHOLD + noise, logits > MASK_THRESHOLD - noise
    certain = mask_iou(surely, possibly)
    ours_iou, theirs_iou = ours[Stage.PREDICTED_IOU], theirs[Stage.PREDICTED_IOU]
    return PromptJudgement(
        index=index,
        kind=case.prompts[index].kind,
        mask_iou=mask_iou(mask, shown),
        boundary_iou=boundary_iou(mask, shown),
        required_iou=min(bounds.min_mask_iou.value, certain),
        required_boundary_iou=min(bounds.min_boundary_iou.value, boundary_iou(surely, possibly)),
        certain_iou=certain,
        chosen=chosen,
        expected=best,
        score=float(ours_iou[chosen]),
        expected_score=float(theirs_iou[chosen]),
        score_difference=max_abs_difference(theirs_iou, ours_iou),
    )


def _allowed_noise(bounds: Bounds) -> float:
    """RMS error of the logits, as a share of their RMS, that the embedding's and the logits' bounds allow."""
    limits = (bounds.min_embedding_sqnr_db.value, bounds.min_logits_sqnr_db.value)
    return float(np.sqrt(sum(10 ** (-limit / 10) for limit in limits)))
