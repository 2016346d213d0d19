"""TinySAM on phones: convert a checkpoint to Core ML, TFLite and ExecuTorch, and judge it on the host.

    import tinysam_mobile as tsm

    model = tsm.open("bundle", runtime="coreml")     # or tsm.open(), the shipped checkpoint in PyTorch
    model.segment("photo.jpg", point=(320, 240)).save("mask.png")

The names below are imported when they are first used, so that `import tinysam_mobile` costs nothing.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

from tinysam_mobile.version import __version__

if TYPE_CHECKING:
    from tinysam_mobile.bundle.folder import Bundle
    from tinysam_mobile.converters.options import ConversionOptions
    from tinysam_mobile.converters.pipeline import convert
    from tinysam_mobile.imaging.images import load_image
    from tinysam_mobile.modeling.checkpoint import load_checkpoint
    from tinysam_mobile.parity.validate import validate
    from tinysam_mobile.segment.everything import EverythingConfig
    from tinysam_mobile.segment.model import Model, open, segment, segment_everything
    from tinysam_mobile.segment.segment_anything import (
        SamAutomaticMaskGenerator,
        SamPredictor,
        sam_model_registry,
    )

__all__ = [
    "Bundle",
    "ConversionOptions",
    "EverythingConfig",
    "Model",
    "SamAutomaticMaskGenerator",
    "SamPredictor",
    "__version__",
    "convert",
    "load_checkpoint",
    "load_image",
    "open",
    "sam_model_registry",
    "segment",
    "segment_everything",
    "validate",
]

_MODULES = {
    "Bundle": "bundle.folder",
    "ConversionOptions": "converters.options",
    "EverythingConfig": "segment.everything",
    "Model": "segment.model",
    "SamAutomaticMaskGenerator": "segment.segment_anything",
    "SamPredictor": "segment.segment_anything",
    "convert": "converters.pipeline",
    "load_checkpoint": "modeling.checkpoint",
    "load_image": "imaging.images",
    "open": "segment.model",
    "sam_model_registry": "segment.segment_anything",
    "segment": "segment.model",
    "segment_everything": "segment.model",
    "validate": "parity.validate",
}
"""Name → the module that has it."""


def __getattr__(name: str) -> Any:
    if name not in _MODULES:
        raise AttributeError(f"module 'tinysam_mobile' has no attribute {name!r}")
    return getattr(import_module(f"tinysam_mobile.{_MODULES[name]}"), name)


def __dir__() -> list[str]:
    return sorted(__all__)
