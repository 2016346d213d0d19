"""What a configuration in a stranger's file may say: types, and ranges before anything is built."""

from __future__ import annotations

from dataclasses import fields
from typing import Any, TypeVar

from tinysam_mobile.contract.schema import read_document
from tinysam_mobile.errors import UsageError

__all__ = ["MAX_IMAGE_SIZE", "checked_name", "read_part"]

T = TypeVar("T")

MAX_IMAGE_SIZE = 4096
MAX_NAME = 100
MAX_WIDTH = 8192
"""Of a layer; SAM's largest is 5120."""
MAX_RATIO = 64.0
MAX_ENTRIES = 128
"""Of a list: layers or stages; of a text: blocks."""
MAX_DEPTH = 128
MAX_WINDOW = 64
"""A window's attention has a bias for each pair of its cells, so the fourth power of this."""
LIMITS = {
    "depth": MAX_DEPTH,
    "depths": MAX_DEPTH,
    "iou_head_depth": MAX_DEPTH,
    "neck_depth": MAX_DEPTH,
    "num_multimask_outputs": 16,
    "first_mask": 16,
    "window_size": MAX_WINDOW,
    "window_sizes": MAX_WINDOW,
    "stride": 64,
    "merge_strides": 64,
    "local_conv_size": 64,
    "aggregation_kernel": 64,
    "last_stride": 64,
}
"""Field → its largest value where that is not `MAX_WIDTH`."""
MAY_BE_ZERO = {"classifier_classes", "first_mask", "global_layers", "mask_limit", "unnormed_stages"}


def read_part(kind: type[T], data: Any) -> T:
    """Return a part of a configuration; raises `UsageError` for a wrong type, and a number out of range."""
    hint = f"{kind.__name__} has the keys {', '.join(f.name for f in fields(kind))}"  # type: ignore[arg-type]
    if isinstance(data, dict):
        for name, value in data.items():
            _check_range(f"{kind.__name__}: {name}", name, value)
    return read_document(kind, data, kind.__name__, error=UsageError, hint=hint)


def _check_range(where: str, name: str, value: Any) -> None:
    if isinstance(value, list | str):
        if len(value) > MAX_ENTRIES:
            raise UsageError(f"{where} has {len(value)} entries, more than {MAX_ENTRIES}")
        for item in value if isinstance(value, list) else ():
            _check_range(where, name, item)
    elif isinstance(value, float):
        if not 0 < value <= MAX_RATIO:
            raise UsageError(f"{where} must be above 0 and at most {MAX_RATIO:g}, not {value:g}")
    elif isinstance(value, int) and not isinstance(value, bool):
        limit = LIMITS.get(name, MAX_RATIO if name.endswith("ratio") else MAX_WIDTH)
        if not (name not in MAY_BE_ZERO) <= value <= limit:
            raise UsageError(f"{where} must be 1 to {limit:g}, not {str(value)[:20]}")


def checked_name(name: Any) -> str:
    """Return the name of a configuration; raises `UsageError` unless it is a short text."""
    if not isinstance(name, str) or not 0 < len(name) <= MAX_NAME:
        raise UsageError(f"the name of a configuration must be a text of at most {MAX_NAME} characters")
    return name
