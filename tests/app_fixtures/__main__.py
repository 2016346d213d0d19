"""Write all fixtures: `python -m tests.app_fixtures [FOLDER]`."""

from __future__ import annotations

import sys
from pathlib import Path

from .store import GOLDEN
from .write import write_fixtures

if __name__ == "__main__":
    write_fixtures(Path(sys.argv[1]) if len(sys.argv) > 1 else GOLDEN)
