"""Each format × recipe is converted once a run, whichever test and test process asks first."""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from pathlib import Path

import pytest
from filelock import FileLock

from tests.converters.tester import Converted, convert_official, convert_small, lowered_once

GetConverted = Callable[[str, str], Converted]
"""Format and recipe → the converted model."""


@pytest.fixture(scope="session")
def converters_folder(shared_folder: Path) -> Path:
    """Where the small stand-in's files lie, for all test processes."""
    return shared_folder / "converters"


def _once(convert: Callable[[str, str, Path], Converted], folder: Path) -> GetConverted:
    folder.mkdir(exist_ok=True)

    @cache
    def get(format_name: str, recipe: str) -> Converted:
        # One lock a format: what TFLite lowers for one recipe serves the other.
        with FileLock(folder / f"{format_name}.lock"), lowered_once(folder / "lowered"):
            return convert(format_name, recipe, folder / f"{format_name}-{recipe}")

    return get


@pytest.fixture(scope="session")
def small(converters_folder: Path) -> GetConverted:
    """The small stand-in, converted on the first request."""
    return _once(convert_small, converters_folder)


@pytest.fixture(scope="session")
def official(shared_folder: Path) -> GetConverted:
    """A stand-in of the official configuration, converted on the first request: minutes each."""
    return _once(convert_official, shared_folder / "converters-official")
