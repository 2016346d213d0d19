"""Integers in Core ML: compressed weights through coremltools.optimize, static grids through the torch graph.

Only what convolutions, linear layers and products read is compressed: tables of the positional encoding are
read by products of elements and stay float.  Sources: coremltools' guide, "Optimizing Models", and the MIL
ops `constexpr_affine_dequantize`, `constexpr_blockwise_shift_scale`, `constexpr_lut_to_dense`, `quantize`.
"""

from __future__ import annotations

from typing import Any

from torch import nn

from tinysam_mobile.artifacts.coreml_sdk import import_coremltools, quiet
from tinysam_mobile.modeling.entry_points import EntryPoint
from tinysam_mobile.quant.graph import trace_layers
from tinysam_mobile.quant.insertion import insert_static
from tinysam_mobile.quant.plan import QuantPlan
from tinysam_mobile.quant.recipe import QuantRecipe, Scheme

__all__ = ["compress_weights", "quantized_module"]

COMPRESSED_OPS = ("conv", "linear", "matmul")
MIN_ELEMENTS = 1024
"""Smaller weights stay float: kilobytes in all."""
MIN_ELEMENTS_4_BITS = 2**13 + 1
"""The same at 4 bits: the layer that makes the masks' features is small, and lost 18 dB."""
MIN_ADDED_ELEMENTS = 2**12
"""Constants of an `add` that are larger become int8."""


def quantized_module(entry: EntryPoint, recipe: QuantRecipe, plan: QuantPlan | None) -> nn.Module:
    """Return the entry point's module, with the plan's grids inside if the recipe is static.

    Outputs stay float: Core ML's integer layers take integers and give floats.
    """
    if recipe.scheme is not Scheme.STATIC:
        return entry.module
    assert plan is not None, "the pipeline makes a plan for every static recipe"
    return insert_static(trace_layers(entry), plan, quantize_outputs=False)


def compress_weights(model: Any, recipe: QuantRecipe) -> Any:
    """Return `model` (a one-function coremltools model) with the integer weights that it still lacks.

    Under every integer recipe, attention biases, which an `add` reads spread out over all pairs of window
    positions, are int8: they would be larger than all weights together.
    """
    if recipe.scheme is Scheme.FLOAT:
        return model
    optimize = import_coremltools().optimize.coreml
    added = optimize.OpLinearQuantizerConfig(
        mode="linear_symmetric", dtype="int8", weight_threshold=MIN_ADDED_ELEMENTS
    )
    added_only = optimize.OptimizationConfig(op_type_configs={"add": added})
    with quiet():
        model = optimize.linear_quantize_weights(model, added_only)
    least = MIN_ELEMENTS if recipe.weight_bits > 4 else MIN_ELEMENTS_4_BITS
    if recipe.scheme is Scheme.PALETTIZED:
        rule = optimize.OpPalettizerConfig(mode="kmeans", nbits=recipe.weight_bits, weight_threshold=least)
    else:
        rule = optimize.OpLinearQuantizerConfig(
            mode="linear_symmetric",
            dtype=f"int{recipe.weight_bits}",
            granularity="per_block" if recipe.block_size else "per_channel",
            block_size=recipe.block_size or 32,
            weight_threshold=least,
        )
    # A static plan has brought the integers of layers; the decoder's products with a constant are left.
    op_types = ("matmul",) if recipe.scheme is Scheme.STATIC else COMPRESSED_OPS
    config = optimize.OptimizationConfig(op_type_configs=dict.fromkeys(op_types, rule))
    compress = (
        optimize.palettize_weights if recipe.scheme is Scheme.PALETTIZED else optimize.linear_quantize_weights
    )
    with quiet():
        return compress(model, config)
