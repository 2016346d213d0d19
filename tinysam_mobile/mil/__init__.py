"""A Core ML interpreter: runs ML Programs (iOS 15 to iOS 18) on any machine, with torch.

    from tinysam_mobile.mil import MilModel

    model = MilModel.load("encoder.mlpackage", precision="fp16")
    outputs = model.predict({"image": image})

See docs/mil.md for what it is judged by and what it cannot tell.
"""

from __future__ import annotations

from tinysam_mobile.mil.calibration import calibrate
from tinysam_mobile.mil.model import PRECISIONS, MilModel, MilState
from tinysam_mobile.mil.table import supported_ops
from tinysam_mobile.mil.trace import OpTrace, first_broken, trace

__all__ = [
    "PRECISIONS",
    "MilModel",
    "MilState",
    "OpTrace",
    "calibrate",
    "first_broken",
    "supported_ops",
    "trace",
]
