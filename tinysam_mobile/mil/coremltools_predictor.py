"""`enable()`: coremltools' own `predict`, on any machine, by this interpreter.

On macOS coremltools hands a model to Core ML through a compiled module, `libcoremlpython`, with one class,
`_MLModelProxy`; elsewhere that module is missing.  `enable` puts the same class, made of the interpreter, in
its place, and says that the system is macOS 15, so that all of coremltools around it (checks, errors, states,
batches, compiled models, its asynchronous wrapper) is as on a Mac.  `disable` undoes all of it.
"""

from __future__ import annotations

import sys
import tempfile
import weakref
from collections.abc import Callable
from pathlib import Path
from shutil import rmtree
from time import perf_counter_ns
from types import ModuleType
from typing import Any, TypeVar

from tinysam_mobile.errors import MilError, RuntimeUnavailableError, TinySAMError
from tinysam_mobile.mil.compiled import write_compiled
from tinysam_mobile.mil.limits import DEFAULT_LIMITS, Limits
from tinysam_mobile.mil.model import MilModel, MilState, check_precision
from tinysam_mobile.mil.package import OpenedModel, open_any, open_model
from tinysam_mobile.mil.pipeline import MilPipeline, load
from tinysam_mobile.mil.proto import parse_model

__all__ = ["AssetProxy", "ModelProxy", "StateProxy", "disable", "enable", "is_enabled"]

_LIBRARY = "coremltools.libcoremlpython"
_MACOS = (15, 0)
# iOS 26; newer opsets are read as the newest that is known.
_NEWEST_SPECIFICATION = 10
_MISSING = object()

# What `enable` replaced: (module, name, what was there).
_replaced: list[tuple[Any, str, Any]] = []
_options: dict[str, Any] = {}

_Result = TypeVar("_Result")


def enable(
    *, precision: str = "declared", num_threads: int | None = None, limits: Limits = DEFAULT_LIMITS
) -> None:
    """Make coremltools predict with the interpreter, for models that are made from now on.

    precision, num_threads, limits: as `MilModel.load`.  Called again, it changes these only.  Raises MilError
    for an unknown precision, RuntimeUnavailableError without coremltools.
    """
    check_precision(precision)
    _options.update(precision=precision, num_threads=num_threads, limits=limits)
    if _replaced:
        return
    try:
        import coremltools
        from coremltools.models import _compiled_model, model, utils
    except ImportError as error:
        raise RuntimeUnavailableError(
            "mil.enable() needs coremltools: pip install 'coremltools>=9'"
        ) from error
    library = ModuleType(_LIBRARY)
    library._MLModelProxy = ModelProxy  # type: ignore[attr-defined]
    library._MLModelAssetProxy = AssetProxy  # type: ignore[attr-defined]
    _replaced.append((sys.modules, _LIBRARY, sys.modules.get(_LIBRARY, _MISSING)))
    sys.modules[_LIBRARY] = library
    _replace(coremltools, "libcoremlpython", library)
    for module in (model, _compiled_model):
        _replace(module, "_MLModelProxy", ModelProxy)
    _replace(model, "_MLModelAssetProxy", AssetProxy)
    for name, answer in (("_is_macos", _is_macos), ("_macos_version", _macos_version)):
        original = getattr(utils, name)
        for module in [m for n, m in sys.modules.items() if n.partition(".")[0] == "coremltools"]:
            if getattr(module, name, None) is original:
                _replace(module, name, answer)


def disable() -> None:
    """Undo `enable`; models that were made in between keep their predictor."""
    while _replaced:
        holder, name, before = _replaced.pop()
        if isinstance(holder, dict):
            if before is _MISSING:
                holder.pop(name, None)
            else:
                holder[name] = before
        elif before is _MISSING:
            delattr(holder, name)
        else:
            setattr(holder, name, before)


def is_enabled() -> bool:
    """Whether `enable` is in force."""
    return bool(_replaced)


def _replace(module: ModuleType, name: str, value: Any) -> None:
    _replaced.append((module, name, getattr(module, name, _MISSING)))
    setattr(module, name, value)


def _is_macos() -> bool:
    return True


def _macos_version() -> tuple[int, ...]:
    return _MACOS


def _told(action: Callable[[], _Result], what: str) -> _Result:
    """`action()`; what goes wrong in it is a RuntimeError, as Core ML's binding raises."""
    try:
        return action()
    except TinySAMError as error:
        raise RuntimeError(f"{what}: {error}") from error


class StateProxy:
    """What `MLModel.make_state()` holds."""

    def __init__(self, state: MilState) -> None:
        self.state = state

    def read_state(self, name: str) -> Any:
        """A copy of the state `name`, float32."""
        return _told(lambda: self.state.read_state(name), "Unable to read the state")

    def write_state(self, name: str, value: Any) -> None:
        """Set the state `name`."""
        _told(lambda: self.state.write_state(name, value), "Unable to write the state")


class AssetProxy:
    """What `MLModelAsset` holds: an opened model."""

    def __init__(self, opened: OpenedModel) -> None:
        self.opened = opened


class ModelProxy:
    """The interpreter as coremltools' `_MLModelProxy`.

    path: of a .mlpackage, .mlmodel or .mlmodelc, or empty with an `asset`; compute_units and hints choose
    nothing here.  Raises RuntimeError when the model cannot be loaded; coremltools makes it a warning.
    """

    def __init__(
        self, path: str, compute_units: str, function_name: str, hints: dict[str, str],
        asset: AssetProxy | None,
    ) -> None:  # fmt: skip
        del compute_units, hints
        start = perf_counter_ns()
        self._source: Any = asset.opened if asset is not None else path
        self.model: MilModel | MilPipeline = _told(
            lambda: _load(self._source, function_name or None), "Error compiling model"
        )
        self._load_ns = perf_counter_ns() - start
        self._predict_ns: int | None = None
        self._compiled: str | None = None

    @staticmethod
    def maximum_supported_specification_version() -> int:
        """The newest specification that is read."""
        return _NEWEST_SPECIFICATION

    @staticmethod
    def auto_set_specification_version(specification: bytes) -> bytes:
        """`specification` as it is: the version is what the converter wrote."""
        return specification

    @staticmethod
    def get_available_compute_devices() -> list[Any]:
        """No compute device of Apple's is here."""
        return []

    @staticmethod
    def compileModel(path: str) -> str:  # noqa: N802 (coremltools' name)
        """The model at `path` as a new .mlmodelc folder; RuntimeError for what has no text form."""
        return _told(lambda: _compile(path), "Error compiling model")

    @staticmethod
    def create_model_asset_from_path(path: str) -> Any:
        """An MLModelAsset of a compiled model."""
        from coremltools.models.model import MLModelAsset

        return MLModelAsset(AssetProxy(_told(lambda: open_any(path), "Error loading asset")))

    @staticmethod
    def create_model_asset_from_memory(specification: bytes, blobs: dict[str, bytes]) -> Any:
        """An MLModelAsset of a specification and its weight files, by name."""
        from coremltools.models.model import MLModelAsset

        return MLModelAsset(_told(lambda: _memory_asset(specification, blobs), "Error loading asset"))

    def predict(self, data: dict[str, Any], state: StateProxy | None = None) -> dict[str, Any]:
        """One prediction; RuntimeError when an input or an op is at fault."""
        start = perf_counter_ns()
        result = _told(
            lambda: self._predict(data, None if state is None else state.state),
            "Unable to compute the prediction using ML Program",
        )
        self._predict_ns = perf_counter_ns() - start
        return result

    def batchPredict(self, batch: list[dict[str, Any]]) -> list[dict[str, Any]]:  # noqa: N802 (coremltools')
        """Predictions of several inputs."""
        start = perf_counter_ns()
        results = [self.predict(data) for data in batch]
        self._predict_ns = perf_counter_ns() - start
        return results

    def newState(self) -> StateProxy:  # noqa: N802 (coremltools' name)
        """A state of zeros; RuntimeError when the model has none."""
        if isinstance(self.model, MilPipeline):
            raise RuntimeError("Unable to make a state: a pipeline has none")
        return StateProxy(_told(self.model.make_state, "Unable to make a state"))

    def get_compiled_model_path(self) -> str:
        """The model as a .mlmodelc folder that lives as long as this object."""
        if self._compiled is None:
            self._compiled = _told(lambda: _compile(self._source), "Error compiling model")
            weakref.finalize(self, rmtree, Path(self._compiled).parent, ignore_errors=True)
        return self._compiled

    def get_load_duration_in_nano_seconds(self) -> int:
        """How long loading took."""
        return self._load_ns

    def get_last_predict_duration_in_nano_seconds(self) -> int | None:
        """How long the last prediction took; None before the first."""
        return self._predict_ns

    def _predict(self, data: dict[str, Any], state: MilState | None) -> dict[str, Any]:
        if isinstance(self.model, MilModel):
            result: dict[str, Any] = self.model.predict(data, state)
        elif state is None:
            result = self.model.predict(data)
        else:
            raise MilError("a pipeline takes no state")
        return result


def _load(source: Any, function_name: str | None) -> MilModel | MilPipeline:
    if isinstance(source, OpenedModel):
        return MilModel.from_opened(source, function_name=function_name, **_options)
    return load(source, function_name=function_name, **_options)


def _compile(source: Any) -> str:
    opened = source if isinstance(source, OpenedModel) else open_model(source)
    folder = Path(tempfile.mkdtemp(prefix="mil-")) / "model.mlmodelc"
    try:
        write_compiled(opened.spec, opened.weights_dir, folder)
    except MilError:
        rmtree(folder.parent, ignore_errors=True)
        raise
    return str(folder)


def _memory_asset(specification: bytes, blobs: dict[str, bytes]) -> AssetProxy:
    folder = Path(tempfile.mkdtemp(prefix="mil-"))
    for name, content in blobs.items():
        (folder / Path(name).name).write_bytes(content)
    opened = open_any(parse_model(specification, Path("the specification in memory")), folder)
    asset = AssetProxy(opened)
    weakref.finalize(asset, rmtree, folder, ignore_errors=True)
    return asset
