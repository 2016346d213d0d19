"""Families of models: what is published about each, and which configuration a file of weights has.

A family is a record: its networks, licence, figures with their sources, and its thresholds of everything
mode.  Nothing else in the package asks for a family by name.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor

from tinysam_mobile.contract.everything_settings import everything_settings
from tinysam_mobile.modeling.config import CONFIGS, TinySAMConfig
from tinysam_mobile.modeling.encoders.kind import EncoderKind, State
from tinysam_mobile.modeling.encoders.registry import ENCODERS, kind_of
from tinysam_mobile.modeling.sam import TinySAM
from tinysam_mobile.modeling.weights_file import listing

__all__ = ["FAMILIES", "Family", "Match", "family_of", "match_state", "state_dict_problems"]


MASK_KERNELS = r".*\.output_hypernetworks_mlps\.\d\.layers\.2"
"""Layers whose outputs the pixels are multiplied with."""
MASK_PROMPTS = r".*\.mask_downscaling\..*"
"""Layers that read a mask prompt, which may be any mask."""
FLOAT_LAYERS = (MASK_KERNELS, MASK_PROMPTS)
"""Integers of these are clipped at what calibration saw, which cost masks of other prompts 9 dB and more
(docs/quantization.md); they are 0.1 MB and 2 % of the decoder's multiplications."""


@dataclass(frozen=True, kw_only=True)
class Family:
    """`configs` are names in `CONFIGS`; `figures` are sentences by configuration, with their source.

    `licence` is that of the published weights, `restriction` what it forbids, if anything.  `float_layers`
    are the layers, by regular expressions of their names, that static recipes keep in float.
    """

    name: str
    title: str
    kind: EncoderKind
    configs: tuple[str, ...]
    licence: str
    source: str
    restriction: str = ""
    figures: Mapping[str, str] = field(default_factory=dict)
    thresholds: Mapping[str, float] = field(default_factory=dict)
    float_layers: tuple[str, ...] = FLOAT_LAYERS

    @property
    def everything(self) -> dict[str, Any]:
        """Settings of everything mode, for `EverythingConfig(**family.everything)`."""
        return everything_settings(dict(self.thresholds))


FAMILIES: dict[str, Family] = {
    family.name: family
    for family in (
        Family(
            name="tinysam",
            title="TinySAM, MobileSAM",
            kind=ENCODERS["tiny_vit"],
            configs=("tinysam", "tinysam-nano", "tiny-test"),
            licence="Apache-2.0",
            source="arXiv 2312.13789, arXiv 2306.14289",
            figures={
                "tinysam": "COCO AP 42.3 (TinySAM) or 41.0 (MobileSAM) with ViTDet-H's boxes, 42.0 GMACs "
                "(arXiv 2312.13789, Table 1)"
            },
        ),
        Family(
            name="sam",
            title="Segment Anything",
            kind=ENCODERS["sam_vit"],
            configs=("sam-vit-b", "sam-vit-l", "sam-vit-h"),
            licence="Apache-2.0",
            source="arXiv 2304.02643",
            figures={
                "sam-vit-b": "COCO AP 43.4 with ViTDet-H's boxes, 487 GMACs (arXiv 2312.13789, Table 1)",
                "sam-vit-l": "COCO AP 46.2 with ViTDet-H's boxes, 1491 GMACs (arXiv 2312.13789, Table 1)",
                "sam-vit-h": "COCO AP 46.6 with ViTDet-H's boxes, 2976 GMACs (arXiv 2312.13789, Table 1)",
            },
        ),
        Family(
            name="slimsam",
            title="SlimSAM",
            kind=ENCODERS["sam_vit"],
            configs=("slimsam-50", "slimsam-77", "sam-vit-pruned"),
            licence="Apache-2.0",
            source="arXiv 2312.05284",
            figures={
                "slimsam-50": "26 M parameters, 98 GMACs without attention products, SA-1B one-point mIoU "
                "72.33 % (paper, global pruning)",
                "slimsam-77": "9.1 M parameters, 23 GMACs without attention products, SA-1B one-point mIoU "
                "67.40 % (paper, global pruning); COCO AP 41.3 (arXiv 2312.13789)",
            },
        ),
        Family(
            name="edgesam",
            title="EdgeSAM",
            kind=ENCODERS["repvit"],
            configs=("edgesam",),
            licence="S-Lab-1.0",
            restriction="non-commercial use only (S-Lab License 1.0, code and weights)",
            source="arXiv 2312.06660",
            figures={
                "edgesam": "COCO AP 42.2 (3x: 42.7) with ViTDet-H's boxes, 9.6 M parameters, 22.1 GMACs, "
                "38.7 images a second on iPhone 14 with one prompt (README)"
            },
        ),
        Family(
            name="repvit-sam",
            title="RepViT-SAM",
            kind=ENCODERS["repvit"],
            configs=("repvit-sam",),
            licence="Apache-2.0",
            source="arXiv 2312.05760",
            figures={
                "repvit-sam": "COCO AP 44.4, encoder 48.9 ms on iPhone 12 and 44.8 ms on MacBook M1 Pro, "
                "decoder 11.6 ms (README)"
            },
        ),
        Family(
            name="efficientvit-sam",
            title="EfficientViT-SAM",
            kind=ENCODERS["efficientvit"],
            configs=tuple(f"efficientvit-sam-{size}" for size in ("l0", "l1", "l2", "xl0", "xl1")),
            licence="Apache-2.0",
            source="arXiv 2402.05008",
            figures={
                f"efficientvit-sam-{size}": f"COCO AP {ap} with ViTDet's boxes, {parameters} M parameters, "
                f"{macs} GMACs (README)"
                for size, ap, parameters, macs in (
                    ("l0", 45.7, 34.8, 35),
                    ("l1", 46.2, 47.7, 49),
                    ("l2", 46.6, 61.3, 69),
                    ("xl0", 47.5, 117.0, 185),
                    ("xl1", 47.8, 203.3, 322),
                )
            },
            thresholds={"pred_iou_thresh": 0.8, "stability_score_thresh": 0.85},
        ),
        Family(
            name="efficientsam",
            title="EfficientSAM",
            kind=ENCODERS["plain_vit"],
            configs=("efficientsam-ti", "efficientsam-s"),
            licence="Apache-2.0",
            source="arXiv 2312.00863",
            figures={
                "efficientsam-ti": "COCO AP 42.3 with ViTDet-H's boxes, 10 M parameters, 54 images a second "
                "on an A100 (paper, Tables 5 and 8); 106 GMACs (arXiv 2312.13789)",
                "efficientsam-s": "COCO AP 44.4 with ViTDet-H's boxes, 25 M parameters, 47 images a second "
                "on an A100 (paper, Tables 5 and 8)",
            },
            thresholds={"pred_iou_thresh": 0.7, "stability_score_thresh": 0.9},
            float_layers=(MASK_KERNELS,),  # it takes no mask prompts
        ),
        Family(
            name="sam2",
            title="SAM 2, SAM 2.1 (images)",
            kind=ENCODERS["hiera"],
            configs=tuple(f"sam2-hiera-{size}" for size in ("tiny", "small", "base-plus", "large")),
            licence="Apache-2.0",
            source="arXiv 2408.00714",
            figures={
                "sam2-hiera-tiny": "38.9 M parameters with the parts for videos (README); no image figure",
                "sam2-hiera-small": "46 M parameters with the parts for videos (README); no image figure",
                "sam2-hiera-base-plus": "SA-23 one-click mIoU 61.4 (SAM 2), 61.9 (SAM 2.1); 80.8 M "
                "parameters with the parts for videos (README)",
                "sam2-hiera-large": "224.4 M parameters with the parts for videos (README)",
            },
            thresholds={"pred_iou_thresh": 0.8},
            # What costs the finest maps their digits (docs/quantization.md): 7 % of the multiplications.
            float_layers=(
                MASK_PROMPTS,
                r"image_encoder\.trunk\.patch_embed\.proj",
                r"image_encoder\.trunk\.blocks\.0\..*",
                r"image_encoder\.neck\.convs\.3\..*",
                r".*\.output_hypernetworks_mlps\..*",
            ),
        ),
        Family(
            name="edgetam",
            title="EdgeTAM (images)",
            kind=ENCODERS["edgetam"],
            configs=("edgetam",),
            licence="Apache-2.0",
            source="arXiv 2501.07256",
            figures={
                "edgetam": "SA-23 one-click mIoU 55.5, 13.9 M parameters with the parts for videos, 40.4 "
                "images a second on iPhone 15 Pro Max (README)"
            },
            thresholds={"pred_iou_thresh": 0.8},
        ),
        Family(
            name="nanosam",
            title="NanoSAM",
            kind=ENCODERS["resnet"],
            configs=("nanosam",),
            licence="Apache-2.0",
            source="github.com/NVIDIA-AI-IOT/nanosam",
            figures={
                "nanosam": "COCO val 2017 mIoU 0.706 with ground-truth boxes, encoder 4.2 ms on Jetson AGX "
                "Orin (README); no phone figures"
            },
        ),
    )
}
"""Name → record."""


def family_of(config: TinySAMConfig) -> Family:
    """Return the family of a configuration; one with a name of its own belongs to the first of its kind."""
    kind = kind_of(config.encoder)
    return next(
        (family for family in FAMILIES.values() if config.name in family.configs),
        next((family for family in FAMILIES.values() if family.kind is kind), _unnamed(kind)),
    )


def _unnamed(kind: EncoderKind) -> Family:
    return Family(
        name=kind.name,
        title=kind.name,
        kind=kind,
        configs=(),
        licence="unknown",
        source="no family is recorded",
    )


@dataclass(frozen=True, kw_only=True)
class Match:
    """The configuration that comes nearest to a file, its weights under our keys, and what does not fit."""

    config: TinySAMConfig
    state: Mapping[str, Tensor]
    problems: str


def match_state(state: State, config: TinySAMConfig | None = None) -> Match:
    """Find the configuration whose keys and shapes `state` has or is nearest to; `config` if it is known."""
    if config is not None:
        return _compared(kind_of(config.encoder).rename(state), config)[1]
    renamed = [(kind, kind.rename(state)) for kind in ENCODERS.values()]
    # Each candidate costs a whole state dict, so kinds whose mark is missing are asked only if all are.
    marked = [(kind, own) for kind, own in renamed if kind.mark in own] or renamed
    found = [_compared(own, candidate) for kind, own in marked for candidate in _candidates(kind, own)]
    return max(found, key=lambda item: (not item[1].problems, item[0]))[1]


def _candidates(kind: EncoderKind, state: State) -> Iterator[TinySAMConfig]:
    known = [config for config in CONFIGS.values() if kind_of(config.encoder) is kind]
    read = kind.read(state) if kind.read else None
    if read is None or any((read.encoder, read.image_size) == (c.encoder, c.image_size) for c in known):
        yield from known
        return
    yield TinySAMConfig(name=read.name, image_size=read.image_size, encoder=read.encoder)


def _compared(state: Mapping[str, Tensor], config: TinySAMConfig) -> tuple[int, Match]:
    with torch.device("meta"):
        expected = TinySAM(config).state_dict()
    agreeing = sum(key in state and state[key].shape == value.shape for key, value in expected.items())
    return agreeing, Match(config=config, state=state, problems=state_dict_problems(state, expected))


def state_dict_problems(state: Mapping[str, Tensor], expected: Mapping[str, Tensor]) -> str:
    """Name the missing, unexpected and misshapen keys of `state`, or return '' if it fits."""
    wrong = [
        f"{key} is {tuple(state[key].shape)} instead of {tuple(expected[key].shape)}"
        for key in expected
        if key in state and state[key].shape != expected[key].shape
    ]
    groups = {
        "missing": [key for key in expected if key not in state],
        "unexpected": [key for key in state if key not in expected],
        "misshapen": wrong,
    }
    return "; ".join(f"{len(keys)} {kind}: {listing(keys)}" for kind, keys in groups.items() if keys)
