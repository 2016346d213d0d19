"""What a converter is: entry points and a recipe in, files on disk and what they hold out."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from tinysam_mobile.contract.spec import Component
from tinysam_mobile.modeling.entry_points import EntryPoint
from tinysam_mobile.quant.plan import QuantPlan
from tinysam_mobile.quant.recipe import QuantRecipe

__all__ = ["ConversionRequest", "Convert", "ConvertedFile"]


@dataclass(frozen=True, kw_only=True)
class ConversionRequest:
    """Everything that a converter needs.

    `entry_points` holds encode, decode and decode_batch; `contract` is the JSON data that goes into each
    artifact as contract.json; files are written to `folder`, which exists.  `deployment_target`
    (iOS16, iOS17, iOS18) concerns Core ML only, `executorch_backend` (xnnpack, coreml, vulkan) ExecuTorch
    only.  `plan` holds the grids of a static recipe, which cannot do without.  `progress` is called with a
    short sentence before each long step.
    """

    entry_points: Mapping[str, EntryPoint]
    recipe: QuantRecipe
    contract: Mapping[str, Any]
    folder: Path
    deployment_target: str = "iOS18"
    executorch_backend: str = "xnnpack"
    plan: QuantPlan | None = None
    progress: Callable[[str], None] = lambda _: None

    @property
    def components(self) -> list[Component]:
        """The parts of the model that `entry_points` asks for, a file each."""
        asked = {entry.signature.component for entry in self.entry_points.values()}
        return [component for component in Component if component in asked]


@dataclass(frozen=True, kw_only=True)
class ConvertedFile:
    """One file (or .mlpackage folder) that a converter wrote.

    `entry_points` maps the contract's entry points to the name inside the file (Core ML function, TFLite
    signature, ExecuTorch method).  `notes` are sentences for the user, for example that weights could not
    be shared; `details` is data for the manifest.
    """

    path: Path
    component: Component
    entry_points: Mapping[str, str]
    notes: tuple[str, ...] = ()
    details: Mapping[str, Any] = field(default_factory=dict)


Convert = Callable[[ConversionRequest], list[ConvertedFile]]
"""Each converter module has a `convert` of this type; it raises `ConversionError` or `UsageError`."""
