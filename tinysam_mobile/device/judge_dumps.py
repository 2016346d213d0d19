"""Judge a device's dump with the judge and the bounds that host artifacts get."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from tinysam_mobile.bundle.folder import Bundle
from tinysam_mobile.bundle.manifest import RUNTIMES_KEY, Artifact
from tinysam_mobile.contract.backend import Backend
from tinysam_mobile.device.dumps import DumpInfo, open_dump
from tinysam_mobile.device.fixtures import FixtureSet
from tinysam_mobile.errors import DumpError, RuntimeUnavailableError
from tinysam_mobile.parity.bounds import bounds_for
from tinysam_mobile.parity.lint import Finding, lint_artifact
from tinysam_mobile.parity.report_data import ParityReport, environment
from tinysam_mobile.parity.sides import SideJudge, SideResult

__all__ = ["check_fixtures", "dump_report", "judge_dump", "run_warnings"]


def judge_dump(
    reference: Backend,
    bundle: Bundle,
    fixtures: FixtureSet,
    path: Path,
    *,
    overrides: Mapping[str, float] | None = None,
    progress: Callable[[str], None] = lambda _: None,
) -> tuple[DumpInfo, SideResult]:
    """Return what the dump in the zip `path` says of its device, and its judgement.

    `reference` is the float model.  Raises `DumpError` for a dump that is damaged, hostile, or of another
    bundle, and `UsageError` if the bundle holds nothing of the runtime and recipe that the dump names.
    """
    with open_dump(path, fixtures) as dump:
        judge = SideJudge(reference, _known(bundle, path, dump.info, overrides))
        for index, case in enumerate(fixtures.cases):
            progress(f"{case.name}: photo {index + 1} of {len(fixtures.cases)}")
            judge.add(case, fixtures.expected(index), dump.recording(index))
        return dump.info, judge.result()


def dump_report(
    reference: Mapping[str, str | None],
    bundle: Bundle,
    fixtures: FixtureSet,
    path: Path,
    info: DumpInfo,
    side: SideResult,
) -> ParityReport:
    """Return the report of a judged dump; `reference` is name and SHA-256 of the float model."""
    return ParityReport(
        title=f"{bundle.folder.name} on {info.device_model}",
        reference=dict(reference),
        settings={"dump": path.name, "fixtures": fixtures.id, "photos": len(fixtures.cases)},
        environment=environment(),
        sides=(side,),
    )


def check_fixtures(bundle: Bundle, fixtures: FixtureSet) -> None:
    """Raise `DumpError` unless the fixtures were written for the bundle's model and sizes."""
    manifest = bundle.manifest
    same = (fixtures.contract, fixtures.checkpoint_sha256) == (manifest.contract, manifest.checkpoint_sha256)
    if not same:
        raise DumpError(
            f"{fixtures.folder}: was written for another checkpoint or other sizes than {bundle.folder}; "
            "write fixtures for this bundle and replay those"
        )


def run_warnings(bundle: Bundle, info: DumpInfo) -> list[str]:
    """What makes a dump's figures less telling, though its masks can be judged: full sentences."""
    warnings = []
    if (info.configuration or "").lower() == "debug":
        warnings.append(
            "The app was built as Debug, whose code around the model is 18 to 112 times slower: "
            "its latencies say nothing, so build it as Release and replay the fixtures again."
        )
    judged = bundle.manifest.data.get(RUNTIMES_KEY, {}).get(info.runtime)
    if judged and info.runtime_version and info.runtime_version != judged:
        warnings.append(
            f"The app ran {info.runtime} {info.runtime_version}, but the bundle's files were judged with "
            f"{judged}: integer kernels of two releases may round differently, so use {judged} in the app."
        )
    return warnings


def _known(bundle: Bundle, path: Path, info: DumpInfo, overrides: Mapping[str, float] | None) -> SideResult:
    artifacts = bundle.artifacts(info.runtime, info.recipe)
    for artifact in artifacts:
        carried = info.artifact_sha256.get(artifact.component.value)
        if carried != artifact.sha256:
            raise DumpError(
                f"{path}: the app ran another {artifact.component.value} ({str(carried)[:12]}) than "
                f"{artifact.path} of this bundle ({artifact.sha256[:12]}): copy the bundle to the app again"
            )
    return SideResult(
        name=f"{info.device_model}, {info.runtime} {info.recipe} on {info.compute_unit}",
        runtime=info.runtime,
        recipe=info.recipe,
        bounds=bounds_for(info.runtime, info.recipe, overrides),
        lint=_lint(bundle, artifacts),
        details={
            "device": info.device_model,
            "os": info.os,
            "app": info.app_version,
            "compute unit": info.compute_unit,
            "threads": info.threads,
            "app built as": info.configuration,
            "runtime version": info.runtime_version,
            "warnings": run_warnings(bundle, info) or None,
            "thermal state": f"{info.thermal_before} before, {info.thermal_after} after",
            **{artifact.path: f"sha256 {artifact.sha256}" for artifact in artifacts},
        },
    )


def _lint(bundle: Bundle, artifacts: Sequence[Artifact]) -> tuple[Finding, ...]:
    """Findings about what the device ran; none where this machine lacks the format's package."""
    try:
        return tuple(finding for artifact in artifacts for finding in lint_artifact(bundle, artifact))
    except RuntimeUnavailableError:
        return ()
