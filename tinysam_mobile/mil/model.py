"""`MilModel`: load an ML Program once, predict many times, on any machine."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import torch

from tinysam_mobile.errors import MilError
from tinysam_mobile.mil.binding import bind_function
from tinysam_mobile.mil.datatypes import DTYPES
from tinysam_mobile.mil.executor import Executable, Observer
from tinysam_mobile.mil.features import Feature, from_runtime, read_features, to_runtime
from tinysam_mobile.mil.limits import DEFAULT_LIMITS, Limits
from tinysam_mobile.mil.ops.state import StateCell
from tinysam_mobile.mil.package import OpenedModel, open_model
from tinysam_mobile.mil.precision import PRECISIONS, round_fp16, rounded_slots
from tinysam_mobile.mil.program import FunctionPlan, plan_function
from tinysam_mobile.mil.weights import WeightFiles

__all__ = ["MilModel", "MilState", "check_precision"]


class MilState:
    """The state of one series of predictions, as `MLModel.make_state()` gives it: zeros at first.

    shapes: of each state; rounded: the states that hold fp16.
    """

    def __init__(self, shapes: Mapping[str, tuple[int, ...]], rounded: Collection[str] = ()) -> None:
        self.cells = {name: StateCell(torch.zeros(shape)) for name, shape in shapes.items()}
        self._rounded = frozenset(rounded)

    def read_state(self, name: str) -> np.ndarray[Any, Any]:
        """A copy of the state `name`, fp32.  Raises MilError for an unknown name."""
        return np.array(self._cell(name).value.numpy())

    def write_state(self, name: str, value: np.ndarray[Any, Any]) -> None:
        """Set the state `name` to a copy.  Raises MilError for an unknown name or another shape."""
        cell = self._cell(name)
        if tuple(np.shape(value)) != tuple(cell.value.shape):
            raise MilError(
                f"state {name!r} has shape {tuple(cell.value.shape)}, not {tuple(np.shape(value))}"
            )
        copy = torch.from_numpy(np.array(value, dtype=np.float32))
        cell.value = round_fp16(copy) if name in self._rounded else copy

    def _cell(self, name: str) -> StateCell:
        if name not in self.cells:
            raise MilError(f"no state {name!r}; the model has: {', '.join(self.cells) or 'none'}")
        return self.cells[name]


class MilModel:
    """One function of an ML Program, ready to predict.  Make it with `load`.

    inputs, outputs, states: name -> Feature, in the order of the model's description.
    """

    def __init__(
        self,
        plan: FunctionPlan,
        weights: WeightFiles,
        description: Any,
        precision: str,
        num_threads: int | None,
        limits: Limits = DEFAULT_LIMITS,
    ) -> None:
        self.plan = plan
        self.limits = limits
        self.precision = precision
        self.num_threads = num_threads
        self.inputs: dict[str, Feature] = read_features(description.input)
        self.outputs: dict[str, Feature] = read_features(description.output)
        self.states: dict[str, Feature] = read_features(description.state)
        self._weights = weights
        self._bound: Executable | None = None
        self._check_description()

    @classmethod
    def load(
        cls,
        model: Any,
        *,
        precision: str = "declared",
        function_name: str | None = None,
        weights_dir: str | Path | None = None,
        num_threads: int | None = None,
        limits: Limits = DEFAULT_LIMITS,
    ) -> MilModel:
        """Load a model: a .mlpackage or .mlmodelc path, a proto Model, or a coremltools MLModel.

        precision: "declared" (what the program declares fp16 is rounded to it), "fp32" (nothing is), or
        "fp16" (as declared; a program without fp16 as if it had been converted to it); see `precision`.
        function_name: of a multi-function package; its default function when None.
        num_threads: torch's threads during `predict`; as torch is set when None.
        limits: what one prediction may use; see `Limits`.
        Raises UnsupportedOp listing every op that is missing; MilError when the model cannot be
        read, is not an ML Program, or its weight file is missing, truncated or of another model.
        """
        check_precision(precision)
        opened = open_model(model, Path(weights_dir).expanduser() if weights_dir is not None else None)
        return cls.from_opened(
            opened, precision=precision, function_name=function_name, num_threads=num_threads,
            limits=limits,
        )  # fmt: skip

    @classmethod
    def from_opened(
        cls,
        opened: OpenedModel,
        *,
        precision: str = "declared",
        function_name: str | None = None,
        num_threads: int | None = None,
        limits: Limits = DEFAULT_LIMITS,
    ) -> MilModel:
        """As `load`, of a model that is open."""
        name, description = _select_function(opened, function_name)
        functions = opened.spec.mlProgram.functions
        if name not in functions:
            raise MilError(f"no function {name!r} in the program; it has: {', '.join(sorted(functions))}")
        weights = WeightFiles(opened.weights_dir)
        plan = plan_function(name, functions[name], weights)
        return cls(plan, weights, description, precision, num_threads, limits)

    def __repr__(self) -> str:
        takes = ", ".join(f"{name}: {feature.describe()}" for name, feature in self.inputs.items())
        gives = ", ".join(f"{name}: {feature.describe()}" for name, feature in self.outputs.items())
        return f"<MilModel {self.plan.name} ({self.plan.opset}, {self.precision}): {takes} -> {gives}>"

    def predict(
        self,
        data: Mapping[str, Any] | Sequence[Mapping[str, Any]],
        state: MilState | None = None,
        *,
        observer: Observer | None = None,
    ) -> Any:
        """Predict: {name: array, PIL image or number} -> {name: array, PIL image, label or dict}.

        A list of inputs gives a list of outputs.  observer, when given, sees each op's results.
        Raises MilError for unknown or missing names, values that do not fit the description, a
        missing state, and ops that fail.
        """
        if isinstance(data, Mapping):
            return self._predict_one(data, state, observer)
        if not isinstance(data, (list, tuple)) or not all(isinstance(item, Mapping) for item in data):
            raise MilError("predict takes a dict of inputs, or a list of such dicts")
        if state is not None:
            raise MilError("a state can be used with one prediction at a time only, not with a list")
        return [self._predict_one(item, None, observer) for item in data]

    def make_state(self) -> MilState:
        """A new state of zeros.  Raises MilError when the model has none."""
        if not self.states:
            raise MilError("this model has no state")
        halves = rounded_slots(self.plan, self.precision)[0]
        return MilState(
            {name: feature.shape for name, feature in self.states.items()},
            [name for name in self.states if self.plan.inputs[name] in halves],
        )

    def executable(self) -> Executable:
        """The bound program; decodes the weights on first use."""
        if self._bound is None:
            self._bound = bind_function(self.plan, self._weights, self.precision, self.limits)
        return self._bound

    def _predict_one(
        self, data: Mapping[str, Any], state: MilState | None, observer: Observer | None
    ) -> dict[str, Any]:
        values: dict[str, Any] = {**self.read_inputs(data), **self._read_state(state)}
        with _threads(self.num_threads):
            results = self.executable().run(values, observer)
        return {name: from_runtime(feature, results[name]) for name, feature in self.outputs.items()}

    def read_inputs(self, data: Mapping[str, Any]) -> dict[str, torch.Tensor]:
        """Every input as the program takes it, checked; raises MilError as `predict` does."""
        unknown = [name for name in data if name not in self.inputs]
        if unknown:
            raise MilError(
                f"unknown inputs {', '.join(map(repr, unknown))}; the model's inputs are: "
                f"{', '.join(self.inputs)}"
            )
        missing = [n for n, f in self.inputs.items() if data.get(n) is None and not f.optional]
        if missing:
            raise MilError(f"missing inputs: {', '.join(missing)}")
        return {name: self._read_input(feature, data.get(name)) for name, feature in self.inputs.items()}

    def _read_input(self, feature: Feature, value: Any) -> torch.Tensor:
        info = self.plan.values[self.plan.inputs[feature.name]]
        dtype = DTYPES[info.data_type].runtime_dtype  # plan_function knows the type of every input
        if value is None:
            shape = () if info.shape == () else feature.shape
            return torch.full(shape, feature.default, dtype=dtype)
        return to_runtime(feature, value, dtype, is_scalar=info.shape == ())

    def _read_state(self, state: MilState | None) -> dict[str, StateCell]:
        if not self.states:
            if state is not None:
                raise MilError("this model has no state; call predict without one")
            return {}
        if state is None:
            raise MilError("this model has a state: pass predict(..., state=model.make_state())")
        if set(state.cells) != set(self.states):
            raise MilError("the state was made for another model; use this model's make_state()")
        return dict(state.cells)

    def _check_description(self) -> None:
        taken = {*self.inputs, *self.states}
        if taken != set(self.plan.inputs):
            raise MilError(
                f"the description names the inputs {sorted(taken)}, the program {sorted(self.plan.inputs)}"
            )
        for name, feature in self.states.items():
            declared = self.plan.values[self.plan.inputs[name]].shape
            if declared is not None and declared != feature.shape:
                raise MilError(f"the state {name!r} is described as {feature.shape}, declared as {declared}")
        lost = [name for name in self.outputs if name not in self.plan.outputs]
        if lost:
            raise MilError(
                f"the description names outputs that the program does not return: {', '.join(lost)}"
            )


def check_precision(precision: str) -> None:
    """Raise MilError for an unknown mode."""
    if precision not in PRECISIONS:
        raise MilError(f"unknown precision {precision!r}; choose one of: {', '.join(PRECISIONS)}")


def _select_function(opened: OpenedModel, function_name: str | None) -> tuple[str, Any]:
    """The function's name and its description (inputs, outputs, states)."""
    description = opened.spec.description
    described = {f.name: f for f in description.functions}
    if not described:
        if function_name not in (None, "main"):
            raise MilError(f"no function {function_name!r}: the model has one function, main")
        return "main", description
    name = function_name or opened.function_name or description.defaultFunctionName
    if name not in described:
        raise MilError(f"no function {name!r}; the model has: {', '.join(described)}")
    return name, described[name]


@contextmanager
def _threads(count: int | None) -> Iterator[None]:
    if count is None:
        yield
        return
    before = torch.get_num_threads()
    torch.set_num_threads(count)
    try:
        yield
    finally:
        torch.set_num_threads(before)
