"""A Core ML interpreter: runs ML Programs (iOS 15 to iOS 18) on any machine, with torch.

    import tinysam_mobile.mil as mil

    outputs = mil.load("encoder.mlpackage").predict({"image": image})

    mil.enable()                       # and then coremltools' own predict works on any machine
    outputs = coremltools.models.MLModel("encoder.mlpackage").predict({"image": image})

See docs/mil.md for what it is judged by and what it cannot tell.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from tinysam_mobile.mil.calibration import calibrate, quantize_activations
    from tinysam_mobile.mil.coremltools_predictor import disable, enable
    from tinysam_mobile.mil.limits import Limits
    from tinysam_mobile.mil.model import MilModel, MilState
    from tinysam_mobile.mil.pipeline import MilPipeline, load
    from tinysam_mobile.mil.precision import PRECISIONS
    from tinysam_mobile.mil.table import supported_ops
    from tinysam_mobile.mil.tracing import OpTrace, first_broken, trace

__all__ = [
    "PRECISIONS",
    "Limits",
    "MilModel",
    "MilPipeline",
    "MilState",
    "OpTrace",
    "calibrate",
    "disable",
    "enable",
    "first_broken",
    "load",
    "quantize_activations",
    "supported_ops",
    "trace",
]

# Name -> the module that has it; torch is imported with it, not with this package.
_HOMES = {
    "PRECISIONS": "precision", "Limits": "limits", "MilModel": "model", "MilPipeline": "pipeline",
    "MilState": "model",
    "OpTrace": "tracing", "calibrate": "calibration", "disable": "coremltools_predictor",
    "enable": "coremltools_predictor", "first_broken": "tracing", "load": "pipeline",
    "quantize_activations": "calibration", "supported_ops": "table", "trace": "tracing",
}  # fmt: skip


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    value = getattr(import_module(f"{__name__}.{_HOMES[name]}"), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted(__all__)
