"""How a check can end."""

from __future__ import annotations

from collections.abc import Iterable
from enum import StrEnum

__all__ = ["Verdict"]


class Verdict(StrEnum):
    """Ordered from best to worst; the value is what reports and JSON say."""

    PASSED = "PASSED"
    NOT_RUN = "NOT_RUN"
    FAILED = "FAILED"

    @classmethod
    def worst(cls, verdicts: Iterable[Verdict]) -> Verdict:
        """Return FAILED if any is, else NOT_RUN if any is, else PASSED."""
        order = list(cls)
        return max(verdicts, key=order.index, default=cls.PASSED)
