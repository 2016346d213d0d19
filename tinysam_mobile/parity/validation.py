"""Run every artifact on many photos and prompts beside the float model, and judge each."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace

from tinysam_mobile.bundle.folder import Bundle
from tinysam_mobile.bundle.manifest import Artifact
from tinysam_mobile.contract.backend import Backend
from tinysam_mobile.errors import RuntimeUnavailableError, TinySAMError
from tinysam_mobile.parity.bounds import bounds_for
from tinysam_mobile.parity.everything_section import EverythingCheck, check_everything, everything_of
from tinysam_mobile.parity.lint import Finding, lint_artifact
from tinysam_mobile.parity.record import record_photo
from tinysam_mobile.parity.report_pictures import small_mask
from tinysam_mobile.parity.side_by_side import SideBySide, SideOfPhoto
from tinysam_mobile.parity.sides import SideJudge, SideResult
from tinysam_mobile.parity.stages import PhotoCase, Recording
from tinysam_mobile.parity.timed_backend import TimedBackend
from tinysam_mobile.segment.everything import EverythingConfig, EverythingResult
from tinysam_mobile.simulator.isolated import open_isolated
from tinysam_mobile.simulator.registry import RUNTIMES, open_bundle

__all__ = ["HostSide", "bundle_sides", "judge_sides"]


@dataclass(frozen=True, kw_only=True)
class HostSide:
    """A side that runs here: what is known of it, and how it is opened."""

    known: SideResult
    open: Callable[[], Backend]


def bundle_sides(
    bundle: Bundle,
    *,
    runtimes: Sequence[str] = (),
    recipes: Sequence[str] = (),
    overrides: Mapping[str, float] | None = None,
    num_threads: int | None = None,
    isolate: bool = False,
) -> list[HostSide]:
    """Return a side per runtime and recipe of the bundle; all of them, or those named.

    With `isolate` native runtimes run in processes of their own, so that a damaged artifact ends no other.
    Raises `UsageError` for one that the bundle does not hold, `UnknownNameError` for an unknown one.
    """
    held = dict.fromkeys((a.runtime, a.recipe) for a in bundle.manifest.artifacts)
    formats = list(runtimes) or list(dict.fromkeys(runtime for runtime, _ in held))
    sides = []
    for runtime in formats:
        artifact_runtime = RUNTIMES[runtime].artifact_runtime
        names: list[str | None] = [*recipes] or [r for fmt, r in held if fmt == artifact_runtime]
        for name in names or [None]:
            artifacts = bundle.artifacts(artifact_runtime, name)
            sides.append(
                HostSide(
                    known=SideResult(
                        name=f"{runtime} {artifacts[0].recipe}",
                        runtime=runtime,
                        recipe=artifacts[0].recipe,
                        bounds=bounds_for(artifact_runtime, artifacts[0].recipe, overrides),
                        lint=_lint(bundle, artifacts),
                        size_bytes=sum(a.size_bytes for a in artifacts),
                        details={a.path: f"sha256 {a.sha256}, {a.size_bytes} bytes" for a in artifacts},
                    ),
                    open=_opener(bundle, runtime, artifacts[0].recipe, num_threads, isolate),
                )
            )
    return sides


def _lint(bundle: Bundle, artifacts: Sequence[Artifact]) -> tuple[Finding, ...]:
    """Findings about a side's artifacts; none where the format's own package is missing, as it is not run."""
    try:
        return tuple(finding for artifact in artifacts for finding in lint_artifact(bundle, artifact))
    except RuntimeUnavailableError:
        return ()


def _opener(
    bundle: Bundle, runtime: str, recipe: str, num_threads: int | None, isolate: bool
) -> Callable[[], Backend]:
    open_it = open_isolated if isolate else open_bundle
    return lambda: open_it(bundle, runtime, recipe=recipe, num_threads=num_threads)


def judge_sides(
    reference: Backend,
    sides: Sequence[HostSide],
    cases: Iterable[PhotoCase],
    *,
    everything: Sequence[PhotoCase] = (),
    everything_config: EverythingConfig | None = None,
    side_by_side: SideBySide | None = None,
    progress: Callable[[str], None] = lambda _: None,
) -> list[SideResult]:
    """Judge every side on every photo; `everything` are photos that everything mode is also run on.

    A side that cannot be opened or breaks off keeps the others going.  `side_by_side` is given the photos
    with what all sides answered.
    """
    runs = [_Run(reference, side) for side in sides]
    for case in cases:
        progress(f"{case.name}, torch")
        expected = record_photo(reference, case)
        answers = {}
        for run in runs:
            progress(f"{case.name}, {run.name}")
            if (answer := run.judge_photo(case, expected)) is not None:
                answers[run.name] = answer
        if side_by_side is not None:
            side_by_side.add(case, expected, answers)
    config = everything_config or EverythingConfig()
    for case in everything:
        progress(f"{case.name}, everything mode, torch")
        results = everything_of(reference, case, config)
        for run in runs:
            progress(f"{case.name}, everything mode, {run.name}")
            run.judge_everything(case, results, config)
    return [run.result() for run in runs]


class _Run:
    """One side while photos go by; an error ends its part and no other."""

    def __init__(self, reference: Backend, side: HostSide) -> None:
        self.name = side.known.name
        self._known = side.known
        self._judge = SideJudge(reference, side.known)
        self._everything: list[EverythingCheck] = []
        self._not_run: str | None = None
        self._error: str | None = None
        self._backend: TimedBackend | None = None
        self._latency_ms: dict[str, float] = {}
        try:
            self._backend = TimedBackend(side.open())
        except RuntimeUnavailableError as error:
            self._not_run = str(error)
        except TinySAMError as error:
            self._error = str(error)

    def judge_photo(self, case: PhotoCase, expected: Recording) -> SideOfPhoto | None:
        """Judge one photo; returns what stands beside the other sides, None if this one runs no more."""
        if self._backend is None:
            return None
        try:
            recording = record_photo(self._backend, case)
            self._latency_ms = self._backend.latency_ms()
            judged = self._judge.add(case, expected, recording)
        except TinySAMError as error:
            self._break_off(f"{case.name}: {error}")
            return None
        masks = tuple(small_mask(recording, index) for index in range(len(case.prompts)))
        return SideOfPhoto(prompts=judged.prompts, masks=masks)

    def judge_everything(
        self, case: PhotoCase, reference: Mapping[str, EverythingResult], config: EverythingConfig
    ) -> None:
        if self._backend is None:
            return
        try:
            results = everything_of(self._backend, case, config)
        except TinySAMError as error:
            self._break_off(f"{case.name}: everything mode: {error}")
            return
        bounds = self._known.bounds
        for mode, theirs in results.items():
            check = check_everything(case, reference[mode], theirs, mode=mode, config=config, bounds=bounds)
            self._everything.append(check)

    def _break_off(self, error: str) -> None:
        self._error, self._backend = error, None

    def result(self) -> SideResult:
        if self._not_run is not None:
            return replace(self._known, not_run=self._not_run)
        return self._judge.result(everything=self._everything, error=self._error, latency_ms=self._latency_ms)
