"""What a conversion may be asked for: what no target can do is refused before torch is loaded."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from tinysam_mobile.artifacts.formats import DEPLOYMENT_TARGETS, FORMATS
from tinysam_mobile.errors import RuntimeUnavailableError, UnknownNameError, UsageError
from tinysam_mobile.quant.calibration import MIN_PHOTOS, CalibrationSet
from tinysam_mobile.quant.capability import check_recipe
from tinysam_mobile.quant.observers import DEFAULT_METHOD, RANGE_METHODS
from tinysam_mobile.quant.recipe import recipe_named
from tinysam_mobile.version import install_command, package_version

__all__ = ["EXECUTORCH_BACKENDS", "ConversionOptions"]

EXECUTORCH_BACKENDS = ("xnnpack", "coreml", "vulkan")
"""Delegates that a .pte may be made for; the first runs here."""


@dataclass(frozen=True, kw_only=True)
class ConversionOptions:
    """What `convert` may be told; the fields are the options of the command line.

    `ranges` is how static recipes choose the ranges of activations, one of `RANGE_METHODS`.
    `min_mask_iou` is `--auto-mixed`: static recipes keep their most costly layers in float until the mean IoU
    with the float model's masks reaches it on the calibration photos.
    `jobs` processes convert at a time, None for as many as cores and memory allow.  More than one start a new
    interpreter each, so a script that asks for them needs `if __name__ == "__main__":` around its work.
    """

    targets: Sequence[str] = tuple(FORMATS)
    recipes: Sequence[str] = ("fp32",)
    slots: int = 8
    batch: int = 16
    score_batch: int = 64
    deployment_target: str = "iOS18"
    executorch_backend: str = "xnnpack"
    calibration: CalibrationSet | None = None
    ranges: str = DEFAULT_METHOD
    min_mask_iou: float | None = None
    overwrite: bool = False
    jobs: int | None = 1

    def check(self) -> None:
        """Raise `UsageError` for an unknown name, `RuntimeUnavailableError` for an SDK that is missing and
        `ConversionError` for a recipe that a target cannot express."""
        for kind, names, known in (
            ("target", self.targets, FORMATS),
            ("deployment target", (self.deployment_target,), DEPLOYMENT_TARGETS),
            ("ExecuTorch backend", (self.executorch_backend,), EXECUTORCH_BACKENDS),
            ("way to choose ranges", (self.ranges,), RANGE_METHODS),
        ):
            for name in names:
                if name not in known:
                    raise UnknownNameError(kind, name, known)
        if not self.targets or not self.recipes:
            raise UsageError("name at least one --target and one --recipe")
        for target in self.targets:
            _require_sdk(target)
            for recipe in self.recipes:
                check_recipe(target, recipe_named(recipe).id, deployment_target=self.deployment_target)
        self._check_calibration()

    def _check_calibration(self) -> None:
        if self.min_mask_iou is not None and not 0 < self.min_mask_iou < 1:
            raise UsageError(f"--auto-mixed must be a mask IoU between 0 and 1, not {self.min_mask_iou}")
        needy = [recipe for recipe in self.recipes if recipe_named(recipe).needs_calibration]
        if needy and self.calibration is None:
            raise UsageError(
                f"recipe {needy[0]} needs photos to take ranges from: pass --calibration with a folder of at "
                f"least {MIN_PHOTOS}, or take dynamic_w8 or weight_only_w8"
            )


def _require_sdk(target: str) -> None:
    fmt = FORMATS[target]
    converter = fmt.distributions[0]
    if package_version(converter) is None:
        raise RuntimeUnavailableError(f"target {target} needs {converter}; run: {install_command(fmt.extra)}")
