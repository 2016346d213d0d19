"""No number of the contract is typed again in the cores of the apps: they read the manifest."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from tinysam_mobile.contract import spec
from tinysam_mobile.contract.everything_settings import CROP_NMS_THRESH, EVERYTHING_DEFAULTS
from tinysam_mobile.contract.spec import Contract
from tinysam_mobile.modeling.config import CONFIGS

SAMPLE_APPS = Path(__file__).parents[2] / "sample_apps"
CORES = {
    "swift": SAMPLE_APPS / "ios" / "Sources" / "TinySAMKit",
    "kotlin": SAMPLE_APPS / "android" / "core" / "src" / "main" / "kotlin",
    "javascript": SAMPLE_APPS / "web" / "core",
}
FEWEST_FILES = 15
EMBEDDING_STRIDE, MASK_STRIDE = 16, 4

SMALLEST_TELLING = 9
"""Whole numbers below are everywhere: axes, channels, orientations. Fractions tell at any size."""
DECLARED = {
    ("Geometry", 0.5): "the centre of a pixel, and floor(x + 0.5)",
    ("Resampling", 32): "bits of an integer in Pillow's fixed point",
    ("Resampling", 0.5): "Keys' free parameter in Pillow",
    ("Rules", 64): "most points of a prompt",
    ("MaskUpscaler", 16): "float32 roundings of an average",
    ("Overlay", 0.5): "saturation of a colour",
    ("Overlay", 0.95): "brightness of a colour",
    ("RgbImage", 255): "the largest sample of a photo of 8 bits",
    ("ManifestReader", 64): "digits of a SHA-256",
    ("Zip", 16): "bits of the time in a zip's date",
    ("Zip", 255): "mask of a byte",
    ("Zip", 256): "values of a byte",
    ("Overlay", 255): "a channel of a colour",
    ("Overlay", 512): "longest side of a picture on the screen",
    ("JsonReader", 64): "nesting of a JSON document",
    ("JsonReader", 16): "hexadecimal digits",
}
"""(file without suffix, number) → why it is none of the contract's."""

TOKEN = re.compile(
    r"""(?P<comment>//[^\n]*|/\*(?:.|\n)*?\*/)
      | (?P<string>\"{3}(?:.|\n)*?\"{3}|"(?:\\.|[^"\\\n])*"|'(?:\\.|[^'\\\n])*'|`[^`]*`)
      | (?P<name>[A-Za-z_]\w*)
      | (?P<number>0[xX][0-9a-fA-F_]+|\d[\d_]*(?:\.\d[\d_]*)?(?:[eE][+-]?\d+)?)""",
    re.VERBOSE,
)


def contract_numbers() -> set[float]:
    """Sizes of every configuration, mean, std, shift, thresholds, slots, batch, 255."""
    sides = {config.image_size for config in CONFIGS.values()}
    sizes = sides | {side // MASK_STRIDE for side in sides} | {side // EMBEDDING_STRIDE for side in sides}
    channels = {config.decoder.dim for config in CONFIGS.values()}
    defaults = Contract.__dataclass_fields__
    numbers = {
        *sizes,
        *channels,
        *spec.PIXEL_MEAN,
        *spec.PIXEL_STD,
        *EVERYTHING_DEFAULTS.values(),
        *(defaults[name].default for name in ("slots", "batch")),
        CROP_NMS_THRESH,
        spec.POINT_SHIFT,
        255,
    }
    return {number for number in numbers if number >= SMALLEST_TELLING or number != int(number)}


def numbers_in(source: str) -> Iterator[tuple[int, float]]:
    """(line, value) of each number in a source, and of each string that is only a number."""
    for token in TOKEN.finditer(source):
        text = token["number"] or (token["string"] or "").strip("\"'`")
        try:
            value = float(int(text, 16)) if text[:2].lower() == "0x" else float(text.replace("_", ""))
        except ValueError:
            continue
        yield source.count("\n", 0, token.start()) + 1, value


def sources(language: str) -> list[Path]:
    return sorted(path for path in CORES[language].rglob("*") if path.suffix in (".swift", ".kt", ".js"))


@pytest.mark.parametrize("language", CORES)
def test_the_core_types_no_number_of_the_contract(language: str) -> None:
    forbidden = contract_numbers()
    assert len(sources(language)) >= FEWEST_FILES
    typed = [
        f"{path.name}:{line}: {value:g}"
        for path in sources(language)
        for line, value in numbers_in(path.read_text(encoding="utf-8"))
        if value in forbidden and (path.stem, value) not in DECLARED
    ]
    assert not typed, "read these from the manifest, or declare why they are not of the contract"


def test_every_declared_exception_is_used() -> None:
    used = {
        (path.stem, value)
        for language in CORES
        for path in sources(language)
        for _, value in numbers_in(path.read_text(encoding="utf-8"))
    }
    assert set(DECLARED) <= used


def test_the_search_finds_what_it_must() -> None:
    assert {
        1024,
        512,
        256,
        128,
        64,
        123.675,
        57.375,
        0.88,
        0.95,
        8.5,
        0.7,
        0.5,
        32,
        16,
        255,
    } <= contract_numbers()
    source = 'let s = 1_024 // 512\nlet t = Float("0.88") /* 0.7\n*/ + x255 + 0xFF + 8.5f\nlet u = "of 256"\n'
    assert list(numbers_in(source)) == [(1, 1024), (2, 0.88), (3, 255), (3, 8.5)]
    assert list(numbers_in("f('0.7', 'of 32', `${x} 64`)\n")) == [(1, 0.7)]
