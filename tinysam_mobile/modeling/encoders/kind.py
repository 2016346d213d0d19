"""What the rest of the package knows of a kind of image encoder: one record in each encoder's file."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Protocol

from torch import Tensor, nn

__all__ = ["PREFIX", "EncoderConfig", "EncoderKind", "ReadConfig", "ReadEncoder", "State"]

State = Mapping[str, Tensor]
"""Key of a state dict → tensor."""
PREFIX = "image_encoder."
"""Of an encoder's keys in a whole model's state dict."""


class EncoderConfig(Protocol):
    """The shape of an encoder as data: a frozen dataclass of plain values and tuples."""

    @property
    def stride(self) -> int:
        """Input pixels per embedding cell, in each direction."""


@dataclass(frozen=True, kw_only=True)
class ReadEncoder:
    """What shapes in a state dict say: a `name` for the whole network, the encoder, its input's side S."""

    name: str
    encoder: EncoderConfig
    image_size: int


ReadConfig = Callable[[State], ReadEncoder | None]
"""Reads an encoder's widths from the shapes in a state dict; None where it is another kind's."""


def _as_it_is(state: State) -> dict[str, Tensor]:
    return dict(state)


@dataclass(frozen=True, kw_only=True)
class EncoderKind:
    """One kind of image encoder.

    `build(config, image_size=…, out_channels=…)` makes the module, (B, 3, S, S) → (B, C, S/stride, S/stride),
    or a tuple of that and the maps that a decoder with skips adds.
    `mark` is a key that every state dict of the kind has, once renamed.  `unused` are children of the module
    that published files carry and nothing calls.  With `fixed_size` the weights hold for one image size only.
    `rename` turns the keys of every published form (of whole models, or of the encoder alone) into those of
    `TinySAM.state_dict()`, and leaves unknown ones as they are.  `read`, where widths differ from file to
    file, reads the configuration from renamed shapes.
    """

    name: str
    config: type[Any]
    build: Callable[..., nn.Module]
    mark: str
    unused: tuple[str, ...] = ()
    fixed_size: bool = False
    rename: Callable[[State], dict[str, Tensor]] = _as_it_is
    read: ReadConfig | None = None
