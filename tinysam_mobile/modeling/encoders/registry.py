"""The kinds of image encoder by name: a new one is a file of its own and its record here."""

from __future__ import annotations

from tinysam_mobile.modeling.encoders.edgetam import EDGETAM
from tinysam_mobile.modeling.encoders.efficientvit import EFFICIENTVIT
from tinysam_mobile.modeling.encoders.hiera import HIERA
from tinysam_mobile.modeling.encoders.kind import EncoderConfig, EncoderKind
from tinysam_mobile.modeling.encoders.plain_vit import PLAIN_VIT
from tinysam_mobile.modeling.encoders.repvit import REPVIT
from tinysam_mobile.modeling.encoders.resnet import RESNET
from tinysam_mobile.modeling.encoders.sam_vit import SAM_VIT
from tinysam_mobile.modeling.encoders.tiny_vit import TINY_VIT

__all__ = ["ENCODERS", "kind_of"]

ENCODERS: dict[str, EncoderKind] = {
    kind.name: kind for kind in (TINY_VIT, SAM_VIT, REPVIT, EFFICIENTVIT, RESNET, PLAIN_VIT, HIERA, EDGETAM)
}
"""Name → record; the name is `kind` in a configuration's JSON."""


def kind_of(config: EncoderConfig) -> EncoderKind:
    """Return the record of the kind that `config` configures."""
    return next(kind for kind in ENCODERS.values() if kind.config is type(config))
