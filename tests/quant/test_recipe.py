"""Recipes as data, and the table of what formats make of them."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from tinysam_mobile.artifacts.formats import FORMATS
from tinysam_mobile.converters.options import ConversionOptions
from tinysam_mobile.errors import ConversionError, UnknownNameError, UsageError
from tinysam_mobile.parity.bounds import BOUNDS
from tinysam_mobile.quant.capability import check_recipe, recipes_markdown
from tinysam_mobile.quant.recipe import RECIPES, recipe_named

ROOT = Path(__file__).resolve().parents[2]
IDS = (
    "fp32 fp16 weight_only_w8 weight_only_w4_block32 palettized_w8 palettized_w6 palettized_w4 dynamic_w8 "
    "static_w8a8 static_w8a8_attn16 static_w6a6"
)


def test_the_recipes_of_the_project() -> None:
    assert list(RECIPES) == IDS.split()
    assert {name for name, recipe in RECIPES.items() if recipe.needs_calibration} == {
        "static_w8a8", "static_w8a8_attn16", "static_w6a6"
    }  # fmt: skip


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"id": "static_w8a4"}, "scheme and widths make static_w8a8"),
        ({"activation_bits": 4}, "not 8 and 4"),
        ({"block_size": 32}, "only weight_only has blocks"),
        ({"attention_bits": 12}, "16 bits"),
    ],
)
def test_contradictions_are_refused(change: dict[str, object], message: str) -> None:
    with pytest.raises(UsageError, match=message):
        replace(RECIPES["static_w8a8"], **change)  # type: ignore[arg-type]


def test_a_float_recipe_has_no_attention_width() -> None:
    with pytest.raises(UsageError, match="only static"):
        replace(RECIPES["fp16"], attention_bits=16)


def test_unknown_recipe_lists_the_known() -> None:
    with pytest.raises(UnknownNameError, match="static_w8a8"):
        recipe_named("int8")


def test_the_table_is_complete_and_nearest_recipes_can_be_done() -> None:
    for table in (fmt.recipes for fmt in FORMATS.values()):
        assert list(table) == list(RECIPES)
        for capability in table.values():
            assert capability.nearest is None or table[capability.nearest].nearest is None


def test_every_recipe_that_a_format_has_also_has_a_bound() -> None:
    possible = {
        name
        for table in (fmt.recipes for fmt in FORMATS.values())
        for name, c in table.items()
        if c.nearest is None
    }
    assert possible <= set(BOUNDS)


def test_the_document_is_current() -> None:
    assert (ROOT / "docs" / "recipes.md").read_text(encoding="utf-8") == recipes_markdown()


@pytest.mark.parametrize(
    ("target", "recipe", "ios", "message"),
    [
        ("executorch", "static_w8a8_attn16", "iOS18", "no 16-bit integers; the nearest .* static_w8a8$"),
        ("coreml", "dynamic_w8", "iOS18", "nearest that it can is static_w8a8"),
        ("tflite", "palettized_w4", "iOS18", "nearest that it can is weight_only_w8"),
        ("tflite", "static_w6a6", "iOS18", "simulated in PyTorch only"),
        ("coreml", "weight_only_w4_block32", "iOS17", "from iOS18 on, not for iOS17"),
        ("coreml", "static_w8a8", "iOS16", "from iOS17 on"),
    ],
)
def test_what_a_format_cannot_do_names_the_nearest(target: str, recipe: str, ios: str, message: str) -> None:
    with pytest.raises(ConversionError, match=message):
        check_recipe(target, recipe, deployment_target=ios)


def test_a_recipe_that_a_format_has_passes() -> None:
    check_recipe("coreml", "static_w8a8", deployment_target="iOS17")
    check_recipe("executorch", "dynamic_w8")


def test_conversion_refuses_before_any_work() -> None:
    with pytest.raises(ConversionError, match="executorch cannot do weight_only_w8"):
        ConversionOptions(recipes=("weight_only_w8",)).check()
    with pytest.raises(UsageError, match="pass --calibration"):
        ConversionOptions(targets=("tflite",), recipes=("static_w8a8",)).check()
    with pytest.raises(UsageError, match="between 0 and 1"):
        ConversionOptions(targets=("tflite",), min_mask_iou=95.0).check()
