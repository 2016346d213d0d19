"""Hostile values, documents and bytes from a seeded generator: the same seed makes the same input."""

from __future__ import annotations

import copy
import json
from collections.abc import Callable
from random import Random
from typing import Any

__all__ = ["hostile_bytes", "hostile_text", "mutated"]

FORGED = "\x1b[2Kx\nerror: forged line\r[/b][red]‮"
"""A name that tries to write a second line, move the cursor and close a tag."""
TEXTS = (
    "",
    "\0",
    "a\0b",
    "\ud800",
    "x" * 10_000,
    FORGED,
    "../../etc/passwd",
    "/dev/zero",
    "NaN",
    "C:\\x",
    "ä" * 300,
)
NUMBERS = (
    *(0, -1, 1, 2, 255, 2**15, 2**16, 2**20, 2**31, 2**53 + 1, 2**63, 2**64, 10**400, -(10**30)),
    *(0.5, -0.0, 1e-308, 1e308, -1e308, float("inf"), float("-inf"), float("nan"), 1.5, 1e16),
)


def odd_value(rng: Random, depth: int = 0) -> Any:
    """Return a value that a document hardly expects at that place."""
    kind = rng.randrange(8 if depth < 3 else 5)
    if kind == 0:
        return None
    if kind == 1:
        return rng.choice((True, False))
    if kind in (2, 3):
        return rng.choice(NUMBERS)
    if kind == 4:
        return rng.choice(TEXTS)
    if kind == 5:
        return [odd_value(rng, depth + 1) for _ in range(rng.randrange(4))]
    if kind == 6:
        return {
            rng.choice((*TEXTS, "id", "name")): odd_value(rng, depth + 1) for _ in range(rng.randrange(4))
        }
    return nested(rng.choice((2, 70, 400)))


def nested(depth: int) -> Any:
    """Lists in lists."""
    value: Any = []
    for _ in range(depth):
        value = [value]
    return value


def places(value: Any) -> list[tuple[Any, Any]]:
    """Every container of a document with a key of it."""
    found: list[tuple[Any, Any]] = []
    keys = value.keys() if isinstance(value, dict) else range(len(value)) if isinstance(value, list) else ()
    for key in keys:
        found.append((value, key))
        found += places(value[key])
    return found


def mutated(rng: Random, document: Any) -> Any:
    """A copy of a document in which some values are others, gone, doubled or wrapped."""
    result = copy.deepcopy(document)
    for _ in range(rng.choice((1, 1, 1, 2, 4))):
        spots = places(result)
        if not spots:
            return odd_value(rng)
        container, key = rng.choice(spots)
        rng.choice(CHANGES)(rng, container, key)
    return result


def _replace(rng: Random, container: Any, key: Any) -> None:
    container[key] = odd_value(rng)


def _delete(rng: Random, container: Any, key: Any) -> None:  # noqa: ARG001 (all changes have one form)
    del container[key]


def _wrap(rng: Random, container: Any, key: Any) -> None:
    container[key] = rng.choice(([container[key]], {"x": container[key]}, str(container[key])[:1000]))


def _add(rng: Random, container: Any, key: Any) -> None:
    if isinstance(container, dict):
        container[rng.choice((*TEXTS, "extra"))] = odd_value(rng)
    else:
        container.insert(key, copy.deepcopy(container[key]))


def _scale(rng: Random, container: Any, key: Any) -> None:
    value = container[key]
    if isinstance(value, int | float) and not isinstance(value, bool):
        container[key] = rng.choice(
            (-value, value * 2**20, value * 2**64, value + 1, float(min(value, 1e300)))
        )
    else:
        _replace(rng, container, key)


CHANGES: tuple[Callable[[Random, Any, Any], None], ...] = (
    _replace,
    _replace,
    _replace,
    _delete,
    _wrap,
    _add,
    _scale,
)


def hostile_text(rng: Random, document: Any) -> bytes:
    """Return a changed document as JSON, sometimes damaged as text too."""
    try:
        text = json.dumps(mutated(rng, document), ensure_ascii=rng.random() < 0.9)
    except (ValueError, RecursionError):
        text = "[" * 100_000
    if rng.random() < 0.02:
        text = rng.choice(("[" * 100_000, '{"a":' * 50_000, "1" * 5000, "", "﻿{}", "{'a': 1}"))
    data = text.encode("utf-8", errors="surrogatepass")
    return hostile_bytes(rng, data) if rng.random() < 0.1 else data


def hostile_bytes(rng: Random, data: bytes) -> bytes:
    """Return bytes with flipped bits, cut, repeated, overwritten or with strange lengths in them."""
    result = bytearray(data)
    for _ in range(rng.choice((1, 1, 2, 8))):
        at = rng.randrange(len(result)) if result else 0
        kind = rng.randrange(6)
        if kind == 0 and result:
            result[at] ^= 1 << rng.randrange(8)
        elif kind == 1:
            del result[at:]
        elif kind == 2:
            result[at:at] = result[at : at + rng.randrange(1, 64)]
        elif kind == 3:
            result[at : at + 4] = rng.choice(
                (b"\xff\xff\xff\xff", b"\0\0\0\0", b"\xff\xff\xff\x7f", b"\0\0\0\x80")
            )
        elif kind == 4:
            result[at : at + rng.randrange(1, 200)] = b""
        else:
            result[at : at + 16] = rng.randbytes(16)
    return bytes(result)
