"""The shape of a network as data: one frozen dataclass per part, and the named configurations.

Everything that a state dict cannot say (image size, strides, window sizes, head counts) is a field;
nothing is inferred from widths.  `TINYSAM` is the published network (arXiv 2312.13789), whose keys and
shapes are those of `tinysam_42.3.pth` and `mobile_sam.pt`.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass, field, replace
from math import prod
from typing import Any, TypeVar

from tinysam_mobile.errors import UnknownNameError, UsageError

__all__ = [
    "CONFIGS",
    "TINYSAM",
    "TINYSAM_NANO",
    "DecoderConfig",
    "TinySAMConfig",
    "TinyViTConfig",
    "config_from_dict",
    "config_named",
]

Part = TypeVar("Part", "TinyViTConfig", "SamViTConfig", "DecoderConfig")

PATCH_EMBED_STRIDE = 4
MASK_UPSCALE = 4
"""Low-resolution masks have four times the embedding's height and width (SAM, appendix A)."""


@dataclass(frozen=True, kw_only=True)
class TinyViTConfig:
    """TinyViT encoder (arXiv 2207.10666): four stages, the first one convolutional.

    `merge_strides` are the strides of the three patch mergings; the published network has 1 in the
    last so that the embedding's stride is 16.
    """

    embed_dims: tuple[int, ...] = (64, 128, 160, 320)
    depths: tuple[int, ...] = (2, 2, 6, 2)
    num_heads: tuple[int, ...] = (2, 4, 5, 10)
    window_sizes: tuple[int, ...] = (7, 7, 14, 7)
    merge_strides: tuple[int, ...] = (2, 2, 1)
    mlp_ratio: float = 4.0
    mbconv_expand_ratio: float = 4.0
    local_conv_size: int = 3
    classifier_classes: int = 0
    """Classes of the unused ImageNet head that published files carry; 0 leaves it out."""

    @property
    def stride(self) -> int:
        """Input pixels per embedding cell, in each direction."""
        return PATCH_EMBED_STRIDE * prod(self.merge_strides)

    def __post_init__(self) -> None:
        stages = len(self.embed_dims)
        if (
            not len(self.depths)
            == len(self.num_heads)
            == len(self.window_sizes)
            == len(self.merge_strides) + 1
            == stages
        ):
            raise UsageError(
                "TinyViTConfig: depths, num_heads, window_sizes: one entry per stage; merge_strides: one less"
            )
        for dim, heads in zip(self.embed_dims[1:], self.num_heads[1:], strict=True):
            if dim % heads:
                raise UsageError(f"TinyViTConfig: {heads} heads do not divide width {dim}")


@dataclass(frozen=True, kw_only=True)
class SamViTConfig:
    """SAM's ViT encoder (arXiv 2304.02643, appendix A); `global_layers` attend to the whole grid.

    Its position embeddings hold for one image size, 1024 in the published files.
    """

    embed_dim: int = 768
    depth: int = 12
    num_heads: int = 12
    global_layers: tuple[int, ...] = (2, 5, 8, 11)
    window_size: int = 14
    mlp_ratio: float = 4.0
    stride: int = 16

    def __post_init__(self) -> None:
        if self.embed_dim % self.num_heads:
            raise UsageError(f"SamViTConfig: {self.num_heads} heads do not divide width {self.embed_dim}")


@dataclass(frozen=True, kw_only=True)
class DecoderConfig:
    """SAM's prompt encoder and mask decoder (arXiv 2304.02643, appendix A)."""

    dim: int = 256
    depth: int = 2
    num_heads: int = 8
    mlp_dim: int = 2048
    attention_downsample_rate: int = 2
    num_multimask_outputs: int = 3
    iou_head_depth: int = 3
    iou_head_hidden_dim: int = 256
    mask_in_channels: int = 16

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
    encoder: TinyViTConfig | SamViTConfig = field(default_factory=TinyViTConfig)
    decoder: DecoderConfig = field(default_factory=DecoderConfig)

    def __post_init__(self) -> None:
        if self.image_size < 64 or self.image_size % 64:
            raise UsageError(f"image_size must be a positive multiple of 64, not {self.image_size}")

    @property
    def grid_size(self) -> int:
        """Side of the image embedding in cells."""
        return self.image_size // self.encoder.stride

    @property
    def mask_size(self) -> int:
        """Side of the low-resolution masks and of the mask prompt in pixels."""
        return MASK_UPSCALE * self.grid_size

    def at_image_size(self, image_size: int) -> TinySAMConfig:
        """Return the same network for another input size; the weights fit both."""
        return replace(self, image_size=image_size)

    def to_dict(self) -> dict[str, Any]:
        """Return plain JSON data, the inverse of `config_from_dict`."""
        return asdict(self)


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
TINY_TEST = TinySAMConfig(
    name="tiny-test",
    image_size=128,
    encoder=TinyViTConfig(
        embed_dims=(16, 32, 32, 48), depths=(1, 1, 2, 1), num_heads=(1, 2, 2, 3), window_sizes=(7, 7, 5, 7)
    ),
    decoder=DecoderConfig(dim=64, num_heads=4, mlp_dim=128, iou_head_hidden_dim=64),
)
CONFIGS = {
    config.name: config for config in (TINYSAM, TINYSAM_NANO, SAM_VIT_B, SAM_VIT_L, SAM_VIT_H, TINY_TEST)
}
"""Name → configuration."""


def config_named(name: str) -> TinySAMConfig:
    """Return the configuration called `name`, or raise `UnknownNameError` with those that exist."""
    if name not in CONFIGS:
        raise UnknownNameError("model configuration", name, CONFIGS)
    return CONFIGS[name]


def _part(kind: type[Part], data: Any) -> Part:
    known = set(kind.__dataclass_fields__)
    if not isinstance(data, dict) or set(data) - known:
        raise UsageError(f"{kind.__name__}: expected an object with the keys {', '.join(sorted(known))}")
    plain: dict[str, Any] = {
        key: tuple(value) if isinstance(value, list) else value for key, value in data.items()
    }
    return kind(**plain)


def _encoder(data: Any) -> TinyViTConfig | SamViTConfig:
    if isinstance(data, dict) and "embed_dim" in data:
        return _part(SamViTConfig, data)
    return _part(TinyViTConfig, data)


def config_from_dict(data: Any) -> TinySAMConfig:
    """Build a configuration from what `to_dict` returned (after JSON); raises `UsageError`."""
    if not isinstance(data, dict) or not {"name", "image_size", "encoder", "decoder"} == set(data):
        raise UsageError("a model configuration needs exactly the keys name, image_size, encoder, decoder")
    try:
        return TinySAMConfig(
            name=str(data["name"]),
            image_size=int(data["image_size"]),
            encoder=_encoder(data["encoder"]),
            decoder=_part(DecoderConfig, data["decoder"]),
        )
    except (TypeError, ValueError) as error:
        raise UsageError(f"model configuration: {error}") from error
