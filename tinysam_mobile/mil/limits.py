"""What one prediction may use, so that no program, whoever wrote it, takes the machine with it."""

from __future__ import annotations

from dataclasses import dataclass

__all__ = ["DEFAULT_LIMITS", "Limits"]


@dataclass(frozen=True, kw_only=True)
class Limits:
    """loop_s: seconds that one `while_loop` may run; memory_bytes: all values that are alive at once."""

    loop_s: float = 60.0
    memory_bytes: int = 4 << 30


DEFAULT_LIMITS = Limits()
