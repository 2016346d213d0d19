"""coremltools' generated protobuf classes, without the rest of coremltools.

`import coremltools` takes seconds and hundreds of megabytes, and warns of packages that reading a file does
not need.  The generated modules import only each other and protobuf, so they are loaded from coremltools'
folder under a package name of their own; with coremltools imported, its own are used.  protobuf keeps one
class per message type, so both ways give the same classes.
"""

from __future__ import annotations

import sys
from functools import cache
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path
from types import ModuleType
from typing import Any

from tinysam_mobile.errors import MilError, RuntimeUnavailableError

__all__ = ["mil_proto", "model_proto", "parse_model"]

_ALIAS = "_tinysam_mobile_coreml_proto"


def model_proto() -> Any:
    """The module `Model_pb2`; RuntimeUnavailableError without coremltools."""
    return _module("Model_pb2")


def mil_proto() -> Any:
    """The module `MIL_pb2`; RuntimeUnavailableError without coremltools."""
    return _module("MIL_pb2")


def parse_model(data: bytes, path: Path) -> Any:
    """The proto Model in `data`, read from `path`; MilError when it is none."""
    from google.protobuf.message import DecodeError  # type: ignore[import-untyped]

    spec = model_proto().Model()
    try:
        spec.ParseFromString(data)
    except (DecodeError, RecursionError, UnicodeDecodeError) as error:
        raise MilError(f"{path} is not a Core ML specification: {error}") from error
    return spec


@cache
def _module(name: str) -> Any:
    if "coremltools.proto" in sys.modules:
        return import_module(f"coremltools.proto.{name}")
    found = find_spec("coremltools")
    if found is None or not found.submodule_search_locations:
        raise RuntimeUnavailableError(
            "reading a Core ML model needs coremltools: pip install 'coremltools>=9'"
        )
    if _ALIAS not in sys.modules:
        package = ModuleType(_ALIAS)
        package.__path__ = [str(Path(found.submodule_search_locations[0]) / "proto")]
        sys.modules[_ALIAS] = package
    return import_module(f"{_ALIAS}.{name}")
