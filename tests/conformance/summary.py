"""Figures of a conformance log: in all, per op, and what failed.

    python -m tests.conformance.summary LOG [LOG...]

Only tests that reached the predictor are in a log.  Tests that coremltools itself expects to fail on
Apple's machines (xfail) count apart: whether we pass them says nothing.
"""

from __future__ import annotations

import json
import sys
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

__all__ = ["Summary", "summarize"]

# Ops that are not what is under test: coremltools' converter puts them around the op.
_WRAPPING = {"cast", "const", "identity"}


@dataclass
class Summary:
    """Counts of one or several logs; per op (passed, all)."""

    outcomes: Counter[str] = field(default_factory=Counter)
    passed_by_op: Counter[str] = field(default_factory=Counter)
    count_by_op: Counter[str] = field(default_factory=Counter)
    failures: list[dict[str, Any]] = field(default_factory=list)

    @property
    def pass_rate(self) -> float:
        """Passed of passed and failed."""
        return self.outcomes["passed"] / max(1, self.outcomes["passed"] + self.outcomes["failed"])

    def op_rates(self) -> dict[str, float]:
        """Pass rate of the tests in which each op ran."""
        return {op: self.passed_by_op[op] / count for op, count in sorted(self.count_by_op.items())}


def summarize(logs: Iterable[Path]) -> Summary:
    """Read logs; of a test that is in several, the last counts."""
    lines: dict[str, dict[str, Any]] = {}
    for log in logs:
        for text in log.read_text(encoding="utf-8").splitlines():
            line = json.loads(text)
            lines[line["test"]] = line
    summary = Summary()
    for line in lines.values():
        outcome = line["outcome"]
        summary.outcomes[outcome] += 1
        if outcome not in ("passed", "failed"):
            continue
        tested = set(line["ops"]) - _WRAPPING or set(line["ops"])
        summary.count_by_op.update(tested)
        if outcome == "passed":
            summary.passed_by_op.update(tested)
        else:
            summary.failures.append(line)
    return summary


def main() -> None:
    """Print the figures of the logs named on the command line."""
    summary = summarize(Path(name) for name in sys.argv[1:])
    print(f"{dict(summary.outcomes)}: {100 * summary.pass_rate:.2f} % pass, {len(summary.count_by_op)} ops")
    for op, rate in summary.op_rates().items():
        if rate < 1:
            print(f"  {op}: {summary.passed_by_op[op]} of {summary.count_by_op[op]}")
    for line in summary.failures:
        print(f"FAILED {line['test']}\n    {line['error'][:200]!r}")


if __name__ == "__main__":
    main()
