"""`tinysam-mobile mil`: run, describe, compare and trace any Core ML model, on any machine."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from tinysam_mobile.cli.options import MAX_SEED, as_json_option, out_option, threads_option
from tinysam_mobile.cli.output import print_json, print_table
from tinysam_mobile.cli.parameter_types import InputPath, OutputFile
from tinysam_mobile.errors import UsageError
from tinysam_mobile.files import write_with

if TYPE_CHECKING:
    from tinysam_mobile.mil import MilModel, MilPipeline

__all__ = ["command"]

PRECISIONS = ("declared", "fp32", "fp16")
"""`tinysam_mobile.mil.PRECISIONS`, which a test compares: --help imports no torch."""
DEFAULT_BOUND_DB = 40.0

Decorator = Callable[[Callable[..., None]], Callable[..., None]]

function_option = click.option(
    "--function", metavar="NAME", help="Function of a multi-function package; its default one by default."
)
input_option = click.option(
    "--input",
    "inputs",
    multiple=True,
    metavar="NAME=VALUE",
    help="Value of an input: a .npy file, a picture (resized to fit), or a number; repeatable.",
)
random_option = click.option(
    "--random",
    "seed",
    metavar="SEED",
    type=click.IntRange(0, MAX_SEED),
    help="Draw the inputs that --input does not name, always the same for one seed.",
)
bound_option = click.option(
    "--bound-db",
    type=click.FloatRange(-300, 300),
    default=DEFAULT_BOUND_DB,
    show_default=True,
    help="SQNR in dB below which a value counts as different.",
)


def precision_option(default: str) -> Decorator:
    """`--precision`."""
    return click.option(
        "--precision",
        type=click.Choice(PRECISIONS),
        default=default,
        show_default=True,
        help="What is rounded to fp16: what the program declares so, nothing, or what a conversion would.",
    )


@click.group()
def command() -> None:
    """Run, describe, compare and trace Core ML models (.mlpackage, .mlmodelc) on any machine.

    \b
    Examples:
      tinysam-mobile mil show model.mlpackage --json
      tinysam-mobile mil run model.mlpackage --input image=photo.jpg --out outputs.npz
      tinysam-mobile mil diff float.mlpackage quantized.mlpackage --random 0
      tinysam-mobile mil trace model.mlpackage --input image=photo.jpg --plot trace.svg
      tinysam-mobile mil ops
    """


@command.command()
@click.argument("model", type=InputPath())
@input_option
@random_option
@function_option
@precision_option("declared")
@threads_option
@out_option(OutputFile(suffixes=(".npz",)), "Write the outputs to this .npz file; to none by default.")
@as_json_option
def run(
    model: Path, inputs: tuple[str, ...], seed: int | None, function: str | None, precision: str,
    threads: int | None, out: Path | None, as_json: bool,
) -> None:  # fmt: skip
    """Predict with MODEL and describe its outputs."""
    loaded = _load(model, function, precision, threads)
    results = loaded.predict(_data(loaded, inputs, seed))
    described = {name: _describe_value(value) for name, value in results.items()}
    if out is not None:
        _write_outputs(out, results)
    if as_json:
        print_json({"model": str(model), "precision": precision, "outputs": described})
        return
    rows = [[name, v["kind"], v["shape"], v["range"], v["mean"]] for name, v in _texts(described).items()]
    print_table(["output", "type", "shape", "range", "mean"], rows, right=("mean",))


@command.command()
@click.argument("model", type=InputPath())
@as_json_option
def show(model: Path, as_json: bool) -> None:
    """Describe MODEL: inputs, outputs, operations, what cannot run here, sizes, hints."""
    from tinysam_mobile.mil.package import open_any
    from tinysam_mobile.mil.summary import summarize

    summary = summarize(open_any(model))
    if as_json:
        print_json({"model": str(model), **summary})
        return
    print_table(["what", "value"], list(_summary_rows(summary)))


@command.command()
@click.argument("first", type=InputPath())
@click.argument("second", type=InputPath())
@input_option
@random_option
@function_option
@precision_option("declared")
@bound_option
@as_json_option
def diff(
    first: Path, second: Path, inputs: tuple[str, ...], seed: int | None, function: str | None,
    precision: str, bound_db: float, as_json: bool,
) -> None:  # fmt: skip
    """Run FIRST and SECOND on the same inputs, and name the first operation whose value differs.

    Values are matched by name.  Exits with 1 when one is below --bound-db.
    """
    models = [_single(_load(path, function, precision, None)) for path in (first, second)]
    _report_differences(models[0], models[1], inputs, seed, bound_db, as_json, None)


@command.command()
@click.argument("model", type=InputPath())
@input_option
@random_option
@function_option
@precision_option("fp16")
@bound_option
@click.option("--plot", type=OutputFile(suffixes=(".svg",)), help="Draw the SQNR of every value as .svg.")
@as_json_option
def trace(
    model: Path, inputs: tuple[str, ...], seed: int | None, function: str | None, precision: str,
    bound_db: float, plot: Path | None, as_json: bool,
) -> None:  # fmt: skip
    """Compare MODEL with itself in fp32, and name where fp16 first leaves its bound, overflows or turns NaN.

    Exits with 1 when it does.
    """
    models = [_single(_load(model, function, mode, None)) for mode in ("fp32", precision)]
    _report_differences(models[0], models[1], inputs, seed, bound_db, as_json, plot)


@command.command()
@as_json_option
def ops(as_json: bool) -> None:
    """List every operation that the interpreter has, by opset."""
    from tinysam_mobile.mil.table import supported_ops, supported_table

    if as_json:
        print_json(supported_ops())
    else:
        click.echo(supported_table())


def _load(path: Path, function: str | None, precision: str, threads: int | None) -> MilModel | MilPipeline:
    from tinysam_mobile.mil import load

    return load(path, function_name=function, precision=precision, num_threads=threads)


def _single(model: MilModel | MilPipeline) -> MilModel:
    from tinysam_mobile.mil import MilModel

    if not isinstance(model, MilModel):
        raise UsageError("a pipeline cannot be compared op by op; compare the models in it")
    return model


def _data(model: MilModel | MilPipeline, inputs: tuple[str, ...], seed: int | None) -> dict[str, Any]:
    from tinysam_mobile.mil.input_files import drawn_inputs, read_inputs

    named = read_inputs(model.inputs, inputs)
    return named if seed is None else {**drawn_inputs(model.inputs, seed), **named}


def _write_outputs(out: Path, results: Mapping[str, Any]) -> None:
    import numpy as np

    arrays = {name: np.asarray(value) for name, value in results.items() if not isinstance(value, dict)}
    write_with(out, lambda path: np.savez(path, **arrays))  # type: ignore[arg-type]  # taken for allow_pickle


def _describe_value(value: Any) -> dict[str, Any]:
    """Type, shape and range of an output; the best classes of a classifier's dictionary."""
    import numpy as np

    if isinstance(value, dict):
        best = sorted(value.items(), key=lambda pair: -pair[1])[:5]
        return {"kind": "classes", "best": {str(name): score for name, score in best}}
    if not isinstance(value, np.ndarray) and not hasattr(value, "mode"):
        return {"kind": "label", "value": value}
    array = np.asarray(value)
    kind = f"image {value.mode}" if hasattr(value, "mode") else str(array.dtype)
    figures: dict[str, Any] = {"kind": kind, "shape": list(array.shape)}
    if array.size:
        finite = array[np.isfinite(array)]
        figures["not_finite"] = int(array.size - finite.size)
        if finite.size:
            figures |= {"min": float(finite.min()), "max": float(finite.max()), "mean": float(finite.mean())}
    return figures


def _texts(described: Mapping[str, dict[str, Any]]) -> dict[str, dict[str, str]]:
    rows = {}
    for name, figures in described.items():
        spread = f"{figures['min']:.6g} to {figures['max']:.6g}" if "min" in figures else ""
        if figures.get("not_finite"):
            spread += f", {figures['not_finite']} not finite"
        if "best" in figures:
            spread = ", ".join(f"{label} {score:.4g}" for label, score in figures["best"].items())
        rows[name] = {
            "kind": figures["kind"],
            "shape": str(tuple(figures.get("shape", ()))) if "shape" in figures else "",
            "range": str(figures["value"]) if "value" in figures else spread,
            "mean": f"{figures['mean']:.6g}" if "mean" in figures else "",
        }
    return rows


def _summary_rows(summary: Mapping[str, Any]) -> list[list[str]]:
    rows = [["kind", str(summary["kind"])]]
    parts = summary.get("functions") or {f"model {i}": m for i, m in enumerate(summary.get("models", []))}
    for title, part in parts.items():
        rows.append(["function" if "opset" in part else "model", f"{title} ({part.get('opset', '')})"])
        rows += [
            [key, "\n".join(f"{name}: {text}" for name, text in part[key].items())]
            for key in ("inputs", "outputs", "states")
            if part.get(key)
        ]
        if "operations" in part:
            rows += _operation_rows(part)
        else:
            rows += [row for row in _summary_rows(part) if row[0] != "kind"]
    return rows


def _operation_rows(part: Mapping[str, Any]) -> list[list[str]]:
    sizes = part["constant_bytes"]
    rows = [
        ["operations", ", ".join(f"{name} {count}" for name, count in part["operations"].items())],
        ["by opset", ", ".join(f"{name} {count}" for name, count in part["operations_by_opset"].items())],
        ["constants", ", ".join(f"{name} {size / 1e6:.2f} MB" for name, size in sizes.items())],
        ["cannot run here", ", ".join(part["unsupported"]) or "nothing"],
    ]
    return rows + [["hint", hint] for hint in part["hints"]]


def _report_differences(
    first: MilModel, second: MilModel, inputs: tuple[str, ...], seed: int | None, bound_db: float,
    as_json: bool, plot: Path | None,
) -> None:  # fmt: skip
    from dataclasses import asdict

    from tinysam_mobile.mil.comparing import compare, first_beyond

    rows = compare(first, second, _data(first, inputs, seed))
    if not rows:
        raise UsageError("the two models have no float value of the same name and shape")
    beyond = first_beyond(rows, bound_db)
    if plot is not None:
        _draw(plot, rows, bound_db)
    if as_json:
        print_json({
            "bound_db": bound_db, "values": [asdict(row) for row in rows],
            "first_beyond": asdict(beyond) if beyond else None,
        })  # fmt: skip
    else:
        _print_differences(rows, beyond, bound_db)
    if beyond is not None:
        raise SystemExit(1)


def _print_differences(rows: Any, beyond: Any, bound_db: float) -> None:
    marks = {id(beyond): "<- first below the bound"}
    print_table(
        ["operation", "value", "shape", "SQNR dB", "max |x|", "max difference", "not finite", ""],
        [
            [row.op_type, row.output, str(row.shape), f"{row.sqnr_db:.1f}", f"{row.max_abs:.4g}",
             f"{row.max_difference:.3g}", str(row.broken), marks.get(id(row), "")]
            for row in rows if not row.moves_data or row is beyond
        ],
        right=("SQNR dB", "max |x|", "max difference", "not finite"),
    )  # fmt: skip
    if beyond is None:
        click.echo(f"every one of {len(rows)} values is at {bound_db:g} dB or above")
    else:
        click.echo(f"first below {bound_db:g} dB: {beyond.output} ({beyond.op_type} {beyond.op_name})")


def _draw(plot: Path, rows: Any, bound_db: float) -> None:
    from tinysam_mobile.mil.plot import line_plot

    picture = line_plot(
        [row.sqnr_db for row in rows],
        [f"{row.output} ({row.op_type})" for row in rows],
        title="SQNR of every value, in the order in which they are computed",
        unit="dB",
        bound=bound_db,
    )

    def save(path: Path) -> None:
        path.write_text(picture, encoding="utf-8")

    write_with(plot, save)
