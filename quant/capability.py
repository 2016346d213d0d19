"""What each format makes of each recipe, or why it cannot and which recipe comes nearest: one table.

`python -m tinysam_mobile.quant.capability` writes docs/recipes.md from it.
"""

from __future__ import annotations

import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from tinysam_mobile.errors import ConversionError, UnknownNameError
from tinysam_mobile.quant.recipe import RECIPES

__all__ = ["CAPABILITIES", "Capability", "check_recipe", "recipes_markdown"]

IOS_TARGETS = ("iOS16", "iOS17", "iOS18")


@dataclass(frozen=True, kw_only=True)
class Capability:
    """How a format expresses a recipe; or, with `nearest`, why it does not and the recipe to take instead.

    `min_ios` is the lowest Core ML deployment target that has it.
    """

    how: str
    nearest: str | None = None
    min_ios: str = "iOS16"


def _has(how: str, *, min_ios: str = "iOS16") -> Capability:
    return Capability(how=how, min_ios=min_ios)


def _lacks(reason: str, nearest: str) -> Capability:
    return Capability(how=reason, nearest=nearest)


_NO_PALETTE = _lacks("has no table of weights", "weight_only_w8")
_SIMULATED = _lacks("has no 6-bit arithmetic; simulated in PyTorch only", "static_w8a8")

CAPABILITIES: Mapping[str, Mapping[str, Capability]] = {
    "coreml": {
        "fp32": _has("float32"),
        "fp16": _has("float16; the decoder's residual stream, norms and heads float32"),
        "weight_only_w8": _has("`constexpr` int8 weights, float16 arithmetic"),
        "weight_only_w4_block32": _has(
            "`constexpr_blockwise_shift_scale`; arithmetic as fp16", min_ios="iOS18"
        ),
        "palettized_w8": _has("`constexpr_lut_to_dense`, one table per tensor; arithmetic as fp16"),
        "palettized_w6": _has("as `palettized_w8`, 64 values"),
        "palettized_w4": _has("as `palettized_w8`, 16 values"),
        "dynamic_w8": _lacks("measures no ranges while it runs", "static_w8a8"),
        "static_w8a8": _has(
            "`quantize`/`dequantize` around conv and linear with our ranges, int8 weights; products float16",
            min_ios="iOS17",
        ),
        "static_w8a8_attn16": _has(
            "as `static_w8a8`, attention in float16 with int8 weights", min_ios="iOS17"
        ),
        "static_w6a6": _SIMULATED,
    },
    "tflite": {
        "fp32": _has("float32"),
        "fp16": _has("float16 constants, widened by DEQUANTIZE"),
        "weight_only_w8": _has("int8 constants per channel, widened by DEQUANTIZE"),
        "weight_only_w4_block32": _lacks("has no blocks that XNNPACK unpacks for float", "weight_only_w8"),
        "palettized_w8": _NO_PALETTE,
        "palettized_w6": _NO_PALETTE,
        "palettized_w4": _NO_PALETTE,
        "dynamic_w8": _has("hybrid CONV_2D and FULLY_CONNECTED; depthwise convolutions as `weight_only_w8`"),
        "static_w8a8": _has(
            "int8 CONV_2D, DEPTHWISE_CONV_2D, FULLY_CONNECTED and, in the encoder, BATCH_MATMUL between "
            "QUANTIZE and DEQUANTIZE"
        ),
        "static_w8a8_attn16": _has("as `static_w8a8`; attention's linear layers and products in int16"),
        "static_w6a6": _SIMULATED,
    },
    "executorch": {
        "fp32": _has("float32"),
        "fp16": _has("float16 on XNNPACK"),
        "weight_only_w8": _lacks("XNNPACK has no int8 weights for float arithmetic", "dynamic_w8"),
        "weight_only_w4_block32": _lacks("XNNPACK has no int4 weights for float arithmetic", "dynamic_w8"),
        "palettized_w8": _lacks("has no table of weights", "dynamic_w8"),
        "palettized_w6": _lacks("has no table of weights", "dynamic_w8"),
        "palettized_w4": _lacks("has no table of weights", "dynamic_w8"),
        "dynamic_w8": _has("XNNPACK's dynamic linear; convolutions float32"),
        "static_w8a8": _has("XNNPACK's int8 conv, linear and, in the encoder, products of attention"),
        "static_w8a8_attn16": _lacks("XNNPACK has no 16-bit integers", "static_w8a8"),
        "static_w6a6": _SIMULATED,
    },
}
"""Format → recipe id → what becomes of it."""


def check_recipe(target: str, recipe: str, *, deployment_target: str = "iOS18") -> None:
    """Raise `ConversionError` that names the nearest recipe unless `target` can express `recipe`.

    `deployment_target` matters to Core ML only.  An unknown target or recipe is an `UnknownNameError`.
    """
    if target not in CAPABILITIES:
        raise UnknownNameError("target", target, CAPABILITIES)
    if recipe not in CAPABILITIES[target]:
        raise UnknownNameError("recipe", recipe, CAPABILITIES[target])
    capability = CAPABILITIES[target][recipe]
    if capability.nearest is not None:
        raise ConversionError(
            f"{target} cannot do {recipe}: it {capability.how}; the nearest that it can is "
            f"{capability.nearest}"
        )
    if target == "coreml" and IOS_TARGETS.index(deployment_target) < IOS_TARGETS.index(capability.min_ios):
        raise ConversionError(
            f"coreml can do {recipe} from {capability.min_ios} on, not for {deployment_target}; pass "
            f"--deployment-target {capability.min_ios}, or take weight_only_w8"
        )


def recipes_markdown() -> str:
    """Return docs/recipes.md."""
    targets = list(CAPABILITIES)
    lines = [
        "# Recipes and formats",
        "",
        "Generated by `python -m tinysam_mobile.quant.capability`; do not edit.",
        "",
        f"| recipe | what it is | {' | '.join(targets)} |",
        "|---|---|" + "---|" * len(targets),
    ]
    for name, recipe in RECIPES.items():
        cells = [_cell(target, name) for target in targets]
        lines.append(f"| `{name}` | {recipe.description} | {' | '.join(cells)} |")
    return "\n".join(lines) + "\n"


def _cell(target: str, recipe: str) -> str:
    capability = CAPABILITIES[target][recipe]
    if capability.nearest is not None:
        return f"– ({capability.how}; nearest: `{capability.nearest}`)"
    since = f" (from {capability.min_ios})" if target == "coreml" and capability.min_ios != "iOS16" else ""
    return capability.how + since


if __name__ == "__main__":
    destination = Path(__file__).resolve().parent.parent / "docs" / "recipes.md"
    destination.write_text(recipes_markdown(), encoding="utf-8")
    sys.stdout.write(f"{destination}\n")
