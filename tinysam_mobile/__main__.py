"""`python -m tinysam_mobile` and the script `tinysam-mobile`: the command line as a process of its own."""

from __future__ import annotations

import signal
import sys

__all__ = ["run"]

EXIT_INTERRUPTED = 130


def run() -> None:
    """Run the command line; an interrupt is one line, at the very beginning and end of the process too."""
    try:
        from tinysam_mobile.cli import main

        main()
    except KeyboardInterrupt:
        print("error: interrupted", file=sys.stderr)
        sys.exit(EXIT_INTERRUPTED)
    finally:
        # What is left to do is Python's own, which would answer another interrupt with a traceback.
        signal.signal(signal.SIGINT, signal.SIG_DFL)


if __name__ == "__main__":
    run()
