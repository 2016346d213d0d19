"""Write all fixtures: `python -m tests.app_fixtures [FOLDER]`."""

from __future__ import annotations

from argparse import ArgumentParser
from pathlib import Path

from .store import GOLDEN
from .write import write_fixtures

if __name__ == "__main__":
    parser = ArgumentParser(prog="python -m tests.app_fixtures", description=__doc__)
    parser.add_argument("folder", type=Path, nargs="?", default=GOLDEN)
    write_fixtures(parser.parse_args().folder)
