"""Documents from outside, read by a declared type: `read_document` checks types *and* ranges in one place.

A document is a `msgspec.Struct` or a frozen dataclass whose fields have the types below; the same object is
written again, so nothing that we write is refused when it is read.  Numbers are bounded before anything is
built from them.
"""

from __future__ import annotations

from dataclasses import fields, is_dataclass
from typing import Annotated, Any, TypeVar

import msgspec
from msgspec import Meta

from tinysam_mobile.contract.foreign_text import one_line
from tinysam_mobile.errors import InputError, TinySAMError

__all__ = ["Coordinate", "Count", "Name", "RelativePath", "Sha256", "Side", "read_document"]

T = TypeVar("T")

Name = Annotated[str, Meta(min_length=1, max_length=255)]
"""Of a tensor, a function, a photo: what a file system takes as a name."""
RelativePath = Annotated[str, Meta(min_length=1, max_length=1024)]
Sha256 = Annotated[str, Meta(pattern="^[0-9a-f]{64}$")]
Side = Annotated[int, Meta(ge=1, le=2**16 - 1)]
"""Of a picture, in pixels, or of a tensor."""
Count = Annotated[int, Meta(ge=0, le=2**53)]
"""Of bytes or things; as much as a float64, so JavaScript, holds exactly."""
Coordinate = Annotated[float, Meta(ge=-1e9, le=1e9)]
"""In pixels; not even a wrong one is larger."""


def read_document(
    kind: type[T], data: Any, where: str, *, error: type[TinySAMError] = InputError, hint: str = ""
) -> T:
    """Return the `kind` that JSON `data` from `where` describes.

    Raises `error` that names the field, what it must be and, if given, the `hint` at what is right.
    """
    if (
        is_dataclass(kind)
        and isinstance(data, dict)
        and (strange := set(data) - {f.name for f in fields(kind)})
    ):
        raise error(f"{where}: unknown field {one_line(min(map(str, strange)))}{'; ' + hint if hint else ''}")
    try:
        return msgspec.convert(data, kind, strict=True)
    except (msgspec.ValidationError, RecursionError, UnicodeError) as reason:
        said = one_line(reason).replace(" - at `$", " at `").replace("`.", "`")
        raise error(f"{where}: {said}{'; ' + hint if hint else ''}") from reason
