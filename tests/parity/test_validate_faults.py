"""The table of seeded faults: an undamaged bundle passes, each fault is named with its stage and cause.

The faults are made here with torch and edited files, never with the diagnoser's own transforms; an app's
mistakes are in test_app_mistakes.py.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from tests.small_model import (
    BATCH,
    CHECKPOINT,
    cases,
    contract,
    damage_weights,
    module_of,
    reference,
    rehash,
)
from tinysam_mobile.artifacts.coreml_sdk import import_coremltools, quiet
from tinysam_mobile.bundle.folder import Bundle
from tinysam_mobile.contract.spec import PIXEL_MEAN, PIXEL_STD
from tinysam_mobile.converters.options import ConversionOptions
from tinysam_mobile.converters.pipeline import convert_checkpoint
from tinysam_mobile.modeling.entry_points import example_inputs
from tinysam_mobile.parity.bounds import bounds_for
from tinysam_mobile.parity.hand_converted import EntryMapping, HandConverted, open_hand_converted
from tinysam_mobile.parity.report_data import ParityReport, report_data
from tinysam_mobile.parity.sides import SideResult
from tinysam_mobile.parity.stages import Stage
from tinysam_mobile.parity.validation import HostSide, bundle_sides, judge_sides

Array = NDArray[Any]
Change = Callable[[Array], Array]
ENCODER = "image_encoder"
DECODER = "model.mask_decoder"


@pytest.fixture(scope="module")
def bundle(tmp_path_factory: pytest.TempPathFactory) -> Bundle:
    """All three formats of the small network, undamaged."""
    folder = tmp_path_factory.mktemp("undamaged") / "bundle"
    return convert_checkpoint(CHECKPOINT, folder, ConversionOptions(batch=BATCH))


def judged(bundle: Bundle, *runtimes: str) -> list[SideResult]:
    return judge_sides(reference(), bundle_sides(bundle, runtimes=runtimes, num_threads=1), cases())


def test_an_undamaged_bundle_passes_twice_with_the_same_report(bundle: Bundle) -> None:
    # All but how long it took.
    first, second = ([replace(side, latency_ms={}) for side in judged(bundle)] for _ in range(2))
    assert [side.name for side in first] == ["coreml fp32", "tflite fp32", "executorch fp32"]
    assert {side.answer for side in first} == {"PASSED"}
    assert all(len(side.stages) == len(Stage) - 1 for side in first)
    data = [
        report_data(ParityReport(title="", reference={}, settings={}, environment={}, sides=tuple(sides)))
        for sides in (first, second)
    ]
    assert data[0] == data[1]


# Damage to weight files.


def scrambled(values: Array) -> Array:
    return np.random.default_rng(0).permutation(values.ravel()).reshape(values.shape)


def zeroed(values: Array) -> Array:
    return np.zeros_like(values)


def flipped(values: Array) -> Array:
    return -values


def swapped_channels(values: Array) -> Array:
    values[[0, 1]] = values[[1, 0]]
    return values


def wrong_scale(values: Array) -> Array:
    return values * 1.1


def one_off(values: Array) -> Array:
    return np.roll(values, 1, axis=0)


def fp16_overflow(values: Array) -> Array:
    with np.errstate(over="ignore"):
        values.flat[0] = np.float16(7e4)
    return values


def four_bits(values: Array) -> Array:
    scale = np.abs(values).max() / 7
    return np.round(values / scale) * scale


def one_bit(values: Array) -> Array:
    """The highest exponent bit of one value turned over, as a bad download does."""
    values.view(np.uint32).flat[3] ^= 1 << 30
    return values


WEIGHT_DAMAGE = [
    ("tflite", "encode", f"{ENCODER}.layers.1.blocks.0.mlp.fc1.weight", scrambled, Stage.EMBEDDING),
    ("coreml", "encode", f"{ENCODER}.layers.3.blocks.0.attn.qkv.weight", scrambled, Stage.EMBEDDING),
    ("executorch", "encode", f"{ENCODER}.layers.2.blocks.0.mlp.fc2.weight", zeroed, Stage.EMBEDDING),
    ("coreml", "encode", f"{ENCODER}.neck.1.weight", wrong_scale, Stage.EMBEDDING),
    ("tflite", "encode", f"{ENCODER}.neck.3.weight", swapped_channels, Stage.EMBEDDING),
    ("executorch", "encode", f"{ENCODER}.layers.1.downsample.conv1.bias", one_off, Stage.EMBEDDING),
    ("tflite", "encode", f"{ENCODER}.layers.3.blocks.0.mlp.fc2.weight", one_bit, Stage.EMBEDDING),
    ("coreml", "decode", f"{DECODER}.transformer.layers.0.norm3.bias", fp16_overflow, Stage.LOW_RES_LOGITS),
    (
        "executorch",
        "decode",
        f"{DECODER}.output_hypernetworks_mlps.2.layers.1.weight",
        flipped,
        Stage.LOW_RES_LOGITS,
    ),
    (
        "tflite",
        "decode",
        f"{DECODER}.output_hypernetworks_mlps.1.layers.2.weight",
        four_bits,
        Stage.LOW_RES_LOGITS,
    ),
    (
        "tflite",
        "decode",
        "model.prompt_encoder.mask_downscaling.6.bias",
        wrong_scale,
        Stage.LOW_RES_LOGITS,
    ),
    ("coreml", "decode", f"{DECODER}.iou_prediction_head.layers.2.weight", scrambled, Stage.PREDICTED_IOU),
    ("executorch", "decode", f"{DECODER}.iou_prediction_head.layers.0.bias", zeroed, Stage.PREDICTED_IOU),
]


@pytest.mark.filterwarnings("ignore:.*encountered in:RuntimeWarning")
@pytest.mark.parametrize(
    ("runtime", "entry_point", "key", "change", "stage"),
    WEIGHT_DAMAGE,
    ids=[f"{d[0]}-{d[3].__name__}-{d[2].removeprefix('model.')}" for d in WEIGHT_DAMAGE],
)
def test_damaged_weights_are_named_by_stage_without_a_cause(
    bundle: Bundle, tmp_path: Path, runtime: str, entry_point: str, key: str, change: Change, stage: Stage
) -> None:
    damaged = damage_weights(bundle, tmp_path / "damaged", runtime, entry_point, key, change)
    (side,) = judged(damaged, runtime)
    assert side.answer == f"FAILED at {stage}: no known cause"


def test_a_file_that_does_not_load_is_an_answer_too(bundle: Bundle, tmp_path: Path) -> None:
    damaged = damage_weights(
        bundle, tmp_path / "damaged", "tflite", "encode", f"{ENCODER}.neck.3.weight", zeroed
    )
    path = damaged.folder / damaged.artifacts("tflite")[0].path
    path.write_bytes(path.read_bytes()[:1000])
    rehash(damaged.folder)
    sides = judged(Bundle.open(damaged.folder), "tflite", "coreml")
    assert [side.verdict for side in sides] == ["FAILED", "PASSED"]
    assert str(path) in str(sides[0].error)


# Graphs that were exported with a mistake in them, by plain calls of coremltools.


class EncoderWithMistake(nn.Module):
    """The encoder as someone else might export it."""

    def __init__(self, mistake: str) -> None:
        super().__init__()
        self.mistake = mistake
        self.image_encoder = module_of("encode").image_encoder
        self.mean = nn.Parameter(torch.tensor(PIXEL_MEAN).view(1, 3, 1, 1), requires_grad=False)
        self.std = nn.Parameter(torch.tensor(PIXEL_STD).view(1, 3, 1, 1), requires_grad=False)
        size = contract().image_size
        self.lines = nn.Parameter(torch.arange(size, dtype=torch.float32), requires_grad=False)

    def forward(self, image: Tensor, valid_size: Tensor) -> Tensor:
        if self.mistake == "BGR":
            image = torch.cat([image[:, 2:], image[:, 1:2], image[:, :1]], dim=1)
        if self.mistake == "0-1 against 0-255":
            image = image / 255
        if self.mistake != "missing mean/std":
            image = (image - self.mean) / self.std
        height, width = valid_size.to(torch.float32).split(1)
        rows, columns = (self.lines < height).float(), (self.lines < width).float()
        inside = rows.view(1, 1, -1, 1) * columns.view(1, 1, 1, -1)
        if self.mistake == "no padding":
            inside = torch.clamp(inside, min=1)
        out: Tensor = self.image_encoder(image * inside)
        return out


class DecoderWithMistake(nn.Module):
    def __init__(self, mistake: str) -> None:
        super().__init__()
        self.mistake = mistake
        self.decoder = module_of("decode")

    def forward(
        self, embeddings: Tensor, coords: Tensor, labels: Tensor, mask: Tensor, has_mask: Tensor
    ) -> tuple[Tensor, Tensor]:
        if self.mistake == "x/y swapped":
            coords = torch.cat([coords[..., 1:], coords[..., :1]], dim=-1)
        if self.mistake == "labels off by one":
            labels = labels + 1
        masks, iou = self.decoder(embeddings, coords, labels, mask, has_mask)
        return (torch.sigmoid(masks) if self.mistake == "sigmoid twice" else masks), iou


def by_coremltools(module: nn.Module, entry_point: str, path: Path) -> EntryMapping:
    ct = import_coremltools()
    signature = contract().signatures[entry_point]
    with quiet():
        program = torch.export.export(module.eval(), example_inputs(signature)).run_decompositions({})
        package = ct.convert(
            program,
            minimum_deployment_target=ct.target.iOS17,
            compute_precision=ct.precision.FLOAT32,
            skip_model_load=True,
        )
    package.save(str(path))
    description = package.get_spec().description
    ours = [spec.name for spec in signature.inputs], [spec.name for spec in signature.outputs]
    theirs = [one.name for one in description.input], [one.name for one in description.output]
    return EntryMapping(
        file=path,
        function="main",
        inputs=dict(zip(ours[0], theirs[0], strict=True)),
        outputs=dict(zip(ours[1], theirs[1], strict=True)),
        image_values="0-255",
    )


@pytest.fixture(scope="module")
def good_export(tmp_path_factory: pytest.TempPathFactory) -> Mapping[str, EntryMapping]:
    folder = tmp_path_factory.mktemp("by_hand")
    return {
        name: by_coremltools(module_of(name), name, folder / f"{name}.mlpackage")
        for name in ("encode", "decode")
    }


def judged_by_hand(entries: Mapping[str, EntryMapping]) -> SideResult:
    mapping = HandConverted(runtime="coreml", recipe="fp32", slots=contract().slots, entry_points=entries)
    known = SideResult(name="by hand", runtime="coreml", recipe="fp32", bounds=bounds_for("coreml", "fp32"))
    side = HostSide(known=known, open=lambda: open_hand_converted(mapping, contract(), num_threads=1))
    (result,) = judge_sides(reference(), [side], cases())
    return result


def test_an_export_by_hand_passes(good_export: Mapping[str, EntryMapping]) -> None:
    assert judged_by_hand(good_export).answer == "PASSED"


@pytest.mark.parametrize("mistake", ["BGR", "0-1 against 0-255", "missing mean/std", "no padding"])
def test_an_encoder_exported_with_a_mistake(
    good_export: Mapping[str, EntryMapping], tmp_path: Path, mistake: str
) -> None:
    encode = by_coremltools(EncoderWithMistake(mistake), "encode", tmp_path / "encode.mlpackage")
    side = judged_by_hand({**good_export, "encode": encode})
    assert side.first_fault is Stage.EMBEDDING
    assert side.explanation is not None
    assert side.explanation.cause == mistake


@pytest.mark.parametrize(
    ("mistake", "known"), [("x/y swapped", True), ("sigmoid twice", True), ("labels off by one", False)]
)
def test_a_decoder_exported_with_a_mistake(
    good_export: Mapping[str, EntryMapping], tmp_path: Path, mistake: str, known: bool
) -> None:
    decode = by_coremltools(DecoderWithMistake(mistake), "decode", tmp_path / "decode.mlpackage")
    side = judged_by_hand({**good_export, "decode": decode})
    assert side.first_fault is Stage.LOW_RES_LOGITS
    assert (side.explanation.cause if side.explanation else None) == (mistake if known else None)
