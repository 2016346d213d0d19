"""Recipes: what a number is stored and computed as, as data.

The id is scheme plus widths and is the same in file names, manifests and on the command line.
"""

from __future__ import annotations

from dataclasses import dataclass

from tinysam_mobile.errors import UnknownNameError

__all__ = ["RECIPES", "QuantRecipe", "recipe_named"]


@dataclass(frozen=True, kw_only=True)
class QuantRecipe:
    """One way to store weights and compute activations; widths in bits."""

    id: str
    weight_bits: int
    activation_bits: int
    description: str


RECIPES = {
    recipe.id: recipe
    for recipe in (
        QuantRecipe(
            id="fp32", weight_bits=32, activation_bits=32, description="float32 weights and arithmetic"
        ),
        QuantRecipe(
            id="fp16",
            weight_bits=16,
            activation_bits=16,
            description="float16 weights; float16 arithmetic where the runtime has it",
        ),
    )
}


def recipe_named(name: str) -> QuantRecipe:
    """Return the recipe called `name`, or raise `UnknownNameError` with those that exist."""
    if name not in RECIPES:
        raise UnknownNameError("recipe", name, RECIPES)
    return RECIPES[name]
