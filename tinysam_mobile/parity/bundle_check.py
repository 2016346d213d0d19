"""Every artifact of a bundle run against torch on the same inputs: what `convert` ends with."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from tinysam_mobile.bundle.folder import Bundle
from tinysam_mobile.bundle.manifest import Artifact
from tinysam_mobile.contract.verdict import Verdict
from tinysam_mobile.errors import RuntimeUnavailableError
from tinysam_mobile.parity.compare import EntryPointParity, compare_backends
from tinysam_mobile.quant.recipe import recipe_named
from tinysam_mobile.simulator.registry import open_bundle, open_model

if TYPE_CHECKING:
    from tinysam_mobile.modeling.sam import TinySAM

__all__ = ["MeasuredArtifact", "measure_bundle"]


@dataclass(frozen=True, kw_only=True)
class MeasuredArtifact:
    """One artifact with a figure per entry point, or with the reason why it was not run here."""

    artifact: Artifact
    parity: Sequence[EntryPointParity]
    not_run: str | None

    @property
    def verdict(self) -> Verdict:
        if self.not_run:
            return Verdict.NOT_RUN
        return Verdict.PASSED if all(p.passed for p in self.parity) else Verdict.FAILED


def measure_bundle(
    bundle: Bundle, model: TinySAM, threads: int | None, say: Callable[[str], None]
) -> list[MeasuredArtifact]:
    """Run each format and recipe of the bundle against `model`, its float model; one row per artifact."""
    reference = open_model(model, bundle.manifest.contract, num_threads=threads)
    rows: list[MeasuredArtifact] = []
    groups = dict.fromkeys((a.runtime, a.recipe) for a in bundle.manifest.artifacts)
    for runtime, recipe in groups:
        say(f"{runtime} {recipe}: running against torch")
        parity: list[EntryPointParity] = []
        reason = None
        try:
            backend = open_bundle(bundle, runtime, recipe=recipe, num_threads=threads)
            parity = compare_backends(reference, backend, runtime=runtime, recipe=recipe_named(recipe))
        except RuntimeUnavailableError as error:
            reason = str(error)
        for artifact in bundle.artifacts(runtime, recipe):
            own = [p for p in parity if p.entry_point in artifact.entry_points]
            rows.append(MeasuredArtifact(artifact=artifact, parity=own, not_run=reason))
    return rows
