"""A converter that workers can import: it writes a file, or fails as `recipe` is told to by the contract."""

from __future__ import annotations

import os

from tinysam_mobile.converters.base import ConversionRequest, ConvertedFile
from tinysam_mobile.errors import UnknownNameError


def convert(request: ConversionRequest) -> list[ConvertedFile]:
    """Write one file that holds the process's number."""
    (component,) = request.components
    request.progress("working")
    if request.contract.get("fails") == component.value:
        raise UnknownNameError("thing", "wrong", ["right"])
    if request.contract.get("dies") == component.value:
        os._exit(1)
    path = request.folder / f"{component.value}.fake"
    path.write_text(str(os.getpid()), encoding="ascii")
    return [ConvertedFile(path=path, component=component, entry_points={n: n for n in request.entry_points})]
