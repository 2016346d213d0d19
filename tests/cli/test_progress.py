"""Messages that count move the bar: what is named is being worked at, what came before it is done."""

from __future__ import annotations

import subprocess
import sys
from io import StringIO

import pytest
from rich.console import Console

from tinysam_mobile.cli.loading import MESSAGE, telling_of_torch
from tinysam_mobile.cli.output import _bar, _show
from tinysam_mobile.contract.steps import Steps


@pytest.mark.parametrize(
    ("texts", "completed", "total"),
    [
        (["loading"], 0, None),
        (["photo 1 of 4, a.jpg"], 0, 4),
        (["photo 1 of 4", "encoding", "photo 3 of 4"], 2, 4),
        (["photo 3 of 4", "point 16 of 64"], 15, 64),
        (["step 2 of 2", "step 1 of 2"], 0, 2),
    ],
)
def test_a_count_moves_the_bar(texts: list[str], completed: int, total: int | None) -> None:
    with _bar(Console(file=StringIO())) as bar:
        task = bar.add_task("starting", total=None)
        for text in texts:
            _show(bar, task, text)
        (shown,) = bar.tasks
    assert (shown.completed, shown.total, shown.description) == (completed, total, texts[-1])


def test_steps_count_to_their_total_and_no_further() -> None:
    said: list[str] = []
    steps = Steps(said.append, 2)
    for text in "abc":
        steps(text)
    assert said == ["step 1 of 2: a", "step 2 of 2: b", "step 2 of 2: c"]


PROBE = """
import sys
from tinysam_mobile.cli import main
sys.stderr.isatty = lambda: {terminal}
main(sys.argv[1:])
"""


@pytest.mark.parametrize(
    ("terminal", "arguments", "told"),
    [
        (True, ["doctor"], True),
        (False, ["doctor"], False),
        (True, ["fetch", "--list"], False),
    ],
)
def test_loading_torch_is_told_on_a_terminal(terminal: bool, arguments: list[str], told: bool) -> None:
    command = [sys.executable, "-c", PROBE.format(terminal=terminal), *arguments]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode in (0, 3), done.stderr
    assert done.stderr.count(MESSAGE) == told
    assert MESSAGE not in done.stdout


def test_torch_is_not_looked_for_after_the_command() -> None:
    before = list(sys.meta_path)
    with telling_of_torch():
        pass
    assert sys.meta_path == before
