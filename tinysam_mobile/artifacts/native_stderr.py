"""Keep known lines of native libraries off stderr, where this package shows its own progress.

C++ libraries write to file descriptor 2 behind Python's back, and some have no switch for it.  Only lines
that are listed here by their beginning are hidden; all others appear as soon as the block ends.
"""

from __future__ import annotations

import os
import re
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from tempfile import TemporaryFile

__all__ = ["without_known_lines"]

KNOWN_LINES = re.compile(
    rb"WARNING: All log messages before absl::InitializeLog\(\) is called are written to STDERR"
    rb"|I0000 .*\bport\.cc:\d+\] oneDNN custom operations are on\."
    rb"|INFO: Created TensorFlow Lite XNNPACK delegate for CPU\."
    # How ExecuTorch finds the fast cores of a phone; no other machine has these files.
    rb"|\[cpuinfo_utils\.cpp:\d+\] (Reading file|Failed to open midr file|CPU info and manual query)"
    rb"|\[threadpool\.cpp:\d+\] Resetting threadpool to"
)
"""Beginnings of lines that say nothing to the user."""


@contextmanager
def without_known_lines() -> Iterator[None]:
    """Hold back what is written to file descriptor 2 inside, then pass on all lines but `KNOWN_LINES`.

    For short calls: a process that is killed inside shows nothing of what the call wrote.
    """
    try:
        real = os.dup(2)
    except OSError:  # a process without stderr
        yield
        return
    sys.stderr.flush()
    with TemporaryFile() as caught:
        os.dup2(caught.fileno(), 2)
        try:
            yield
        finally:
            sys.stderr.flush()
            os.dup2(real, 2)
            os.close(real)
            caught.seek(0)
            for line in caught:
                if not KNOWN_LINES.match(line):
                    os.write(2, line)
