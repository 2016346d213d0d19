"""Pipelines of ML Programs: each model takes what it needs of the values so far, by name."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from tinysam_mobile.errors import MilError
from tinysam_mobile.mil.features import Feature, read_features
from tinysam_mobile.mil.limits import DEFAULT_LIMITS, Limits
from tinysam_mobile.mil.model import MilModel, check_precision
from tinysam_mobile.mil.package import PIPELINES, OpenedModel, open_any

__all__ = ["MilPipeline", "load"]


class MilPipeline:
    """ML Programs that run one after the other.  Make it with `load`.

    inputs, outputs: name -> Feature, of the pipeline's description; models: in the order in which they run.
    """

    def __init__(self, description: Any, models: Sequence[MilModel]) -> None:
        self.inputs: dict[str, Feature] = read_features(description.input)
        self.outputs: dict[str, Feature] = read_features(description.output)
        self.models = list(models)
        self._check()

    def __repr__(self) -> str:
        return f"<MilPipeline {', '.join(self.inputs)} -> {', '.join(self.outputs)}: {self.models}>"

    def predict(self, data: Mapping[str, Any] | Sequence[Mapping[str, Any]]) -> Any:
        """As `MilModel.predict`."""
        if not isinstance(data, Mapping):
            return [self.predict(item) for item in data]
        unknown = [name for name in data if name not in self.inputs]
        if unknown:
            raise MilError(
                f"unknown inputs {', '.join(map(repr, unknown))}; the model's inputs are: "
                f"{', '.join(self.inputs)}"
            )
        values = dict(data)
        for model in self.models:
            values |= model.predict({name: values[name] for name in model.inputs if name in values})
        return {name: values[name] for name in self.outputs}

    def _check(self) -> None:
        known = set(self.inputs)
        for index, model in enumerate(self.models):
            if model.states:
                raise MilError(f"model {index} of the pipeline has a state, which pipelines cannot pass on")
            missing = [n for n, f in model.inputs.items() if n not in known and not f.optional]
            if missing:
                raise MilError(
                    f"model {index} of the pipeline takes {', '.join(missing)}, which nothing gives"
                )
            known |= set(model.outputs)
        lost = [name for name in self.outputs if name not in known]
        if lost:
            raise MilError(f"no model of the pipeline gives its outputs {', '.join(lost)}")


def load(
    model: Any,
    *,
    precision: str = "declared",
    function_name: str | None = None,
    weights_dir: str | Path | None = None,
    num_threads: int | None = None,
    limits: Limits = DEFAULT_LIMITS,
) -> MilModel | MilPipeline:
    """Load an ML Program, or a pipeline of them; arguments and errors as `MilModel.load`."""
    check_precision(precision)
    opened = open_any(model, Path(weights_dir).expanduser() if weights_dir is not None else None)
    kind = opened.spec.WhichOneof("Type")
    if kind not in PIPELINES:
        return MilModel.from_opened(
            opened, precision=precision, function_name=function_name, num_threads=num_threads,
            limits=limits,
        )  # fmt: skip
    if function_name is not None:
        raise MilError("a pipeline has no functions to choose from")
    pipeline = opened.spec.pipeline if kind == "pipeline" else getattr(opened.spec, kind).pipeline
    models = [
        MilModel.from_opened(
            OpenedModel(spec=_stage(index, part), weights_dir=opened.weights_dir),
            precision=precision, num_threads=num_threads, limits=limits,
        )
        for index, part in enumerate(pipeline.models)
    ]  # fmt: skip
    return MilPipeline(opened.spec.description, models)


def _stage(index: int, spec: Any) -> Any:
    kind = spec.WhichOneof("Type")
    if kind != "mlProgram":
        raise MilError(
            f"the interpreter runs pipelines of ML Programs only, but model {index} of this one is a {kind}"
        )
    return spec
