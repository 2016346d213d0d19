"""Convert with coremltools and hand back what the interpreter needs, without coremltools' leftovers."""

from __future__ import annotations

import gc
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from tests.mil.builder import ct
from tinysam_mobile.mil import MilModel

__all__ = ["load_converted", "quiet", "save_converted"]

# Every conversion collects garbage; what the imports made need not be looked at each time.
gc.collect()
gc.freeze()


@contextmanager
def quiet() -> Iterator[None]:
    """Keep coremltools' and torch's warnings out, among them of packages removed when collected."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        yield
        gc.collect()


def load_converted(source: Any, *precisions: str, **options: Any) -> list[MilModel]:
    """The converted model, loaded once for each of `precisions`."""
    with quiet():
        model = ct.convert(source, **options)
        loaded = [MilModel.load(model, precision=precision) for precision in precisions]
        del model
    return loaded


def save_converted(source: Any, path: Path, **options: Any) -> Path:
    """The converted model, saved at `path`."""
    with quiet():
        model = ct.convert(source, **options)
        model.save(str(path))
        del model
    return path
