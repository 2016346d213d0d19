"""Every error that this package raises on purpose.

    TinySAMError
    ├── UsageError               a value or name that the caller chose is wrong
    │   └── UnknownNameError     a name that is not in the list of what exists
    ├── InputError               a file or array from outside cannot be used
    │   ├── ImageError           unreadable, truncated or empty image
    │   ├── CheckpointError      not a plain state dict, or one that does not fit the model
    │   ├── BundleError          missing, altered or unreadable bundle, artifact or manifest
    │   ├── DatasetError         annotations or a data set that cannot be read
    │   ├── DumpError            fixtures for a device, or what a device recorded, cannot be used
    │   └── MilError             a Core ML package or input that cannot be executed
    │       └── UnsupportedOp    operations that the interpreter does not implement
    ├── ConversionError          an SDK could not express the model or recipe
    └── RuntimeUnavailableError  a runtime or SDK is not installed or cannot run here

Each message says what is wrong, where, and what to do next.  The command line prints it as one
line and exits with 2 (usage or bad input).
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from difflib import get_close_matches

__all__ = [
    "BundleError",
    "CheckpointError",
    "ConversionError",
    "DatasetError",
    "DumpError",
    "ImageError",
    "InputError",
    "MilError",
    "RuntimeUnavailableError",
    "TinySAMError",
    "UnknownNameError",
    "UnsupportedOp",
    "UsageError",
    "did_you_mean",
]


class TinySAMError(Exception):
    """Base of all errors of this package."""


class UsageError(TinySAMError):
    """A value that the caller chose is wrong."""


class UnknownNameError(UsageError):
    """A name that does not exist; the message lists those that do."""

    def __init__(self, kind: str, name: str, known: Iterable[str]) -> None:
        self.kind = kind
        self.name = name
        self.known = sorted(known)
        super().__init__(
            f"unknown {kind} {name!r}{did_you_mean(name, self.known)}; choose one of: {', '.join(self.known)}"
        )


def did_you_mean(name: str, known: Iterable[str]) -> str:
    """Return " (did you mean NAME?)" with the nearest of the `known` names in any case, or nothing."""
    by_lower = {other.lower(): other for other in known}
    near = get_close_matches(name.lower(), by_lower, n=1)
    return f" (did you mean {by_lower[near[0]]}?)" if near else ""


class InputError(TinySAMError):
    """A file or array from outside cannot be used."""


class ImageError(InputError):
    """An image is unreadable, truncated or empty."""


class CheckpointError(InputError):
    """A checkpoint is not a plain state dict, or does not fit the model."""


class BundleError(InputError):
    """A bundle, artifact or manifest is missing, altered or unreadable."""


class DatasetError(InputError):
    """Annotations or a data set cannot be read."""


class DumpError(InputError):
    """Fixtures for a device, or the dump that a device recorded, cannot be used."""


class MilError(InputError):
    """A Core ML package, or an input given to it, cannot be executed."""


class UnsupportedOp(MilError):
    """Operations that the MIL interpreter does not implement.

    `missing` holds every (op type, opset) of the program that is missing, for example
    ``[("gather_along_axis", "ios17")]``.
    """

    def __init__(self, missing: Sequence[tuple[str, str]]) -> None:
        self.missing = list(missing)
        listing = ", ".join(f"{name} ({opset})" for name, opset in self.missing)
        super().__init__(f"the MIL interpreter does not implement: {listing}")


class ConversionError(TinySAMError):
    """An SDK could not express the model or the recipe."""


class RuntimeUnavailableError(TinySAMError):
    """A runtime or SDK is not installed, or cannot run on this machine."""
