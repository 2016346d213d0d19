"""`tinysam-mobile mil`: what each verb prints and how it ends."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner, Result
from PIL import Image

from tests.mil.builder import Const, Program
from tinysam_mobile.cli import main, mil
from tinysam_mobile.mil import PRECISIONS

X = np.arange(6, dtype=np.float32).reshape(2, 3)


def _tenth(factor: float = 0.1) -> Program:
    program = Program("ios17")
    program.add_input("x", X)
    program.add_op("mul", {"x": "%x", "y": Const(np.float32(factor))}, ("scaled",), 11, (2, 3))
    program.add_op("exp", {"x": "%scaled"}, ("grown",), 11, (2, 3))
    program.returns("grown")
    return program


def _saved(program: Program, path: Path) -> Path:
    path.write_bytes(program.spec.SerializeToString())
    return path


def _run(*arguments: object) -> Result:
    return CliRunner().invoke(main, ["mil", *map(str, arguments)])


@pytest.fixture
def model(tmp_path: Path) -> Path:
    return _saved(_tenth(), tmp_path / "model.mlmodel")


def test_run_writes_what_the_model_computes(model: Path, tmp_path: Path) -> None:
    np.save(tmp_path / "x.npy", X)
    out = tmp_path / "out.npz"
    result = _run("run", model, "--input", f"x={tmp_path / 'x.npy'}", "--out", out, "--json")
    assert result.exit_code == 0, result.output
    with np.load(out) as arrays:
        np.testing.assert_allclose(arrays["grown"], np.exp(X * np.float32(0.1)), rtol=1e-6)
    figures = json.loads(result.stdout)["outputs"]["grown"]
    assert figures["shape"] == [2, 3]
    assert figures["max"] == pytest.approx(np.exp(0.5), rel=1e-6)


def test_run_takes_numbers_and_draws_the_rest(model: Path) -> None:
    assert "1.34986" in _run("run", model, "--input", "x=3").output  # exp(0.3)
    first, second = (_run("run", model, "--random", 7, "--json").output for _ in range(2))
    assert first == second


def test_run_resizes_a_picture(tmp_path: Path) -> None:
    program = Program("ios17")
    program.add_input("image", np.zeros((1, 3, 4, 5), np.float32))
    program.add_op("reduce_mean", {"x": "%image", "keep_dims": False}, ("mean",), 11, ())
    program.returns("mean")
    Image.new("RGB", (64, 48), (10, 20, 60)).save(tmp_path / "photo.png")
    model = _saved(program, tmp_path / "model.mlmodel")
    result = _run("run", model, "--input", f"image={tmp_path / 'photo.png'}", "--json")
    assert json.loads(result.stdout)["outputs"]["mean"]["mean"] == 30


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("y=3", "the model's inputs are: x (float32 (2, 3))"),
        ("x", "give NAME=FILE or NAME=NUMBER"),
        ("x=none.npy", "none.npy is missing"),
        ("x=/dev/zero", "is not a regular file"),
    ],
)
def test_run_refuses_inputs_in_one_line(model: Path, text: str, message: str) -> None:
    result = _run("run", model, "--input", text)
    assert result.exit_code == 2
    assert message in result.stderr
    assert len(result.stderr.splitlines()) == 1


def test_show_says_what_is_inside_and_what_cannot_run(tmp_path: Path) -> None:
    program = _tenth()
    program.add_op("frobnicate", {"x": "%x"}, ("lost",), 11, (2, 3))
    result = _run("show", _saved(program, tmp_path / "model.mlmodel"), "--json")
    assert result.exit_code == 0, result.output
    function = json.loads(result.stdout)["functions"]["main"]
    assert function["operations"] == {"mul": 1, "exp": 1, "frobnicate": 1}
    assert function["unsupported"] == ["frobnicate"]
    assert function["inputs"] == {"x": "float32 (2, 3)"}
    assert any("3 results are float32" in hint for hint in function["hints"])


def test_diff_names_the_first_operation_that_differs(model: Path, tmp_path: Path) -> None:
    other = _saved(_tenth(0.11), tmp_path / "other.mlmodel")
    result = _run("diff", model, other, "--random", 0)
    assert result.exit_code == 1, result.output
    assert "first below 40 dB: scaled (mul scaled)" in result.output
    same = _run("diff", model, model, "--random", 0, "--json")
    assert same.exit_code == 0
    assert json.loads(same.stdout)["first_beyond"] is None


def test_trace_names_where_fp16_overflows_and_draws_it(tmp_path: Path) -> None:
    model = _saved(_tenth(3.0), tmp_path / "model.mlmodel")
    plot = tmp_path / "trace.svg"
    result = _run("trace", model, "--input", "x=5", "--plot", plot)  # exp(15) is beyond 65504
    assert result.exit_code == 1
    assert "first below 40 dB: grown (exp grown)" in result.output
    assert plot.read_text().count("<circle") == 2


def test_help_imports_neither_torch_nor_coremltools() -> None:
    code = (
        "import sys; from tinysam_mobile.cli import main\n"
        "try: main(['mil', 'run', '--help'])\n"
        "except SystemExit: pass\n"
        "import tinysam_mobile.mil\n"
        "print([m for m in ('torch', 'coremltools') if m in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.splitlines()[-1] == "[]"


def test_precisions_are_those_of_the_interpreter() -> None:
    assert mil.PRECISIONS == PRECISIONS
