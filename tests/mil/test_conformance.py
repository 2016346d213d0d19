"""coremltools' own op tests on our interpreter: a sample that covers every op, and (marked) the whole."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.conformance.summary import Summary, summarize
from tinysam_mobile.mil import supported_ops

ROOT = Path(__file__).parents[2]
SAMPLE = ROOT / "tests/conformance/sample.txt"
SUITE = "coremltools.converters.mil.mil.ops.tests"
# Core ML's own random series cannot be known, and a state needs a machine of Apple's to compare with.
EXEMPT = {op for op in supported_ops() if op.startswith("random_") or op.endswith("_state")}
# Supported, but in no test of coremltools' that predicts and compares; our own tests cover them.
UNTESTED_THERE = {
    "ceil", "classify", "const", "conv_quantized", "coreml_update_state", "logical_and", "logical_not",
    "logical_or", "logical_xor", "non_maximum_suppression",
}  # fmt: skip


def _run(tmp_path: Path, **environment: str) -> tuple[Summary, str]:
    log = tmp_path / "log.jsonl"
    plugins = ["-p", "tests.conformance.mil_plugin", "-p", "no:cacheprovider"]
    options = [
        "-c",
        os.devnull,
        "--rootdir",
        str(tmp_path),
        "-q",
        "--no-header",
        "--tb=no",
        "-k",
        "mlprogram",
    ]
    done = subprocess.run(
        [sys.executable, "-W", "ignore", "-m", "pytest", *plugins, *options, "--pyargs", SUITE],
        cwd=ROOT,
        env={**os.environ, **environment, "MIL_CONFORMANCE_LOG": str(log)},
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
        check=False,
    )
    assert log.exists(), done.stdout
    return summarize([log]), done.stdout


def test_sample_that_covers_every_op(tmp_path: Path) -> None:
    summary, output = _run(tmp_path, MIL_CONFORMANCE_TESTS=str(SAMPLE))
    assert not summary.failures, output
    missing = set(supported_ops()) - set(summary.count_by_op) - {"cast", "identity"} - UNTESTED_THERE
    assert not missing


@pytest.mark.conformance
def test_the_whole_suite(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    summary, _ = _run(tmp_path)
    with capsys.disabled():
        print(
            f"\nconformance: {dict(summary.outcomes)}, {100 * summary.pass_rate:.2f} % of those that compare"
        )
        for line in summary.failures:
            print(f"  {line['test']}: {line['error'][:150]!r}")
    assert summary.pass_rate >= 0.98
    low = {op: rate for op, rate in summary.op_rates().items() if rate < 0.9 and op not in EXEMPT}
    assert not low
