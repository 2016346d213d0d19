"""Recipes: what a number is stored and computed as, as data.

The id is scheme plus widths and is the same in file names, manifests and on the command line.  What a format
makes of a recipe, or why it cannot, is in `capability`.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

from tinysam_mobile.errors import UnknownNameError, UsageError

__all__ = ["RECIPES", "QuantRecipe", "Scheme", "recipe_named"]


class Scheme(StrEnum):
    """How numbers are quantized."""

    FLOAT = "float"
    WEIGHT_ONLY = "weight_only"
    """Integer weights, one scale per output channel or block; arithmetic stays float."""
    PALETTIZED = "palettized"
    """Weights as indices into a table of 2^bits values (k-means)."""
    DYNAMIC = "dynamic"
    """Integer weights and activations; the range of an activation is measured while the model runs."""
    STATIC = "static"
    """Integer weights and activations; the range of an activation comes from calibration photos."""


ALLOWED_BITS = {
    Scheme.FLOAT: ((32, 16), (32, 16)),
    Scheme.WEIGHT_ONLY: ((8, 4), (32,)),
    Scheme.PALETTIZED: ((8, 6, 4), (32,)),
    Scheme.DYNAMIC: ((8,), (8,)),
    Scheme.STATIC: ((8, 6), (8, 6)),
}
"""Scheme → the widths that weights and activations may have.  32 bits of activation in an integer scheme mean
the runtime's float, which Core ML computes in float16."""


@dataclass(frozen=True, kw_only=True)
class QuantRecipe:
    """One way to store weights and compute activations; widths in bits.

    `block_size`: neighbouring weights of an output channel that share a scale; None: the whole channel.
    `attention_bits`: width of activations in attention where it differs from `activation_bits`.
    Raises `UsageError` for a combination that no scheme has, or an id that does not say what the recipe is.
    """

    id: str
    scheme: Scheme
    weight_bits: int
    activation_bits: int
    block_size: int | None = None
    attention_bits: int | None = None
    description: str

    def __post_init__(self) -> None:
        weights, activations = ALLOWED_BITS[self.scheme]
        if self.weight_bits not in weights or self.activation_bits not in activations:
            raise UsageError(
                f"recipe {self.id}: {self.scheme} has weights of {weights} and activations of {activations} "
                f"bits, not {self.weight_bits} and {self.activation_bits}"
            )
        if self.block_size is not None and (self.scheme is not Scheme.WEIGHT_ONLY or self.block_size < 2):
            raise UsageError(f"recipe {self.id}: only weight_only has blocks, of 2 weights or more")
        if self.attention_bits is not None and (
            self.scheme is not Scheme.STATIC or self.attention_bits != 16
        ):
            raise UsageError(f"recipe {self.id}: only static has its own attention width, 16 bits")
        if self.id != self._derived_id():
            raise UsageError(f"recipe {self.id}: scheme and widths make {self._derived_id()}; use that id")

    def _derived_id(self) -> str:
        if self.scheme is Scheme.FLOAT:
            return f"fp{self.weight_bits}"
        activations = f"a{self.activation_bits}" if self.scheme is Scheme.STATIC else ""
        block = f"_block{self.block_size}" if self.block_size else ""
        attention = f"_attn{self.attention_bits}" if self.attention_bits else ""
        return f"{self.scheme}_w{self.weight_bits}{activations}{block}{attention}"

    @property
    def needs_calibration(self) -> bool:
        """Whether the recipe fixes ranges of activations, for which it needs photos."""
        return self.scheme is Scheme.STATIC


RECIPES = {
    recipe.id: recipe
    for recipe in (
        QuantRecipe(
            id="fp32",
            scheme=Scheme.FLOAT,
            weight_bits=32,
            activation_bits=32,
            description="float32 weights and arithmetic",
        ),
        QuantRecipe(
            id="fp16",
            scheme=Scheme.FLOAT,
            weight_bits=16,
            activation_bits=16,
            description="float16 weights; float16 arithmetic where the runtime has it",
        ),
        QuantRecipe(
            id="weight_only_w8",
            scheme=Scheme.WEIGHT_ONLY,
            weight_bits=8,
            activation_bits=32,
            description="int8 weights per output channel, float arithmetic",
        ),
        QuantRecipe(
            id="weight_only_w4_block32",
            scheme=Scheme.WEIGHT_ONLY,
            weight_bits=4,
            activation_bits=32,
            block_size=32,
            description="int4 weights in blocks of 32, float arithmetic",
        ),
        *(
            QuantRecipe(
                id=f"palettized_w{bits}",
                scheme=Scheme.PALETTIZED,
                weight_bits=bits,
                activation_bits=32,
                description=f"weights from a table of {2**bits} values, float arithmetic",
            )
            for bits in (8, 6, 4)
        ),
        QuantRecipe(
            id="dynamic_w8",
            scheme=Scheme.DYNAMIC,
            weight_bits=8,
            activation_bits=8,
            description="int8 weights per output channel; activations quantized to int8 as they come",
        ),
        QuantRecipe(
            id="static_w8a8",
            scheme=Scheme.STATIC,
            weight_bits=8,
            activation_bits=8,
            description="int8 weights and activations, ranges from calibration photos",
        ),
        QuantRecipe(
            id="static_w8a8_attn16",
            scheme=Scheme.STATIC,
            weight_bits=8,
            activation_bits=8,
            attention_bits=16,
            description="as static_w8a8, with 16-bit activations in attention",
        ),
        QuantRecipe(
            id="static_w6a6",
            scheme=Scheme.STATIC,
            weight_bits=6,
            activation_bits=6,
            description="6-bit weights and activations; simulated in PyTorch only",
        ),
    )
}
"""Recipe id → recipe; which format has which says `quant.capability`."""


def recipe_named(name: str) -> QuantRecipe:
    """Return the recipe called `name`, or raise `UnknownNameError` with those that exist."""
    if name not in RECIPES:
        raise UnknownNameError("recipe", name, RECIPES)
    return RECIPES[name]
