"""The runtimes by name, and how a bundle or a checkpoint becomes a backend that answers entry points."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from importlib import import_module
from typing import TYPE_CHECKING, Any

from numpy.typing import NDArray

from tinysam_mobile.artifacts.formats import FORMATS
from tinysam_mobile.bundle.folder import Bundle
from tinysam_mobile.contract.backend import Arrays, Session, check_inputs
from tinysam_mobile.contract.spec import Contract
from tinysam_mobile.errors import BundleError, RuntimeUnavailableError, UnknownNameError
from tinysam_mobile.version import install_command, package_version

if TYPE_CHECKING:
    from tinysam_mobile.modeling.sam import TinySAM

__all__ = [
    "RUNTIMES",
    "LoadedModel",
    "RuntimeInfo",
    "open_bundle",
    "open_model",
    "runtime_named",
]


@dataclass(frozen=True, kw_only=True)
class RuntimeInfo:
    """A runtime: `module` has `open_session`, `artifact_runtime` is the format that it reads.

    `distribution` is the PyPI package it needs and `extra` the extra of this package that installs it;
    `libraries` are what it imports on first use.
    """

    module: str
    artifact_runtime: str
    distribution: str
    extra: str | None
    description: str
    libraries: tuple[str, ...] = ()


RUNTIMES = {
    "torch": RuntimeInfo(
        module="tinysam_mobile.simulator.torch",
        artifact_runtime="torch",
        distribution="torch",
        extra=None,
        description="the PyTorch model itself, the reference of every comparison",
    )
} | {
    name: RuntimeInfo(
        module=runtime.module,
        artifact_runtime=fmt.name,
        distribution=runtime.distribution,
        extra=fmt.extra,
        description=runtime.description,
        libraries=runtime.libraries,
    )
    for fmt in FORMATS.values()
    for name, runtime in fmt.runtimes.items()
}
"""Name of a runtime, as `--runtime` takes it → where it lives: torch, and what runs a format."""


def runtime_named(name: str) -> RuntimeInfo:
    """Return the runtime called `name`, or raise `UnknownNameError` with those that exist."""
    if name not in RUNTIMES:
        raise UnknownNameError("runtime", name, RUNTIMES)
    return RUNTIMES[name]


def import_runtime(name: str) -> Any:
    """Import a runtime's module; raises `RuntimeUnavailableError` with the pip command that mends it."""
    info = runtime_named(name)
    if package_version(info.distribution) is None:
        command = install_command(info.extra) if info.extra else f"pip install {info.distribution}"
        raise RuntimeUnavailableError(f"runtime {name} needs {info.distribution}; run: {command}")
    return import_module(info.module)


@dataclass(frozen=True, kw_only=True)
class LoadedModel:
    """A backend: the contract's entry points, each answered by the session that holds it."""

    contract: Contract
    sessions: Mapping[str, Session]

    def run(self, entry_point: str, inputs: Mapping[str, NDArray[Any]]) -> Arrays:
        """Run one entry point after checking names, shapes and dtypes; raises `UsageError`."""
        if entry_point not in self.sessions:
            raise UnknownNameError("entry point", entry_point, self.sessions)
        return self.sessions[entry_point].run(
            entry_point, check_inputs(self.contract.signatures[entry_point], inputs)
        )


def open_model(model: TinySAM, contract: Contract, *, num_threads: int | None = None) -> LoadedModel:
    """Return the torch backend of `model`."""
    session = import_runtime("torch").open_session(model, contract, num_threads=num_threads)
    sessions = dict.fromkeys(contract.signatures, session)
    return LoadedModel(contract=contract, sessions=sessions)


def open_bundle(
    bundle: Bundle, runtime: str, *, recipe: str | None = None, num_threads: int | None = None
) -> LoadedModel:
    """Return the backend that runs a bundle's artifacts of one runtime and recipe.

    Raises `UsageError` if the bundle has none, `RuntimeUnavailableError` if the runtime cannot run here.
    """
    artifacts = bundle.artifacts(runtime_named(runtime).artifact_runtime, recipe)
    module = import_runtime(runtime)
    contract = bundle.manifest.contract
    sessions: dict[str, Session] = {}
    for artifact in artifacts:
        if strange := set(artifact.entry_points) - set(contract.signatures):
            raise BundleError(
                f"{bundle.folder}: the manifest names entry points that no model has: {', '.join(strange)}"
            )
        session = module.open_session(
            bundle.path_of(artifact),
            signatures={name: contract.signatures[name] for name in artifact.entry_points},
            entry_points=artifact.entry_points,
            num_threads=num_threads,
        )
        sessions |= dict.fromkeys(artifact.entry_points, session)
    return LoadedModel(contract=contract, sessions=sessions)
