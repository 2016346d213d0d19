"""`python -m tinysam_mobile.mil MODEL.mlpackage`: describe, list, run or trace a model."""

from __future__ import annotations

import argparse
import sys
from collections import Counter
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from tinysam_mobile.errors import TinySAMError, UsageError
from tinysam_mobile.mil.model import PRECISIONS, MilModel
from tinysam_mobile.mil.table import supported_table
from tinysam_mobile.mil.trace import first_broken, trace

__all__ = ["main"]


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line; returns 0, or 2 when the model or the arguments cannot be used."""
    options = _parser().parse_args(arguments)
    try:
        _run(options)
    except TinySAMError as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m tinysam_mobile.mil", description=__doc__)
    parser.add_argument("model", nargs="?", type=Path, help="a .mlpackage that holds an ML Program")
    parser.add_argument("--function", help="of a multi-function package")
    parser.add_argument("--precision", choices=PRECISIONS, default="fp32")
    parser.add_argument("--threads", type=int, help="torch threads")
    parser.add_argument("--list-ops", action="store_true", help="print every operation")
    parser.add_argument("--run", type=Path, metavar="INPUTS.npz", help="predict on the arrays of a file")
    parser.add_argument("--out", type=Path, metavar="OUTPUTS.npz", help="where --run writes the outputs")
    parser.add_argument(
        "--trace", type=Path, metavar="INPUTS.npz", help="print figures of every op's results"
    )
    parser.add_argument("--supported", action="store_true", help="print the table of supported ops")
    return parser


def _run(options: argparse.Namespace) -> None:
    if options.supported:
        print(supported_table())
        return
    if options.model is None:
        raise UsageError("name a .mlpackage, or use --supported")
    model = MilModel.load(
        options.model, precision=options.precision, function_name=options.function,
        num_threads=options.threads,
    )  # fmt: skip
    if options.list_ops:
        _list_ops(model)
    elif options.run is not None:
        _predict(model, options.run, options.out)
    elif options.trace is not None:
        _trace(model, _read_arrays(options.trace))
    else:
        _describe(model)


def _describe(model: MilModel) -> None:
    print(f"function {model.plan.name}, opset {model.plan.opset}")
    for title, features in (("input", model.inputs), ("state", model.states), ("output", model.outputs)):
        for name, feature in features.items():
            print(f"{title} {name}: {feature.describe()}{' (optional)' if feature.optional else ''}")
    counts = Counter(node.op_type for node in model.plan.nodes())
    print("ops: " + ", ".join(f"{name} {count}" for name, count in counts.most_common()))


def _list_ops(model: MilModel) -> None:
    for node in model.plan.nodes():
        names = ", ".join(model.plan.values[slot].name for slot in node.outputs)
        print(f"{node.op_type} {node.name} -> {names}")


def _read_arrays(path: Path) -> dict[str, np.ndarray]:
    try:
        with np.load(path, allow_pickle=False) as archive:
            return dict(archive)
    except (OSError, ValueError) as error:
        raise UsageError(f"{path} cannot be read as a .npz file: {error}") from error


def _predict(model: MilModel, inputs: Path, out: Path | None) -> None:
    outputs = model.predict(_read_arrays(inputs))
    for name, value in outputs.items():
        if isinstance(value, np.ndarray):
            print(f"{name}: {value.dtype} {value.shape}, {value.min():.6g} to {value.max():.6g}")
        else:
            print(f"{name}: {value}")
    if out is not None:
        partial = out.with_name(out.name + ".part.npz")
        arrays = {name: np.asarray(value) for name, value in outputs.items()}
        np.savez(partial, **arrays)  # type: ignore[arg-type]  # the stub takes allow_pickle for one
        partial.replace(out)


def _trace(model: MilModel, inputs: dict[str, np.ndarray]) -> None:
    rows = trace(model, inputs)
    for row in rows:
        mark = " BROKEN" if row.is_broken else ""
        print(f"{row.op_type} {row.output}: max |x| {row.max_abs:.6g}{mark}")
    broken = first_broken(rows)
    print(
        "fp16 holds every result" if broken is None else f"fp16 breaks at {broken.op_type} {broken.op_name}"
    )


if __name__ == "__main__":
    sys.exit(main())
