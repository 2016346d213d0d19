"""Files of the fixtures: flat JSON, and tensors as raw little-endian files."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

GOLDEN = Path(__file__).parent.parent / "golden" / "apps"
LAYOUT_VERSION = 1

Case = dict[str, Any]
Array = NDArray[Any]


class Store:
    """A folder of fixtures that is being written."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def tensor(self, name: str, array: Array) -> dict[str, Any]:
        """Write `array` (uint8, int8 or float32) and return how a case refers to it."""
        path = self.folder / f"{name}.bin"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(array.astype(array.dtype.newbyteorder("<")).tobytes())
        return {"file": f"{name}.bin", "dtype": array.dtype.name, "shape": list(array.shape)}

    def cases(self, topic: str, cases: Iterable[Mapping[str, Any]]) -> None:
        """Write TOPIC.json."""
        listed = list(cases)
        names = [case["name"] for case in listed]
        assert len(set(names)) == len(names), topic
        # One case a line: a change of one shows as one.
        lines = ",\n".join(json.dumps(case, ensure_ascii=False, allow_nan=False) for case in listed)
        text = f'{{"layout_version": {LAYOUT_VERSION}, "cases": [\n{lines}\n]}}\n'
        self.folder.mkdir(parents=True, exist_ok=True)
        (self.folder / f"{topic}.json").write_text(text, encoding="utf-8")


def read_cases(topic: str) -> list[Case]:
    """The cases of TOPIC.json."""
    data = json.loads((GOLDEN / f"{topic}.json").read_text(encoding="utf-8"))
    assert data["layout_version"] == LAYOUT_VERSION
    cases: list[Case] = data["cases"]
    return cases


def read_tensor(tensor: Mapping[str, Any]) -> Array:
    """The array that a case refers to."""
    little = np.dtype(tensor["dtype"]).newbyteorder("<")
    values = np.frombuffer((GOLDEN / tensor["file"]).read_bytes(), little)
    return values.astype(tensor["dtype"]).reshape(tensor["shape"])


def flat(values: Array) -> list[Any]:
    """A short list for the JSON; float32 as the double that it is."""
    listed: list[Any] = np.asarray(values).ravel().tolist()
    return listed
