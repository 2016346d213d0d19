"""The shape of a network as data: one frozen dataclass per part, and the named configurations.

Everything that a state dict cannot say (image size, strides, window sizes, head counts) is a field;
nothing is inferred from widths.  `TINYSAM` is the published network (arXiv 2312.13789), whose keys and
shapes are those of `tinysam_42.3.pth` and `mobile_sam.pt`.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass, field, replace
from typing import Any

from tinysam_mobile.contract.rules import (
    SAM_RULES,
    Filter,
    PadPoint,
    PointScale,
    Resize,
    Rounding,
    Rules,
    Selection,
    Upscale,
)
from tinysam_mobile.errors import InputError, UnknownNameError, UsageError
from tinysam_mobile.modeling.config_limits import MAX_IMAGE_SIZE, checked_name, read_part
from tinysam_mobile.modeling.encoders.edgetam import EdgeTAMConfig
from tinysam_mobile.modeling.encoders.efficientvit import EfficientViTConfig
from tinysam_mobile.modeling.encoders.hiera import HieraConfig
from tinysam_mobile.modeling.encoders.kind import EncoderConfig
from tinysam_mobile.modeling.encoders.plain_vit import PlainViTConfig
from tinysam_mobile.modeling.encoders.registry import ENCODERS, kind_of
from tinysam_mobile.modeling.encoders.repvit import RepViTConfig
from tinysam_mobile.modeling.encoders.resnet import ResNetConfig
from tinysam_mobile.modeling.encoders.sam_vit import SamViTConfig
from tinysam_mobile.modeling.encoders.tiny_vit import TinyViTConfig

__all__ = [
    "CONFIGS",
    "TINYSAM",
    "TINYSAM_NANO",
    "DecoderConfig",
    "TinySAMConfig",
    "config_from_dict",
    "config_named",
]

MASK_UPSCALE = 4
"""Low-resolution masks have four times the embedding's height and width (SAM, appendix A)."""


@dataclass(frozen=True, kw_only=True)
class DecoderConfig:
    """SAM's prompt encoder and mask decoder (arXiv 2304.02643, appendix A).

    Masks come from the tokens `first_mask` to `num_multimask_outputs`, or with `single_mask` from token 0
    alone, which is trained for one mask of an unambiguous prompt.
    `norm_epsilon` is that of the transformer's layer norms.

    The other flags are EfficientSAM's differences (arXiv 2312.00863): `activation` of all its MLPs; with
    `self_attention_keeps_tokens` the first self-attention has a residual, and the later ones take query, key,
    value and residual from tokens with their positions; with `upscale_norm_over_all` the norm between the
    upscaling layers spans channels and positions; with `pad_has_position` a token of label −1 keeps its
    position; without `mask_prompts` there are no mask prompts and nothing stands for their absence.

    SAM 2's differences (arXiv 2408.00714): an `object_token` before the others, whose score says if there is
    an object; a sigmoid behind the predicted IoU (`iou_sigmoid`); two maps of the encoder that are added to
    the upscaled image (`skips`); mask prompts whose logits go no further from 0 than `mask_limit`, if that is
    above 0; with `stable_single_mask` the one mask of a `single_mask` decoder is token 0's only if it is
    stable (`single_mask.StableOrBest`).
    """

    dim: int = 256
    depth: int = 2
    num_heads: int = 8
    mlp_dim: int = 2048
    attention_downsample_rate: int = 2
    num_multimask_outputs: int = 3
    first_mask: int = 1
    single_mask: bool = False
    iou_head_depth: int = 3
    iou_head_hidden_dim: int = 256
    mask_in_channels: int = 16
    norm_epsilon: float = 1e-5
    activation: str = "relu"
    self_attention_keeps_tokens: bool = False
    upscale_norm_over_all: bool = False
    pad_has_position: bool = False
    mask_prompts: bool = True
    object_token: bool = False
    iou_sigmoid: bool = False
    skips: bool = False
    mask_limit: int = 0
    stable_single_mask: bool = False

    @property
    def num_masks(self) -> int:
        """Masks that a prompt gets."""
        return len(self.mask_range)

    @property
    def mask_range(self) -> range:
        """The mask tokens whose masks are made."""
        return range(1) if self.single_mask else range(self.first_mask, self.num_multimask_outputs + 1)

    def __post_init__(self) -> None:
        if self.dim % 8 or self.dim % (self.num_heads * self.attention_downsample_rate):
            raise UsageError(
                f"DecoderConfig: dim {self.dim} must be a multiple of 8 and of num_heads x downsample rate"
            )


@dataclass(frozen=True, kw_only=True)
class TinySAMConfig:
    """A whole model; `image_size` S is the side of the square input in pixels."""

    name: str
    image_size: int
    encoder: EncoderConfig = field(default_factory=TinyViTConfig)
    decoder: DecoderConfig = field(default_factory=DecoderConfig)
    rules: Rules = SAM_RULES

    def __post_init__(self) -> None:
        size = self.image_size
        if type(size) is not int or not 64 <= size <= MAX_IMAGE_SIZE or size % 64:
            raise UsageError(
                f"image_size must be a multiple of 64 from 64 to {MAX_IMAGE_SIZE}, not {str(size)[:20]}"
            )
        if self.decoder.mask_prompts != self.rules.mask_prompts:
            raise UsageError(f"{self.name}: the decoder and the rules differ in mask_prompts")
        if self.decoder.num_masks != self.rules.num_masks:
            raise UsageError(
                f"{self.name}: the decoder makes {self.decoder.num_masks} masks, not {self.rules.num_masks}"
            )

    @property
    def grid_size(self) -> int:
        """Side of the image embedding in cells."""
        return self.image_size // self.encoder.stride

    @property
    def frame_size(self) -> int:
        """Side F of the frame in which prompts and full masks live, in pixels."""
        return self.image_size * self.rules.frame_scale

    @property
    def mask_size(self) -> int:
        """Side of the low-resolution masks and of the mask prompt in pixels."""
        return MASK_UPSCALE * self.grid_size

    def at_image_size(self, image_size: int) -> TinySAMConfig:
        """Return the same network for another input size; the weights fit both."""
        return replace(self, image_size=image_size)

    def with_single_mask(self) -> TinySAMConfig:
        """Return the same network with the one mask of token 0; the weights fit both."""
        decoder, rules = replace(self.decoder, single_mask=True), replace(self.rules, num_masks=1)
        return replace(self, decoder=decoder, rules=rules)

    def to_dict(self) -> dict[str, Any]:
        """Return plain JSON data, the inverse of `config_from_dict`."""
        encoder = {"kind": kind_of(self.encoder).name, **_plain(self.encoder)}
        parts = {"encoder": encoder, "decoder": _plain(self.decoder), "rules": self.rules.to_json()}
        return {"name": self.name, "image_size": self.image_size, **parts}


def _plain(part: Any) -> dict[str, Any]:
    values: dict[str, Any] = asdict(part)
    return values


TINYSAM = TinySAMConfig(name="tinysam", image_size=1024, encoder=TinyViTConfig(classifier_classes=1000))
"""The published network: TinyViT-5M and SAM's decoder, 10.1 M parameters, 1024 px."""
TINYSAM_NANO = TinySAMConfig(
    name="tinysam-nano",
    image_size=512,
    # Windows of 8 and 16 divide the 64 and 32 cells of a 512 input, so no window is padded.
    encoder=TinyViTConfig(
        embed_dims=(32, 64, 128, 160),
        depths=(1, 2, 4, 2),
        num_heads=(1, 2, 4, 5),
        window_sizes=(8, 8, 16, 8),
        mlp_ratio=3.0,
    ),
    decoder=DecoderConfig(dim=128, num_heads=4, mlp_dim=512, iou_head_hidden_dim=128),
)
"""The shipped network: 2.3 M parameters, the same structure and keys, narrower."""
SAM_VIT_B = TinySAMConfig(name="sam-vit-b", image_size=1024, encoder=SamViTConfig())
SAM_VIT_L = TinySAMConfig(
    name="sam-vit-l",
    image_size=1024,
    encoder=SamViTConfig(embed_dim=1024, depth=24, num_heads=16, global_layers=(5, 11, 17, 23)),
)
SAM_VIT_H = TinySAMConfig(
    name="sam-vit-h",
    image_size=1024,
    encoder=SamViTConfig(embed_dim=1280, depth=32, num_heads=16, global_layers=(7, 15, 23, 31)),
)
SLIMSAM_50 = TinySAMConfig(name="slimsam-50", image_size=1024, encoder=SamViTConfig(embed_dim=384))
SLIMSAM_77 = TinySAMConfig(
    name="slimsam-77", image_size=1024, encoder=SamViTConfig(embed_dim=168, mlp_dims=12 * (696,))
)
EDGESAM = TinySAMConfig(
    name="edgesam",
    image_size=1024,
    encoder=RepViTConfig(),
    # Its authors call the predicted IoU unreliable, since that head was not distilled (README).
    rules=Rules(selection=Selection.STABILITY),
)
REPVIT_SAM = TinySAMConfig(
    name="repvit-sam",
    image_size=1024,
    encoder=RepViTConfig(
        widths=(80, 160, 320, 640),
        blocks=("1010100", "-1010100", "-" + 17 * "10" + "0", "-10"),
        last_stride=1,
        branch_norm=False,
        fuse=False,
    ),
)
EFFICIENTVIT_DECODER = DecoderConfig(norm_epsilon=1e-6)
EFFICIENTVIT_L_RULES = Rules(frame_scale=2)
"""The L models see 512 pixels; their prompts and masks live in a frame of 1024."""
EFFICIENTVIT_XL = EfficientViTConfig(
    widths=(32, 64, 128, 256, 512, 1024),
    depths=(0, 1, 1, 2, 3, 3),
    blocks=("residual", "fused", "fused", "fused", "attention", "attention"),
    expansions=(1, 4, 4, 4, 4, 6),
    aggregation_kernel=3,
    neck_depth=6,
    neck_expansion=4,
)
EFFICIENTVIT_SAM = {
    "l0": EfficientViTConfig(),
    "l1": EfficientViTConfig(depths=(1, 1, 1, 6, 6), neck_depth=8),
    "l2": EfficientViTConfig(depths=(1, 2, 2, 8, 8), neck_depth=12),
    "xl0": EFFICIENTVIT_XL,
    "xl1": replace(EFFICIENTVIT_XL, depths=(1, 2, 2, 4, 6, 6), neck_depth=12),
}
EFFICIENTVIT_SAMS = tuple(
    TinySAMConfig(
        name=f"efficientvit-sam-{size}",
        image_size=1024 if size.startswith("x") else 512,
        encoder=encoder,
        decoder=EFFICIENTVIT_DECODER,
        rules=SAM_RULES if size.startswith("x") else EFFICIENTVIT_L_RULES,
    )
    for size, encoder in EFFICIENTVIT_SAM.items()
)
NANOSAM = TinySAMConfig(
    name="nanosam",
    image_size=1024,
    encoder=ResNetConfig(),
    decoder=DecoderConfig(first_mask=0),
    rules=Rules(
        rounding=Rounding.DOWN,
        filter=Filter.BICUBIC,
        point_scale=PointScale.UNIFORM,
        pad_point=PadPoint.NEVER,
        num_masks=4,
        upscale=Upscale.AT_ONCE,
    ),
)
EFFICIENTSAM_DECODER = DecoderConfig(
    activation="gelu",
    self_attention_keeps_tokens=True,
    upscale_norm_over_all=True,
    pad_has_position=True,
    mask_prompts=False,
)
EFFICIENTSAM_RULES = Rules(
    resize=Resize.STRETCH,
    antialias=False,
    whole_values=False,
    pad_point=PadPoint.NEVER,
    fixed_points=6,
    negative_points=False,
    mask_prompts=False,
    upscale=Upscale.AT_ONCE,
    upscale_filter=Filter.BICUBIC,
)
EFFICIENTSAMS = tuple(
    TinySAMConfig(
        name=f"efficientsam-{size}",
        image_size=1024,
        encoder=encoder,
        decoder=EFFICIENTSAM_DECODER,
        rules=EFFICIENTSAM_RULES,
    )
    for size, encoder in (("ti", PlainViTConfig()), ("s", PlainViTConfig(embed_dim=384, num_heads=6)))
)
SAM2_DECODER = DecoderConfig(
    object_token=True, iou_sigmoid=True, skips=True, mask_limit=32, stable_single_mask=True
)
SAM2_RULES = Rules(
    resize=Resize.STRETCH, whole_values=False, pad_point=PadPoint.ALWAYS, upscale=Upscale.AT_ONCE
)
SAM2: dict[str, EncoderConfig] = {
    "sam2-hiera-tiny": HieraConfig(),
    "sam2-hiera-small": HieraConfig(depths=(1, 2, 11, 2), global_blocks=(7, 10, 13)),
    "sam2-hiera-base-plus": HieraConfig(
        embed_dim=112, num_heads=2, depths=(2, 3, 16, 3), global_blocks=(12, 16, 20), position_grid=14
    ),
    "sam2-hiera-large": HieraConfig(
        embed_dim=144,
        num_heads=2,
        depths=(2, 6, 36, 4),
        window_sizes=(8, 4, 16, 8),
        global_blocks=(23, 33, 43),
    ),
    "edgetam": EdgeTAMConfig(),
}
"""Of SAM 2, SAM 2.1 (the same for images) and EdgeTAM."""
SAM2S = tuple(
    TinySAMConfig(name=name, image_size=1024, encoder=encoder, decoder=SAM2_DECODER, rules=SAM2_RULES)
    for name, encoder in SAM2.items()
)
TINY_TEST = TinySAMConfig(
    name="tiny-test",
    image_size=128,
    encoder=TinyViTConfig(
        embed_dims=(16, 32, 32, 48), depths=(1, 1, 2, 1), num_heads=(1, 2, 2, 3), window_sizes=(7, 7, 5, 7)
    ),
    decoder=DecoderConfig(dim=64, num_heads=4, mlp_dim=128, iou_head_hidden_dim=64),
)
CONFIGS = {
    config.name: config
    for config in (
        *(TINYSAM, TINYSAM_NANO, SAM_VIT_B, SAM_VIT_L, SAM_VIT_H, SLIMSAM_50, SLIMSAM_77),
        *(EDGESAM, REPVIT_SAM, *EFFICIENTVIT_SAMS, NANOSAM, *EFFICIENTSAMS, *SAM2S, TINY_TEST),
    )
}
"""Name → configuration."""


def config_named(name: str) -> TinySAMConfig:
    """Return the configuration called `name`, or raise `UnknownNameError` with those that exist."""
    if name not in CONFIGS:
        raise UnknownNameError("model configuration", name, CONFIGS)
    return CONFIGS[name]


def _encoder(data: Any) -> EncoderConfig:
    if not isinstance(data, dict):
        raise UsageError("encoder: expected an object")
    # Files written before there were kinds hold a TinyViT.
    name = str(data.get("kind", "tiny_vit"))
    if name not in ENCODERS:
        raise UnknownNameError("kind of encoder", name, ENCODERS)
    config: EncoderConfig = read_part(ENCODERS[name].config, {k: v for k, v in data.items() if k != "kind"})
    return config


def config_from_dict(data: Any) -> TinySAMConfig:
    """Build a configuration from what `to_dict` returned (after JSON); raises `UsageError`."""
    needed = {"name", "image_size", "encoder", "decoder"}
    if not isinstance(data, dict) or not needed <= set(data) <= needed | {"rules"}:
        raise UsageError(
            "a model configuration needs exactly the keys name, image_size, encoder, decoder, rules"
        )
    try:
        return TinySAMConfig(
            name=checked_name(data["name"]),
            image_size=data["image_size"],
            encoder=_encoder(data["encoder"]),
            decoder=read_part(DecoderConfig, data["decoder"]),
            rules=Rules.from_json(data["rules"]) if "rules" in data else SAM_RULES,
        )
    except (TypeError, ValueError, InputError) as error:
        raise UsageError(f"model configuration: {error}") from error
