"""How the command line ends: one line whatever is in it, an exit code by meaning, no traceback."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path
from xml.etree import ElementTree

import click
import pytest
from click.testing import CliRunner

from tests.hostile.grammar import FORGED
from tinysam_mobile.cli import main
from tinysam_mobile.cli.outcome import run_to_an_end
from tinysam_mobile.cli.output import print_table, progress, warn
from tinysam_mobile.contract.foreign_text import MAX_SHOWN, html_text, one_line, printable, xml_text
from tinysam_mobile.errors import InputError, RuntimeUnavailableError

ROOT = Path(__file__).parents[2]


@pytest.mark.parametrize("text", [FORGED, "\ud800", "x" * 10**6, "a\0b", "\x9b31m", "‮gpj.exe", 10**400])
def test_foreign_text_is_one_line_that_shows_what_is_there(text: object) -> None:
    line = one_line(text)
    assert line.isprintable()
    assert len(line) <= MAX_SHOWN
    line.encode()
    ElementTree.fromstring(f"<a>{html_text(text)}</a>")
    assert "\x1b" not in printable(text)
    assert "\x1b" not in xml_text(text)


def test_html_text_closes_no_tag_and_no_attribute() -> None:
    assert html_text("</td><script>'\"&") == "&lt;/td&gt;&lt;script&gt;&#x27;&quot;&amp;"


def test_a_table_shows_brackets_as_they_are(capsys: pytest.CaptureFixture[str]) -> None:
    print_table(["what"], [["run: pip install 'other[coreml]'"], ["[/b]"], ["[red]x"], [FORGED]])
    shown = capsys.readouterr().out
    for text in ("other[coreml]", "[/b]", "[red]x"):
        assert text in shown
    assert "\x1b" not in shown


def test_progress_and_warnings_are_one_line_each(capsys: pytest.CaptureFixture[str]) -> None:
    with progress() as say:
        say(FORGED)
    warn(FORGED)
    said = capsys.readouterr().err.splitlines()
    assert len(said) == 2
    assert not any(line.startswith("error") for line in said)


@pytest.mark.parametrize(
    ("error", "code"),
    [
        (InputError(FORGED), 2),
        (RuntimeUnavailableError("needs macOS"), 3),
        (click.UsageError(FORGED), 2),
        (click.Abort(), 130),
        (KeyboardInterrupt(), 130),
        (BrokenPipeError(), 141),
        (OSError(28, "No space left on device"), 2),
        (MemoryError(), 2),
    ],
)
def test_each_error_is_one_line_and_a_code(
    error: BaseException, code: int, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as ended, run_to_an_end():
        raise error
    assert ended.value.code == code
    said = capsys.readouterr().err
    assert len(said.splitlines()) == (code != 141)
    assert "\x1b" not in said


def test_an_unforeseen_error_is_one_line_and_its_traceback_is_in_a_file(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    monkeypatch.delenv("TINYSAM_DEBUG", raising=False)
    for debug in (False, True):
        if debug:
            monkeypatch.setenv("TINYSAM_DEBUG", "1")
        with pytest.raises(SystemExit) as ended, run_to_an_end():
            raise KeyError("[/b]\nerror: forged")
        assert ended.value.code == 70
        first, *rest = capsys.readouterr().err.splitlines()
        assert first.startswith("error: internal error (KeyError")
        assert ("Traceback" in "".join(rest)) == debug
    reports = list(tmp_path.glob("tinysam-mobile-*.traceback.txt"))
    assert len(reports) == 2
    assert all("raise KeyError" in path.read_text() for path in reports)
    assert any(path.name in first for path in reports)


COLLECTING = """
import gc, os, signal, sys, time
from tinysam_mobile.cli.outcome import run_to_an_end

def callback(phase, info):
    gc.callbacks.remove(callback)
    os.kill(os.getpid(), int(sys.argv[1]))
    for _ in range(10**5):  # where Python looks for signals
        pass

signal.signal(signal.SIGINT, signal.default_int_handler)  # a shell's background job ignores it
gc.disable()  # none but the one below
with run_to_an_end():
    gc.callbacks.append(callback)
    gc.collect()
    time.sleep(60)
"""


@pytest.mark.parametrize(("number", "code"), [(signal.SIGTERM, 143), (signal.SIGINT, 130)])
def test_a_signal_is_not_lost_in_a_collection_of_garbage(number: signal.Signals, code: int) -> None:
    """As jax has a callback there, in which a conversion met it."""
    done = subprocess.run(
        [sys.executable, "-c", COLLECTING, str(int(number))],
        capture_output=True,
        text=True,
        check=False,
        env=os.environ | {"PYTHONPATH": str(ROOT)},
    )
    assert done.returncode == code
    assert "Traceback" not in done.stderr


def run(*words: str, **options: object) -> subprocess.CompletedProcess[str]:
    environment = os.environ | {
        "PYTHONPATH": str(ROOT),
        "PYTHONIOENCODING": str(options.pop("encoding", "utf-8")),
    }
    command = [sys.executable, "-m", "tinysam_mobile", *words]
    return subprocess.run(  # type: ignore[call-overload,no-any-return]
        command, stderr=subprocess.PIPE, text=True, check=False, env=environment, **options
    )


def test_a_full_standard_output_is_one_line() -> None:
    with Path("/dev/full").open("w") as full:
        done = run("fetch", "--list", stdout=full)
    assert (done.returncode, len(done.stderr.splitlines())) == (2, 1)
    assert done.stderr.startswith("error: ")


def test_a_reader_that_has_enough_ends_it_in_silence() -> None:
    source, target = os.pipe()
    os.close(source)
    done = run("fetch", "--list", stdout=target)
    os.close(target)
    assert (done.returncode, done.stderr) == (141, "")


@pytest.mark.parametrize("encoding", ["ascii", "cp1252", "latin-1"])
def test_a_terminal_without_our_characters_shows_others(encoding: str) -> None:
    done = run("segment", "--help", stdout=subprocess.PIPE, encoding=encoding)
    assert (done.returncode, done.stderr) == (0, "")
    assert "--high-score-thresh" in done.stdout


def test_a_name_that_is_no_text_is_one_line(tmp_path: Path) -> None:
    name = os.fsdecode(b"\xff\xfe\n[red].tflite")
    result = CliRunner().invoke(main, ["inspect", str(tmp_path / name)])
    assert result.exit_code == 2
    assert len(result.stderr.splitlines()) == 1
