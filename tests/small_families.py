"""Networks of each family's structure that are small enough to convert in seconds."""

from __future__ import annotations

import math
from dataclasses import replace

from tinysam_mobile.contract.rules import Rules
from tinysam_mobile.modeling.config import DecoderConfig, TinySAMConfig, config_named
from tinysam_mobile.modeling.encoders.edgetam import EdgeTAMConfig
from tinysam_mobile.modeling.encoders.efficientvit import EfficientViTConfig
from tinysam_mobile.modeling.encoders.hiera import HieraConfig
from tinysam_mobile.modeling.encoders.plain_vit import PlainViTConfig
from tinysam_mobile.modeling.encoders.repvit import RepViTConfig
from tinysam_mobile.modeling.encoders.resnet import ResNetConfig
from tinysam_mobile.modeling.encoders.sam_vit import SamViTConfig

DECODER = DecoderConfig(dim=64, num_heads=4, mlp_dim=128, iou_head_hidden_dim=64)


ROUNDED_DB = 10 * math.log10(12 * (255 / 8) ** 2 / 100) - 1
"""20 dB of what is rounded to 8 bits: a grid over 8 standard deviations leaves a noise of a twelfth of its
step squared (41 dB), about a hundred roundings of weights, inputs and outputs in a row add up theirs, and
1 dB is for values beyond the grids: the prompts asked are not those that the ranges were chosen on."""


def decoder_of(name: str) -> DecoderConfig:
    """The decoder of a published network in the size of `DECODER`."""
    sizes = {key: getattr(DECODER, key) for key in ("dim", "num_heads", "mlp_dim", "iou_head_hidden_dim")}
    return replace(config_named(name).decoder, **sizes)


def rules_of(name: str) -> Rules:
    return config_named(name).rules


SMALL = {
    config.name: config
    for config in (
        TinySAMConfig(
            name="small-edgesam",
            image_size=128,
            encoder=RepViTConfig(widths=(16, 24, 32, 48), blocks=("10", "-1", "-10", "-1")),
            decoder=DECODER,
            rules=rules_of("edgesam"),
        ),
        TinySAMConfig(
            name="small-repvit-sam",
            image_size=128,
            encoder=RepViTConfig(
                widths=(16, 24, 32, 48),
                blocks=("10", "-1", "-10", "-1"),
                last_stride=1,
                branch_norm=False,
                fuse=False,
            ),
            decoder=DECODER,
        ),
        TinySAMConfig(
            name="small-efficientvit-sam",
            image_size=128,
            encoder=EfficientViTConfig(widths=(16, 16, 32, 64, 64), depths=(1, 1, 1, 1, 1), neck_depth=1),
            decoder=decoder_of("efficientvit-sam-l0"),
            rules=rules_of("efficientvit-sam-l0"),
        ),
        TinySAMConfig(
            name="small-slimsam",
            image_size=128,
            encoder=SamViTConfig(
                embed_dim=24,
                depth=3,
                num_heads=2,
                global_layers=(1,),
                window_size=5,
                inner_dims=(20, 24, 28),
                mlp_dims=(40, 96, 72),
            ),
            decoder=DECODER,
        ),
        TinySAMConfig(
            name="small-efficientsam",
            image_size=128,
            encoder=PlainViTConfig(embed_dim=32, depth=2, num_heads=2, position_grid=5),
            decoder=decoder_of("efficientsam-ti"),
            rules=rules_of("efficientsam-ti"),
        ),
        TinySAMConfig(
            name="small-sam2",
            image_size=128,
            encoder=HieraConfig(
                embed_dim=16,
                depths=(1, 2, 3, 1),
                window_sizes=(8, 4, 6, 3),
                global_blocks=(4,),
                position_grid=3,
            ),
            decoder=decoder_of("sam2-hiera-tiny"),
            rules=rules_of("sam2-hiera-tiny"),
        ),
        TinySAMConfig(
            name="small-edgetam",
            image_size=128,
            encoder=EdgeTAMConfig(widths=(16, 24, 32, 48), depths=(1, 1, 2, 1)),
            decoder=decoder_of("edgetam"),
            rules=rules_of("edgetam"),
        ),
        TinySAMConfig(
            name="small-nanosam",
            image_size=128,
            encoder=ResNetConfig(widths=(8, 16, 24, 32), depths=(1, 1, 1, 1)),
            decoder=decoder_of("nanosam"),
            rules=rules_of("nanosam"),
        ),
    )
}
"""One of each family."""

PUBLISHED = {
    "small-edgesam": "edgesam",
    "small-repvit-sam": "repvit-sam",
    "small-efficientvit-sam": "efficientvit-sam-l0",
    "small-slimsam": "slimsam-77",
    "small-efficientsam": "efficientsam-ti",
    "small-sam2": "sam2-hiera-tiny",
    "small-edgetam": "edgetam",
    "small-nanosam": "nanosam",
}
"""The published network of whose structure each one is."""


def with_published_decoder(config: TinySAMConfig) -> TinySAMConfig:
    """`config` with a decoder as wide as the published one, four times its own."""
    decoder = config_named(PUBLISHED[config.name]).decoder
    return replace(config, decoder=replace(decoder, single_mask=config.decoder.single_mask))
