"""What a converter is: entry points and a recipe in, files on disk and what they hold out.

`write_components` is the shell around every format: it hands one component after the other to the format's
own function, in a staging folder, and publishes all files at once.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from tinysam_mobile.contract.spec import Component
from tinysam_mobile.errors import ConversionError, RuntimeUnavailableError, TinySAMError
from tinysam_mobile.modeling.entry_points import EntryPoint
from tinysam_mobile.quant.plan import QuantPlan
from tinysam_mobile.quant.recipe import QuantRecipe
from tinysam_mobile.version import install_command

__all__ = [
    "ConversionRequest",
    "Convert",
    "ConvertedFile",
    "WriteComponent",
    "say_nothing",
    "sdk_errors",
    "write_components",
]


def say_nothing(text: str) -> None:
    """The progress of whoever wants none; a function with a name, which other processes can be told of."""


@dataclass(frozen=True, kw_only=True)
class ConversionRequest:
    """Everything that a converter needs.

    `entry_points` holds what is asked for, all or some of the contract's; `contract` is the JSON data that
    goes into each artifact as contract.json; files are written to `folder`, which exists.
    `deployment_target` (iOS16, iOS17, iOS18) concerns Core ML only, `executorch_backend` (xnnpack, coreml,
    vulkan) ExecuTorch only.  `plan` holds the grids of a static recipe, which cannot do without.
    `progress` is called with a short sentence before each long step.
    """

    entry_points: Mapping[str, EntryPoint]
    recipe: QuantRecipe
    contract: Mapping[str, Any]
    folder: Path
    deployment_target: str = "iOS18"
    executorch_backend: str = "xnnpack"
    plan: QuantPlan | None = None
    progress: Callable[[str], None] = say_nothing

    @property
    def components(self) -> list[Component]:
        """The parts of the model that `entry_points` asks for, a file each."""
        asked = {entry.signature.component for entry in self.entry_points.values()}
        return [component for component in Component if component in asked]

    def entry_points_of(self, component: Component) -> dict[str, EntryPoint]:
        """What is asked for of one component, in the contract's order."""
        return {n: e for n, e in self.entry_points.items() if e.signature.component is component}


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

WriteComponent = Callable[[ConversionRequest, Component, Path], list[ConvertedFile]]
"""Writes the files of one component into a staging folder and says what they hold."""


def write_components(
    request: ConversionRequest, write: WriteComponent, *, suffix: str
) -> list[ConvertedFile]:
    """Let `write` make each component that is asked for, then move all files into `request.folder`.

    They appear all or none.  Raises `ConversionError` before the work if the folder holds a file of this
    `suffix`, and what `write` raises.
    """
    taken = next(request.folder.glob(f"*{suffix}"), None)
    if taken is not None:
        raise ConversionError(f"{taken} exists already; convert into an empty folder")
    # Inside the folder, so that moving out of it is a rename.
    with TemporaryDirectory(dir=request.folder, prefix=".converting-") as staging:
        files = [f for component in request.components for f in write(request, component, Path(staging))]
        return [replace(file, path=file.path.rename(request.folder / file.path.name)) for file in files]


@contextmanager
def sdk_errors(sdk: str, what: str, *, extra: str, advice: str) -> Iterator[None]:
    """Turn whatever an SDK raises while it makes `what` into one error of ours that ends with `advice`.

    A missing package is a `RuntimeUnavailableError` that names the `extra` which installs it.
    """
    try:
        yield
    except TinySAMError:
        raise
    except ImportError as error:
        raise RuntimeUnavailableError(
            f"converting to {sdk} needs a package that is not installed ({error}); "
            f"run: {install_command(extra)}"
        ) from error
    except OSError as error:
        raise ConversionError(f"{sdk}: {what} could not be written ({error})") from error
    # The SDKs raise whatever their passes raise, AssertionError among them; there is no narrower class.
    except Exception as error:
        reason = (str(error).strip() or "no message").splitlines()[0]
        raise ConversionError(
            f"{sdk} could not express {what}: {type(error).__name__}: {reason}; {advice}"
        ) from error
