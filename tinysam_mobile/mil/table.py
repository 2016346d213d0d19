"""The table of supported ops, generated from the registry."""

from __future__ import annotations

from tinysam_mobile.mil import ops
from tinysam_mobile.mil.program import CONTROL_FLOW
from tinysam_mobile.mil.registry import OPSETS

__all__ = ["supported_ops", "supported_table"]

# Needed by every program, and taken apart by the compiler itself.
_BUILT_IN = ("const", *CONTROL_FLOW)


def supported_ops() -> dict[str, dict[str, str]]:
    """Op type -> opset -> the opset whose version of the op applies ("" where there is none)."""
    table = {name: dict.fromkeys(OPSETS, OPSETS[0]) for name in _BUILT_IN}
    for name, versions in ops.OPS.items():
        row = {}
        for rank, opset in enumerate(OPSETS):
            fitting = [v.since for v in versions if OPSETS.index(v.since) <= rank]
            row[opset] = fitting[-1] if fitting else ""
        table[name] = row
    return dict(sorted(table.items()))


def supported_table() -> str:
    """`supported_ops` as a Markdown table: a dot where an opset uses the version of the one before."""
    lines = ["| op | " + " | ".join(OPSETS) + " |", "|---|" + "---|" * len(OPSETS)]
    for name, row in supported_ops().items():
        cells = ["yes" if row[o] == o else "·" if row[o] else "" for o in OPSETS]
        lines.append(f"| `{name}` | " + " | ".join(cells) + " |")
    return "\n".join(lines)
