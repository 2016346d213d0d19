"""The model that a user named by options, for every command that runs one: a checkpoint, or a bundle."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tinysam_mobile.artifacts.formats import format_named
from tinysam_mobile.bundle.folder import Bundle
from tinysam_mobile.cli.float_model import warn_about_stand_in
from tinysam_mobile.errors import UsageError
from tinysam_mobile.evaluation.models import ModelUnderTest, bundle_models, checkpoint_model, is_bundle
from tinysam_mobile.segment.everything import POINTS_PER_BATCH
from tinysam_mobile.segment.predictor import Predictor
from tinysam_mobile.simulator.registry import RUNTIMES

__all__ = ["ModelSource"]

SLOTS = 8


@dataclass(frozen=True, kw_only=True)
class ModelSource:
    """--checkpoint, --bundle, --runtime, --recipe and so on; nothing is opened yet.

    `single_mask` asks a checkpoint for the one mask of its token for single masks; a bundle's decoder makes
    what it was converted with.
    """

    checkpoint: str | None = None
    bundle: Path | None = None
    runtime: str | None = None
    recipe: str | None = None
    image_size: int | None = None
    threads: int | None = None
    isolate: bool = False
    single_mask: bool = False

    @property
    def runtime_name(self) -> str:
        """The runtime: what the user named, else the one that runs the bundle's first file, else torch."""
        if self.runtime is None and self.bundle is not None:
            artifacts = Bundle.open(self.bundle).manifest.artifacts
            return format_named(artifacts[0].runtime).default_runtime if artifacts else "torch"
        return self.runtime or "torch"

    def check(self) -> None:
        """Raise `UsageError` for options that do not go together."""
        if self.runtime_name == "torch":
            if self.bundle is not None:
                others = ", ".join(name for name in RUNTIMES if name != "torch")
                raise UsageError(
                    f"{self.bundle}: holds no PyTorch model: leave out --runtime or name one of {others}; "
                    "for PyTorch pass --checkpoint in place of --bundle"
                )
            if self.recipe is not None:
                raise UsageError("--recipe names artifacts of a bundle: pass --bundle and --runtime with it")
        elif self.checkpoint is not None or self.image_size is not None:
            option = "--checkpoint" if self.checkpoint is not None else "--image-size"
            raise UsageError(
                f"{option} goes with --runtime torch; {self.runtime_name} runs a bundle: "
                f"leave out {option}, and pass --bundle"
            )
        elif self.bundle is None:
            target = RUNTIMES[self.runtime_name].artifact_runtime
            raise UsageError(
                f"--runtime {self.runtime} runs a converted bundle: make one with "
                f"'tinysam-mobile convert --target {target} --out bundle' and pass --bundle bundle"
            )

    def model(self, *, slots: int = SLOTS, batch: int | None = None) -> ModelUnderTest:
        """The one model that the options name; `slots` and `batch` are those of a checkpoint's contract.

        Raises `UsageError`, and as `load_checkpoint` and `Bundle.open` do.
        """
        self.check()
        if self.bundle is None:
            return self._torch(self.checkpoint, slots, batch)
        (model,) = self._bundle(self.bundle, self.runtime_name)
        return model

    def named(self, sources: tuple[str, ...], *, slots: int) -> list[ModelUnderTest]:
        """Checkpoints and bundles; a bundle stands for all its artifacts, or those that the options name."""
        if self.checkpoint or self.bundle:
            raise UsageError("--compare takes its models after DATASET, not by --checkpoint or --bundle")
        models = []
        for source in sources:
            if is_bundle(source):
                models += self._bundle(Path(source), self.runtime)
            else:
                models.append(self._torch(source, slots, None))
        return models

    def predictor(self) -> tuple[Predictor, Mapping[str, Any]]:
        """Open the model to segment with; also returns its thresholds of everything mode."""
        model = self.model(batch=POINTS_PER_BATCH)
        if model.checkpoint is not None:
            warn_about_stand_in(model.checkpoint)
        return Predictor(model.open()), model.everything

    def _bundle(self, folder: Path, runtime: str | None) -> list[ModelUnderTest]:
        return bundle_models(
            folder, runtime=runtime, recipe=self.recipe, threads=self.threads, isolate=self.isolate
        )

    def _torch(self, source: str | None, slots: int, batch: int | None) -> ModelUnderTest:
        return checkpoint_model(
            source,
            slots=slots,
            batch=batch,
            image_size=self.image_size,
            threads=self.threads,
            single_mask=self.single_mask,
        )
