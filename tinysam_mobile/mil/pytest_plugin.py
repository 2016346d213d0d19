"""pytest plugin: coremltools predicts with the interpreter in a whole test suite.

    python -m pytest -p tinysam_mobile.mil.pytest_plugin tests

coremltools' own tests too believe to be on a Mac, and compare what they predict.
MIL_PRECISION chooses the precision: declared (default), fp32 or fp16.
"""

from __future__ import annotations

import os
import sys
import warnings

__all__: list[str] = []


def pytest_configure() -> None:
    """Enable before any test module is imported."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # coremltools' import warns of versions of packages of its own
        from coremltools import _deps

        from tinysam_mobile.mil import enable

        enable(precision=os.environ.get("MIL_PRECISION", "declared"))
    # coremltools' tests ask this constant, in modules that read it when they are imported.
    _deps._IS_MACOS = True
    for name, module in list(sys.modules.items()):
        if name.partition(".")[0] == "coremltools" and hasattr(module, "_IS_MACOS"):
            vars(module)["_IS_MACOS"] = True


def pytest_unconfigure() -> None:
    """Leave coremltools as it was."""
    from coremltools import _deps

    from tinysam_mobile.mil import disable

    disable()
    _deps._IS_MACOS = sys.platform == "darwin"
