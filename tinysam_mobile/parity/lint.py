"""Static lint: what an artifact's graph says about how it will fare on a phone, without running it.

ERROR: it will not load, or answer wrongly; WARNING: it will be slower or larger than need be; INFO: a figure.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from enum import StrEnum

from tinysam_mobile.artifacts.accelerators import MAX_RANK
from tinysam_mobile.artifacts.formats import format_named
from tinysam_mobile.artifacts.graph import ArtifactFacts, Graph
from tinysam_mobile.bundle.folder import Bundle
from tinysam_mobile.bundle.manifest import Artifact, Manifest
from tinysam_mobile.errors import BundleError, MilError
from tinysam_mobile.quant.recipe import RECIPES

__all__ = ["RULES", "Finding", "Severity", "lint_artifact", "lint_facts"]

MAX_NAMED = 4
MAX_PIECES = 4
"""Pieces of XNNPACK's share, from which on the copies between them are worth a look."""
LARGE_ACTIVATIONS_BYTES = 2**30
"""iOS ends apps at about half of a phone's memory, and the smallest that run TinySAM have 3 to 4 GB."""
SMALL_OPS = {
    "SLICE", "RESHAPE", "CAST", "SELECT_V2", "EQUAL", "GREATER", "GREATER_EQUAL", "LESS", "LESS_EQUAL",
    "LOGICAL_AND", "LOGICAL_OR", "LOGICAL_NOT", "BROADCAST_TO", "aten::ge", "aten::le", "aten::lt",
    "aten::gt", "aten::eq", "aten::where", "aten::masked_fill", "aten::slice_copy", "aten::logical_or",
    "aten::logical_and", "aten::logical_not", "aten::bitwise_not", "aten::index_select", "aten::_to_copy",
    "dim_order_ops::_to_dim_order_copy",
}  # fmt: skip
"""Operations on labels, sizes and masks, which XNNPACK never takes and which cost microseconds."""


class Severity(StrEnum):
    """How bad a finding is."""

    ERROR = "error"
    WARNING = "warning"
    INFO = "info"


@dataclass(frozen=True, kw_only=True)
class Finding:
    """One thing to know about one artifact (its path in the bundle); `rule` is a key of `RULES`.

    `advice` is empty where there is nothing to do.
    """

    severity: Severity
    artifact: str
    rule: str
    message: str
    advice: str


@dataclass(frozen=True, kw_only=True)
class _Subject:
    """What rules look at."""

    artifact: Artifact
    facts: ArtifactFacts
    manifest: Manifest

    def find(self, severity: Severity, rule: str, message: str, advice: str) -> Finding:
        """Return a finding about the artifact."""
        return Finding(
            severity=severity, artifact=self.artifact.path, rule=rule, message=message, advice=advice
        )

    @property
    def graphs(self) -> list[Graph]:
        return [self.facts.graphs[name] for name in sorted(self.facts.graphs)]


def lint_artifact(bundle: Bundle, artifact: Artifact) -> list[Finding]:
    """Return the findings about one artifact of a bundle, the worst first.

    A file that cannot be read is a finding too.  Raises `RuntimeUnavailableError` where the package that
    reads its format is not installed.
    """
    try:
        facts = format_named(artifact.runtime).read_facts(bundle.path_of(artifact))
    except (BundleError, MilError) as error:
        message, advice = str(error), "convert the checkpoint again"
        return [
            Finding(
                severity=Severity.ERROR,
                artifact=artifact.path,
                rule="unreadable",
                message=message,
                advice=advice,
            )
        ]
    return lint_facts(facts, artifact, bundle.manifest)


def lint_facts(facts: ArtifactFacts, artifact: Artifact, manifest: Manifest) -> list[Finding]:
    """Return the findings about an artifact that was read, the worst first."""
    subject = _Subject(artifact=artifact, facts=facts, manifest=manifest)
    findings = [finding for rule in RULES.values() for finding in rule(subject)]
    return sorted(findings, key=lambda finding: list(Severity).index(finding.severity))


def _metadata(subject: _Subject) -> Iterator[Finding]:
    """contract.json inside the artifact against the manifest, and the entry points that it promises."""
    advice = "the file is of another conversion: convert again, and copy the whole bundle"
    missing = [n for n in subject.artifact.entry_points.values() if n not in subject.facts.graphs]
    if missing:
        have = ", ".join(sorted(subject.facts.graphs)) or "none"
        message = f"has no entry point {', '.join(missing)}, which the manifest lists (it has: {have})"
        yield subject.find(Severity.ERROR, "metadata", message, advice)
    problem = _contract_problem(subject)
    if problem:
        yield subject.find(Severity.ERROR, "metadata", problem, advice)


def _contract_problem(subject: _Subject) -> str | None:
    if subject.facts.contract_json is None:
        return "carries no contract.json, so an app cannot check what it loads"
    try:
        found = json.loads(subject.facts.contract_json)
    except (ValueError, RecursionError):
        return "carries a contract.json that is not valid JSON"
    expected = {**json.loads(json.dumps(dict(subject.manifest.data))), "recipe": subject.artifact.recipe}
    if not isinstance(found, dict):
        return "carries a contract.json that is not an object"
    wrong = [key for key in {**expected, **found} if found.get(key) != expected.get(key)]
    return f"its contract.json differs from the manifest in {_listing(sorted(wrong))}" if wrong else None


def _custom_ops(subject: _Subject) -> Iterator[Finding]:
    """Operations that no stock runtime has: Flex, and those of an app's own."""
    names = {op.name for graph in subject.graphs for op in graph.ops if op.is_custom}
    if names:
        message = f"needs operations that no stock runtime has: {_listing(sorted(names))}"
        advice = "rewrite that part of the model with built-in operations before conversion"
        yield subject.find(Severity.ERROR, "custom_ops", message, advice)


def _dynamic_shapes(subject: _Subject) -> Iterator[Finding]:
    """Sides that are not fixed, against a contract of fixed shapes."""
    names = [t.name or "unnamed" for graph in subject.graphs for t in graph.tensors if t.is_dynamic]
    if names:
        message = f"{len(names)} tensors have a side that is not fixed: {_listing(names)}"
        advice = "export with fixed shapes: GPU delegates and the Neural Engine plan memory ahead"
        yield subject.find(Severity.WARNING, "dynamic_shapes", message, advice)


def _rank(subject: _Subject) -> Iterator[Finding]:
    """Tensors with more axes than accelerators have."""
    wide = [t for graph in subject.graphs for t in graph.tensors if t.rank > MAX_RANK]
    if wide:
        named = _listing([f"{t.name or 'unnamed'} {list(t.shape)}" for t in wide])
        message = f"{len(wide)} tensors have more than {MAX_RANK} axes: {named}"
        advice = (
            "reshape so that no step needs more (window partition in two steps): accelerators refuse them, "
        )
        yield subject.find(Severity.WARNING, "rank", message, advice + "or answer wrongly")


def _undelegated(subject: _Subject) -> Iterator[Finding]:
    """What the CPU backend leaves to slower kernels, and into how many pieces that breaks the graph."""
    for graph in subject.graphs:
        if graph.outside is None:
            continue
        large = {name: count for name, count in graph.outside.items() if name not in SMALL_OPS}
        pieces = graph.pieces or 0
        text = f"{graph.name}: {pieces} delegated pieces, {sum(graph.outside.values())} operations outside"
        if large or pieces > MAX_PIECES or not pieces:
            message = text + (f", among them {_counts(large)}" if large else "")
            advice = "see which operations the delegate lacks; each border costs copies and slow kernels"
            yield subject.find(Severity.WARNING, "undelegated", message, advice)
        else:
            advice = ""
            yield subject.find(Severity.INFO, "undelegated", text, advice)


def _accelerators(subject: _Subject) -> Iterator[Finding]:
    """Operations that the format's accelerator is known to refuse."""
    accelerator = format_named(subject.artifact.runtime).accelerator
    if accelerator is None:
        return
    name = accelerator.name
    for graph in subject.graphs:
        refused = accelerator.refused(graph)
        if refused:
            reasons = "; ".join(f"{op}: {why}" for op, why in sorted(refused.items()))
            message = f"{graph.name}: {name} leaves {len(refused)} kinds of operation to the CPU: {reasons}"
            advice = f"expect several switches between {name} and CPU; measure on the device before rewriting"
            yield subject.find(Severity.WARNING, "accelerator", message, advice)


def _precision(subject: _Subject) -> Iterator[Finding]:
    """float32 arithmetic in a Core ML program, which the Neural Engine does not have."""
    if subject.artifact.runtime != "coreml":
        return
    for graph in subject.graphs:
        computed = [
            graph.tensors[i] for op in graph.ops for i in op.outputs if not graph.tensors[i].is_constant
        ]
        wide = sum(tensor.dtype == "float32" for tensor in computed)
        if 2 * wide > len(computed):
            message = f"{graph.name}: {wide} of {len(computed)} results are float32"
            advice = "the Neural Engine computes in float16 only: convert with --recipe fp16 to use it"
            yield subject.find(Severity.WARNING, "precision", message, advice)


def _block_weights(subject: _Subject) -> Iterator[Finding]:
    """Weights with a scale per block, which the Neural Engine gets wrong."""
    recipe = RECIPES.get(subject.artifact.recipe)
    if subject.artifact.runtime == "coreml" and recipe and recipe.block_size:
        message = (
            f"weights in blocks of {recipe.block_size}: a ViT's cosine fell to 0.37 on the Neural Engine"
        )
        advice = "compare a dump from a device before shipping, or convert with --recipe palettized_w8"
        yield subject.find(Severity.WARNING, "block_weights", message, advice)


def _peak_memory(subject: _Subject) -> Iterator[Finding]:
    """The least memory that activations can take."""
    for graph in subject.graphs:
        peak = graph.peak_activation_bytes
        large = peak > LARGE_ACTIVATIONS_BYTES
        message = f"{graph.name}: activations take at least {peak / 1e6:.1f} MB at once"
        advice = "convert with a smaller --image-size or --batch" if large else ""
        yield subject.find(Severity.WARNING if large else Severity.INFO, "peak_memory", message, advice)


def _weights(subject: _Subject) -> Iterator[Finding]:
    """Bytes of constants by dtype, against the width that the recipe promises."""
    sizes = subject.facts.constant_bytes
    total = sum(sizes.values())
    shares = ", ".join(f"{dtype} {size / 1e6:.2f} MB" for dtype, size in sorted(sizes.items()))
    recipe = RECIPES.get(subject.artifact.recipe)
    wide = sum(size for dtype, size in sizes.items() if recipe and _bits(dtype) > recipe.weight_bits)
    message = f"constants: {shares or 'none'}"
    if recipe and 2 * wide > total:
        advice = f"recipe {recipe.id} promises {recipe.weight_bits} bits: see which layers were left out"
        yield subject.find(Severity.WARNING, "weights", message, advice)
    else:
        yield subject.find(Severity.INFO, "weights", message, "")


def _bits(dtype: str) -> int:
    digits = "".join(c for c in dtype if c.isdigit())
    return int(digits) if digits else 0


def _listing(names: list[str]) -> str:
    more = f" and {len(names) - MAX_NAMED} more" if len(names) > MAX_NAMED else ""
    return ", ".join(names[:MAX_NAMED]) + more


def _counts(counts: Mapping[str, int]) -> str:
    return _listing([f"{count} {name}" for name, count in sorted(counts.items())])


RULES: Mapping[str, Callable[[_Subject], Iterator[Finding]]] = {
    "metadata": _metadata,
    "custom_ops": _custom_ops,
    "dynamic_shapes": _dynamic_shapes,
    "rank": _rank,
    "undelegated": _undelegated,
    "accelerator": _accelerators,
    "precision": _precision,
    "block_weights": _block_weights,
    "peak_memory": _peak_memory,
    "weights": _weights,
}
"""Rule → what yields its findings; `unreadable` stands for all of them where a file cannot be read."""
